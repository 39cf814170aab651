"""Beam search by hand, against every text there is, and against transformers' ids and scores."""

import itertools
import math
from collections import Counter

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from minillm.inference import generate
from minillm.inference.beam import beam_search
from minillm.inference.penalties import no_repeat_ngram
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


class Tree(nn.Module):
    """Probabilities by the text so far, of a vocabulary of 3 where 2 is the end."""

    P = {  # noqa: RUF012
        (): (0.5, 0.4, 0.1),
        (0,): (0.35, 0.25, 0.4),
        (1,): (0.05, 0.9, 0.05),
        (0, 0): (0.3, 0.3, 0.4),
        (1, 1): (0.1, 0.1, 0.8),
    }

    def forward(self, ids):
        """Look up each text behind the prompt of one token, (B, T), at its last position."""
        texts = [tuple(row[1:]) for row in ids.tolist()]
        p = torch.tensor([self.P.get(text, (0.3, 0.3, 0.4)) for text in texts])
        return p.double().log()[:, None].expand(*ids.shape, 3)


def tree(**how):
    found = beam_search(Tree(), [0], 3, stop_ids=[2], use_cache=False, **how)
    return [(one.ids, round(math.exp(one.log_probability), 6)) for one in found]


# ---- by hand -----------------------------------------------------------------------------------


def test_by_hand_greedy_misses_what_two_beams_find():
    assert tree(n_beams=1, length_penalty=0) == [((0, 2), 0.2)]
    # step 1 keeps 0 and 1; step 2 keeps 1 1 (0.36) and, of those that end, 0 2 (0.2)
    assert tree(n_beams=2, length_penalty=0) == [((1, 1, 2), 0.288), ((0, 2), 0.2)]


def test_by_hand_the_length_penalty_changes_the_order():
    short = beam_search(Tree(), [0], 3, n_beams=3, stop_ids=[2], use_cache=False, length_penalty=-1)
    assert [one.ids for one in short] == [(2,), (0, 2), (1, 1, 2)]
    assert [one.score for one in short] == pytest.approx(
        [math.log(0.1), 2 * math.log(0.2), 3 * math.log(0.288)]
    )
    assert tree(n_beams=3, length_penalty=1)[0] == ((1, 1, 2), 0.288)


def test_by_hand_a_group_avoids_what_the_group_before_took():
    def groups(n, diversity):
        how = {"n_beams": 2, "n_groups": 2, "stop_ids": [2], "use_cache": False}
        found = beam_search(Tree(), [0], n, diversity=diversity, **how)
        return [(one.ids, one.group, round(math.exp(one.log_probability), 6)) for one in found]

    # 0.5 e^-0.3 = 0.37 < 0.4: group 1 takes 1, and its probability holds no fine
    assert groups(1, 0.3) == [((0,), 0, 0.5), ((1,), 1, 0.4)]
    assert groups(1, 0.2) == [((0,), 0, 0.5), ((0,), 1, 0.5)]
    assert groups(3, 0.3) == [((1, 1, 2), 1, 0.288), ((0, 2), 0, 0.2)]
    assert groups(3, 3.0)[0] == ((1, 1, 2), 1, 0.288)  # stopping costs nothing: both stop


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
    found = beam_search(ours, PROMPT, 12, rule=lambda text, z: no_repeat_ngram(z, text, 2))
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


def test_ties_go_to_the_earlier_text_and_the_smaller_id():
    class Flat(nn.Module):
        def forward(self, ids):
            return torch.zeros(*ids.shape, 1000)

    found = beam_search(Flat(), [0], 2, n_beams=30, use_cache=False)
    assert [one.ids for one in found] == [(0, v) for v in range(30)]


def test_it_stops_when_nothing_can_get_better():
    class Counted(Tree):
        calls = 0

        def forward(self, ids):
            self.calls += 1
            return super().forward(ids)

    def calls(length_penalty):
        model = Counted()
        how = {"n_beams": 2, "stop_ids": [2], "use_cache": False}
        beam_search(model, [0], 40, length_penalty=length_penalty, **how)
        return model.calls

    # after step 3 both that ended (0.288 and 0.2) beat all that go on (at most 0.036)
    assert calls(0.0) == 3
    assert calls(-1.0) == 3
    # the best that goes on, 0 0 0 ..., could have a mean of ln(0.0525 * 0.3^(t - 3)) / 40 in the
    # end; that first falls below ln(0.2) / 2, the worse of the two that ended, at t = 28
    assert calls(1.0) == 28


def test_a_negative_penalty_does_not_stop_it_too_early():
    class Late(Tree):
        P = {(): (0.6, 0.1, 0.3), (0,): (0.65, 0.05, 0.3), (0, 0): (0.03, 0.02, 0.95)}  # noqa: RUF012

    how = {"n_beams": 2, "stop_ids": [2], "use_cache": False}
    found = beam_search(Late(), [0], 40, length_penalty=-1, **how)
    # after step 2, 2 and 0 2 have ended; 0 0 can reach 3 ln 0.39 = -2.8 > 2 ln 0.18 = -3.4
    assert [one.ids for one in found] == [(2,), (0, 0, 2)]


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


# ---- bad input ---------------------------------------------------------------------------------


def test_a_rule_may_forbid_some_but_not_all():
    model = small()

    def only(*ids):
        allowed = torch.full((20,), -math.inf, dtype=torch.float64)
        allowed[list(ids)] = 0
        return lambda text, z: z + allowed

    found = beam_search(model, PROMPT, 2, n_beams=8, rule=only(4, 6))
    assert {one.ids for one in found} == {(4, 4), (4, 6), (6, 4), (6, 6)}  # four are all
    with pytest.raises(ValueError, match="the rule forbids every continuation"):
        beam_search(model, PROMPT, 2, rule=only())


@pytest.mark.parametrize(
    ("ids", "n", "how", "message"),
    [
        (PROMPT, 0, {}, "max_new_tokens must be at least 1, got 0"),
        (PROMPT, 4, {"n_beams": 0}, "n_beams must be at least 1, got 0"),
        (PROMPT, 4, {"n_groups": 3}, "n_groups must divide n_beams=4, got 3"),
        (PROMPT, 4, {"n_groups": 0}, "n_groups must divide n_beams=4, got 0"),
        (PROMPT, 4, {"length_penalty": math.inf}, "length_penalty must be finite, got inf"),
        (PROMPT, 4, {"diversity": -0.5}, "diversity must be finite and not negative, got -0.5"),
        (PROMPT, 4, {"diversity": math.nan}, "diversity must be finite and not negative, got nan"),
        (PROMPT, 28, {}, "do not fit in the context of 32"),
        (PROMPT.repeat(2, 1), 4, {}, r"continues one prompt, got ids \(2, 5\)"),
        ([], 4, {}, "at least one token"),
    ],
)
def test_bad_input(ids, n, how, message):
    with pytest.raises(ValueError, match=message):
        beam_search(small(), ids, n, **how)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_no_distribution(bad):
    class Broken(nn.Module):
        def forward(self, ids):
            return torch.tensor([0.0, bad, 0.0]).expand(*ids.shape, 3)

    with pytest.raises(ValueError, match="a NaN, an infinity, or no finite entry"):
        beam_search(Broken(), [0], 2, use_cache=False)
