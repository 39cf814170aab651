"""Training a Unigram vocabulary: begin with far too many pieces, and take away the least useful.

    1 seeds    substrings that occur at least twice, those of highest count x length first
    2 EM       expectation: how often is each piece used, averaged over all cuts of each word?
               maximisation: its new probability is its share of these counts
    3 prune    drop the pieces whose loss hurts the likelihood least; back to 2 until few are left

BPE grows a vocabulary, this shrinks one. `expected_counts` is the definition of step 2, and
`unigram_fast.Lattice` the same in arrays, which `train_unigram` uses; tests hold the two equal.

Lesson: notebooks/07a_tokenizers.ipynb
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import regex

from minillm.tokenizer.byte_fallback import BYTE_PIECES
from minillm.tokenizer.source import count_pretokens
from minillm.tokenizer.unigram import UNKNOWN, Unigram, _log_add
from minillm.tokenizer.unigram_fast import Lattice
from minillm.tokenizer.unigram_prune import largest, pruning_losses

N_SEEDS = 100_000
MAX_PIECE_CHARS = 16
N_EM = 2
SHRINK = 0.75
SPARE = 1.1  # the last pruning leaves this many times the vocabulary wanted
LEAST_EXPECTED = 0.5  # pieces used less often than this are dropped in EM
MAX_WORD_CHARS = 1000  # longer pre-tokens are trained on in parts

Scores = Mapping[str, float]


def train_unigram(
    source: str | Path | Iterable[str],
    vocab_size: int,
    *,
    pattern: str = "gpt2",
    byte_fallback: bool = False,
    coverage: float = 1.0,
    n_seeds: int = N_SEEDS,
    max_piece_chars: int = MAX_PIECE_CHARS,
    m_step: str = "digamma",
) -> Unigram:
    """Train a Unigram tokenizer.

    Args:
        source: a str or Path is a file; anything else is a list of texts.
        vocab_size: pieces in all: the unknown piece, 256 bytes with byte_fallback, every covered
            character, and what is learned. Fewer come out if the text has fewer substrings.
        pattern: how text is cut before, in training and later; see `pretokens`.
        byte_fallback: add the 256 byte pieces, so that nothing is unknown.
        coverage: share of the characters of the text, frequent ones first, that become pieces;
            LLaMA-like vocabularies leave the rarest to the bytes.
        n_seeds: substrings to begin with.
        max_piece_chars: the longest piece.
        m_step: "digamma" as SentencePiece, which punishes rare pieces, or "ml".

    Returns:
        The tokenizer. Ids: the unknown piece, the bytes if any, then pieces by probability.

    Raises:
        ValueError: if the text is empty, coverage is not in (0, 1], m_step is unknown, n_seeds or
            max_piece_chars is too small, or vocab_size has no room for the characters.

    Cost: O(n_seeds) for the pieces and O(distinct pre-tokens x their length x max_piece_chars) for
        the lattice; each EM step is one pass over the lattice.
    Source: Kudo 2018, arXiv:1804.10959, section 3.2; defaults: SentencePiece.
    Lesson: notebooks/07a_tokenizers.ipynb
    """
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage must be in (0, 1], got {coverage}")
    if n_seeds < 1 or max_piece_chars < 1:
        raise ValueError(f"n_seeds {n_seeds} and max_piece_chars {max_piece_chars} must be over 0")
    if m_step not in ("digamma", "ml"):
        raise ValueError(f"m_step must be 'digamma' or 'ml', got {m_step!r}")
    words, characters = covered_words(source, pattern, coverage)
    special = [(UNKNOWN, 0.0)] + [(piece, 0.0) for piece in BYTE_PIECES] * byte_fallback
    n_wanted = vocab_size - len(special)
    if n_wanted < len(characters):
        raise ValueError(
            f"vocab_size must be at least {len(special) + len(characters)} ({len(special)} special "
            f"and byte pieces, {len(characters)} characters), got {vocab_size}"
        )
    seeds = seed_pieces(words, max(n_seeds, n_wanted), max_piece_chars)
    learned = _shrink(Lattice(words, seeds), n_wanted, m_step)
    learned.sort(key=lambda pair: (-pair[1], pair[0]))
    return Unigram([*special, *learned], byte_fallback=byte_fallback, pattern=pattern)


def _shrink(lattice: Lattice, n_wanted: int, m_step: str) -> list[tuple[str, float]]:
    """EM and pruning in turn, until n_wanted pieces are left; they come with log-probabilities."""
    while True:
        for _ in range(N_EM):
            counts, _ = lattice.expected_counts()
            keep = (counts >= LEAST_EXPECTED) | lattice.single
            lattice = lattice.keeping(keep)
            lattice.scores = maximise(np.maximum(counts[keep], LEAST_EXPECTED), m_step)
        if len(lattice.pieces) <= max(n_wanted, int(SPARE * n_wanted)):
            break
        target = max(int(SPARE * n_wanted), int(SHRINK * len(lattice.pieces)))
        lattice = lattice.keeping(largest(pruning_losses(lattice), target))
    lattice = lattice.keeping(largest(np.where(lattice.single, math.inf, lattice.scores), n_wanted))
    counts, _ = lattice.expected_counts()
    lattice.scores = maximise(np.maximum(counts, LEAST_EXPECTED), "ml")
    return [(piece, float(s)) for piece, s in zip(lattice.pieces, lattice.scores, strict=True)]


def covered_words(
    source: str | Path | Iterable[str], pattern: str, coverage: float = 1.0
) -> tuple[Counter[str], list[str]]:
    """Count pre-tokens, cut at characters that are too rare to be covered.

    Returns:
        The counted parts, and the covered characters, frequent ones first.

    Raises:
        ValueError: if there is no text.
    """
    counted = {w.decode("utf-8"): n for w, n in count_pretokens(source, (), pattern).items()}
    characters: Counter[str] = Counter()
    for word, n in counted.items():
        for character in word:
            characters[character] += n
    if not characters:
        raise ValueError("there is no text to train on")
    ranked = sorted(characters, key=lambda c: (-characters[c], c))
    needed, covered, seen = coverage * characters.total(), [], 0
    for character in ranked:
        if seen >= needed:
            break
        covered.append(character)
        seen += characters[character]
    rare = set(ranked) - set(covered)
    cut = regex.compile("[" + "".join(map(regex.escape, sorted(rare))) + "]") if rare else None
    words: Counter[str] = Counter()
    for word, n in counted.items():
        for part in cut.split(word) if cut else [word]:
            for start in range(0, len(part), MAX_WORD_CHARS):
                words[part[start : start + MAX_WORD_CHARS]] += n
    return words, covered


def seed_pieces(
    words: Mapping[str, int], n_seeds: int, max_piece_chars: int = MAX_PIECE_CHARS
) -> dict[str, float]:
    """The vocabulary to begin with: all characters, and the substrings of highest count x length.

    Args:
        words: word -> how often it occurs.
        n_seeds: pieces in all; the characters are always there.
        max_piece_chars: the longest.

    Returns:
        piece -> log-probability, proportional to count x length (a first guess for EM). Left out
        are substrings that occur once, and those that occur only as part of one longer substring:
        "oodne" is never seen but in "goodness", and would only compete with it. (SentencePiece
        finds the same by a suffix array, but looks to the right only.)

    Cost: O(all characters of the words x max_piece_chars).
    """
    counts: Counter[str] = Counter()
    for word, n in words.items():
        for start in range(len(word)):
            for end in range(start + 1, min(len(word), start + max_piece_chars) + 1):
                counts[word[start:end]] += n
    inner = {
        part
        for piece, n in counts.items()
        for part in (piece[:-1], piece[1:])
        if part and counts[part] == n
    }
    singles = sorted(piece for piece in counts if len(piece) == 1)
    longer = [p for p, n in counts.items() if len(p) > 1 and n > 1 and p not in inner]
    longer.sort(key=lambda piece: (-counts[piece] * len(piece), piece))
    chosen = singles + longer[: max(0, n_seeds - len(singles))]
    total = sum(counts[piece] * len(piece) for piece in chosen)
    return {piece: math.log(counts[piece] * len(piece) / total) for piece in chosen}


def expected_counts(words: Mapping[str, int], scores: Scores) -> tuple[Counter[str], float]:
    """The expectation step, by going forward and backward through each word.

        before[i] = log of the summed probability of all cuts of word[:i],  after[i] of word[i:]
        p(piece stands at i..j | word) = exp(before[i] + log p(piece) + after[j] - before[n])

    Args:
        words: word -> how often it occurs.
        scores: piece -> log-probability. Every word must have a cut.

    Returns:
        The expected number of uses of each piece, summed over all words, and the log-likelihood
        of the words: sum of n log p(word), in nats.

    Raises:
        ValueError: if the pieces cannot spell a word.

    Cost: O(n x the longest piece) for a word of n characters.
    Source: Kudo 2018, arXiv:1804.10959, section 3.2; Rabiner 1989 for forward and backward.
    Lesson: notebooks/07a_tokenizers.ipynb
    """
    longest = max(map(len, scores))
    counts: Counter[str] = Counter(dict.fromkeys(scores, 0.0))
    likelihood = 0.0
    for word, times in words.items():
        n = len(word)
        edges = [
            (i, j, word[i:j])
            for i in range(n)
            for j in range(i + 1, min(n, i + longest) + 1)
            if word[i:j] in scores
        ]
        before, after = [0.0] + [-math.inf] * n, [-math.inf] * n + [0.0]
        for i, j, piece in edges:
            before[j] = _log_add(before[j], before[i] + scores[piece])
        for i, j, piece in reversed(edges):
            after[i] = _log_add(after[i], after[j] + scores[piece])
        if before[n] == -math.inf:
            raise ValueError(f"the pieces cannot spell {word!r}; add its characters")
        for i, j, piece in edges:
            counts[piece] += times * math.exp(before[i] + scores[piece] + after[j] - before[n])  # type: ignore[assignment]
        likelihood += times * before[n]
    return counts, likelihood


def em_step(words: Mapping[str, int], scores: Scores) -> tuple[dict[str, float], float]:
    """One step of EM: expected counts, then each piece's share of them.

    Returns:
        The new log-probabilities, without pieces whose count is 0; and the log-likelihood *before*
        the step. The likelihood never falls from one step to the next.

    Source: Dempster, Laird and Rubin 1977, J. Royal Statistical Society B 39.
    """
    counts, likelihood = expected_counts(words, scores)
    total = sum(counts.values())
    return {p: math.log(c / total) for p, c in counts.items() if c > 0}, likelihood


def maximise(counts: np.ndarray, how: str = "ml") -> np.ndarray:
    """The maximisation step: log-probabilities from expected counts.

        ml        log(c / sum c)
        digamma   digamma(c) - digamma(sum c), about log((c - 1/2) / sum c)

    The second is what SentencePiece takes: the half that is taken away matters only to rare pieces,
    and drives them out.

    Args:
        counts: (P,) above 0.
    """
    if how == "ml":
        return np.log(counts) - np.log(counts.sum())
    return digamma(counts) - digamma(counts.sum())


def digamma(x: np.ndarray | float) -> np.ndarray:
    """The derivative of the logarithm of the gamma function, for x > 0.

    digamma(x) = digamma(x + 1) - 1/x,  and for large x  log x - 1/(2x) - 1/(12x^2) + ...
    """
    x = np.array(x, dtype=np.float64)
    below = np.zeros_like(x)
    while (small := x < 10).any():
        below = below + np.where(small, 1 / x, 0)
        x = np.where(small, x + 1, x)
    series = 1 / 12 - (1 / 120 - (1 / 252 - 1 / (240 * x**2)) / x**2) / x**2
    return np.log(x) - 1 / (2 * x) - series / x**2 - below
