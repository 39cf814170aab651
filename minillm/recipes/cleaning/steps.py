"""What one document goes through: language, rules, test items, personal data; the first no ends it.

The steps look at one document at a time, so they run on any number of processes. What needs all
documents at once, finding duplicates, comes afterwards (`folder`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from minillm.recipes.cleaning.config import CleanConfig

if TYPE_CHECKING:
    from minillm.data.language_id import LanguageIdentifier

_CODES = "ar cs da de el en es fi fr he hi hu id it ja ko nl pl pt ru sv th tr uk vi zh"
COMMON = tuple(_CODES.split())
"""Languages that are told apart even when nobody asks for them."""


@dataclass(frozen=True)
class Outcome:
    """What became of a document."""

    text: str | None
    """The cleaned text; None if the document is removed."""

    step: str = ""
    """Which step removed it: language, c4, gopher, repetition, code, test set, empty."""

    reason: str = ""
    """Which rule of the step."""

    masked: dict[str, int] = field(default_factory=dict)
    """How many personal data of each kind were replaced."""


def examine(text: str, config: CleanConfig) -> Outcome:
    """Send one document through all steps that need no other document.

    Args:
        text: the document.
        config: which steps there are.

    Returns:
        The cleaned text, or which rule of which step removed it.

    Raises:
        ValueError: if a language is unknown, or the file of test items cannot be read.

    Cost: linear in the text; the rules look at about 1 MB a second.
    Lesson: notebooks/03_quality.ipynb
    """
    if not text.strip():
        return Outcome(None, "empty", "no text")
    if config.languages and (other := _other_language(text, config.languages)):
        return Outcome(None, "language", other)
    for rule in config.rules:
        cleaned, reason = _RULES[rule](text)
        if cleaned is None:
            return Outcome(None, rule, str(reason))
        text = cleaned
    if config.test_set and (leaked := _test_items(config.test_set)(text)):
        return Outcome(None, "test set", leaked)
    if not config.redact:
        return Outcome(text)
    from minillm.data.redact import redact

    text, masked = redact(text)
    return Outcome(text, masked=masked)


def _gopher(text: str) -> tuple[str | None, str | None]:
    from minillm.data.filters import gopher_reason

    return _judged(text, gopher_reason(text))


def _repetition(text: str) -> tuple[str | None, str | None]:
    from minillm.data.repetition import gopher_repetition_reason

    return _judged(text, gopher_repetition_reason(text))


def _code(text: str) -> tuple[str | None, str | None]:
    from minillm.data.code_filters import code_reason

    return _judged(text, code_reason(text))


def _c4(text: str) -> tuple[str | None, str | None]:
    from minillm.data.c4 import c4_clean

    return c4_clean(text)


_RULES: dict[str, Callable[[str], tuple[str | None, str | None]]] = {
    "c4": _c4,
    "gopher": _gopher,
    "repetition": _repetition,
    "code": _code,
}


def _judged(text: str, reason: str | None) -> tuple[str | None, str | None]:
    return (text, None) if reason is None else (None, reason)


def _other_language(text: str, wanted: tuple[str, ...]) -> str:
    """The language of a text if it is not one of those wanted, else an empty string."""
    identifier = _identifier(tuple(sorted({*COMMON, *wanted})))
    if unknown := sorted(set(wanted) - set(identifier.languages)):
        known = ", ".join(identifier.languages)
        raise ValueError(f"the language {unknown[0]!r} is not known; there are {known}")
    found, _ = identifier.predict(text)
    return "" if found in wanted else str(found)


@lru_cache(maxsize=2)
def _identifier(codes: tuple[str, ...]) -> "LanguageIdentifier":
    """An identifier of some languages, trained on the names that babel knows, once a process."""
    from minillm.data.language_id import LanguageIdentifier
    from minillm.data.names import parallel_names

    known = parallel_names()
    names = {code: list(known[code].values()) for code in codes if code in known}
    return LanguageIdentifier().fit(names)


@lru_cache(maxsize=4)
def _test_items(path: str) -> Callable[[str], str]:
    """A function that names the first test item of which a text holds 13 words, or is empty."""
    from minillm.data.corpora import read_text
    from minillm.data.decontaminate import index_items, items_in

    if not Path(path).is_file():
        raise ValueError(f"there is no file of test items {path}; give one item a line")
    items = [line for line in read_text(Path(path)).splitlines() if line.strip()]
    index = index_items(items)
    return lambda text: next((f"item {i + 1}" for i in items_in(text, index)), "")
