r"""The notation of grammars: text to a tree of small nodes.

    root   ::= "Answer: " answer "."
    answer ::= "yes" | "no" | [0-9]+          # a comment
    pairs  ::= "(" pairs? ")"

- "..." is literal text; [a-z_] one of these characters, [^"\\] one of all others.
- Side by side is a sequence, | a choice, ( ) a group; ? * + mean at most one, any number, one or
  more. "" is nothing at all.
- Escapes in both: \n \r \t \" \\ \[ \] \- \^ and \x41, \u4e00, \U0001f600 for code points.
- A name must be defined once, and may be used before that and in its own definition.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_TOKENS = re.compile(
    r"""\s+|\#[^\n]*|(?P<assign>::=)|(?P<literal>"(?:[^"\\\n]|\\.)*")"""
    r"""|(?P<set>\[(?:[^\]\\\n]|\\.)*\])|(?P<name>[A-Za-z_][\w-]*)|(?P<sign>[()|*+?])"""
)
_ESCAPES = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.S)
_PLAIN = {"n": "\n", "r": "\r", "t": "\t", **{c: c for c in '"\\[]-^'}}
SURROGATES, LAST = (0xD800, 0xDFFF), 0x10FFFF


@dataclass(frozen=True)
class Literal:
    """Text, as it is."""

    text: str


@dataclass(frozen=True)
class Characters:
    """One character, whose code point lies in one of the ranges (both ends included)."""

    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Name:
    """What another rule says."""

    name: str


@dataclass(frozen=True)
class Chain:
    """One part after another."""

    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Choice:
    """One of the options."""

    options: tuple["Node", ...]


@dataclass(frozen=True)
class Repeat:
    """A part at most once (?), any number of times (*), or once and more (+)."""

    part: "Node"
    sign: str


Node = Literal | Characters | Name | Chain | Choice | Repeat


def parse_notation(text: str) -> dict[str, Node]:
    """Read a grammar.

    Args:
        text: rules in the notation above; "root" is where it starts.

    Returns:
        The tree of each rule by its name.

    Raises:
        ValueError: by line, if the text is not in the notation; or if a name is defined twice or
            not at all, "root" included.

    Lesson: notebooks/19_decoding.ipynb
    """
    reader = _Reader(text)
    rules: dict[str, Node] = {}
    while reader.kind() is not None:
        name = reader.take("name")
        if name in rules:
            raise ValueError(f"the rule {name!r} is defined twice")
        reader.take("assign")
        rules[name] = reader.choice()
    for used in ["root", *reader.used]:
        if used not in rules:
            raise ValueError(f"no rule {used!r} in the grammar; there are {sorted(rules)}")
    return rules


def one_of(texts: Iterable[str]) -> str:
    """Write the grammar of a list of texts.

    Args:
        texts: what is allowed, at least one.

    Returns:
        The grammar, in the notation.

    Raises:
        ValueError: if there is no text.

    Lesson: notebooks/19_decoding.ipynb
    """
    spelled = []
    for text in texts:
        quoted = "".join(f"\\U{ord(c):08x}" if c in '"\\' or c < " " else c for c in text)
        spelled.append(f'"{quoted}"')
    if not spelled:
        raise ValueError("one_of needs at least one text; a grammar of none admits nothing")
    return "root ::= " + " | ".join(spelled)


class _Reader:
    """The tokens of a grammar, taken from left to right."""

    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str, int]] = []  # kind, text, line
        self.at = 0
        self.used: list[str] = []
        place = 0
        while place < len(text):
            found = _TOKENS.match(text, place)
            line = text.count("\n", 0, place) + 1
            if found is None:
                raise ValueError(f"line {line} of the grammar: cannot read {text[place:][:20]!r}")
            if found.lastgroup:
                self.tokens.append((found.lastgroup, found.group(), line))
            place = found.end()

    def kind(self, ahead: int = 0) -> str | None:
        """What comes next: its kind, a sign as itself; None at the end."""
        if self.at + ahead >= len(self.tokens):
            return None
        kind, text, _ = self.tokens[self.at + ahead]
        return text if kind == "sign" else kind

    def take(self, kind: str) -> str:
        """Take the next token, which must be of this kind."""
        if self.kind() != kind:
            last = self.tokens[min(self.at, len(self.tokens) - 1)]
            found = repr(last[1]) if self.at < len(self.tokens) else "the end"
            raise ValueError(f"line {last[2]} of the grammar: expected {kind}, found {found}")
        self.at += 1
        return self.tokens[self.at - 1][1]

    def choice(self) -> Node:
        options = [self.chain()]
        while self.kind() == "|":
            self.take("|")
            options.append(self.chain())
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def chain(self) -> Node:
        parts = [self.part()]
        while self.kind() in ("literal", "set", "(") or (
            self.kind() == "name" and self.kind(1) != "assign"
        ):
            parts.append(self.part())
        return parts[0] if len(parts) == 1 else Chain(tuple(parts))

    def part(self) -> Node:
        kind = self.kind()
        node: Node
        if kind == "literal":
            node = Literal("".join(char for char, _ in _characters(self.take("literal")[1:-1])))
        elif kind == "set":
            node = Characters(_ranges(self.take("set")[1:-1]))
        elif kind == "(":
            self.take("(")
            node = self.choice()
            self.take(")")
        else:
            node = Name(self.take("name"))
            self.used.append(node.name)
        while (sign := self.kind()) in ("?", "*", "+"):
            node = Repeat(node, self.take(str(sign)))
        return node


def _characters(text: str) -> list[tuple[str, bool]]:
    """The characters of a literal or a set, and whether each was escaped."""
    out: list[tuple[str, bool]] = []
    place = 0
    for found in _ESCAPES.finditer(text):
        out += [(char, False) for char in text[place : found.start()]]
        code, plain = found[1] or found[2] or found[3], found[4]
        if code is None and plain not in _PLAIN:
            raise ValueError(f"unknown escape \\{plain} in the grammar")
        number = ord(_PLAIN[plain]) if code is None else int(code, 16)
        if number > LAST or SURROGATES[0] <= number <= SURROGATES[1]:
            raise ValueError(f"{found.group()} in the grammar is no character")
        out.append((chr(number), True))
        place = found.end()
    return out + [(char, False) for char in text[place:]]


def _ranges(text: str) -> tuple[tuple[int, int], ...]:
    """The code points of a set, as sorted ranges that do not touch."""
    chars = _characters(text)
    negated = chars[:1] == [("^", False)]
    chars = chars[1:] if negated else chars
    found, at = [], 0
    while at < len(chars):
        low = high = ord(chars[at][0])
        if chars[at + 1 : at + 2] == [("-", False)] and at + 2 < len(chars):
            high, at = ord(chars[at + 2][0]), at + 2
        if high < low:
            raise ValueError(f"the range {chr(low)}-{chr(high)} in the grammar runs backwards")
        found.append((low, high))
        at += 1
    return _without(SURROGATES, _others(found) if negated else _joined(found))


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if out and low <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(high, out[-1][1]))
        else:
            out.append((low, high))
    return out


def _others(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """All code points that are in none of the ranges."""
    out, start = [], 0
    for low, high in _joined(ranges):
        out.append((start, low - 1))
        start = high + 1
    return [(low, high) for low, high in [*out, (start, LAST)] if low <= high]


def _without(gap: tuple[int, int], ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    parts = []
    for low, high in ranges:
        parts += [(low, min(high, gap[0] - 1)), (max(low, gap[1] + 1), high)]
    return tuple((low, high) for low, high in parts if low <= high)
