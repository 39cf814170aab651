"""The linear classifier: steps by hand, the gradient by differences, L-BFGS of the same loss."""

import random

import numpy as np
import pytest

from minillm.data.classifier import LinearClassifier, loss_and_gradient, pu_adjust, softmax
from minillm.data.features import hashed_ngrams

GOOD = ["the", "key", "is", "in", "the", "red", "box", "because", "she", "put", "it", "there"]
BAD = ["buy", "now", "click", "here", "free", "win", "the", "best", "is", "cheap"]
COLD = ["snow", "ice", "wind", "the", "is", "north"]


def texts_of(word_lists, n, seed, length=(4, 12)):
    """Random sentences from lists of words that share a few, and which list each is from."""
    draw = random.Random(seed)
    labels = [draw.randrange(len(word_lists)) for _ in range(n)]
    texts = [
        " ".join(draw.choice(word_lists[y]) for _ in range(draw.randint(*length))) for y in labels
    ]
    return texts, labels


def test_one_step_by_hand():
    # x is 1 in one bucket; both scores are 0, so p = (1/2, 1/2): each weight moves by lr/2
    found = LinearClassifier(64, (1,), lr=0.4, epochs=1, seed=0).fit(["key", "key"], ["a", "b"])
    first = np.random.default_rng(0).permutation(2)[0]  # 0: "a" is seen first
    bucket = hashed_ngrams("key", (1,), "word", 64)[0]
    w = 0.4 * 0.5 * (1 if first == 0 else -1)  # class a, after the first step
    p_a = 1 / (1 + np.exp(-2 * 2 * w))  # score: w + b for a, its negative for b
    w += 0.2 * ((0 if first == 0 else 1) - p_a)  # the second step has half the rate
    assert found.weights_[bucket] == pytest.approx([w, -w])
    assert found.bias_ == pytest.approx([w, -w])
    assert np.count_nonzero(found.weights_) == 2


def test_softmax_by_hand_and_of_huge_scores():
    assert softmax(np.log([1.0, 2.0, 5.0])) == pytest.approx([1 / 8, 2 / 8, 5 / 8])
    assert softmax(np.array([[1e300, 0.0], [-1e300, 0.0]])).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("lists", [[GOOD, BAD], [GOOD, BAD, COLD]])
def test_the_gradient_is_that_of_the_loss(lists):
    texts, labels = texts_of(lists, 30, seed=1)
    bags = LinearClassifier(32, (1, 2)).bags(texts)
    draw = np.random.default_rng(2)
    W, b = draw.normal(size=(32, len(lists))), draw.normal(size=len(lists))
    _, dW, db = loss_and_gradient(W, b, bags, labels, 0.1)
    step = 1e-5
    for grad, values in ((dW, W), (db, b)):
        for i in np.ndindex(values.shape):
            losses = []
            for move in (step, -step):
                values[i] += move
                losses.append(loss_and_gradient(W, b, bags, labels, 0.1)[0])
                values[i] -= move
            assert grad[i] == pytest.approx((losses[0] - losses[1]) / 2 / step, abs=1e-8)


def test_a_step_of_fit_is_a_step_against_the_gradient():
    # the weights after the last of T texts, replayed with loss_and_gradient on one text at a time
    texts, labels = texts_of([GOOD, BAD, COLD], 12, seed=3)
    found = LinearClassifier(64, (1, 2), lr=0.5, epochs=2, seed=5, l2=0.2).fit(texts, labels)
    bags = found.bags(texts)
    W, b, t = np.zeros((64, 3)), np.zeros(3), 0
    draw = np.random.default_rng(5)
    for _ in range(2):
        for i in draw.permutation(12):
            _, dW, db = loss_and_gradient(W, b, [bags[i]], [labels[i]], 0.2)
            lr = 0.5 * (1 - t / 24)
            W, b, t = W - lr * dW, b - lr * db, t + 1
    np.testing.assert_allclose(found.weights_, W, atol=1e-6)
    np.testing.assert_allclose(found.bias_, b, atol=1e-6)


@pytest.mark.parametrize("lists", [[GOOD, BAD], [GOOD, BAD, COLD]])
def test_sgd_comes_to_where_lbfgs_comes(lists):
    optimize = pytest.importorskip("scipy.optimize")
    texts, labels = texts_of(lists, 60, seed=4)
    F, C, l2 = 64, len(lists), 0.02
    found = LinearClassifier(F, (1, 2), lr=2.0, epochs=150, l2=l2).fit(texts, labels)
    bags = found.bags(texts)

    def loss(z):
        value, dW, db = loss_and_gradient(z[C:].reshape(F, C), z[:C], bags, labels, l2)
        return value, np.concatenate([db, dW.ravel()])

    best = optimize.minimize(loss, np.zeros(C + F * C), jac=True, method="L-BFGS-B")
    ours, _, _ = loss_and_gradient(found.weights_, found.bias_, bags, labels, l2)
    start, _, _ = loss_and_gradient(np.zeros((F, C)), np.zeros(C), bags, labels, l2)
    assert best.fun - 1e-7 <= ours < best.fun + 0.01 * (start - best.fun)
    scores = np.array([x @ best.x[C:].reshape(F, C)[j] + best.x[:C] for j, x in bags])
    np.testing.assert_allclose(found.predict_proba(texts), softmax(scores), atol=0.02)


