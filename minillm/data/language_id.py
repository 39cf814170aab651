"""Which language is a text written in? A linear classifier of character n-grams, as fastText's.

The course has no network, but it has the names of languages and countries in many languages
(names.py): Deutschland, 德国, Германия. They are short and no sentences, and yet the letters that
stand side by side in them give the language away.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import regex

from minillm.data.classifier import LinearClassifier
from minillm.data.detection import Share, wilson

UNDETERMINED = "und"
"""The code of no language (ISO 639-2): the text has no letter."""

_NO_LETTERS = regex.compile(r"[^\p{L}\p{M}]+")
_HOLD_OUT = 5  # one key in so many is held out


class LanguageIdentifier:
    """Tell languages apart by hashed n-grams of characters.

    A text is put into lower case, and whatever is not a letter or a mark becomes a space: digits,
    signs and markup say nothing about the language. Then it goes to a `LinearClassifier`.

    Args:
        ngrams: the lengths of the n-grams of characters.
        n_buckets: how many buckets they are hashed into.
        lr, epochs, seed: as in `LinearClassifier`.
        max_characters: only so many characters of a text are looked at, from its beginning.

    Attributes:
        languages: the codes it can answer, sorted.

    Cost: fit takes about 30 microseconds a text and epoch with 24 languages; the weights take
        n_buckets languages 4 bytes; about 3000 short texts a second are identified.
    Source: Joulin et al. 2016, arXiv:1607.01759; Grave et al. 2018, arXiv:1802.06893, section 2
        (the identifier that CCNet uses).
    Lesson: notebooks/03_quality.ipynb
    """

    def __init__(
        self,
        ngrams: Sequence[int] = (1, 2, 3),
        n_buckets: int = 1 << 16,
        *,
        lr: float = 3.0,
        epochs: int = 5,
        seed: int = 0,
        max_characters: int = 5000,
    ) -> None:
        if max_characters < 1:
            raise ValueError(f"max_characters must be at least 1, got {max_characters}")
        self.classifier = LinearClassifier(
            n_buckets, ngrams, "char", lr=lr, epochs=epochs, seed=seed
        )
        self.max_characters = max_characters

    @property
    def languages(self) -> list[str]:
        """Codes of the languages, sorted; empty before fit."""
        return [str(code) for code in getattr(self.classifier, "classes_", [])]

    def fit(self, texts_by_language: Mapping[str, Iterable[str]]) -> "LanguageIdentifier":
        """Learn from texts of known languages; those without a letter are left out.

        Args:
            texts_by_language: {code: texts}, at least two languages. A language with more texts is
                taken to be likelier.

        Returns:
            The identifier itself.

        Raises:
            ValueError: if there are fewer than two languages, or one has no text with a letter.

        Lesson: notebooks/03_quality.ipynb
        """
        texts, codes = [], []
        for code in sorted(texts_by_language):
            given = texts_by_language[code]
            if isinstance(given, str):
                raise ValueError(f"language {code!r} needs a list of texts, got one string")
            found = [letters for letters in map(self._letters, given) if letters]
            if not found:
                raise ValueError(f"language {code!r} has no text with a letter: leave it out")
            texts += found
            codes += [code] * len(found)
        if len(set(codes)) < 2:
            raise ValueError(f"fit needs two languages to tell apart, got {sorted(set(codes))}")
        self.classifier.fit(texts, codes)
        return self

    def predict(self, text: str) -> tuple[str, float]:
        """Return the likeliest language of a text and its probability.

        The probability is one among the languages that were learnt: a text in another language
        gets one of them all the same. A text without a letter gets ("und", 0.0).

        Raises:
            ValueError: if fit was not called.

        Lesson: notebooks/03_quality.ipynb
        """
        return self.predict_many([text])[0]

    def predict_many(self, texts: Sequence[str]) -> list[tuple[str, float]]:
        """Return (code, probability) for each text, as `predict`."""
        if isinstance(texts, str):
            raise ValueError("texts must be a list of strings, got one string: use predict")
        letters = [self._letters(text) for text in texts]
        p = self.classifier.predict_proba(letters)
        best = p.argmax(axis=1) if len(p) else np.empty(0, int)
        return [
            (self.languages[c], float(row[c])) if known else (UNDETERMINED, 0.0)
            for row, c, known in zip(p, best, letters, strict=True)
        ]

    def save(self, path: str | Path) -> None:
        """Write what was learnt as a safetensors file; `max_characters` is not part of it."""
        self.classifier.save(path)

    @classmethod
    def load(cls, path: str | Path, *, max_characters: int = 5000) -> "LanguageIdentifier":
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file is damaged or something else, or of words.
        """
        found = cls(max_characters=max_characters)
        found.classifier = LinearClassifier.load(path)
        if found.classifier.unit != "char":
            raise ValueError(f"{path} is a classifier of words, not of languages")
        return found

    def _letters(self, text: str) -> str:
        return _NO_LETTERS.sub(" ", text[: self.max_characters].lower()).strip()


