"""More entries for a vocabulary that a model was already trained with.

- No old entry changes its id: the old rows of the embedding stay what they are, new ones follow.
- New merges come after all old ones. So a text is first cut as before, and new tokens only join
  whole old ones; each new token *is* a row of old tokens, and `InitialRows.parts` says which.
- How the new rows begin is decided here, in plain arrays. Putting them into a model is the work of
  `finetune.extend`; this room knows no model.

Lesson: notebooks/07b_vocabulary.ipynb
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from minillm.tokenizer.bpe import Pair
from minillm.tokenizer.bpe_fast import _merge_everywhere, _mirrored
from minillm.tokenizer.encode_fast import WordCache
from minillm.tokenizer.pretokenize import pretokens
from minillm.tokenizer.source import count_pretokens
from minillm.tokenizer.tokenizer import Merge, Tokenizer

if TYPE_CHECKING:
    import numpy as np

KINDS = ("mean", "average", "random", "zero")


@dataclass(frozen=True)
class InitialRows:
    """Which old tokens each new token replaces, and so how its row in a table can begin."""

    n_old: int
    """Rows in use before: the new ids are n_old, n_old + 1, ..."""

    parts: Mapping[int, tuple[int, ...]]
    """New id -> the old ids that it joins, in the order of the text."""

    def __len__(self) -> int:
        return len(self.parts)

    def of(self, table: "np.ndarray", kind: str = "mean", *, seed: int = 0) -> "np.ndarray":
        """The new rows for one table: the embedding, or the output matrix.

            "mean"     the mean of the rows of its parts: what the model has read there until now
            "average"  the mean of all old rows, the same for every new token
            "random"   normal numbers with the mean and spread of all old entries
            "zero"     zeros

        Args:
            table: (R, D) with R >= n_old; rows from n_old on (padding) are not looked at.
            kind: one of KINDS.
            seed: for "random".

        Returns:
            (len(self), D), in the table's dtype; row i belongs to id n_old + i.

        Raises:
            ValueError: if the kind is unknown or the table has too few rows.

        Source: average: Hewitt 2021, "Initializing New Word Embeddings for Pretrained Language
            Models"; mean of the parts: Gee et al. 2022, arXiv:2402.09977.
        Lesson: notebooks/07b_vocabulary.ipynb
        """
        import numpy as np

        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")
        if table.ndim != 2 or len(table) < self.n_old:
            raise ValueError(
                f"the table must have at least {self.n_old} rows, one for each old id, and a "
                f"width; got shape {tuple(table.shape)}"
            )
        old = table[: self.n_old].astype(np.float64)  # (n_old, D)
        if kind == "mean":
            rows = [old[list(self.parts[i])].mean(axis=0) for i in sorted(self.parts)]
            new = np.array(rows).reshape(len(self), table.shape[1])
        elif kind == "average":
            new = np.repeat(old.mean(axis=0, keepdims=True), len(self), axis=0)
        elif kind == "random":
            draw = np.random.default_rng(seed)
            new = draw.normal(old.mean(), old.std(), (len(self), table.shape[1]))
        else:
            new = np.zeros((len(self), table.shape[1]))
        return new.astype(table.dtype)


def extend(
    tokenizer: Tokenizer,
    source: str | Path | Iterable[str],
    n_new: int,
    *,
    max_token_bytes: int | None = None,
) -> tuple[Tokenizer, InitialRows]:
    """Learn more merges from other texts, on top of those that there are.

        merges aa:  extend(t, ["aaab"], 1) learns (aa, a) next, as train_bpe would have

    The rule is that of `train_bpe` (most frequent pair, ties to the greatest), started from the
    text as the old tokenizer cuts it. A pair whose result is an entry already is passed over.

    Args:
        tokenizer: the one to extend; it stays as it is.
        source: a str or Path is a UTF-8 file, anything else a list of texts.
        n_new: entries wanted.
        max_token_bytes: merge nothing that would be longer; see `train_bpe`.

    Returns:
        The extended tokenizer: old ids as they were (special tokens, too), then the new ones.
        Fewer than n_new if the text runs out of pairs.
        The initial rows of the new ids.

    Raises:
        ValueError: if n_new < 1, max_token_bytes < 2, or the file is not UTF-8.
        FileNotFoundError: if the path does not exist.

    Cost: one pass over the text, then time for the occurrences of each merged pair.
    Source: Cui et al. 2023, arXiv:2304.08177, section 2.2, who merge a second vocabulary in.
    Lesson: notebooks/07b_vocabulary.ipynb
    """
    if n_new < 1:
        raise ValueError(f"n_new must be at least 1, got {n_new}")
    if max_token_bytes is not None and max_token_bytes < 2:
        raise ValueError(f"max_token_bytes must be at least 2, got {max_token_bytes}")
    counted = count_pretokens(source, tokenizer.special_tokens, tokenizer.pattern)
    cache = _cache(tokenizer.merges, tokenizer.ordinary)
    words = [cache.merge([cache.id_of_byte[byte] for byte in word]) for word in counted]
    learned = _learn(words, list(counted.values()), tokenizer, max_token_bytes)
    pairs = [pair for pair, _ in zip(learned, range(n_new), strict=False)]
    return _extended(tokenizer, pairs)


def add_pieces(tokenizer: Tokenizer, pieces: Iterable[str]) -> tuple[Tokenizer, InitialRows]:
    """Add given pieces, each of which becomes one token.

    A byte-level BPE reaches a piece only by merging two parts, those again by merging two. So the
    old parts of a piece are joined from the left; every step on the way is an entry, too:

        new piece 今天, old parts E4 BB 8A E5 A4 A9: five merges, five entries

    Args:
        tokenizer: the one to extend; it stays as it is.
        pieces: in order; one that is a token already adds nothing.

    Returns:
        The extended tokenizer, and the initial rows of the new ids (at least one for each piece
        that was not a token).

    Raises:
        ValueError: if a piece is empty, or the pattern cuts it in two, so that no text could ever
            give it as one token.

    Cost: a merge loop for each piece and step.
    Lesson: notebooks/07b_vocabulary.ipynb
    """
    ordinary = dict(tokenizer.ordinary)
    cache = _cache(tokenizer.merges, ordinary)
    spelled = {i: token for token, i in ordinary.items()}
    taken = set(tokenizer.vocab.values())
    pairs: list[Pair] = []
    for piece in pieces:
        if len(pretokens(piece, tokenizer.pattern)) != 1:
            raise ValueError(
                f"piece {piece!r} is not one pre-token under pattern {tokenizer.pattern!r}, so no "
                "text would ever give it; leave it out, or take its parts"
            )
        while len(ids := cache.merge([cache.id_of_byte[b] for b in piece.encode()])) > 1:
            a, b = _first_free(ids, spelled, taken, piece)
            new = tokenizer.n_vocab + len(pairs)
            cache.table[a, b] = (new, new)  # ids ascend, and stand above every old rank
            spelled[new] = spelled[a] + spelled[b]
            taken.add(spelled[new])
            pairs.append((a, b))
    return _extended(tokenizer, pairs)


def _first_free(
    ids: Sequence[int], spelled: Mapping[int, bytes], taken: set[bytes], piece: str
) -> Pair:
    """The leftmost neighbours whose result is not an entry yet."""
    for a, b in pairwise(ids):
        if spelled[a] + spelled[b] not in taken:
            return a, b
    raise ValueError(
        f"piece {piece!r} cannot be added: it has an entry, but no merges of this tokenizer lead "
        "to it (is it a special token?)"
    )


def _cache(merges: Sequence[Merge], ordinary: Mapping[bytes, int]) -> WordCache:
    return WordCache({merge: rank for rank, merge in enumerate(merges)}, ordinary)


def _learn(
    words: list[list[int]], frequency: list[int], tokenizer: Tokenizer, longest: int | None
) -> Iterator[Pair]:
    """Yield the pairs to merge, the best first; the loop of `bpe_fast.merge_pairs`, which always
    starts from bytes, started from words that are merged already."""
    counts: Counter[Pair] = Counter()
    holders: defaultdict[Pair, set[int]] = defaultdict(set)
    for w, word in enumerate(words):
        for pair in pairwise(word):
            counts[pair] += frequency[w]
            holders[pair].add(w)
    spelled = dict(tokenizer.vocab)
    taken = set(spelled.values())
    keys = {i: _mirrored(token) for i, token in spelled.items()}
    heap = [(-n, keys[a], keys[b], a, b) for (a, b), n in counts.items()]
    heapq.heapify(heap)
    new = tokenizer.n_vocab
    while heap:
        n, *_, a, b = heapq.heappop(heap)
        if counts[a, b] != -n:  # out of date: put it back where it belongs
            if counts[a, b] > 0:
                heapq.heappush(heap, (-counts[a, b], keys[a], keys[b], a, b))
            continue
        joined = spelled[a] + spelled[b]
        if joined in taken or (longest and len(joined) > longest):
            continue
        taken.add(joined)
        spelled[new], keys[new] = joined, _mirrored(joined)
        for x, y in _merge_everywhere((a, b), new, words, frequency, counts, holders):
            if counts[x, y] > 0:
                heapq.heappush(heap, (-counts[x, y], keys[x], keys[y], x, y))
        yield a, b
        new += 1


def _extended(tokenizer: Tokenizer, pairs: Sequence[Pair]) -> tuple[Tokenizer, InitialRows]:
    """The tokenizer with these merges at the end of its list, and what its new tokens join."""
    vocab, merges = dict(tokenizer.vocab), list(tokenizer.merges)
    parts: dict[int, tuple[int, ...]] = {}
    first = tokenizer.n_vocab
    for new, (a, b) in enumerate(pairs, start=first):
        merges.append((vocab[a], vocab[b]))
        vocab[new] = vocab[a] + vocab[b]
        parts[new] = parts.get(a, (a,)) + parts.get(b, (b,))
    larger = Tokenizer(vocab, merges, tokenizer.special_tokens, tokenizer.pattern)
    return larger, InitialRows(first, parts)
