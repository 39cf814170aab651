"""A grammar as a rule: masks against brute force, and whole texts against re and json."""

import json
import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.inference import JSON, Grammar, GrammarRule, beam_search, generate, one_of, stream
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.tokenizer import course_tokenizer

TOKENIZER = course_tokenizer()
END = TOKENIZER.special_id("<|endoftext|>")
BYTES = {i: bytes((i,)) for i in range(256)}
SMALL = BYTES | dict(
    enumerate((b"ab", b"a1", b'": "', b'{"', b'"}', b"\xe4\xb8", b"\xb8\xad", b"tru", b", "), 256)
)
STOP = 300


def decoder(V, context=80, seed=0):
    torch.manual_seed(seed)
    config = DecoderConfig(
        vocab_size=V,
        d_model=16,
        n_layers=1,
        context=context,
        attention=AttentionConfig(n_heads=2),
        feedforward=FeedForwardConfig("swiglu", 16),
        init_std=0.3,
    )
    return Decoder(config)


GRAMMARS = [
    JSON,
    'root ::= [a-b]* [0-9]+ | "中" root',
    'root ::= "(" root ")" | ("ab" | "tr")*',
    "root ::= [^a]*",
    one_of(["ab1", "a1", "true, ab"]),
]


@given(st.sampled_from(GRAMMARS), st.lists(st.integers(0, 10_000), max_size=12))
@settings(max_examples=80, deadline=None)
def test_the_mask_is_that_of_brute_force(text, choices):
    grammar = Grammar(text)
    rule = GrammarRule(grammar, SMALL, prompt_length=1, stop_ids=[STOP])
    ids, said = [7], b""
    for choice in choices:
        state = grammar.advance(grammar.start, said)
        brute = [i for i, data in SMALL.items() if grammar.advance(state, data)]
        brute += [STOP] if grammar.accepts(said) else []
        logits = torch.arange(320.0)[None]
        out = rule(torch.tensor([ids]), logits)
        assert out[0].isfinite().nonzero()[:, 0].tolist() == sorted(brute)
        assert torch.equal(out[0, brute], logits[0, brute])
        token = brute[choice % len(brute)]
        if token == STOP:
            break
        ids.append(token)
        said += SMALL[token]


def test_the_mask_of_the_course_vocabulary_is_that_of_brute_force():
    grammar = Grammar(JSON)
    rule = GrammarRule(grammar, TOKENIZER, prompt_length=0, stop_ids=[END])
    specials = {TOKENIZER.special_id(name) for name in TOKENIZER.special_tokens}
    for said in ("", '{"a', '{"a": tr', '{"a": [1, 2', "{}"):
        ids = TOKENIZER.encode(said)
        state = grammar.advance(grammar.start, said.encode())
        brute = {
            i
            for i, data in TOKENIZER.vocab.items()
            if i not in specials and grammar.advance(state, data)
        }
        brute |= {END} if said == "{}" else set()
        out = rule(torch.tensor([ids], dtype=torch.long), torch.zeros(1, 6200))
        assert set(out[0].isfinite().nonzero()[:, 0].tolist()) == brute
        assert specials & brute <= {END}


PATTERNS = {
    'root ::= "No. " [0-9] [0-9]? ("." [0-9]+)?': r"No\. [0-9][0-9]?(\.[0-9]+)?",
    "root ::= [你-我中] [^ -~]? [a-f]*": "[你-我中][^ -~]?[a-f]*",
    one_of(["yes", "no", "perhaps"]): "yes|no|perhaps",
}


@pytest.mark.parametrize(("grammar", "pattern"), PATTERNS.items())
def test_what_is_generated_is_of_the_language(grammar, pattern):
    model, ids = decoder(TOKENIZER.n_vocab), torch.tensor([[5, 6], [7, 8], [9, 9]])
    rule = GrammarRule(grammar, TOKENIZER, prompt_length=2, stop_ids=[END])
    found, ended = set(), 0
    for seed in range(10):
        out = generate(
            model, ids, 30, temperature=1.0, seed=seed, rules=[rule], stop_ids=[END], pad_id=END
        )
        for row in out[:, 2:].tolist():
            text = TOKENIZER.decode_bytes(i for i in row if i != END)
            if END in row:
                ended += 1
                assert re.fullmatch(pattern, text.decode())
            else:
                assert rule.grammar.advance(rule.grammar.start, text)
            found.add(text)
    assert len(found) >= 3
    assert ended >= 10


