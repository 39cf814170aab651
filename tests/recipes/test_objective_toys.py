"""The two toy studies of lesson 18: what their texts are, and what is equal between the arms."""

import itertools
import math

import numpy as np
import pytest
import torch

from minillm.model import flops_per_token
from minillm.objectives.infilling import blank_out, stack
from minillm.recipes.studies import cloze
from minillm.recipes.studies import inconsistent_pairs as pairs


def joint() -> dict[tuple[int, int], float]:
    return dict(zip(pairs.TOWNS, pairs.SHARES, strict=True))


def test_the_likeliest_tokens_of_a_town_do_not_belong_together():
    first = [sum(p for (a, _), p in joint().items() if a == i) for i in range(4)]
    second = [sum(p for (_, b), p in joint().items() if b == i) for i in range(2)]
    assert math.isclose(sum(pairs.SHARES), 1)
    assert (int(np.argmax(first)), int(np.argmax(second))) not in pairs.TOWNS
    mutual = sum(p * math.log(p / (first[a] * second[b])) for (a, b), p in joint().items())
    assert math.isclose(mutual, pairs.MUTUAL)
    off = [first[a] * second[b] for a, b in itertools.product(range(4), range(2))
           if (a, b) not in pairs.TOWNS]  # fmt: skip
    assert math.isclose(sum(off), pairs.IDEAL["masked"]["inconsistent"])
    assert math.isclose(
        pairs.IDEAL["masked"]["nats"] - pairs.IDEAL["infilling"]["nats"], pairs.MUTUAL
    )


def test_a_text_holds_one_country_and_one_of_its_towns():
    ids, starts = pairs.texts(np.random.default_rng(0), 300)
    assert ids.shape == (300, pairs.L)
    assert ids.max() < pairs.V
    for row, start in zip(ids, starts, strict=True):
        (country,) = [i - pairs.COUNTRY for i in row if pairs.COUNTRY <= i < pairs.FILLER]
        a, b = row[start] - pairs.FIRST - 4 * country, row[start + 1] - pairs.SECOND - 2 * country
        assert (a, b) in pairs.TOWNS
        assert ((row >= pairs.FILLER) & (row < pairs.FIRST)).sum() == pairs.N_FILLERS
    assert len(set(starts.tolist())) == pairs.L - 1


def test_write_uses_the_positions_and_the_mask_of_infilling():
    ids, starts = pairs.texts(np.random.default_rng(1), 3)
    special = {"mask_id": pairs.MASK, "start_id": pairs.START, "end_id": pairs.END}
    batch = stack(
        [
            blank_out(i, [[s, s + 2]], None, **special)
            for i, s in zip(ids, starts.tolist(), strict=True)
        ],
        pairs.T,
        pad_id=pairs.END,
    )
    seen = {}

    def model(x, *, positions, mask, causal):
        seen.update(positions=positions, mask=mask, causal=causal)
        return x

    pairs.write(model, batch.tokens)  # type: ignore[arg-type]
    assert torch.equal(seen["positions"], 4 * batch.positions[:, 0] + batch.positions[:, 1])
    assert (seen["mask"] == batch.mask[:, 0]).all()
    assert not seen["causal"]


@pytest.mark.parametrize("arm", ["masked", "infilling"])
def test_an_untrained_model_is_near_blind(arm):
    found = pairs.measure(pairs.make(seed=1), arm)
    assert math.isclose(found["nats"], 2 * math.log(pairs.V), rel_tol=0.05)
    assert found["inconsistent"] > 0.99
    assert found["exact"] < 0.1


def test_masked_says_the_second_token_without_the_first_and_infilling_with_it():
    ids, starts = pairs.texts(np.random.default_rng(2), 4)
    model = pairs.make(seed=3)
    with torch.no_grad():
        _, masked = pairs.chances(model, "masked", ids, starts)
        first, written = pairs.chances(model, "infilling", ids, starts)
    towns = range(pairs.FIRST, pairs.SECOND)
    assert all(torch.equal(masked[:, towns[0]], masked[:, t]) for t in towns)
    assert not torch.allclose(written[:, towns[0]], written[:, towns[1]])
    torch.testing.assert_close(first.exp().sum(dim=-1), torch.ones(4))


def test_the_arms_of_pairs_cost_the_same():
    config, infilling = pairs.make(1).config, pairs.STEPS * pairs.T
    masked = round(pairs.STEPS * pairs.T / pairs.L) * pairs.L
    assert math.isclose(masked, infilling, rel_tol=0.01)
    a, b = (flops_per_token(config, context=t) for t in (pairs.L, pairs.T))
    assert math.isclose(a, b, rel_tol=0.02)


def test_reviews_follow_the_mood_and_closings_are_wrong_in_one_of_ten():
    rng = np.random.default_rng(0)
    good = {cloze.ID[w] for w in cloze.GOOD}
    bad = {cloze.ID[w] for w in cloze.BAD}
    fits = against = 0
    for _ in range(500):
        ids, label = cloze.review(rng)
        liked, blamed = sum(i in good for i in ids), sum(i in bad for i in ids)
        fits += liked if label else blamed
        against += blamed if label else liked
    assert math.isclose(against / (fits + against), 0.1 / 0.85, abs_tol=0.03)
    endings = [cloze.closed(rng)[-2] for _ in range(2_000)]
    share = sum(e in cloze.VERBALISER for e in endings) / len(endings)
    assert math.isclose(share, 0.5, abs_tol=0.04)


@pytest.mark.parametrize("way", cloze.WAYS)
def test_a_new_head_starts_from_nothing_and_the_cloze_from_the_vocabulary(way):
    glm = cloze.make(seed=1)
    model = cloze.Classifier(glm, way)
    x, y = cloze.labelled(np.random.default_rng(3), 40, way)
    assert y.sum() == 20
    assert ((x[:, 0] == cloze.MASK).sum(dim=1) == (way != "head")).all()
    with torch.no_grad():
        scores = model(x)
        logits = glm.logits(cloze.features(glm, x))
    if way == "cloze":
        at = (x[:, 0] == cloze.START).nonzero()[:, 1]
        wanted = logits[torch.arange(40), at][:, cloze.VERBALISER]
        torch.testing.assert_close(scores, wanted)
    else:
        assert (scores == 0).all()
    assert model.glm is not glm  # a copy: tuning leaves the pre-trained model as it was


def test_padding_does_not_move_the_mean_of_the_head():
    model = cloze.Classifier(cloze.make(seed=2), "head")
    torch.nn.init.normal_(model.head.weight)
    x, _ = cloze.labelled(np.random.default_rng(4), 6, "head")
    n = int((x[:, 0] != cloze.PAD).sum(dim=1).max())
    with torch.no_grad():
        torch.testing.assert_close(model(x), model(x[:, :, :n]))
