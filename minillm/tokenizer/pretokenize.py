"""Cutting text into pre-tokens: the pieces inside which byte pairs may merge.

Without this step "dog", "dog." and "dog!" would each become tokens of their own, and merges would
run across word ends. The steps, in order:

    repair       a str may hold lone surrogates, which UTF-8 cannot write; they become U+FFFD
    specials     the text is cut at special tokens first, so that no merge ever crosses one
    pre-tokens   each remaining piece is cut by a regular expression

Everything here also works on a stream. `safe_pieces` cuts a stream only at *safe boundaries*:
places where the cut cannot change what the expression finds on either side. So a file of any
size gives the same pre-tokens as the whole text would, in memory for a few pre-tokens.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import regex

from minillm.tokenizer import unicode16

MIN_PENDING = 8192  # characters gathered before a stream looks for a boundary


@dataclass(frozen=True)
class Pattern:
    """A pre-token expression, and where a stream may be cut without changing what it finds."""

    expression: str
    """The expression whose successive matches are the pre-tokens."""

    boundary: str | None = None
    """Zero-width expression for safe boundaries; None: the text must be read whole."""


# No pre-token of either pattern holds a letter followed by a non-letter, a number followed by a
# non-number, or a non-space followed by a space, and no alternative looks past such a place.
# So these three are boundaries whatever stands left and right of them.
_SAFE = r"(?<=\p{L})(?=\P{L})|(?<=\p{N})(?=\P{N})|(?<=\S)(?= )"

_BLOOM_STOPS = r"\s(|).,!?…。，、।۔،"  # characters that end a pre-token of BLOOM

PATTERNS: dict[str, Pattern] = {
    # Radford et al. 2019; the form is tiktoken's, equal to the original and faster.
    "gpt2": Pattern(
        r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+", _SAFE
    ),
    # As GPT-4's: case-blind contractions, numbers in groups of three, newlines apart.
    "cl100k": Pattern(
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
        _SAFE,
    ),
    # BLOOM's, written for Python. Its own form, " ?[^(\s|[.,!?…。，、।۔،])]+", nests one class in
    # another, so "(", ")" and "|" are in the class too; what it does not match are pre-tokens.
    "bloom": Pattern(
        rf" ?[^{_BLOOM_STOPS}]+|(?:(?! [^{_BLOOM_STOPS}])[{_BLOOM_STOPS}])+",
        rf"(?<=[^{_BLOOM_STOPS}])(?=[{_BLOOM_STOPS}])",
    ),
    # GPT-2's, but each digit is a pre-token of its own, and a blank never joins one.
    "digits": Pattern(
        r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+"
        r"|\s+(?=\p{N}|$)|\s+(?!\S)|\s+",
        rf"{_SAFE}|(?<=\p{{N}})",
    ),
    # As SentencePiece cuts for LLaMA: at blanks and around every digit, and by no other rule.
    "llama": Pattern(
        r"\p{N}| ?[^\s\p{N}]+|\s+(?=\p{N}|$)|\s+(?!\S)|\s+",
        r"(?<=\p{N})|(?<=\S)(?= )",
    ),
    # No pre-tokenisation at all: for the lesson that shows what breaks without it.
    "none": Pattern(r"(?s:.+)"),
}


def resolve(pattern: str) -> Pattern:
    """The pattern of that name (a key of PATTERNS), or an expression of one's own.

    Raises:
        ValueError: if it is neither a name nor a valid expression.
    """
    if pattern in PATTERNS:
        return PATTERNS[pattern]
    try:
        regex.compile(pattern)
    except regex.error as error:
        raise ValueError(
            f"pattern {pattern!r} is neither a name ({', '.join(PATTERNS)}) "
            f"nor a regular expression: {error}"
        ) from None
    return Pattern(pattern)


def repair(text: str) -> str:
    """Make any str writable in UTF-8: surrogate pairs become their character, lone ones U+FFFD.

    Python allows half of a UTF-16 pair in a str (JSON files bring them in), UTF-8 does not. This is
    what tiktoken does, so ids agree, and encoding never fails. Other texts come back unchanged.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def pretokens(text: str, pattern: str = "gpt2") -> list[str]:
    """Cut text into pre-tokens.

        pretokens("I'm 12  years") -> ["I", "'m", " 12", " ", " years"]

    Args:
        text: any str; special tokens get no special treatment here.
        pattern: a name in PATTERNS or an expression.

    Returns:
        The pre-tokens in order; joined they are `repair(text)` again.

    Raises:
        ValueError: if the pattern is not valid.

    Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2.
    Lesson: notebooks/06_bpe.ipynb
    """
    return pieces_of(resolve(pattern), repair(text))


