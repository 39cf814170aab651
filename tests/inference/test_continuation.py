"""Whole texts: generate and stream, with and without a cache, with stop ids and with rules."""

import math

import pytest
import torch
from transformers import (
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
)

from minillm.inference import (
    apply_rules,
    generate,
    no_repeat_ngram,
    presence_frequency_penalty,
    repetition_penalty,
    stream,
)
from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    PositionConfig,
)

SHAPES = {
    "llama": {},
    "gqa": {"n_kv_heads": 2},
    "mqa": {"n_kv_heads": 1},
    "wide heads": {"head_width": 6},
}


def decoder(kind="rope", dtype=torch.float64, context=40, seed=0, **heads):
    torch.manual_seed(seed)
    config = DecoderConfig(
        vocab_size=41,
        d_model=16,
        n_layers=2,
        context=context,
        attention=AttentionConfig(n_heads=4, **heads),
        feedforward=FeedForwardConfig(kind="swiglu", width=24),
        position=PositionConfig(kind=kind),
        init_std=0.4,
    )
    return Decoder(config, dtype=dtype)


def prompts(B=3, T=5, seed=1):
    return torch.randint(0, 41, (B, T), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("heads", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("kind", ["rope", "learned", "sinusoidal", "alibi", "none"])
def test_cached_equals_uncached(kind, heads):
    model, ids = decoder(kind, **heads), prompts()
    for how in ({}, {"temperature": 0.8, "top_k": 9, "top_p": 0.9, "seed": 4}):
        a = generate(model, ids, 30, **how)
        b = generate(model, ids, 30, use_cache=False, **how)
        assert torch.equal(a, b)
    assert torch.equal(a[:, :5], ids)
    assert a.shape == (3, 35)
    assert len(a.unique()) > 10  # the text is not one token again and again


def test_greedy_by_hand():
    model, ids = decoder(), prompts(1)
    out = ids
    for _ in range(6):
        out = torch.cat([out, model(out)[:, -1].argmax(-1, keepdim=True)], dim=1)
    assert torch.equal(generate(model, ids, 6), out)


def test_rows_do_not_disturb_one_another():
    model, ids = decoder(), prompts()
    together = generate(model, ids, 12)
    apart = torch.cat([generate(model, row[None], 12) for row in ids])
    assert torch.equal(together, apart)


class Script(torch.nn.Module):
    """A model that says 1, 2, 3, ... after the last token, whatever came before."""

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, ids):
        return torch.nn.functional.one_hot((ids + 1) % 10, 10).float()


def test_stop_ids_end_each_row_by_itself():
    ids = torch.tensor([[4], [1], [6]])
    how = {"use_cache": False}
    out = generate(Script(), ids, 6, stop_ids=[5, 9], **how)
    assert out.tolist() == [[4, 5, 5, 5, 5], [1, 2, 3, 4, 5], [6, 7, 8, 9, 9]]
    out = generate(Script(), ids, 6, stop_ids={5, 9}, pad_id=0, **how)
    assert out.tolist() == [[4, 5, 0, 0, 0], [1, 2, 3, 4, 5], [6, 7, 8, 9, 0]]
    assert generate(Script(), ids, 6, stop_ids=(5, 9), **how).shape == (3, 5)  # all have ended
    assert generate(Script(), ids, 2, stop_ids=[5], **how).tolist() == [
        [4, 5, 5],
        [1, 2, 3],
        [6, 7, 8],
    ]
    prompt = torch.tensor([[5]])  # a stop id of the prompt stops nothing
    assert generate(Script(), prompt, 3, stop_ids=[5], **how).tolist() == [[5, 6, 7, 8]]


def test_stopped_rows_do_not_change_the_others():
    model, ids = decoder(), prompts()
    free = generate(model, ids, 20)
    stop = int(free[0, 9])
    for use_cache in (True, False):
        out = generate(model, ids, 20, stop_ids=[stop], use_cache=use_cache)
        for row, before in zip(out, free, strict=True):
            end = next((i for i in range(5, 25) if before[i] == stop), 24)
            assert torch.equal(row[: end + 1], before[: end + 1][: out.shape[1]])
            assert (row[end + 1 :] == stop).all()


def test_the_seed_decides_the_text():
    model, ids = decoder(), prompts()
    one, same, other = (generate(model, ids, 15, temperature=1.0, seed=s) for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    generate(model, ids, 5, temperature=1.0, seed=1)
    assert torch.equal(torch.get_rng_state(), before)  # a seed leaves torch's own generator alone
    generate(model, ids, 5, temperature=1.0)
    assert not torch.equal(torch.get_rng_state(), before)


def test_stream_hands_out_what_generate_appends():
    model, ids = decoder(), prompts(1)
    whole = generate(model, ids, 12)[0, 5:].tolist()
    assert list(stream(model, ids, 12)) == whole
    assert list(stream(model, ids[0].tolist(), 12)) == whole
    assert list(stream(model, ids[0], 12, use_cache=False)) == whole
    stop = whole[3]
    assert list(stream(model, ids, 12, stop_ids=[stop])) == whole[: whole.index(stop) + 1]
    drawn = generate(model, ids, 9, temperature=0.9, top_k=7, top_p=0.8, seed=2)[0, 5:].tolist()
    assert list(stream(model, ids, 9, temperature=0.9, top_k=7, top_p=0.8, seed=2)) == drawn
    first = next(stream(model, ids, 12))  # lazily: no need to wait for the rest
    assert first == whole[0]
    with pytest.raises(ValueError, match=r"one prompt, got ids of shape \(3, 5\)"):
        next(stream(model, prompts(), 3))


def test_no_tokens_and_full_context():
    model, ids = decoder(), prompts()
    assert torch.equal(generate(model, ids, 0), ids)
    assert generate(model, ids, 35).shape == (3, 40)  # exactly the context
    for use_cache in (True, False):
        with pytest.raises(ValueError, match=r"5 tokens and 36 new ones do not fit .* of 40"):
            generate(model, ids, 36, use_cache=use_cache)


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (torch.zeros(3, dtype=torch.long), r"got \(3,\)"),
        (torch.zeros(2, 0, dtype=torch.long), r"got \(2, 0\)"),
    ],
)
def test_prompts_must_be_there(ids, words):
    with pytest.raises(ValueError, match=words):
        generate(decoder(), ids, 3)


