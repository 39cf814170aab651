"""A sequence tagger by hand: an averaged perceptron that marks names and addresses.

A name has no written form, but it has company: *signed by*, *we asked*, a capital in the middle of
a sentence. A tagger (序列标注) turns such hints into features with learned weights. Each token gets
a tag: B begins a span, I continues it, O is outside. The best row of tags has the largest sum

    score(tags) = sum_t  W[features of token t, tag_t]  +  sum_t  A[tag_(t-1), tag_t]

which dynamic programming finds exactly (Viterbi). Learning is one rule: if the best row is wrong,
add 1 to every weight that the right row uses and take 1 from those of the wrong one. The average of
the weights over all steps is kept, since the last ones follow the last mistakes.

Shape letters: T tokens, K tags, N features of a token, F features known.
"""

import random
import re
from collections.abc import Sequence

import numpy as np

from minillm.data.personal import Span

TAGGED = ("address", "name")
TAGS = ("O", *(f"{mark}-{kind}" for kind in TAGGED for mark in "BI"))
FAMILY_NAMES = frozenset(
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾萧田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈"
)
_TOKEN = re.compile(r"[A-Za-z]+|[0-9]+|[^\sA-Za-z0-9]")
_FORBIDDEN = -1e9


def tokens_of(text: str) -> list[tuple[int, int]]:
    """Cut a text into words, numbers and single signs (each Chinese sign is one).

    Returns:
        (start, end) of each token; white space belongs to none.
    """
    return [match.span() for match in _TOKEN.finditer(text)]


def features(words: Sequence[str], t: int) -> list[str]:
    """Return what the tagger sees of token t.

    Args:
        words: (T,), the tokens as texts.
        t: place in words.

    Returns:
        Names of features that hold: the word, its shape, its beginning and end, and the words and
        shapes of two neighbours on each side.

    Lesson: notebooks/05_privacy.ipynb
    """
    here = {k: words[t + k] if 0 <= t + k < len(words) else "" for k in (-2, -1, 0, 1, 2)}
    found = ["bias", f"end={here[0][-3:].lower()}", f"start={here[0][:2].lower()}"]
    for k, word in here.items():
        found += [f"{k} word={word.lower()}", f"{k} shape={shape_of(word)}"]
    for k in (-1, 0, 1):
        found.append(f"{k} shapes={shape_of(here[k])} {shape_of(here.get(k + 1, ''))}")
    found.append(f"words={here[-2].lower()} {here[-1].lower()}")
    found.append(f"around={here[-1].lower()} {shape_of(here[0])}")
    return found


def shape_of(word: str) -> str:
    """Return the form of a word: Xx, X, x, 9s (how many), 姓 (a family name), 字, or the sign.

    >>> shape_of("Mara"), shape_of("NY"), shape_of("00086"), shape_of("陈"), shape_of(",")
    ('Xx', 'X', '99999', '姓', ',')
    """
    if not word:
        return ""
    if word[0].isascii():
        if word[0].isdigit():
            return "9" * min(len(word), 6)
        if word[0].isalpha():
            return "X" if len(word) > 1 and word.isupper() else "x" if word.islower() else "Xx"
        return word
    if word in FAMILY_NAMES:
        return "姓"
    return "字" if word.isalpha() else word


def to_tags(tokens: Sequence[tuple[int, int]], spans: Sequence[Span]) -> list[int]:
    """Write spans as one tag for each token.

    Args:
        tokens: (T,) places.
        spans: of kinds in TAGGED; each must begin and end with a token.

    Returns:
        (T,) indices into TAGS.

    Raises:
        ValueError: if a span cuts a token in two or its kind is not one of TAGGED.
    """
    tags = [0] * len(tokens)
    starts = {start: t for t, (start, _) in enumerate(tokens)}
    ends = {end: t for t, (_, end) in enumerate(tokens)}
    for start, end, kind in spans:
        if kind not in TAGGED or start not in starts or end not in ends:
            raise ValueError(
                f"span {start}:{end} of kind {kind!r} does not begin and end with a token, or its "
                f"kind is not one of {', '.join(TAGGED)}"
            )
        first, last = starts[start], ends[end]
        tags[first] = TAGS.index(f"B-{kind}")
        tags[first + 1 : last + 1] = [TAGS.index(f"I-{kind}")] * (last - first)
    return tags


def to_spans(tokens: Sequence[tuple[int, int]], tags: Sequence[int]) -> list[Span]:
    """Read spans from tags: the inverse of to_tags, where an I without a B begins no span.

    Returns:
        Spans from left to right.
    """
    spans: list[Span] = []
    going = ""
    for (start, end), tag in zip(tokens, tags, strict=True):
        mark, _, kind = TAGS[tag].partition("-")
        if mark == "B":
            spans.append(Span(start, end, kind))
            going = kind
        elif mark == "I" and kind == going:
            spans[-1] = Span(spans[-1].start, end, kind)
        else:
            going = ""
    return spans


