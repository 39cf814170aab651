"""Byte-pair encoding, in the shortest clear form: this file is the definition.

    training   count adjacent pairs of tokens, merge the most frequent one everywhere, repeat
    encoding   split into bytes, then merge the pair that was learned first, repeat

`bpe_fast.py` does the same, merge for merge, thousands of times faster, and the tests hold the two
equal. Which pair wins when several are equally frequent is a rule of its own, `ties`:

    "greatest"     the lexicographically greatest pair of byte strings (the default)
    "smallest_id"  the smallest pair of token ids, where ids are 0 to 255 for bytes, then merges
    "gpt2_id"      as smallest_id, but bytes numbered in GPT-2's order (printable ones first), which
                   is what Hugging Face's BpeTrainer does behind its ByteLevel pre-tokenizer

Lesson: notebooks/06_bpe.ipynb
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from minillm.tokenizer.printable import GPT2_BYTE_ORDER
from minillm.tokenizer.source import check_arguments, count_pretokens

Pair = tuple[int, int]
Merge = tuple[bytes, bytes]


def count_pairs(words: Mapping[tuple[int, ...], int]) -> Counter[Pair]:
    """Count adjacent pairs of tokens in counted words; overlaps count, so "aaa" holds (a, a) twice.

    count_pairs({(97, 97, 97): 2, (97, 98): 1}) -> {(97, 97): 4, (97, 98): 1}
    """
    counts: Counter[Pair] = Counter()
    for word, n in words.items():
        for pair in pairwise(word):
            counts[pair] += n
    return counts


def replace_pair(word: Sequence[int], pair: Pair, new: int) -> tuple[int, ...]:
    """Replace a pair by a new token, from left to right, never overlapping.

    replace_pair((97, 97, 97, 98), (97, 97), 256) -> (256, 97, 98)
    """
    out: list[int] = []
    i = 0
    while i < len(word):
        if tuple(word[i : i + 2]) == pair:
            out.append(new)
            i += 2
        else:
            out.append(word[i])
            i += 1
    return tuple(out)


def preference(ties: str, vocab: Mapping[int, bytes]) -> Callable[[Pair], tuple]:
    """The tie rule as a key: among equally frequent pairs the one with the greatest key wins."""
    if ties == "greatest":
        return lambda pair: (vocab[pair[0]], vocab[pair[1]])
    order = {byte: place for place, byte in enumerate(GPT2_BYTE_ORDER)} if ties == "gpt2_id" else {}
    return lambda pair: tuple(-order.get(token, token) for token in pair)


def train_bpe_readable(
    source: str | Path | Iterable[str],
    vocab_size: int,
    special_tokens: Sequence[str] = (),
    ties: str = "greatest",
    *,
    pattern: str = "gpt2",
    max_token_bytes: int | None = None,
) -> tuple[dict[int, bytes], list[Merge]]:
    """Train a byte-level BPE tokenizer; every pair is counted anew at every step.

    Arguments, result and errors are those of `train_bpe`, the fast twin.

    Cost: O(merges x distinct pre-tokens).
    Source: Gage 1994; Sennrich et al. 2016, arXiv:1508.07909, algorithm 1.
    Lesson: notebooks/06_bpe.ipynb
    """
    check_arguments(vocab_size, special_tokens, ties, max_token_bytes)
    vocab = {i: bytes([i]) for i in range(256)}
    merges: list[Merge] = []
    prefer = preference(ties, vocab)
    words = {tuple(w): n for w, n in count_pretokens(source, special_tokens, pattern).items()}

    while len(vocab) < vocab_size - len(special_tokens):
        counts = {
            (a, b): n
            for (a, b), n in count_pairs(words).items()
            if max_token_bytes is None or len(vocab[a] + vocab[b]) <= max_token_bytes
        }
        if not counts:
            break  # every pre-token is one token, or as good as: nothing is left to merge
        pair = max(counts, key=lambda p: (counts[p], prefer(p)))
        new = len(vocab)
        vocab[new] = vocab[pair[0]] + vocab[pair[1]]
        merges.append((vocab[pair[0]], vocab[pair[1]]))
        words = {replace_pair(word, pair, new): n for word, n in words.items()}

    for token in special_tokens:
        vocab[len(vocab)] = token.encode("utf-8")
    return vocab, merges


def encode_word_readable(word: bytes, ranks: Mapping[Merge, int]) -> list[bytes]:
    """Encode one pre-token: merge the adjacent pair that was learned first, until none is left.

        ranks = {(b"a", b"b"): 0, (b"ab", b"c"): 1}:  b"abcb" -> [b"abc", b"b"]

    Args:
        word: the pre-token's bytes.
        ranks: pair -> its place in the list of merges.

    Returns:
        The tokens as byte strings; joined they are the word.

    Cost: O(n^2) for n bytes.
    Source: Sennrich et al. 2016, arXiv:1508.07909, section 3.2.   Lesson: notebooks/06_bpe.ipynb
    """
    parts = [bytes([b]) for b in word]
    while len(parts) > 1:
        pairs = list(pairwise(parts))
        first = min(range(len(pairs)), key=lambda i: ranks.get(pairs[i], len(ranks)))
        if pairs[first] not in ranks:
            break
        parts[first : first + 2] = [b"".join(pairs[first])]
    return parts