def test_shrinking_weights_are_rescaled_in_time():
    # lr l2 = 0.9: the scale falls under 1e-4 again and again
    texts, labels = texts_of([GOOD, BAD], 20, seed=6)
    found = LinearClassifier(32, lr=0.9, epochs=5, l2=1.0, seed=1).fit(texts, labels)
    bags, W, b, t = found.bags(texts), np.zeros((32, 2)), np.zeros(2), 0
    draw = np.random.default_rng(1)
    for _ in range(5):
        for i in draw.permutation(20):
            _, dW, db = loss_and_gradient(W, b, [bags[i]], [labels[i]], 1.0)
            lr = 0.9 * (1 - t / 100)
            W, b, t = W - lr * dW, b - lr * db, t + 1
    np.testing.assert_allclose(found.weights_, W, atol=1e-5)


@pytest.mark.parametrize("unit", ["word", "char"])
def test_it_learns_and_a_wrong_label_would_show(unit):
    texts, labels = texts_of([GOOD, BAD, COLD], 900, seed=7)
    names = [("good", "bad", "cold")[y] for y in labels]
    found = LinearClassifier(1 << 14, (1, 2), unit).fit(texts[:600], names[:600])
    assert found.classes_ == ["bad", "cold", "good"]
    right = np.mean([p == y for p, y in zip(found.predict(texts[600:]), names[600:], strict=True)])
    assert right > 0.95
    draw = random.Random(8)
    mixed = draw.sample(names[:600], 600)
    found = LinearClassifier(1 << 14, (1, 2), unit).fit(texts[:600], mixed)
    right = np.mean([p == y for p, y in zip(found.predict(texts[600:]), names[600:], strict=True)])
    assert right < 0.6


def test_probabilities_sum_to_one_and_no_text_gets_the_bias():
    texts, labels = texts_of([GOOD, GOOD, BAD], 200, seed=9)
    found = LinearClassifier(256).fit(texts, labels)
    p = found.predict_proba([*texts, "", " \n"])
    assert p.shape == (202, 3)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_allclose(p[-2:], [softmax(found.bias_)] * 2)
    assert found.predict_proba([]).shape == (0, 3)
    assert found.predict([]) == []


@pytest.mark.parametrize("unit", ["word", "char"])
@pytest.mark.parametrize("n_buckets", [5, 1 << 16])  # five: n-grams share their buckets
def test_contributions_add_up_to_the_score(unit, n_buckets):
    texts, labels = texts_of([GOOD, BAD], 100, seed=10)
    found = LinearClassifier(n_buckets, (1, 2), unit).fit(texts, labels)
    text = "click the red box, click now"
    parts = found.contributions(text, 1)
    buckets, x = found.bags([text])[0]
    assert sum(v for _, v in parts) == pytest.approx(float(x @ found.weights_[buckets, 1]))
    assert [v for _, v in parts] == sorted((v for _, v in parts), reverse=True)
    if unit == "word" and n_buckets > 5:
        assert parts[0][0] == "click"
        assert {"the red", "box ,", "now"} <= {gram for gram, _ in parts}
    assert found.contributions("", 1) == []


def test_same_seed_same_bits_another_seed_others():
    texts, labels = texts_of([GOOD, BAD], 50, seed=11)
    one, two, other = (LinearClassifier(256, seed=s).fit(texts, labels) for s in (3, 3, 4))
    assert one.weights_.tobytes() == two.weights_.tobytes()
    assert one.weights_.tobytes() != other.weights_.tobytes()


@pytest.mark.parametrize("labels", [["b", "a"], [3, 1], [True, False], list(np.array([4, 2]))])
def test_saved_and_loaded_it_is_the_same(tmp_path, labels):
    found = LinearClassifier(64, (1, 3), "char", lr=0.3, epochs=2, seed=7, l2=0.1)
    found.fit(["snow", "key"], labels).save(tmp_path / "c.safetensors")
    again = LinearClassifier.load(tmp_path / "c.safetensors")
    texts = ["snow key", "", "x"]
    assert again.classes_ == found.classes_
    assert again.predict_proba(texts).tobytes() == found.predict_proba(texts).tobytes()
    assert vars(again).keys() == vars(found).keys()
    for name in ("n_buckets", "ngrams", "unit", "lr", "epochs", "seed", "l2"):
        assert getattr(again, name) == getattr(found, name), name


