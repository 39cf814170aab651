"""An n-gram language model with interpolated modified Kneser-Ney smoothing, and its buckets.

The next token is guessed from the n - 1 tokens before it. Whatever the training text has shown
keeps most of its share; a discount is taken from each count, and what was taken is given out by
the model of one token less, down to the uniform distribution:

    p(w | v_1 .. v_k) = max(a(v w) - D(a(v w)), 0) / sum_x a(v x)  +  gamma(v) p(w | v_2 .. v_k)
    gamma(v) = (D_1 N_1(v) + D_2 N_2(v) + D_3+ N_3+(v)) / sum_x a(v x)
    p(w) below all: 1 / V

where a is the adjusted count (ngram_counts.py: how often, for the longest n-grams; after how many
different tokens, for shorter ones), D(1), D(2), D(3 and more) the discounts of that length, and
N_i(v) how many tokens followed v with a = i. The shares taken and given are the same, so that the
probabilities of all V tokens sum to one after any context, seen or not.
"""

import math
from collections.abc import Sequence
from itertools import chain

import numpy as np

from minillm.data.buckets import perplexity_buckets
from minillm.data.features import words
from minillm.data.ngram_counts import (
    ABSENT,
    adjusted_counts,
    closed_form_discounts,
    count_grams,
    find_rows,
)

__all__ = ["END", "START", "UNKNOWN", "NgramModel", "Token", "perplexity_buckets"]

Token = str | int
Discounts = str | float | Sequence[Sequence[float]]
UNKNOWN, START, END = "<unk>", "<s>", "</s>"
UNITS = ("word", "char", "byte")
_UNKNOWN, _START, _END, _MARKS = 0, 1, 2, 3  # numbers of the three marks, and how many there are
_BATCH = 256  # texts scored together
_FALLBACK = (0.5, 1.0, 1.5)


