"""Who guesses the next tokens for speculative decoding (speculative.py): a small model, or a table.

A draft has one method, propose(text, n). It gives at most n ids that may follow the text, and the
distributions that it drew them from, (n, V), float64, or None if it did not draw at all: then
everything lay on the id that it gave.

Shape letters: n proposed ids, V vocabulary.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from minillm.inference.readers import make_reader
from minillm.inference.sampling import filtered_probabilities, sample_next
from minillm.model import Decoder


class Draft(Protocol):
    """What speculative_generate asks of a draft."""

    def propose(self, text: list[int], n: int) -> tuple[list[int], Tensor | None]:
        """Guess what follows a text.

        Args:
            text: ids so far, at least one. From call to call the text grows; what was proposed
                may be part of it now, or not.
            n: how many ids may be proposed, at least 1.

        Returns:
            At most n ids, and q, (their number, V), float64: the i-th id was drawn from q[i],
            after the text and the i ids before it. None: nothing was drawn, q is 1 at each id.
        """
        ...


class ModelDraft:
    """A small model that writes on, with a cache of its own.

    Args:
        model: a Decoder with the vocabulary of the target.
        length: positions there must be room for.
        settings: temperature and so on, as for filtered_probabilities.
        generator: source of the randomness; None is torch's own.

    Cost: one pass of the small model for each id.
    Lesson: notebooks/19_decoding.ipynb
    """

    def __init__(
        self,
        model: Decoder,
        length: int,
        settings: dict[str, Any],
        generator: torch.Generator | None,
    ) -> None:
        self.settings, self.generator = settings, generator
        self.device = model.embedding.weight.device
        self.reader = make_reader(model, 1, length)

    def propose(self, text: list[int], n: int) -> tuple[list[int], Tensor | None]:
        """Guess what follows a text: see Draft."""
        # All that was read of this text, but for its last token, is still right: if something
        # proposed was refused, the last token stands where the refused one stood.
        self.reader.truncate(min(self.reader.length, len(text) - 1))
        unread, ids, drawn_from = text[self.reader.length :], [], []
        for _ in range(n):
            logits = self.reader(torch.tensor([unread], device=self.device))  # (1, V)
            if self.settings["temperature"] == 0:
                new = sample_next(logits, temperature=0)
            else:
                q = filtered_probabilities(logits, **self.settings)  # (1, V)
                new = torch.multinomial(q, 1, generator=self.generator)
                drawn_from.append(q)
            unread = [int(new)]
            ids += unread
        return ids, torch.cat(drawn_from) if drawn_from else None


class NgramDraft:
    """A table of what followed the last few tokens before: in a corpus, and in the text itself.

    It looks for the last n - 1 tokens, then for fewer and fewer, in the text first (what followed
    the last time), then in the corpus (what followed most often), and gives what it finds; then
    it goes on from there. Without a corpus this is prompt lookup: it copies.

    Args:
        n: the longest n-gram, at least 2.
        corpus: texts as ids; may be empty.
        sure: it stops where the product of the shares of what it gave falls below this, in
            [0, 1]. The share of a token that followed f times of m is f / (m + 1).

    Raises:
        ValueError: if n < 2, or sure is outside [0, 1].

    Cost: to build, O(n) entries for each token of the corpus; to propose, about n look-ups a token.
    Source: prompt lookup: A. Saxena 2023, github.com/apoorvumang/prompt-lookup-decoding.
    Lesson: notebooks/19_decoding.ipynb
    """

    def __init__(
        self, n: int = 4, corpus: Iterable[Sequence[int]] = (), *, sure: float = 0.0
    ) -> None:
        if n < 2:
            raise ValueError(f"n must be at least 2, got {n}: one token to look for, one to give")
        if not 0 <= sure <= 1:
            raise ValueError(f"sure must lie in [0, 1], got {sure}")
        self.n, self.sure = n, sure
        counts: defaultdict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        for text in corpus:
            for context, new in self._contexts(list(text), 0):
                counts[context][new] += 1
        self.often = {}  # context -> what followed most often, and its share
        for context, found in counts.items():
            new = min(found, key=lambda new: (-found[new], new))  # ties: the smaller id
            self.often[context] = (new, found[new] / (found.total() + 1))
        self.text: list[int] = []
        self.last: dict[tuple[int, ...], tuple[int, float]] = {}  # the same of the text, last time

    def propose(self, text: list[int], n: int) -> tuple[list[int], None]:
        """Guess what follows a text: see Draft. Fewer than n ids where it knows no more."""
        if text[: len(self.text)] != self.text:  # another text has begun
            self.text, self.last = [], {}
        for context, new in self._contexts(text, len(self.text)):
            self.last[context] = (new, 0.5)
        self.text = list(text)
        end, share = text[1 - self.n :], 1.0
        ids: list[int] = []
        while len(ids) < n:
            new, part = self._next(end)
            share *= part
            if share == 0 or share < self.sure:
                break
            ids.append(new)
            end = [*end, new][1 - self.n :]
        return ids, None

    def _next(self, end: list[int]) -> tuple[int, float]:
        """What follows the longest known end, and its share; a share of 0 if none is known."""
        for start in range(len(end)):
            context = tuple(end[start:])
            if context in self.last:
                return self.last[context]
            if context in self.often:
                return self.often[context]
        return 0, 0.0

    def _contexts(self, text: list[int], start: int) -> Iterator[tuple[tuple[int, ...], int]]:
        """Every context of 1 to n - 1 tokens before each token from `start` on, and the token."""
        for at in range(max(start, 1), len(text)):
            for size in range(1, min(self.n - 1, at) + 1):
                yield tuple(text[at - size : at]), text[at]