def test_other_refusals():
    with pytest.raises(ValueError, match="max_new_tokens must not be negative, got -1"):
        generate(decoder(), prompts(), -1)
    with pytest.raises(ValueError, match="Script has no cache; pass use_cache=False"):
        generate(Script(), torch.tensor([[1]]), 3)
    with pytest.raises(ValueError, match="top_k must be at least 1"):
        generate(decoder(), prompts(), 0, top_k=0)  # even where nothing is drawn


def test_no_gradients_and_training_can_go_on():
    model, ids = decoder(), prompts()
    out = generate(model, ids, 5)
    assert not out.requires_grad
    model(out).sum().backward()  # what decoding has left behind does not stand in the way
    assert torch.is_grad_enabled()


# ---- rules -------------------------------------------------------------------------------------


def penalty(text, logits):
    return repetition_penalty(logits, text, 1.1)


def bigrams(text, logits):
    return no_repeat_ngram(logits, text, 2)


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_rules_equal_transformers_processors_token_by_token(temperature):
    model, text = decoder(), prompts()
    chain = [RepetitionPenaltyLogitsProcessor(1.1), NoRepeatNGramLogitsProcessor(2)]
    how = {"temperature": temperature, "seed": 3, "use_cache": False}
    ours = generate(model, text, 30, rules=[penalty, bigrams], **how)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for _ in range(30):
            logits = model(text)[:, -1]
            for processor in chain:
                logits = processor(text, logits)
            if temperature:
                p = TemperatureLogitsWarper(temperature)(text, logits).softmax(dim=-1)
                new = torch.multinomial(p, 1, generator=generator)
            else:
                new = logits.argmax(dim=-1, keepdim=True)
            text = torch.cat([text, new], dim=1)
    assert torch.equal(ours, text)
    for rules in ([], [penalty], [bigrams]):  # each of them does something
        assert not torch.equal(generate(model, prompts(), 30, rules=rules, **how), text)


def test_rules_come_before_the_temperature_and_with_every_reader():
    model, ids = decoder(), prompts()

    def odd(text, logits):  # no even ids; nothing else changes
        return logits.masked_fill(torch.arange(41) % 2 == 0, -math.inf)

    for how in ({}, {"temperature": 1.3, "top_k": 5, "seed": 2}):
        out = generate(model, ids, 20, rules=[odd], **how)
        assert torch.equal(out, generate(model, ids, 20, rules=[odd], use_cache=False, **how))
        assert (out[:, 5:] % 2 == 1).all()
        assert len(out[:, 5:].unique()) > 4
    assert list(stream(model, ids[:1], 9, rules=[penalty])) == (
        generate(model, ids[:1], 9, rules=[penalty])[0, 5:].tolist()
    )


def test_a_frequency_penalty_counts_what_was_made():
    model, ids = decoder(), prompts(1)

    def only_new(text, logits):
        return presence_frequency_penalty(logits, text[:, 5:], frequency=50.0)

    plain, fined = (generate(model, ids, 30, rules=rules)[0, 5:] for rules in ([], [only_new]))
    assert len(plain.unique()) < 30  # it repeats itself
    assert len(fined.unique()) == 30


def test_rules_do_not_see_rows_that_have_ended():
    seen = []

    def look(text, logits):
        seen.append(text.tolist())
        return logits

    ids = torch.tensor([[4], [2]])
    generate(Script(), ids, 4, stop_ids=[5], use_cache=False, rules=[look])
    assert seen == [[[4], [2]], [[2, 3]], [[2, 3, 4]]]


def test_rules_that_go_wrong():
    logits, text = torch.zeros(2, 4), torch.zeros(2, 3, dtype=torch.long)
    assert apply_rules([], text, logits) is logits
    kept = torch.tensor([0.0, -math.inf, 0.0, -math.inf])
    rules = [lambda text, z: z + kept, lambda text, z: z + kept.roll(1)]
    assert apply_rules(rules[:1], text, logits).tolist() == [kept.tolist()] * 2
    with pytest.raises(ValueError, match="rule 1 leaves no token to row 0; relax it"):
        apply_rules(rules, text, logits)
    alone = apply_rules(rules[:1], text, logits, going=torch.tensor([False, True]))
    assert alone.tolist() == [[0] * 4, kept.tolist()]
    with pytest.raises(ValueError, match=r"rule 0 made logits \(1, 4\) of \(2, 4\)"):
        apply_rules([lambda text, z: z[:1]], text, logits)
    with pytest.raises(ValueError, match="rule 0 leaves no token to row 1"):
        generate(
            Script(),
            torch.tensor([[1], [2]]),
            3,
            use_cache=False,
            rules=[lambda text, z: z.masked_fill(text[:, -1:] == 2, -math.inf)],
        )
