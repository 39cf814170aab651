"""The fast trainer: the merges of `bpe.train_bpe_readable`, found without counting anew.

A merge changes only the words that hold its pair, and in them only the pairs next to it. So:

    counts   pair -> how often it occurs now
    holders  pair -> the words that (may) hold it
    heap     pairs by count and tie rule; an entry whose count is out of date is put back corrected

Two engines share this plan: the one below in pure Python, and `bpe_compiled.py`, the same loops
compiled by numba, with `count_compiled.py` before it. Compiling takes some seconds the first time,
so "auto" takes it for large texts only.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, pairwise
from pathlib import Path

from tqdm import tqdm

from minillm.tokenizer.bpe import Merge, Pair
from minillm.tokenizer.printable import GPT2_BYTE_ORDER
from minillm.tokenizer.source import check_arguments, count_pieces, source_pieces

ENGINES = ("auto", "python", "compiled")
COMPILED_ABOVE = 8_000_000  # characters
SHOW_PROGRESS_AFTER = 2.0  # seconds; shorter trainings show no bar


def train_bpe(
    source: str | Path | Iterable[str],
    vocab_size: int,
    special_tokens: Sequence[str] = (),
    ties: str = "greatest",
    *,
    pattern: str = "gpt2",
    max_token_bytes: int | None = None,
    engine: str = "auto",
    progress: bool | None = None,
) -> tuple[dict[int, bytes], list[Merge]]:
    """Train a byte-level BPE tokenizer.

        train_bpe(["aaabdaaabac"], 258) -> merges [(b"a", b"a"), (b"aa", b"a")]

    Args:
        source: a str or Path is a UTF-8 file, read as a stream; anything else is a list of texts.
        vocab_size: entries wanted, with the 256 bytes and the special tokens.
        special_tokens: cut out of the text first, so that nothing merges with or across them.
        ties: which of equally frequent pairs wins: "greatest", "smallest_id" or "gpt2_id"; see
            `bpe.py`.
        pattern: how text is cut into pre-tokens: "gpt2", "cl100k", "none", or an expression.
        max_token_bytes: merge nothing that would be longer. It keeps whole clauses of a text that
            repeats itself from becoming tokens, where a script writes no spaces.
        engine: "python", "compiled" (numba), or "auto": compiled above COMPILED_ABOVE characters.
            The merges are the same.
        progress: show a bar; None: only on a terminal, and only after two seconds.

    Returns:
        vocab: id -> bytes: the 256 bytes, the merges in order, the special tokens. It is smaller
            than vocab_size if the text runs out of pairs.
        merges: the pairs in the order in which they were learned.

    Raises:
        ValueError: if vocab_size < 256 + special tokens, a special token is empty or given twice,
            ties, pattern or engine is unknown, max_token_bytes < 2, or the file is not UTF-8.
        FileNotFoundError: if the path does not exist.

    Cost: one pass over the text, then time for the occurrences of each merged pair only. Stopping
        it with Ctrl-C leaves nothing behind.
    Source: Gage 1994; Sennrich et al. 2016, arXiv:1508.07909, algorithm 1; on bytes: Radford et al.
        2019, section 2.2.
    Lesson: notebooks/06_bpe.ipynb
    """
    check_arguments(vocab_size, special_tokens, ties, max_token_bytes)
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}; got {engine!r}")
    pieces = source_pieces(source, special_tokens, pattern)
    if engine == "auto":
        engine, pieces = _engine_for(pieces)
    counted, learn = _count_and_learner(engine, pieces, pattern)
    n_merges = vocab_size - 256 - len(special_tokens)
    hidden = None if progress is None else not progress
    with tqdm(total=n_merges, desc="merges", delay=SHOW_PROGRESS_AFTER, disable=hidden) as bar:
        pairs = learn(counted, n_merges, ties, max_token_bytes, bar.update)
    vocab = {i: bytes([i]) for i in range(256)}
    merges: list[Merge] = []
    for a, b in pairs:
        merges.append((vocab[a], vocab[b]))
        vocab[len(vocab)] = vocab[a] + vocab[b]
    for token in special_tokens:
        vocab[len(vocab)] = token.encode("utf-8")
    return vocab, merges


def _engine_for(pieces: Iterator[str]) -> tuple[str, Iterator[str]]:
    """Read up to COMPILED_ABOVE characters to see which engine pays; hand back all pieces."""
    read: list[str] = []
    n_characters = 0
    for piece in pieces:
        read.append(piece)
        n_characters += len(piece)
        if n_characters > COMPILED_ABOVE:
            return "compiled", chain(read, pieces)
    return "python", iter(read)


def _count_and_learner(
    engine: str, pieces: Iterable[str], pattern: str
) -> tuple[Mapping[bytes, int], Callable[..., list[Pair]]]:
    """The counted pre-tokens, and the function that learns merges from them."""
    if engine == "python":
        return count_pieces(pieces, pattern), merge_pairs
    from minillm.tokenizer import bpe_compiled, count_compiled  # importing numba takes a second

    if pattern == "gpt2":
        return count_compiled.count_pretokens(pieces), bpe_compiled.merge_pairs
    return count_pieces(pieces, pattern), bpe_compiled.merge_pairs


def merge_pairs(
    counted: Mapping[bytes, int],
    n_merges: int,
    ties: str,
    max_token_bytes: int | None = None,
    tick: Callable[[int], object] = lambda n: None,
) -> list[Pair]:
    """Learn merges from counted pre-tokens, in pure Python.

    Args:
        counted: pre-token -> how often it occurs.
        n_merges: how many merges are wanted.
        ties: the tie rule.
        max_token_bytes: merge nothing that would be longer.
        tick: called with 1 after each merge.

    Returns:
        The pairs of ids, in order; fewer than n_merges if no pair is left.
    """
    words = [list(word) for word in counted]
    frequency = list(counted.values())
    counts: Counter[Pair] = Counter()
    holders: defaultdict[Pair, set[int]] = defaultdict(set)
    for w, word in enumerate(words):
        for pair in pairwise(word):
            counts[pair] += frequency[w]
            holders[pair].add(w)

    length = [1] * 256
    longest = max_token_bytes or max(map(len, words), default=0)
    keys = _keys_of_bytes(ties)
    heap = [(-n, keys[a], keys[b], a, b) for (a, b), n in counts.items()]
    heapq.heapify(heap)
    pairs: list[Pair] = []
    while heap and len(pairs) < n_merges:
        n, key_a, key_b, a, b = heapq.heappop(heap)
        now = counts[a, b]
        if now != -n:  # out of date: put it back where it belongs
            if now > 0:
                heapq.heappush(heap, (-now, key_a, key_b, a, b))
            continue
        if length[a] + length[b] > longest:
            continue
        new = 256 + len(pairs)
        length.append(length[a] + length[b])
        pairs.append((a, b))
        keys.append(new if ties != "greatest" else _joined(key_a, key_b))
        for pair in _merge_everywhere((a, b), new, words, frequency, counts, holders):
            if counts[pair] > 0:
                left, right = pair
                heapq.heappush(heap, (-counts[pair], keys[left], keys[right], left, right))
        tick(1)
    return pairs


def _merge_everywhere(
    pair: Pair,
    new: int,
    words: list[list[int]],
    frequency: list[int],
    counts: Counter[Pair],
    holders: dict[Pair, set[int]],
) -> set[Pair]:
    """Replace a pair in every word that holds it; return the pairs that this created."""
    a, b = pair
    created: set[Pair] = set()
    for w in holders.pop(pair):
        word, n = words[w], frequency[w]
        out: list[int] = []
        i, last = 0, len(word) - 1
        while i <= last:
            if i == last or word[i] != a or word[i + 1] != b:
                out.append(word[i])
                i += 1
                continue
            if out:
                counts[out[-1], a] -= n
                counts[out[-1], new] += n
                holders[out[-1], new].add(w)
                created.add((out[-1], new))
            if i + 2 <= last:
                counts[b, word[i + 2]] -= n
                counts[new, word[i + 2]] += n
                holders[new, word[i + 2]].add(w)
                created.add((new, word[i + 2]))
            out.append(new)
            i += 2
        words[w] = out
    del counts[pair]
    return created


def _keys_of_bytes(ties: str) -> list:
    """For each byte a key that sorts the wanted pair first in a heap, which pops the smallest."""
    if ties == "greatest":
        return [_mirrored(bytes([i])) for i in range(256)]
    if ties == "smallest_id":
        return list(range(256))
    return [GPT2_BYTE_ORDER.index(i) for i in range(256)]


def _mirrored(token: bytes) -> str:
    """A str that sorts in the reverse of the token's order: bytes mirrored, and an end mark.

    The mark is greater than any mirrored byte, because a prefix must come *after* what it begins.
    """
    return "".join(chr(255 - byte) for byte in token) + "\u0100"


def _joined(key_a: str, key_b: str) -> str:
    return key_a[:-1] + key_b
