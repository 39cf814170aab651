"""A linear classifier of texts: logistic regression on hashed n-grams, in the manner of fastText.

A text becomes a sparse vector x of its n-grams (features.py); each class has a weight for each
bucket. The largest score wins, and softmax makes probabilities of the scores:

    p(class | text) = softmax(x W + b)

What is like fastText: hashed n-grams, softmax, SGD one text at a time, a rate that falls in a
straight line to 0. What is not: there is no hidden layer (W is not a product of two narrow
matrices), and x holds the square roots of the shares of the n-grams (its length is 1) instead of
the shares: one rate suits short and long texts.
Shape letters: F buckets, C classes, J buckets that occur in a text.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minillm.data.features import UNITS, bag_of_ngrams, hashed_ngrams, ngrams_of
from minillm.data.logistic import Bag, loss_and_gradient, softmax

__all__ = ["Label", "LinearClassifier", "loss_and_gradient", "pu_adjust", "softmax"]

Label = str | int
_FORMAT = "minillm-linear-classifier-1"


class LinearClassifier:
    """Logistic regression on hashed n-grams: two classes or many.

    It finds, by stochastic gradient descent (随机梯度下降) from zero, weights of low

        loss(W, b) = mean_i -ln p(y_i | x_i) + l2/2 sum W^2

    Args:
        n_buckets: how many buckets the n-grams are hashed into (F).
        ngrams: the lengths of the n-grams.
        unit: n-grams of "word" or of "char".
        lr: rate of the first step; step t of T uses lr (1 - t/T).
        epochs: how often each text is seen.
        seed: of the order of the texts.
        l2: strength of the pull of the weights towards zero (not of the bias).

    Attributes:
        classes_: the labels, sorted; column c of a probability belongs to classes_[c].
        weights_: W, (F, C), float32.
        bias_: b, (C,), float64.

    Cost: F C 4 bytes; a step touches only the J buckets of its text: J C multiplications.
    Source: Joulin et al. 2016, Bag of Tricks for Efficient Text Classification, arXiv:1607.01759.
    Lesson: notebooks/03_quality.ipynb
    """

    classes_: list[Label]
    weights_: np.ndarray
    bias_: np.ndarray

    def __init__(
        self,
        n_buckets: int = 1 << 18,
        ngrams: Sequence[int] = (1, 2),
        unit: str = "word",
        *,
        lr: float = 0.5,
        epochs: int = 5,
        seed: int = 0,
        l2: float = 0.0,
    ) -> None:
        if n_buckets < 1:
            raise ValueError(f"n_buckets must be at least 1, got {n_buckets}; 2**18 is usual")
        if not ngrams or min(ngrams) < 1:
            raise ValueError(f"ngrams must name lengths from 1, such as (1, 2), got {ngrams!r}")
        if unit not in UNITS:
            raise ValueError(f"unit must be one of {', '.join(UNITS)}, got {unit!r}")
        if not lr > 0 or epochs < 1 or not l2 >= 0:
            raise ValueError(
                f"need lr > 0, epochs >= 1 and l2 >= 0, got lr {lr}, epochs {epochs}, l2 {l2}"
            )
        self.n_buckets, self.ngrams, self.unit = n_buckets, tuple(ngrams), unit
        self.lr, self.epochs, self.seed, self.l2 = lr, epochs, seed, l2

    def bags(self, texts: Sequence[str]) -> list[Bag]:
        """Return the sparse vector x of each text: (buckets (J,), values (J,))."""
        return [bag_of_ngrams(t, self.ngrams, self.unit, self.n_buckets) for t in _listed(texts)]

    def fit(self, texts: Sequence[str], labels: Sequence[Label]) -> "LinearClassifier":
        """Learn the weights; whatever was learnt before is forgotten.

        One step on (x, y) with p = softmax(x W + b) moves against the gradient of -ln p_y:

            W <- (1 - lr l2) W - lr x^T (p - onehot(y)),    b <- b - lr (p - onehot(y))

        Args:
            texts: the texts.
            labels: a label (all str or all int) for each text; at least two different ones.

        Returns:
            The classifier itself.

        Raises:
            ValueError: if there are no texts, another number of labels, one class only, labels of
                mixed type, or lr l2 >= 1.

        Cost: about 20 microseconds a step on top of the hashing (features.py).
        Lesson: notebooks/03_quality.ipynb
        """
        texts = _listed(texts)
        self.classes_, targets = _classes(texts, labels)
        if self.lr * self.l2 >= 1:
            raise ValueError(f"lr * l2 must be under 1, got {self.lr} * {self.l2}; lower either")
        bags = self.bags(texts)
        W = np.zeros((self.n_buckets, len(self.classes_)), np.float32)
        b = np.zeros(len(self.classes_))
        scale = 1.0  # the weights are scale * W: the pull of l2 costs one multiplication a step
        draw = np.random.default_rng(self.seed)
        n_steps, t = self.epochs * len(bags), 0
        for _ in range(self.epochs):
            for i in draw.permutation(len(bags)):
                lr = self.lr * (1 - t / n_steps)
                buckets, x = bags[i]
                rows = W[buckets]
                error = softmax(scale * (x @ rows) + b)
                error[targets[i]] -= 1.0
                scale *= 1 - lr * self.l2
                W[buckets] = rows - x[:, None] * (lr / scale * error).astype(np.float32)
                b -= lr * error
                if scale < 1e-4:
                    W *= np.float32(scale)
                    scale = 1.0
                t += 1
        self.weights_, self.bias_ = W * np.float32(scale), b
        return self

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        """Return p(class | text), (n, C), float64, rows summing to 1.

        A text without n-grams gets softmax(b): what the classifier knows of no text at all.

        Raises:
            ValueError: if nothing was fitted yet, or texts is one string.
        """
        self._check_fitted()
        scores = [x @ self.weights_[buckets] + self.bias_ for buckets, x in self.bags(texts)]
        return softmax(np.array(scores).reshape(-1, len(self.classes_)))

    def predict(self, texts: Sequence[str]) -> list[Label]:
        """Return the likeliest label of each text."""
        return [self.classes_[c] for c in self.predict_proba(texts).argmax(axis=1)]

    def contributions(self, text: str, label: Label) -> list[tuple[str, float]]:
        """Say what each n-gram of a text adds to the score of a label, the largest part first.

        A bucket's part x_j W[j, label] is shared evenly by the n-grams that fell into it. All
        parts and the bias together are the score.

        Raises:
            ValueError: if the label is unknown, or nothing was fitted yet.

        Lesson: notebooks/03_quality.ipynb
        """
        self._check_fitted()
        if label not in self.classes_:
            raise ValueError(f"there is no class {label!r}; classes: {self.classes_}")
        column = self.weights_[:, self.classes_.index(label)]
        buckets = hashed_ngrams(text, self.ngrams, self.unit, self.n_buckets)
        _, kind, counts = np.unique(buckets, return_inverse=True, return_counts=True)
        shares = column[buckets] / np.sqrt(counts[kind] * float(max(1, len(buckets))))
        parts: dict[str, float] = {}
        for gram, share in zip(ngrams_of(text, self.ngrams, self.unit), shares, strict=True):
            parts[gram] = parts.get(gram, 0.0) + float(share)
        return sorted(parts.items(), key=lambda part: -part[1])

    def save(self, path: str | Path) -> None:
        """Write the classifier as one safetensors file: arrays and settings, no code.

        Raises:
            ValueError: if nothing was fitted yet.
        """
        from safetensors.numpy import save_file

        self._check_fitted()
        settings = {
            "format": _FORMAT,
            "classes": self.classes_,
            "ngrams": self.ngrams,
            "unit": self.unit,
            "lr": self.lr,
            "epochs": self.epochs,
            "seed": self.seed,
            "l2": self.l2,
        }
        arrays = {"weights": self.weights_, "bias": self.bias_}
        save_file(arrays, str(path), {"settings": json.dumps(settings)})

    @classmethod
    def load(cls, path: str | Path) -> "LinearClassifier":
        """Read what `save` wrote; the same probabilities, bit for bit.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file is not one of ours, or damaged; the message names it.
        """
        from safetensors import SafetensorError, safe_open

        if not Path(path).is_file():
            raise FileNotFoundError(f"there is no file {path}")
        try:
            with safe_open(str(path), "numpy") as file:
                settings: dict[str, Any] = json.loads((file.metadata() or {})["settings"])
                W, b = file.get_tensor("weights"), file.get_tensor("bias")
            if settings.pop("format") != _FORMAT:
                raise ValueError("another format")
            classes = settings.pop("classes")
            found = cls(len(W), **settings)
            if W.shape[1:] != b.shape or b.shape != (len(classes),):
                raise ValueError(f"weights {W.shape} and bias {b.shape} for classes {classes}")
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a saved LinearClassifier: {error!r}") from None
        found.classes_, found.weights_, found.bias_ = classes, W, b
        return found

    def _check_fitted(self) -> None:
        if not hasattr(self, "weights_"):
            raise ValueError("the classifier knows nothing yet: call fit(texts, labels) first")


def pu_adjust(
    scores: Sequence[float], held_out_positives: Sequence[float]
) -> tuple[np.ndarray, float]:
    """Correct a classifier that was trained on positive against unlabelled examples (PU).

    s = 1: chosen and labelled (a page that Wikipedia refers to); y = 1: good. Some good pages were
    not chosen, so that the classifier learns p(s=1 | x), which is too low for y. If each good page
    had the same chance c = p(s=1 | y=1) of being chosen,

        p(y=1 | x) = p(s=1 | x) / c,     c estimated by the mean of p(s=1 | x) over labelled pages

    The order of the pages stays; where the bound lies changes. The estimate supposes that labelled
    pages are surely good (p(y=1 | x) = 1 for them): where good and bad overlap, c comes out too
    low and the corrected probabilities too high.

    Args:
        scores: p(s=1 | x) of the examples to correct, (n,).
        held_out_positives: p(s=1 | x) of labelled examples that the classifier was not trained on.

    Returns:
        p(y=1 | x), (n,), at most 1; and c.

    Raises:
        ValueError: if there are no positives, they are all 0, or a score lies outside 0 .. 1.

    Source: Elkan and Noto 2008, Learning classifiers from only positive and unlabeled data,
        section 2 (lemma 1 and the first estimator of c).
    Lesson: notebooks/03_quality.ipynb
    """
    p = np.asarray(scores, dtype=np.float64)
    positives = np.asarray(held_out_positives, dtype=np.float64)
    for name, values in (("scores", p), ("held_out_positives", positives)):
        wrong = values[~((values >= 0) & (values <= 1))]
        if wrong.size:
            raise ValueError(f"{name} must be probabilities from 0 to 1, got {wrong[0]}")
    if not positives.size or not positives.sum() > 0:
        raise ValueError(
            "c needs held-out positives with scores over 0; hold some labelled examples out of fit"
        )
    c = float(positives.mean())
    return np.minimum(1.0, p / c), c


def _listed(texts: Sequence[str]) -> Sequence[str]:
    if isinstance(texts, str):
        raise ValueError("texts must be a list of strings, got one string: write [text]")
    return texts if isinstance(texts, list | tuple) else list(texts)


def _classes(texts: Sequence[str], labels: Sequence[Label]) -> tuple[list[Label], list[int]]:
    """Check the labels; return the classes, and for each text the number of its class."""
    found: list[Label] = [x.item() if isinstance(x, np.generic) else x for x in labels]
    if not texts or len(texts) != len(found):
        raise ValueError(
            f"fit needs texts and a label for each, got {len(texts)} texts, {len(found)} labels"
        )
    kinds = {type(label) for label in found}
    if len(kinds) > 1 or not kinds <= {str, int, bool}:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(f"labels must be all str or all int, got {names}")
    classes = sorted(set(found))
    if len(classes) < 2:
        raise ValueError(f"fit needs two classes to tell apart, got only {classes[0]!r}")
    place = {label: c for c, label in enumerate(classes)}
    return classes, [place[label] for label in found]
