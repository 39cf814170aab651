"""Beam search by hand: a tree of three tokens, ties, when it stops, and bad input."""

import math

import pytest
import torch
from torch import nn

from minillm.inference import beam_search
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig

PROMPT = torch.tensor([[3, 1, 0, 1, 2]])


def small():
    torch.manual_seed(0)
    config = DecoderConfig(
        vocab_size=20,
        d_model=16,
        n_layers=1,
        context=32,
        attention=AttentionConfig(n_heads=2),
        feedforward=FeedForwardConfig("swiglu", 16),
    )
    return Decoder(config)


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


# ---- one behaviour -----------------------------------------------------------------------------


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


# ---- bad input ---------------------------------------------------------------------------------


def test_a_rule_may_forbid_some_but_not_all():
    model = small()

    def only(*ids):
        allowed = torch.full((20,), -math.inf, dtype=torch.float64)
        allowed[list(ids)] = 0
        return lambda text, z: z + allowed

    found = beam_search(model, PROMPT, 2, n_beams=8, rules=[only(4, 6)])
    assert {one.ids for one in found} == {(4, 4), (4, 6), (6, 4), (6, 6)}  # four are all
    with pytest.raises(ValueError, match="the rules forbid every continuation"):
        beam_search(model, PROMPT, 2, rules=[only()])


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
        (PROMPT.repeat(2, 1), 4, {}, r"continues one prompt, got ids of shape \(2, 5\)"),
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
