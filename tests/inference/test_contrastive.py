"""Contrastive search by hand, and against a slow definition on transformers' hidden states."""

import pytest
import torch
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from minillm.inference import generate
from minillm.inference.contrastive import contrastive_scores, contrastive_search
from minillm.model.hf import from_transformers

NOBODYS = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))
PROMPT = torch.tensor([[3, 1, 4, 1, 5]])


def peer(family):
    torch.manual_seed(0)
    if family == "gpt2":
        config = GPT2Config(
            vocab_size=30, n_embd=24, n_layer=2, n_head=4, n_positions=32, **NOBODYS
        )
        model = GPT2LMHeadModel(config)
    else:
        config = LlamaConfig(
            vocab_size=30,
            hidden_size=24,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=32,
            **NOBODYS,
        )
        model = LlamaForCausalLM(config)
    for p in model.parameters():
        if p.ndim == 2:
            p.data.normal_(std=0.4)
    return model.eval()


@torch.no_grad()
def slow(model, text, n, top_k, alpha):
    """Equation 5 word by word: every candidate's whole text is read anew."""
    text = list(text)
    for _ in range(n):
        p = model(torch.tensor([text])).logits[0, -1].softmax(dim=-1)
        scores = {}
        for v in p.topk(top_k).indices.tolist():
            states = model(torch.tensor([[*text, v]]), output_hidden_states=True).hidden_states[-1]
            likeness = max(F.cosine_similarity(states[0, -1], h, dim=0) for h in states[0, :-1])
            scores[v] = float((1 - alpha) * p[v] - alpha * likeness)
        text.append(max(scores, key=scores.get))
    return text[PROMPT.shape[1] :]


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize(("top_k", "alpha"), [(4, 0.6), (6, 0.45), (3, 1.0), (9, 0.5)])
def test_equals_the_slow_definition(family, top_k, alpha):
    theirs = peer(family)
    ours = from_transformers(theirs)
    out = contrastive_search(ours, PROMPT, 8, top_k=top_k, alpha=alpha)
    assert out == slow(theirs, PROMPT[0].tolist(), 8, top_k, alpha)
    assert out != generate(ours, PROMPT, 8)[0, 5:].tolist()  # greedy would be seen


@pytest.mark.parametrize("how", [{"alpha": 0.0}, {"top_k": 1}])
def test_without_a_penalty_or_a_choice_it_is_greedy(how):
    model = from_transformers(peer("llama"))
    greedy = generate(model, PROMPT, 10)[0, 5:].tolist()
    assert contrastive_search(model, PROMPT, 10, **how) == greedy
    assert contrastive_search(model, PROMPT[0].tolist(), 3, **how) == greedy[:3]
    assert contrastive_search(model, PROMPT, 0, **how) == []


def test_scores_by_hand():
    text = torch.tensor([[1.0, 0.0], [0.0, 5.0]])
    candidates = torch.tensor([[3.0, 0.0], [-1.0, 1.0], [-2.0, -2.0]])  # likeness 1, .7071, -.7071
    p = torch.tensor([0.5, 0.3, 0.2])
    scores = contrastive_scores(p, candidates, text, 0.6)
    expected = torch.tensor([0.2 - 0.6, 0.12 - 0.6 * 0.5**0.5, 0.08 + 0.6 * 0.5**0.5])
    torch.testing.assert_close(scores, expected)
    torch.testing.assert_close(contrastive_scores(p, candidates, text, 0.0), p)
    assert contrastive_scores(p, 7 * candidates, text, 1.0).argmax() == 2  # length means nothing


def test_it_ends_with_a_stop_id():
    model = from_transformers(peer("gpt2"))
    free = contrastive_search(model, PROMPT, 8)
    at = free.index(free[4])
    assert contrastive_search(model, PROMPT, 8, stop_ids=[free[4]]) == free[: at + 1]
    assert contrastive_search(model, PROMPT, 8, stop_ids=[PROMPT[0, -1].item()])  # the prompt's


def test_rules_choose_the_candidates():
    model = from_transformers(peer("gpt2"))
    free = contrastive_search(model, PROMPT, 8)
    banned, seen = free[2], []

    def rule(text, logits):
        seen.append(text[0].tolist())
        return logits.index_fill(1, torch.tensor([banned]), -torch.inf)

    out = contrastive_search(model, PROMPT, 8, rules=[rule])
    assert banned not in out
    assert out[:2] == free[:2]
    assert seen == [PROMPT[0].tolist() + out[:t] for t in range(8)]

    def only(text, logits):  # fewer than top_k are left: no forbidden one may slip in
        return logits + torch.full_like(logits, -torch.inf).index_fill(1, torch.tensor([5, 6]), 0.0)

    assert set(contrastive_search(model, PROMPT, 12, top_k=4, alpha=1.0, rules=[only])) == {5, 6}
    with pytest.raises(ValueError, match="rule 0 leaves no token"):
        contrastive_search(model, PROMPT, 3, rules=[lambda text, z: z - torch.inf])


@pytest.mark.parametrize(
    ("ids", "n", "how", "message"),
    [
        (PROMPT, 4, {"top_k": 0}, "top_k must be at least 1, got 0"),
        (PROMPT, 4, {"alpha": 1.1}, r"alpha must lie in \[0, 1\], got 1.1"),
        (PROMPT, 4, {"alpha": float("nan")}, r"alpha must lie in \[0, 1\], got nan"),
        (PROMPT, -1, {}, "max_new_tokens must not be negative, got -1"),
        (PROMPT, 28, {}, "do not fit in the context of 32"),
        (PROMPT.repeat(2, 1), 4, {}, r"continues one prompt, got ids of shape \(2, 5\)"),
        ([], 4, {}, "at least one token"),
    ],
)
def test_bad_input(ids, n, how, message):
    with pytest.raises(ValueError, match=message):
        contrastive_search(from_transformers(peer("gpt2")), ids, n, **how)


def test_scores_of_bad_input():
    p, h = torch.ones(2) / 2, torch.ones(2, 3)
    with pytest.raises(ValueError, match=r"alpha must lie in \[0, 1\], got -0.1"):
        contrastive_scores(p, h, h, -0.1)
    for args in [(p[:1], h, h), (p, h, h[:, :2]), (p, h, h[:0]), (p, h[0], h)]:
        with pytest.raises(ValueError, match=r"shapes do not fit: p \("):
            contrastive_scores(*args, 0.5)
