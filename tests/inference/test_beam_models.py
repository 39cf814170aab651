"""Beam search of models: against every text there is, and transformers' ids and scores."""

import itertools
from collections import Counter

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from minillm.inference import beam_search, generate, no_repeat_ngram
from minillm.model.hf import from_transformers

NOBODYS = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))
PROMPT = torch.tensor([[3, 1, 0, 1, 2]])
STOPS = [7, 8, 9]


def peer(family, V=20, seed=0):
    torch.manual_seed(seed)
    if family == "gpt2":
        config = GPT2Config(vocab_size=V, n_embd=24, n_layer=2, n_head=4, n_positions=32, **NOBODYS)
        model = GPT2LMHeadModel(config)
    else:
        config = LlamaConfig(
            vocab_size=V,
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


def small(V=20, seed=0):
    return from_transformers(peer("llama", V, seed)).double()


# ---- against every text there is ---------------------------------------------------------------


@torch.no_grad()
def every_text(model, V, n, stops, length_penalty):
    """All texts that end with a stop id or after n tokens, best score first."""
    texts = set()
    for ids in itertools.product(range(V), repeat=n):
        ends = [i for i, v in enumerate(ids) if v in stops]
        texts.add(ids[: ends[0] + 1] if ends else ids)
    scored = []
    for _, same in itertools.groupby(sorted(texts, key=lambda ids: (len(ids), ids)), key=len):
        ids = torch.tensor(list(same))
        log_p = model(torch.cat([PROMPT.expand(len(ids), -1), ids], dim=1)).log_softmax(dim=-1)
        totals = log_p[:, PROMPT.shape[1] - 1 : -1].gather(-1, ids[..., None]).sum(dim=(1, 2))
        scores = (totals / ids.shape[1] ** length_penalty).tolist()
        scored += zip(scores, map(tuple, ids.tolist()), strict=True)
    return sorted(scored, reverse=True)


@pytest.mark.parametrize("stops", [(), (3,)])
@pytest.mark.parametrize("length_penalty", [-1.0, 0.0, 1.0, 2.0])
def test_a_beam_wide_enough_is_exact(stops, length_penalty):
    model = small(V=4)
    expected = every_text(model, 4, 4, stops, length_penalty)[:64]
    found = beam_search(model, PROMPT, 4, n_beams=64, stop_ids=stops, length_penalty=length_penalty)
    assert [one.ids for one in found] == [ids for _, ids in expected]
    assert [one.score for one in found] == pytest.approx([s for s, _ in expected], abs=1e-9)


def test_more_beams_come_nearer_to_the_best():
    best = {n: [] for n in (1, 2, 4, 64)}
    for seed in range(6):
        model = small(V=4, seed=seed)
        for n, scores in best.items():
            scores.append(beam_search(model, PROMPT, 4, n_beams=n)[0].score)
    sums = [sum(scores) for scores in best.values()]
    assert sums == sorted(sums)
    assert sums[0] < sums[-1] - 0.01  # greedy is not the best, and the comparison sees it
    assert all(a <= b + 1e-12 for n in (1, 2, 4) for a, b in zip(best[n], best[64], strict=True))


# ---- against transformers ----------------------------------------------------------------------


def of_transformers(model, n, stops, **how):
    with torch.no_grad():
        out = model.generate(
            PROMPT,
            attention_mask=torch.ones_like(PROMPT),
            max_new_tokens=n,
            do_sample=False,
            early_stopping="never",
            eos_token_id=list(stops) or None,
            pad_token_id=0,
            num_return_sequences=how["num_beams"],
            return_dict_in_generate=True,
            output_scores=True,
            **how,
        )
    texts = []
    for row in out.sequences[:, PROMPT.shape[1] :].tolist():
        ends = [i for i, v in enumerate(row) if v in stops]
        texts.append(tuple(row[: ends[0] + 1] if ends else row))
    return texts, out.sequences_scores.tolist()


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("n_stops", [0, 1, 3])
@pytest.mark.parametrize("length_penalty", [-0.5, 0.0, 1.0, 1.7])
def test_equals_transformers(family, n_stops, length_penalty):
    for seed, n_beams in ((0, 2), (1, 5)):
        theirs = peer(family, seed=seed)
        ours = from_transformers(theirs)
        free = beam_search(ours, PROMPT, 8)[0].ids
        stops = [*dict.fromkeys((*free[3:], 7, 8, 9))][:n_stops]  # so that some do stop
        texts, scores = of_transformers(
            theirs, 8, stops, num_beams=n_beams, length_penalty=length_penalty
        )
        how = {"n_beams": n_beams, "length_penalty": length_penalty, "stop_ids": stops}
        found = beam_search(ours, PROMPT, 8, **how)
        assert [one.ids for one in found] == texts
        assert [one.score for one in found] == pytest.approx(scores, rel=1e-5, abs=1e-5)
        if length_penalty <= 0:  # short texts win, if they may stop
            assert any(one.ids[-1] in stops for one in found) == bool(stops)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_rule_equals_transformers_processor(family):
    theirs = peer(family)
    ours = from_transformers(theirs)
    texts, scores = of_transformers(theirs, 12, [], num_beams=4, no_repeat_ngram_size=2)
    found = beam_search(ours, PROMPT, 12, rules=[lambda text, z: no_repeat_ngram(z, text, 2)])
    assert [one.ids for one in found] == texts
    assert [one.score for one in found] == pytest.approx(scores, rel=1e-5, abs=1e-5)
    assert [one.ids for one in beam_search(ours, PROMPT, 12)] != texts  # the rule does something


# ---- one behaviour -----------------------------------------------------------------------------


def test_one_beam_is_greedy():
    model = small()
    greedy = generate(model, PROMPT, 10)[0, 5:].tolist()
    assert beam_search(model, PROMPT, 10, n_beams=1)[0].ids == tuple(greedy)
    assert beam_search(model, PROMPT[0].tolist(), 10, n_beams=1)[0].ids == tuple(greedy)
    first = greedy.index(greedy[4])
    stopped = beam_search(model, PROMPT, 10, n_beams=1, stop_ids=[greedy[4]])
    assert stopped[0].ids == tuple(greedy[: first + 1])
    assert beam_search(model, PROMPT, 10, n_beams=4)[0].ids != tuple(greedy)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_the_cache_changes_nothing_and_scores_are_the_models(family):
    model = from_transformers(peer(family)).double()
    how = {"n_beams": 6, "n_groups": 2, "diversity": 0.5, "stop_ids": STOPS}
    fast = beam_search(model, PROMPT, 9, **how)
    slow = beam_search(model, PROMPT, 9, use_cache=False, **how)
    # two groups may find the same text: then rounding decides which comes first
    assert sorted((one.ids, one.group) for one in fast) == sorted(
        (one.ids, one.group) for one in slow
    )
    for one in fast:
        text = torch.cat([PROMPT, torch.tensor([one.ids])], dim=1)
        with torch.no_grad():
            log_p = model(text)[0, 4:-1].log_softmax(dim=-1)
        total = log_p.gather(1, torch.tensor(one.ids)[:, None]).sum().item()
        assert one.log_probability == pytest.approx(total, abs=1e-6)
        assert one.score == one.log_probability / len(one.ids)


# ---- groups ------------------------------------------------------------------------------------


@torch.no_grad()
def slow_groups(model, n, n_beams, n_groups, diversity):
    """Diverse beam search with lists, without stop ids: what each group keeps."""
    width = n_beams // n_groups
    groups = [[(0.0, ())] for _ in range(n_groups)]
    for _ in range(n):
        taken = Counter()
        for g in range(n_groups):
            candidates = []
            for total, ids in groups[g]:
                text = torch.cat([PROMPT, torch.tensor([ids], dtype=torch.int64)], dim=1)
                for v, log_p in enumerate(model(text)[0, -1].log_softmax(dim=-1).tolist()):
                    candidates.append((total + log_p - diversity * taken[v], total + log_p, ids, v))
            best = sorted(candidates, key=lambda c: -c[0])[:width]
            groups[g] = [(total, (*ids, v)) for _, total, ids, v in best]
            taken.update(v for *_, v in best)
    return groups


@pytest.mark.parametrize(("n_groups", "diversity"), [(1, 0.9), (2, 0.0), (2, 0.7), (6, 1.5)])
def test_groups_equal_the_slow_definition(n_groups, diversity):
    model = small()
    found = beam_search(model, PROMPT, 4, n_beams=6, n_groups=n_groups, diversity=diversity)
    for g, expected in enumerate(slow_groups(model, 4, 6, n_groups, diversity)):
        ours = [one for one in found if one.group == g]
        expected = sorted(expected, reverse=True)
        assert [one.ids for one in ours] == [ids for _, ids in expected]
        assert [one.log_probability for one in ours] == pytest.approx([t for t, _ in expected])
    plain = beam_search(model, PROMPT, 4, n_beams=6 // n_groups)
    same = all(
        [one.ids for one in found if one.group == g] == [one.ids for one in plain]
        for g in range(n_groups)
    )
    assert same == (n_groups == 1 or diversity == 0)


def test_a_high_price_makes_the_groups_part_at_once():
    model = small()
    for diversity, firsts in ((1e6, 4), (0.0, 1)):
        found = beam_search(model, PROMPT, 6, n_beams=4, n_groups=4, diversity=diversity)
        assert len({one.ids[0] for one in found}) == firsts
        assert [one.group for one in sorted(found, key=lambda one: one.group)] == [0, 1, 2, 3]