class NgramModel:
    """Guess the next word, character or byte from the order - 1 before it.

    Args:
        order: n; 3 for a trigram model.
        unit: tokens are "word" (features.words), "char", or "byte" (numbers 0 .. 255 of UTF-8).
        discounts: "modified" for three a length, from the closed form of Chen and Goodman; "single"
            for D = n_1 / (n_1 + 2 n_2) a length; a number D for all; or three numbers for each of
            the lengths 1 .. order.
        min_count: words rarer than this are learnt as the unknown word.

    Attributes:
        vocabulary: the tokens that can be predicted: all seen, `</s>` (the end of a text), and
            `<unk>` (any other token; with bytes there is no other).
        discounts_: (order, 3), float64: what is taken from counts of 1, of 2, of 3 and more.
        fallbacks_: lengths where the closed form had no answer and 0.5, 1, 1.5 were taken instead.

    Source: Chen and Goodman 1999, An empirical study of smoothing techniques for language modeling,
        Computer Speech and Language 13; the start of a text: Heafield et al. 2013.
    Lesson: notebooks/03_quality.ipynb
    """

    vocabulary: list[Token]
    discounts_: np.ndarray
    fallbacks_: list[int]

    def __init__(
        self,
        order: int = 3,
        unit: str = "word",
        discounts: Discounts = "modified",
        *,
        min_count: int = 1,
    ) -> None:
        if order < 1 or min_count < 1:
            raise ValueError(f"need order and min_count >= 1, got {order} and {min_count}")
        if unit not in UNITS:
            raise ValueError(f"unit must be one of {', '.join(UNITS)}, got {unit!r}")
        if isinstance(discounts, str):
            if discounts not in ("modified", "single"):
                raise ValueError(
                    f"discounts must be 'modified', 'single' or numbers: {discounts!r}"
                )
        else:
            rows = np.broadcast_to(np.asarray(discounts, dtype=np.float64), (order, 3))
            if not ((rows > 0) & (rows <= [1, 2, 3])).all():
                raise ValueError(f"a discount lies over 0 and up to 1, 2, 3: got {discounts}")
        self.order, self.unit, self.discounts, self.min_count = order, unit, discounts, min_count

    def fit(self, texts: Sequence[str]) -> "NgramModel":
        """Count the n-grams of the texts and work out every probability that is not a backing off.

        A text begins with the mark `<s>`, which is a context only, and ends with `</s>`, which is
        predicted. N-grams never run from one text into the next: give lines or sentences if those
        are to have a beginning.

        Args:
            texts: the training texts; those without a token are left out.

        Returns:
            The model itself.

        Raises:
            ValueError: if no text holds a token, or texts is one string.

        Cost: 5 MB of English words, order 3: about 4 s; 17 MB kept (`n_bytes`) for 10^6 tokens,
            some 300 MB while it counts. Characters of order 5: about 20 s, some 800 MB.
        Lesson: notebooks/03_quality.ipynb
        """
        if isinstance(texts, str):
            raise ValueError("texts must be a list of strings, got one string: write [text]")
        cut = [tokens for tokens in map(self.tokens, texts) if len(tokens)]
        if not cut:
            raise ValueError(f"there is no {self.unit} in these texts; a model needs at least one")
        self._learn_vocabulary(cut)
        numbers = self._numbers(chain.from_iterable(cut))
        lengths = np.array([len(tokens) for tokens in cut])
        stops = np.cumsum(lengths + 2)
        tokens = np.empty(stops[-1], np.int64)
        is_start, is_end = np.zeros(len(tokens), bool), np.zeros(len(tokens), bool)
        is_start[stops - lengths - 2] = is_end[stops - 1] = True
        tokens[is_start], tokens[is_end] = _START, _END
        tokens[~(is_start | is_end)] = numbers
        self._estimate(tokens, is_start)
        return self

    def _learn_vocabulary(self, cut: list[Sequence[Token]]) -> None:
        if self.unit == "byte":
            known: list[Token] = list(range(256))
        else:
            from collections import Counter

            counts = Counter(chain.from_iterable(cut))
            known = [token for token, n in counts.items() if n >= self.min_count]
        self._number = {token: i for i, token in enumerate(known, _MARKS)}
        self._number |= {UNKNOWN: _UNKNOWN, START: _START, END: _END}
        self.vocabulary = [*([] if self.unit == "byte" else [UNKNOWN]), END, *known]

    def _estimate(self, tokens: np.ndarray, is_start: np.ndarray) -> None:
        """Fill, for each length k, probabilities of n-grams and gammas of contexts, as logs."""
        n_tokens = len(self._number)
        grams = count_grams(tokens, is_start, self.order, n_tokens)
        adjusted = adjusted_counts(grams)
        self._choose_discounts(adjusted)
        below = np.full(n_tokens, 1 / len(self.vocabulary))
        self._keys: list[np.ndarray] = []
        self._log_p, self._log_gamma = [], []
        for gram, a, D in zip(grams, adjusted, self.discounts_, strict=True):
            n_contexts = len(self._keys[-1]) if self._keys else 1
            total = np.bincount(gram.prefix, a, n_contexts)
            taken = np.zeros(n_contexts)
            for i, d in enumerate(D, 1):
                here = (a == i) if i < 3 else (a >= 3)
                taken += d * np.bincount(gram.prefix[here], minlength=n_contexts)
            seen = total > 0
            gamma = np.where(seen, taken / np.where(seen, total, 1), 1.0)
            kept = np.where(a > 0, a - D[np.clip(a, 1, 3) - 1], 0.0)
            share = kept / np.where(seen, total, 1)[gram.prefix]
            below = share + gamma[gram.prefix] * below[gram.suffix]
            self._keys.append(gram.keys)
            self._log_p.append(np.log(below))
            self._log_gamma.append(np.log(gamma))

    def _choose_discounts(self, adjusted: list[np.ndarray]) -> None:
        self.fallbacks_ = []
        if not isinstance(self.discounts, str):
            rows = np.asarray(self.discounts, dtype=np.float64)
            self.discounts_ = np.broadcast_to(rows, (self.order, 3))
            return
        self.discounts_ = np.empty((self.order, 3))
        for k, a in enumerate(adjusted):
            n1, n2 = int((a == 1).sum()), int((a == 2).sum())
            found = closed_form_discounts(a)
            if self.discounts == "single":
                found = (n1 / (n1 + 2 * n2),) * 3 if n1 and n2 else None
            if found is None:
                found = _FALLBACK if self.discounts == "modified" else _FALLBACK[:1] * 3
                self.fallbacks_.append(k + 1)
            self.discounts_[k] = found

    def tokens(self, text: str) -> Sequence[Token]:
        """Cut a text into the tokens that this model counts, marks not among them."""
        if self.unit == "word":
            return words(text)
        return list(text if self.unit == "char" else text.encode("utf-8", "surrogatepass"))

    def logprob(self, token: Token, context: Sequence[Token] = ()) -> float:
        """Return ln p(token | context).

        Args:
            token: any token; one that is not in the vocabulary counts as `<unk>`. `</s>` asks for
                the end of the text.
            context: the tokens before it, the nearest last; only the last order - 1 count. Put
                `<s>` first where the text begins.

        Raises:
            ValueError: if the token is `<s>`, which is never predicted, or is no byte in a model of
                bytes; or fit was not called.

        Lesson: notebooks/03_quality.ipynb
        """
        self._check_fitted()
        if token == START:
            raise ValueError(f"{START} is where a text begins; no model predicts it")
        if self.unit == "byte" and token not in self._number:
            raise ValueError(f"a token of this model is a number from 0 to 255, got {token!r}")
        near = list(context)[max(0, len(context) - self.order + 1) :]
        return float(self._log_probs(self._numbers([*near, token]))[-1])

    def token_nlls(self, text: str) -> np.ndarray:
        """Return -ln p of each token of a text and of its end, in nats, (n_tokens + 1,), float64.

        Raises:
            ValueError: if there is no token in the text, or fit was not called.
        """
        return self._nlls([text])[0]

    def nll_nats(self, text: str) -> tuple[float, int]:
        """Return -ln p(text) in nats and the number of tokens it is summed over, `</s>` included.

        Raises:
            ValueError: as `token_nlls`.

        Cost: as `nll_many`, plus some 0.1 ms a call.
        Lesson: notebooks/03_quality.ipynb
        """
        return self.nll_many([text])[0]

    def nll_many(self, texts: Sequence[str]) -> list[tuple[float, int]]:
        """Return what `nll_nats` says of each text; many short texts take less time together.

        Raises:
            ValueError: as `token_nlls`, if any text holds no token.

        Cost: 1 to 2 MB/s on one core for words, 1 MB/s for characters of order 5.
        """
        return [(float(nlls.sum()), len(nlls)) for nlls in self._nlls(texts)]

    def _nlls(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Score texts one behind another: no n-gram was ever counted across a start mark."""
        self._check_fitted()
        cut = [self.tokens(text) for text in texts]
        for text, tokens in zip(texts, cut, strict=True):
            if not len(tokens):
                raise ValueError(f"there is no {self.unit} to score in the text {text[:40]!r}")
        found: list[np.ndarray] = []
        for i in range(0, len(cut), _BATCH):
            batch = cut[i : i + _BATCH]
            row = chain.from_iterable(chain((START,), tokens, (END,)) for tokens in batch)
            stops = np.cumsum([len(tokens) + 2 for tokens in batch])
            nlls = np.split(-self._log_probs(self._numbers(row)), stops[:-1])
            found += [x[1:] for x in nlls]
        return found

    def perplexity(self, text: str) -> float:
        """Return exp(nll / n_tokens): as unsure as among so many equally likely tokens.

        Two models may be compared only if they cut alike and know the same vocabulary: every
        unknown word is the one easy event `<unk>`.

        Raises:
            ValueError: as `token_nlls`.
        """
        nll, n_tokens = self.nll_nats(text)
        return math.exp(nll / n_tokens)

    @property
    def n_bytes(self) -> int:
        """Bytes of the arrays of the fitted model (the table of tokens comes on top)."""
        self._check_fitted()
        return sum(a.nbytes for a in chain(self._keys, self._log_p, self._log_gamma))

    def _numbers(self, tokens: "Sequence[Token] | chain[Token]") -> np.ndarray:
        number = self._number
        return np.array([number.get(token, _UNKNOWN) for token in tokens], np.int64)

    def _log_probs(self, numbers: np.ndarray) -> np.ndarray:
        """Return ln p of each token given those before it in the array, all lengths at once."""
        n_tokens = len(self._number)
        rows = numbers  # of the n-gram of length k that ends at each place
        log_p = self._log_p[0][rows].copy()
        for k in range(1, self.order):
            before = np.concatenate([[ABSENT], rows[:-1]])  # row of the context of length k
            known = before != ABSENT
            rows = find_rows(self._keys[k], np.where(known, before * n_tokens + numbers, ABSENT))
            backed_off = log_p + np.where(known, self._log_gamma[k][before], 0.0)
            log_p = np.where(rows != ABSENT, self._log_p[k][rows], backed_off)
        return log_p

    def _check_fitted(self) -> None:
        if not hasattr(self, "_keys"):
            raise ValueError("the model knows nothing yet: call fit(texts) first")