def test_generated_json_is_json():
    model, ids = decoder(320), torch.tensor([[1]])
    rule = GrammarRule(JSON, SMALL, prompt_length=1, stop_ids=[STOP])

    def shorter(text, logits):  # else a model without training seldom ends
        bonus = torch.zeros(320)
        bonus[[ord("}"), ord("]"), STOP]] = 4.0
        bonus[ord('"')] = 3.0
        return logits + bonus

    texts = []
    for seed in range(40):
        ids_out = list(
            stream(
                model,
                ids,
                70,
                temperature=1.0,
                seed=seed,
                rules=[shorter, rule],
                stop_ids=[STOP],
            )
        )
        if ids_out[-1] == STOP:
            texts.append(b"".join(SMALL[i] for i in ids_out[:-1]).decode())
            json.loads(texts[-1])
    assert len(texts) >= 15
    assert any(len(text) > 2 for text in texts)


def test_beams_follow_the_grammar():
    model = decoder(320)
    texts = ["yes", "yesterday", "no", "never", "(中)"]
    rule = GrammarRule(one_of(texts), SMALL, prompt_length=2, stop_ids=[STOP])
    found = beam_search(model, [3, 4], 12, n_beams=8, stop_ids=[STOP], rules=[rule])
    ends = [b"".join(SMALL[i] for i in one.ids[:-1]).decode() for one in found]
    assert set(ends) == set(texts)
    assert all(one.ids[-1] == STOP for one in found)


def test_calls_in_any_order():
    rule = GrammarRule(one_of(["ab1", "a1"]), SMALL, prompt_length=0, stop_ids=[STOP])

    def allowed(*ids):
        out = rule(torch.tensor([ids], dtype=torch.long), torch.zeros(1, 320))
        return out[0].isfinite().nonzero()[:, 0].tolist()

    a, ab, a1 = ord("a"), 256, 257
    start = [a, ab, a1]
    assert allowed() == start
    assert allowed(ab) == [ord("1")]  # not continued from any call before
    assert allowed(a) == [ord("1"), ord("b")]
    assert allowed(a, ord("b")) == [ord("1")]
    assert allowed(a, ord("b"), ord("1")) == [STOP]
    assert allowed(a1) == [STOP]
    assert allowed() == start


@pytest.mark.parametrize("ids", [[ord("x")], [STOP], [ord("a"), STOP]])
def test_texts_outside_the_grammar(ids):
    rule = GrammarRule(one_of(["ab"]), SMALL, prompt_length=1, stop_ids=[STOP])
    with pytest.raises(ValueError, match="behind the prompt of 1 do not begin a text"):
        rule(torch.tensor([[5, *ids]]), torch.zeros(1, 320))


def test_bad_input():
    how = {"prompt_length": 0, "stop_ids": [STOP]}
    with pytest.raises(ValueError, match="admits no text"):
        GrammarRule('root ::= "a" root', SMALL, **how)
    with pytest.raises(ValueError, match="no token of the vocabulary spells"):
        GrammarRule('root ::= "a"', {0: b"b", 1: b"ba"}, **how)
    late = GrammarRule('root ::= "ab"', {0: b"a", 1: b"c"}, **how)  # it is seen on the way
    with pytest.raises(ValueError, match="no token of the vocabulary spells"):
        late(torch.tensor([[0]]), torch.zeros(1, 320))
    with pytest.raises(ValueError, match="stop_ids are needed"):
        GrammarRule('root ::= "a"', SMALL, prompt_length=0, stop_ids=[])
    with pytest.raises(ValueError, match=r"the stop ids \[97\] are ordinary tokens"):
        GrammarRule('root ::= "a"', SMALL, prompt_length=0, stop_ids=[97, STOP])
    empty = GrammarRule('root ::= "a"', SMALL | {299: b""}, **how)  # would never get on
    assert 299 not in empty.allowed(empty.grammar.start)
    assert math.isinf(empty(torch.zeros(1, 0, dtype=torch.long), torch.zeros(1, 320))[0, 299])