def split_names(
    names: Mapping[str, Mapping[str, str]],
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Part the names of `parallel_names()` into those to learn from and those to be asked.

    One key in five is held out, in all languages at once: what Germany is called in one language
    is never learnt while it is asked in another (Argentina is Argentina in a dozen of them).

    Args:
        names: {language: {key: name}}.

    Returns:
        Texts to learn from and held-out texts, {language: names} each.

    Lesson: notebooks/03_quality.ipynb
    """
    learn: dict[str, list[str]] = {}
    ask: dict[str, list[str]] = {}
    for code, by_key in names.items():
        learn[code], ask[code] = [], []
        for key, name in by_key.items():
            held_out = blake2b(key.encode(), digest_size=8).digest()[0] % _HOLD_OUT == 0
            (ask if held_out else learn)[code].append(name)
    return learn, ask


def accuracies(
    identifier: LanguageIdentifier, texts_by_language: Mapping[str, Sequence[str]]
) -> dict[str, Share]:
    """Measure, for each language, which share of its texts is recognised, with an interval.

    Args:
        identifier: fitted.
        texts_by_language: {right code: texts that were not learnt from}.

    Returns:
        {code: right of all, with Wilson's 95 % interval}, which supposes independent texts.

    Lesson: notebooks/03_quality.ipynb
    """
    found = {}
    for code, texts in texts_by_language.items():
        right = sum(code == answer for answer, _ in identifier.predict_many(texts))
        found[code] = wilson(right, len(texts))
    return found


def confused_pairs(truth: Sequence[str], found: Sequence[str]) -> list[tuple[tuple[str, str], int]]:
    """Count which language was taken for which, the commonest mistake first.

    Args:
        truth: the right codes.
        found: the codes that were predicted, as many.

    Returns:
        ((right, predicted), how often) for all mistakes; ties in the order of the codes.

    Raises:
        ValueError: if the two differ in length.
    """
    if len(truth) != len(found):
        raise ValueError(f"need a prediction for each text, got {len(truth)} and {len(found)}")
    counts = Counter((t, f) for t, f in zip(truth, found, strict=True) if t != f)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def pieces(text: str, n_characters: int, n_pieces: int) -> list[str]:
    """Cut pieces of n characters out of a text, evenly spread, to see how much text is needed.

    Args:
        text: a long text; runs of white space count as one.
        n_characters: length of each piece.
        n_pieces: how many; fewer if they would overlap.

    Raises:
        ValueError: if a number is under 1, or the text is shorter than one piece.
    """
    text = " ".join(text.split())
    if n_characters < 1 or n_pieces < 1:
        raise ValueError(f"need at least 1 character and 1 piece, got {n_characters}, {n_pieces}")
    if len(text) < n_characters:
        raise ValueError(f"a text of {len(text)} characters has no piece of {n_characters}")
    n_pieces = min(n_pieces, len(text) // n_characters)
    starts = np.linspace(0, len(text) - n_characters, n_pieces).astype(int)
    return [text[i : i + n_characters] for i in starts]
