"""BERT's masking: by hand, the chances over many draws, against transformers, round trip."""

import functools

import numpy as np
import pytest
from scipy.stats import chisquare

from minillm.objectives.masking import IGNORED, mask_tokens, unmask

MASK, V = 3, 50
SPECIAL = [0, 1]
WORDS = [i for i in range(V) if i not in (0, 1, MASK)]


def text(L, seed=0):
    return np.random.default_rng(seed).choice(WORDS, L)


@functools.cache
def many(n=2000, L=40, seed=1, **changes):
    """n draws, not to be changed: the text, inputs and targets, (n, L) each."""
    rng = np.random.default_rng(seed)
    options = {"mask_id": MASK, "vocab_size": V, "special_ids": SPECIAL, **changes}
    ids = text(L)
    both = [mask_tokens(ids, rng, **options) for _ in range(n)]
    return np.tile(ids, (n, 1)), np.array([x for x, _ in both]), np.array([y for _, y in both])


def five_sigma(count, n, p):
    assert abs(count - n * p) < 5 * (n * p * (1 - p)) ** 0.5


def test_by_hand():
    ids, rng = np.array([10, 11, 12]), np.random.default_rng(0)
    sure = {"mask_id": MASK, "vocab_size": V, "rate": 1.0}
    x, y = mask_tokens(ids, rng, shares=(1.0, 0.0, 0.0), **sure)
    assert (x.tolist(), y.tolist()) == ([MASK] * 3, [10, 11, 12])
    x, y = mask_tokens(ids, rng, shares=(0.0, 0.0, 1.0), **sure)
    assert (x.tolist(), y.tolist()) == ([10, 11, 12], [10, 11, 12])
    # a vocabulary of one word besides: the random token can be nothing else
    one = {"mask_id": 0, "vocab_size": 3, "special_ids": [1], "rate": 1.0}
    x, y = mask_tokens([2, 2], rng, shares=(0.0, 1.0, 0.0), **one)
    assert (x.tolist(), y.tolist()) == ([2, 2], [2, 2])
    x, y = mask_tokens(ids, rng, mask_id=MASK, vocab_size=V, shares=(1.0, 0.0, 0.0))
    assert sorted(y.tolist())[:2] == [IGNORED, IGNORED]  # round(0.45) = 0, but one at least
    assert (x == MASK).sum() == (y != IGNORED).sum() == 1


def test_the_text_is_not_changed_and_the_seed_decides():
    ids = text(40)
    before = ids.copy()
    options = {"mask_id": MASK, "vocab_size": V}
    one, two, other = (
        mask_tokens(ids, np.random.default_rng(seed), **options)[0] for seed in (5, 5, 6)
    )
    assert np.array_equal(ids, before)
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_fifteen_per_cent_and_all_places_alike():
    _, _, targets = many()
    chosen = targets != IGNORED
    assert (chosen.sum(axis=1) == 6).all()  # 15 % of 40
    each = chosen.sum(axis=0)  # a place is chosen with probability 0.15
    assert (abs(each - 300) < 5 * (2000 * 0.15 * 0.85) ** 0.5).all()
    pairs = (chosen[:, 0] & chosen[:, 1]).sum()  # 6 of 40 without repetition
    five_sigma(pairs, 2000, 6 / 40 * 5 / 39)


def test_eighty_ten_ten():
    ids, inputs, targets = many()
    chosen = targets != IGNORED
    n = chosen.sum()
    hidden, same = (inputs == MASK) & chosen, (inputs == ids) & chosen
    five_sigma(hidden.sum(), n, 0.8)
    five_sigma(same.sum(), n, 0.1 + 0.1 / len(WORDS))  # a random token may be the right one
    five_sigma((chosen & ~hidden & ~same).sum(), n, 0.1 * (1 - 1 / len(WORDS)))
    assert np.array_equal(inputs[~chosen], ids[~chosen])
    assert np.array_equal(targets[chosen], ids[chosen])


def test_random_tokens_are_any_word_alike_and_never_special():
    _, inputs, targets = many(shares=(0.0, 1.0, 0.0))
    counts = np.bincount(inputs[targets != IGNORED], minlength=V)
    assert counts[[*SPECIAL, MASK]].tolist() == [0, 0, 0]
    assert chisquare(counts[WORDS]).pvalue > 1e-4
    counts[WORDS[0]] += counts[WORDS[1]]  # ... and the test can see a preference
    assert chisquare(counts[WORDS]).pvalue < 1e-4


def test_special_tokens_are_never_chosen():
    ids = np.array([0, 10, 11, 1, 12, 1])
    rng = np.random.default_rng(0)
    for _ in range(200):
        x, y = mask_tokens(ids, rng, mask_id=MASK, vocab_size=V, special_ids=SPECIAL, rate=0.9)
        assert x[[0, 3, 5]].tolist() == [0, 1, 1]
        assert (y[[0, 3, 5]] == IGNORED).all()
        assert (y != IGNORED).sum() == 3  # 90 % of the three words
    free = [mask_tokens(ids, rng, mask_id=MASK, vocab_size=V, rate=0.9)[1][0] for _ in range(50)]
    assert 0 in free  # without special_ids the same token is chosen


def test_same_chances_as_transformers():
    """It chooses each place by a coin, not a fixed number: the shares are the same."""
    collator = pytest.importorskip("transformers").DataCollatorForLanguageModeling

    class Words:
        mask_token, mask_token_id, pad_token = "[MASK]", MASK, None

        def __len__(self):
            return V

    ids, inputs, targets = many()
    theirs = collator(Words(), seed=0, return_tensors="np")
    theirs.create_rng()
    no_special = np.zeros(ids.shape, dtype=bool)
    x, y = theirs.numpy_mask_tokens(ids.copy(), special_tokens_mask=no_special)

    def shares(x, y):
        chosen = y != IGNORED
        return chosen.mean(), (x[chosen] == MASK).mean(), (x[chosen] == ids[chosen]).mean()

    both = zip(shares(inputs, targets), shares(x, y), (ids.size, 12000, 12000), strict=True)
    for ours, wanted, n in both:
        assert abs(ours - wanted) < 5 * (2 * wanted * (1 - wanted) / n) ** 0.5


def test_round_trip():
    ids, inputs, targets = many()
    assert not np.array_equal(inputs, ids)
    assert np.array_equal(unmask(inputs, targets), ids)
    with pytest.raises(ValueError, match=r"one shape, got \(2,\) and \(3,\)"):
        unmask([1, 2], [1, 2, 3])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ids": [10, MASK]}, "mask_id=3 occurs in the text, at position 1"),
        ({"ids": [10, 50]}, "below vocab_size=50, got 50"),
        ({"mask_id": 50}, "mask_id must lie below vocab_size=50, got 50"),
        ({"ids": [0, 1]}, r"nothing but special_ids=\[0, 1\]"),
        ({"rate": 0.0}, r"rate must lie in \(0, 1\], got 0.0"),
        ({"rate": 1.1}, "got 1.1"),
        ({"shares": (0.8, 0.1, 0.2)}, "shares must be three probabilities"),
        ({"shares": (1.2, -0.1, -0.1)}, "shares must be three probabilities"),
        ({"shares": (0.5, 0.5)}, "shares must be three probabilities"),
    ],
)
def test_refused(changes, words):
    options = {"ids": [10, 11], "mask_id": MASK, "vocab_size": V, "special_ids": SPECIAL}
    options |= changes
    with pytest.raises(ValueError, match=words):
        mask_tokens(options.pop("ids"), np.random.default_rng(0), **options)
