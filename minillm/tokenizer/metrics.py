"""How well a vocabulary suits a text: tokens for each character, byte and word; pieces unused.

Each is a ratio of totals over all texts, not a mean of ratios, so that long texts weigh more.
Anything with `encode(text) -> ids` can be measured: our `Tokenizer`, a tiktoken encoding.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import regex

from minillm.tokenizer.tokenizer import Tokenizer

# A word is a run of letters (with marks) or digits. Scripts that write no spaces between words
# would need a dictionary; there each letter, with the marks on it, counts as a word.
UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
WORD = regex.compile(rf"{UNSPACED}\p{{M}}*|(?V1)[[\p{{L}}\p{{M}}\p{{N}}]--{UNSPACED}]+")
_UNSPACED = regex.compile(UNSPACED)
_HAN = regex.compile(r"\p{Han}")


class Encodes(Protocol):
    """Whatever turns a text into token ids."""

    def encode(self, text: str, /) -> Sequence[int]:
        """The ids of a text."""


@dataclass(frozen=True)
class HanPieces:
    """What of a vocabulary is Chinese."""

    single: frozenset[str]
    """Characters that are a token by themselves."""
    longer: frozenset[str]
    """Tokens with a Han character and something besides, usually a second one."""


def tokens_per_character(tokenizer: Encodes, texts: str | Iterable[str]) -> float:
    """Tokens for each character (code point). Lower is better; bytes alone give 1 for ASCII.

    Raises:
        ValueError: if there is no character.
    Lesson: notebooks/06_bpe.ipynb
    """
    texts = _listed(texts)
    return _ratio(_n_tokens(tokenizer, texts), sum(map(len, texts)), "characters")


def bytes_per_token(tokenizer: Encodes, texts: str | Iterable[str]) -> float:
    """UTF-8 bytes in a token on average: the compression. Higher is better; bytes alone give 1.

    Raises:
        ValueError: if there is no token.
    Lesson: notebooks/06_bpe.ipynb
    """
    texts = _listed(texts)
    n_bytes = sum(len(text.encode("utf-8", "replace")) for text in texts)
    return _ratio(n_bytes, _n_tokens(tokenizer, texts), "tokens")


def words_of(text: str) -> list[str]:
    """The words of a text as `fertility` counts them, each as it is encoded.

        words_of("to be, 今天") -> [" to", " be", "今", "天"]

    A word has a space before it, as in the middle of a sentence; a letter of a script without
    spaces stands as it is.

    Lesson: notebooks/07b_vocabulary.ipynb
    """
    return [w if _UNSPACED.match(w) else f" {w}" for w in WORD.findall(text)]


def fertility(tokenizer: Encodes, texts: str | Iterable[str]) -> float:
    """Tokens for each word, where words are encoded one by one: see `words_of`.

        fertility = tokens of all words / number of words,   1 <= fertility <= most_fertility

    Args:
        tokenizer: anything that encodes.
        texts: one text or several.

    Returns:
        At least 1, since a word is a token at least. A Han character counts as a word, so that
        for Chinese it is tokens a character, punctuation left out, nothing merged across two.

    Raises:
        ValueError: if there is no word.

    Source: Ács 2019, "Exploring BERT's Vocabulary"; Rust et al. 2021, arXiv:2012.15613,
        section 3.2.
    Lesson: notebooks/07b_vocabulary.ipynb
    """
    words = [word for text in _listed(texts) for word in words_of(text)]
    return _ratio(_n_tokens(tokenizer, words), len(words), "words")


def most_fertility(texts: str | Iterable[str]) -> float:
    """The fertility of single bytes: no byte-level vocabulary can have a higher one.

        most_fertility("今天") -> 3.0        most_fertility("to be") -> 3.0, with the spaces

    Raises:
        ValueError: if there is no word.
    Lesson: notebooks/07b_vocabulary.ipynb
    """
    words = [word for text in _listed(texts) for word in words_of(text)]
    return _ratio(sum(len(w.encode("utf-8", "replace")) for w in words), len(words), "words")


def split_share(tokenizer: Encodes, texts: str | Iterable[str]) -> float:
    """Share of words that are more than one token, from 0 to 1 (the proportion of continued words).

    Two vocabularies of one fertility may differ here: many words in two, or few in many pieces.

    Raises:
        ValueError: if there is no word.

    Source: Rust et al. 2021, arXiv:2012.15613, section 3.2.
    Lesson: notebooks/07b_vocabulary.ipynb
    """
    words = [word for text in _listed(texts) for word in words_of(text)]
    return _ratio(sum(len(tokenizer.encode(w)) > 1 for w in words), len(words), "words")


def premium(
    tokenizer: Encodes, texts: str | Iterable[str], reference: str | Iterable[str]
) -> float:
    """How many times the tokens of `reference` a translation of it takes; 1 is parity.

    It needs no words, so that it compares languages with and without spaces.

    Args:
        tokenizer: anything that encodes.
        texts: in one language.
        reference: the same content in another, usually English.

    Raises:
        ValueError: if the reference holds no token.

    Source: Petrov et al. 2023, arXiv:2305.15425, section 3.
    Lesson: notebooks/07b_vocabulary.ipynb
    """
    below = _n_tokens(tokenizer, _listed(reference))
    return _ratio(_n_tokens(tokenizer, _listed(texts)), below, "tokens")


def unused_share(tokenizer: Tokenizer, texts: str | Iterable[str]) -> float:
    """Share of the learned entries that never occur in texts, from 0 to 1.

    The 256 bytes and the special tokens are left out: they must be there. Some merges are only
    steps on the way to a longer one; so even the training text leaves entries unused.

    Raises:
        ValueError: if the vocabulary has learned nothing.
    Lesson: notebooks/07b_vocabulary.ipynb
    """
    learned = {i for token, i in tokenizer.ordinary.items() if len(token) > 1}
    used = {i for text in _listed(texts) for i in tokenizer.encode(text)}
    if not learned:
        raise ValueError("the vocabulary has no learned entries, only bytes and special tokens")
    return len(learned - used) / len(learned)


def han_pieces(vocabulary: Iterable[bytes]) -> HanPieces:
    """Find the entries of a vocabulary that hold Chinese characters.

    An entry that is part of a character (bytes that are no text by themselves) is not counted.

    Args:
        vocabulary: the entries, such as `tokenizer.ordinary`.

    Returns:
        Characters that are entries, and entries with more than that.

    Source: the count of a few hundred for LLaMA: Cui et al. 2023, arXiv:2304.08177, section 2.
    Lesson: notebooks/07b_vocabulary.ipynb
    """
    single: set[str] = set()
    longer: set[str] = set()
    for entry in vocabulary:
        try:
            text = entry.decode("utf-8")
        except UnicodeDecodeError:
            continue
        if _HAN.search(text):
            (single if len(text) == 1 else longer).add(text)
    return HanPieces(frozenset(single), frozenset(longer))


def _n_tokens(tokenizer: Encodes, texts: list[str]) -> int:
    return sum(len(tokenizer.encode(text)) for text in texts)


def _listed(texts: str | Iterable[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts)


def _ratio(above: int, below: int, what: str) -> float:
    if below == 0:
        raise ValueError(f"the texts hold no {what}")
    return above / below