def test_a_wrong_file_is_refused_by_name(tmp_path):
    from safetensors.numpy import save_file

    with pytest.raises(FileNotFoundError, match="none"):
        LinearClassifier.load(tmp_path / "none")
    path = tmp_path / "c.safetensors"
    LinearClassifier(64).fit(["a", "b"], [0, 1]).save(path)
    whole = path.read_bytes()
    for raw in (b"", b"junk" * 9, whole[:-5], whole.replace(b"classifier-1", b"classifier-9")):
        path.write_bytes(raw)
        with pytest.raises(ValueError, match=r"c\.safetensors is not a saved LinearClassifier"):
            LinearClassifier.load(path)
    save_file({"weights": np.zeros(3)}, path)
    with pytest.raises(ValueError, match="is not a saved LinearClassifier"):
        LinearClassifier.load(path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_buckets": 0}, "n_buckets must be at least 1, got 0"),
        ({"ngrams": ()}, "ngrams"),
        ({"ngrams": (0, 1)}, "ngrams"),
        ({"unit": "byte"}, "'byte'"),
        ({"lr": 0}, "lr 0"),
        ({"lr": float("nan")}, "lr nan"),
        ({"epochs": 0}, "epochs 0"),
        ({"l2": -1}, "l2 -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LinearClassifier(**settings)


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        ([], [], "0 texts"),
        (["a"], ["x", "y"], "1 texts, 2 labels"),
        (["a", "b"], ["x", "x"], "two classes.*'x'"),
        (["a", "b"], ["x", 1], "all str or all int, got int, str"),
        (["a", "b"], [0.5, 1.5], "float"),
        ("ab", ["x", "y"], "one string"),
    ],
)
def test_what_cannot_be_learnt_is_refused(texts, labels, message):
    with pytest.raises(ValueError, match=message):
        LinearClassifier(16).fit(texts, labels)


def test_use_before_fit_and_other_slips_are_told(tmp_path):
    new = LinearClassifier(16)
    for use in (
        lambda: new.predict_proba(["a"]),
        lambda: new.save(tmp_path / "x"),
        lambda: new.contributions("a", 1),
    ):
        with pytest.raises(ValueError, match="call fit"):
            use()
    with pytest.raises(ValueError, match=r"lr \* l2"):
        LinearClassifier(16, lr=2, l2=0.5).fit(["a", "b"], [0, 1])
    new.fit(["a", "b"], [0, 1])
    with pytest.raises(ValueError, match="one string"):
        new.predict("a")
    with pytest.raises(ValueError, match="no class 2"):
        new.contributions("a", 2)


def test_pu_by_hand():
    p, c = pu_adjust([0.1, 0.2, 0.4, 0.0], [0.3, 0.5])
    assert c == pytest.approx(0.4)
    assert p == pytest.approx([0.25, 0.5, 1.0, 0.0])
    assert pu_adjust([0.5], [0.2])[0] == [1.0]  # never over 1
    assert pu_adjust([], [0.2])[0].shape == (0,)


@pytest.mark.parametrize(
    ("scores", "positives", "message"),
    [
        ([0.5], [], "held-out positives"),
        ([0.5], [0.0], "held-out positives"),
        ([1.5], [0.5], "scores.*1.5"),
        ([0.5], [-1], "held_out_positives.*-1"),
        ([float("nan")], [0.5], "nan"),
    ],
)
def test_pu_refuses_what_is_no_probability(scores, positives, message):
    with pytest.raises(ValueError, match=message):
        pu_adjust(scores, positives)


def test_pu_finds_the_share_that_was_labelled():
    # half of the texts are good, and of the good ones 30 % were chosen: c = 0.3
    lists = [BAD[:6], GOOD[:2] + GOOD[3:8]]  # nearly no words shared, as the estimate supposes
    texts, good = texts_of(lists, 3000, seed=12, length=(6, 12))
    draw = random.Random(13)
    chosen = [int(y and draw.random() < 0.3) for y in good]
    found = LinearClassifier(1 << 12, (1,), lr=0.5, epochs=4, l2=1e-4).fit(
        texts[:2000], chosen[:2000]
    )
    score = found.predict_proba(texts[2000:])[:, 1]
    positives = [p for p, s in zip(score, chosen[2000:], strict=True) if s]
    adjusted, c = pu_adjust(score, positives)
    assert 0.25 < c < 0.35
    truth = np.array(good[2000:])
    raw = np.mean((score > 0.5) == truth)
    assert np.mean((adjusted > 0.5) == truth) > 0.99 > 0.7 > raw  # without: nearly none is good
    assert adjusted.mean() == pytest.approx(truth.mean(), abs=0.1)