def viterbi(scores: np.ndarray, steps: np.ndarray) -> list[int]:
    """Find the row of tags with the largest score.

        best[t, j] = scores[t, j] + max_i (best[t - 1, i] + steps[i, j])

    Args:
        scores: (T, K), of each tag at each token.
        steps: (K, K), of tag j after tag i.

    Returns:
        (T,) tags; of several best rows the one with the smallest last tags.

    Cost: T K^2 additions, against K^T rows.
    Lesson: notebooks/05_privacy.ipynb
    """
    if not len(scores):
        return []
    best = scores[0]
    came_from = []
    for row in scores[1:]:
        ways = best[:, None] + steps  # (K, K)
        came_from.append(ways.argmax(axis=0))
        best = ways.max(axis=0) + row
    path = [int(best.argmax())]
    for arrows in reversed(came_from):
        path.append(int(arrows[path[-1]]))
    return path[::-1]


class Tagger:
    """An averaged perceptron over features and neighbouring tags.

    Args:
        epochs: how often each sentence is seen.
        seed: of the order of the sentences.

    Source: Collins 2002, Discriminative Training Methods for Hidden Markov Models, EMNLP.
    Lesson: notebooks/05_privacy.ipynb
    """

    def __init__(self, epochs: int = 4, seed: int = 0) -> None:
        if epochs < 1:
            raise ValueError(f"epochs must be at least 1, got {epochs}")
        self.epochs, self.seed = epochs, seed
        self.known: dict[str, int] = {}
        self.W = np.zeros((1, len(TAGS)))  # (F + 1, K); row 0 is for features never seen
        self.A = _allowed()

    def fit(self, texts: Sequence[str], spans: Sequence[Sequence[Span]]) -> "Tagger":
        """Learn from labelled texts; what was learned before is forgotten.

        Args:
            texts: such as sentences.
            spans: for each text its true spans.

        Returns:
            The tagger itself.

        Raises:
            ValueError: if there is no text, or not a list of spans for each.

        Cost: about 0.3 ms for each sentence of ten tokens and epoch.
        """
        if not texts or len(texts) != len(spans):
            raise ValueError(f"fit needs texts and as many lists of spans, got {len(texts)} texts")
        self.known = {}
        tokens = [tokens_of(text) for text in texts]
        rows = [self._rows(t, p, learn=True) for t, p in zip(texts, tokens, strict=True)]
        right = [np.array(to_tags(p, s), int) for p, s in zip(tokens, spans, strict=True)]
        self.W = np.zeros((len(self.known) + 1, len(TAGS)))
        self.A = _allowed()
        late_W, late_A = np.zeros_like(self.W), np.zeros_like(self.A)
        order, rng, clock = list(range(len(texts))), random.Random(self.seed), 1
        for _ in range(self.epochs):
            rng.shuffle(order)
            for i in order:
                guess = np.array(viterbi(self.W[rows[i]].sum(axis=1), self.A), int)
                for tags, sign in (
                    ((right[i], 1.0), (guess, -1.0)) if any(guess != right[i]) else ()
                ):
                    for W, A, step in ((self.W, self.A, sign), (late_W, late_A, sign * clock)):
                        np.add.at(W, (rows[i], tags[:, None]), step)
                        np.add.at(A, (tags[:-1], tags[1:]), step)
                clock += 1
        self.W -= late_W / clock  # the mean over all steps: a change at step c counts clock - c
        self.A -= late_A / clock
        self.W[0] = 0.0
        return self

    def tag(self, text: str) -> list[Span]:
        """Mark the names and addresses of a text.

        Returns:
            Spans from left to right. A text is tagged line by line, so nothing runs over the end of
            a line.

        Cost: about 10 microseconds a character.
        """
        found: list[Span] = []
        start = 0
        for line in text.splitlines(keepends=True):
            tokens = tokens_of(line)
            if tokens:
                tags = viterbi(self.W[self._rows(line, tokens)].sum(axis=1), self.A)
                spans = to_spans(tokens, tags)
                found += [Span(s + start, e + start, kind) for s, e, kind in spans]
            start += len(line)
        return found

    def _rows(self, text: str, tokens: list[tuple[int, int]], *, learn: bool = False) -> np.ndarray:
        """Return (T, N), the rows of W of each token's features."""
        words = [text[start:end] for start, end in tokens]
        names = [features(words, t) for t in range(len(words))]
        if learn:
            for name in (name for row in names for name in row):
                self.known.setdefault(name, len(self.known) + 1)
        known = self.known
        return np.array([[known.get(name, 0) for name in row] for row in names], int)


def _allowed() -> np.ndarray:
    """Return (K, K) zeros, and a prohibition where I does not follow B or I of its kind."""
    steps = np.zeros((len(TAGS), len(TAGS)))
    for i, before in enumerate(TAGS):
        for j, after in enumerate(TAGS):
            if after[0] == "I" and (before[0] == "O" or before[2:] != after[2:]):
                steps[i, j] = _FORBIDDEN
    return steps
