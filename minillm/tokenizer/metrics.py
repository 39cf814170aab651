"""How well a tokenizer suits a text: tokens for each character, byte and word.

Each is a ratio of totals over all texts, not a mean of ratios, so that long texts weigh more.
"""

from collections.abc import Iterable

import regex

from minillm.tokenizer.tokenizer import Tokenizer

# A word is a run of letters (with marks) or digits; a Han, kana or Thai character is one by itself,
# since those scripts write no spaces and counting words in them would need a dictionary.
WORD = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]|(?V1)[[\p{L}\p{M}\p{N}]--"
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]]+"
)


def tokens_per_character(tokenizer: Tokenizer, texts: str | Iterable[str]) -> float:
    """Tokens for each character (code point). Lower is better; bytes alone give 1 for ASCII.

    Raises:
        ValueError: if there is no character.
    Lesson: notebooks/06_bpe.ipynb
    """
    texts = _listed(texts)
    return _ratio(_n_tokens(tokenizer, texts), sum(map(len, texts)), "characters")


def bytes_per_token(tokenizer: Tokenizer, texts: str | Iterable[str]) -> float:
    """UTF-8 bytes in a token on average: the compression. Higher is better; bytes alone give 1.

    Raises:
        ValueError: if there is no token.
    Lesson: notebooks/06_bpe.ipynb
    """
    texts = _listed(texts)
    n_bytes = sum(len(text.encode("utf-8", "replace")) for text in texts)
    return _ratio(n_bytes, _n_tokens(tokenizer, texts), "tokens")


def fertility(tokenizer: Tokenizer, texts: str | Iterable[str]) -> float:
    """Tokens for each word, where words are encoded one by one, a space before each.

    At least 1, up to the bytes of a word and its space. A Han, kana or Thai character counts as a
    word and is encoded without a space.

    Raises:
        ValueError: if there is no word.

    Source: Ács 2019; Rust et al. 2021, arXiv:2012.15613, section 3.3.
    Lesson: notebooks/07b_vocabulary.ipynb
    """
    n_words = n_tokens = 0
    for text in _listed(texts):
        for word in WORD.findall(text):
            n_words += 1
            n_tokens += len(
                tokenizer.encode(word if len(word) == 1 and word > "\u0e00" else f" {word}")
            )
    return _ratio(n_tokens, n_words, "words")


def _n_tokens(tokenizer: Tokenizer, texts: list[str]) -> int:
    return sum(len(tokenizer.encode(text)) for text in texts)


def _listed(texts: str | Iterable[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts)


def _ratio(above: int, below: int, what: str) -> float:
    if below == 0:
        raise ValueError(f"the texts hold no {what}")
    return above / below