def pieces_of(pattern: Pattern, text: str) -> list[str]:
    """The pre-tokens of a repaired text.

    What an expression of one's own does not match is kept too, as pre-tokens between its matches,
    so that nothing of the text is lost.
    """
    finder = _for_text(pattern, pattern.expression, text)
    if pattern.boundary is not None:
        return finder.findall(text)  # the named ones match every character and have no groups
    pieces, start = [], 0
    for match in finder.finditer(text):
        if match.group():  # an empty match is no cut
            pieces += [text[start : match.start()], match.group()]
            start = match.end()
    return [piece for piece in (*pieces, text[start:]) if piece]


def _for_text(pattern: Pattern, expression: str, text: str) -> "regex.Pattern[str]":
    """The compiled expression; for a named pattern letters and numbers are those of Unicode 16."""
    if pattern.boundary is not None and unicode16.has_later(text):
        return _compiled(unicode16.frozen(expression))
    return _compiled(expression)


@lru_cache(maxsize=64)
def _compiled(expression: str) -> "regex.Pattern[str]":
    return regex.compile(expression)


def special_finder(special_tokens: Iterable[str]) -> "regex.Pattern[str] | None":
    """An expression that finds special tokens, the longest first where several begin together."""
    longest_first = sorted(special_tokens, key=len, reverse=True)
    if not longest_first:
        return None
    return _compiled("|".join(map(regex.escape, longest_first)))


def split_at_specials(text: str, special_tokens: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Cut text at special tokens: pairs (ordinary text, special token behind it, "" at the end).

    split_at_specials("a<s>b", ["<s>"]) -> ("a", "<s>"), ("b", "")
    """
    finder = special_finder(special_tokens)
    start = 0
    for match in finder.finditer(text) if finder else ():
        yield text[start : match.start()], match.group()
        start = match.end()
    yield text[start:], ""


def repaired_chunks(chunks: Iterable[str]) -> Iterator[str]:
    """`repair` for a stream: a pair of surrogates that two chunks share is still a pair."""
    held = ""
    for chunk in chunks:
        chunk = held + chunk
        held = chunk[-1:] if "\ud800" <= chunk[-1:] <= "\udbff" else ""
        yield repair(chunk[: len(chunk) - len(held)])
    yield repair(held)


def safe_pieces(
    chunks: Iterable[str], special_tokens: Iterable[str] = (), pattern: str = "gpt2"
) -> Iterator[tuple[str, str]]:
    """`split_at_specials` for a stream, with further cuts at safe boundaries.

    Each ordinary text that comes out can be pre-tokenised on its own: the pre-tokens of all of
    them are those of the whole text, wherever the chunks were cut.

    Args:
        chunks: the text, cut anywhere.
        special_tokens: cut out, the longest first where several begin together.
        pattern: a name in PATTERNS, or an expression (then the text is gathered whole).

    Returns:
        Pairs (ordinary text, special token behind it or "").

    Cost: memory for the largest chunk, and twice the longest run without a safe boundary: a word,
        usually; a file that is one single word is held whole.
    """
    specials = tuple(special_tokens)
    split = resolve(pattern)
    last_boundary = f"(?r)(?:{split.boundary})"
    reach = max(map(len, specials), default=1)  # a special token may begin this far from the end
    finder = special_finder(specials)
    pending, enough = "", MIN_PENDING
    for chunk in repaired_chunks(chunks):
        pending += chunk
        horizon = len(pending) - reach  # special tokens that begin before it are seen whole
        if len(pending) < enough or horizon < 1 or split.boundary is None:
            continue
        start = 0
        for match in finder.finditer(pending) if finder else ():
            if match.start() >= horizon:
                break
            yield pending[start : match.start()], match.group()
            start = match.end()
        cut = _for_text(split, last_boundary, pending).search(pending, start, horizon + 1)
        if cut:
            yield pending[start : cut.start()], ""
            start = cut.start()
        pending = pending[start:]
        enough = max(MIN_PENDING, 2 * len(pending))
    yield from split_at_specials(pending, specials)
