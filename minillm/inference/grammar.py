r"""A recogniser for grammars over bytes: what may come next, and may the text end here?

- A grammar becomes productions over ranges of bytes; characters are spelled in UTF-8, so a token
  that holds a part of a character is nothing special.
- The state after some bytes is the set of all stacks of what is still expected: a pushdown
  automaton that follows every choice at once. Each stack begins with a range of bytes, or is empty,
  which means that the text may end.
- Alternatives that could never be finished are removed first, so what is not refused can always
  be completed.
"""

from collections.abc import Iterator

from minillm.inference.grammar_notation import (
    Chain,
    Characters,
    Choice,
    Literal,
    Name,
    Node,
    Repeat,
    parse_notation,
)

State = frozenset[int]
Range = tuple[int, int]  # bytes, both ends included
Element = int | Range  # a production by its number, or a range of bytes

JSON = r"""
root   ::= object
value  ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" (pair (", " pair)*)? "}"
pair   ::= string ": " value
array  ::= "[" (value (", " value)*)? "]"
string ::= "\"" ([^"\\\x00-\x1f] | "\\" ["\\/bfnrt] | "\\u" hex hex hex hex)* "\""
hex    ::= [0-9a-fA-F]
number ::= "-"? ("0" | [1-9] [0-9]*) ("." [0-9]+)? ([eE] [-+]? [0-9]+)?
"""
"""JSON objects, with one space behind each comma and colon and none elsewhere."""


class Grammar:
    """A context-free grammar, ready to read bytes.

    Args:
        text: in the notation of grammar_notation.py; it starts with the rule "root".

    Attributes:
        start: the state before the first byte.

    Raises:
        ValueError: if the text is not in the notation, the grammar admits no text at all, or a
            rule is left-recursive (it calls itself before it has read anything, and goes on after
            that: write  list ::= item ("," item)*  for  list ::= item | list "," item).

    Cost: a byte costs the number of stacks in the state; what was computed is kept.
    Lesson: notebooks/19_decoding.ipynb
    """

    def __init__(self, text: str) -> None:
        productions, names = _productions(parse_notation(text))
        finite = _finished(productions, with_ranges=True)
        if 0 not in finite:
            raise ValueError("the grammar admits no text: its root can never be finished")
        self._productions = [
            [option for option in options if all(e in finite for e in option if isinstance(e, int))]
            for options in productions
        ]
        _refuse_left_recursion(self._productions, names)
        self._stacks: list[tuple[Element, int]] = [(0, 0)]  # (top, rest); stack 0 is the empty one
        self._numbers: dict[tuple[Element, int], int] = {}
        self._after: dict[tuple[State, int], State] = {}
        self.start: State = self._expand([self._push(0, 0)])

    def advance(self, state: State, data: bytes) -> State:
        """Read bytes; the empty state means that no text of the grammar goes on like this."""
        for byte in data:
            if not state:
                return state
            key = (state, byte)
            if key not in self._after:
                self._after[key] = self._step(state, byte)
            state = self._after[key]
        return state

    def may_end(self, state: State) -> bool:
        """Say whether what was read is a whole text of the grammar."""
        return 0 in state

    def accepts(self, text: str | bytes) -> bool:
        """Say whether a text is one of the grammar."""
        data = text.encode() if isinstance(text, str) else text
        return self.may_end(self.advance(self.start, data))

    def _step(self, state: State, byte: int) -> State:
        tops = [self._stacks[stack] for stack in state if stack]
        return self._expand(
            [rest for top, rest in tops if isinstance(top, tuple) and top[0] <= byte <= top[1]]
        )

    def _push(self, element: Element, rest: int) -> int:
        """The number of a stack; equal stacks have equal numbers."""
        key = (element, rest)
        if key not in self._numbers:
            self._numbers[key] = len(self._stacks)
            self._stacks.append(key)
        return self._numbers[key]

    def _expand(self, stacks: list[int]) -> State:
        """Replace productions on top by each of their options, until ranges are on top."""
        seen, ready = set(stacks), set()
        while stacks:
            stack = stacks.pop()
            top, rest = self._stacks[stack]
            if stack == 0 or isinstance(top, tuple):
                ready.add(stack)
                continue
            for option in self._productions[top]:
                new = rest
                for element in reversed(option):
                    new = self._push(element, new)
                if new not in seen:
                    seen.add(new)
                    stacks.append(new)
        return frozenset(ready)


def utf8_ranges(low: int, high: int) -> Iterator[tuple[Range, ...]]:
    """Spell a range of code points as sequences of byte ranges.

    Args:
        low, high: code points, both ends included, without surrogates between them.

    Yields:
        Sequences of 1 to 4 ranges; each character is spelled by exactly one of them.
    """
    for last in (0x7F, 0x7FF, 0xFFFF):  # characters of different length apart
        if low <= last < high:
            yield from utf8_ranges(low, last)
            yield from utf8_ranges(last + 1, high)
            return
    for digits in range(1, len(chr(high).encode())):  # then so that all last bytes are free
        mask = (1 << 6 * digits) - 1
        if low & ~mask != high & ~mask:
            cut = low | mask if low & mask else (high & ~mask) - 1
            if low & mask or high & mask != mask:
                yield from utf8_ranges(low, cut)
                yield from utf8_ranges(cut + 1, high)
                return
    yield tuple(zip(chr(low).encode(), chr(high).encode(), strict=True))


def _productions(rules: dict[str, Node]) -> tuple[list[list[tuple[Element, ...]]], list[str]]:
    """Options of each production, and the rule that it is a part of; root is number 0."""
    names = ["root", *(name for name in rules if name != "root")]
    numbers = {name: number for number, name in enumerate(names)}
    made: list[list[tuple[Element, ...]]] = [[] for _ in names]
    owner = list(names)

    def new(options: list[tuple[Element, ...]], name: str) -> int:
        made.append(options)
        owner.append(name)
        return len(made) - 1

    def spell(node: Node, name: str) -> tuple[Element, ...]:
        match node:
            case Literal(text):
                return tuple((byte, byte) for byte in text.encode())
            case Characters(ranges):
                options = [spelled for r in ranges for spelled in utf8_ranges(*r)]
                return options[0] if len(options) == 1 else (new(list(options), name),)
            case Name(other):
                return (numbers[other],)
            case Chain(parts):
                return tuple(element for part in parts for element in spell(part, name))
            case Choice(options):
                return (new([spell(option, name) for option in options], name),)
            case Repeat(part, sign):
                once = spell(part, name)
                again = new([()], name)
                made[again].append(once if sign == "?" else (*once, again))
                return (*once, again) if sign == "+" else (again,)

    for name in names:
        made[numbers[name]].append(spell(rules[name], name))
    return made, owner


def _finished(productions: list[list[tuple[Element, ...]]], *, with_ranges: bool) -> set[int]:
    """Productions that can be finished: with bytes, or without any (with_ranges=False)."""
    done: set[int] = set()
    while True:
        more = {
            number
            for number, options in enumerate(productions)
            if any(
                all(e in done if isinstance(e, int) else with_ranges for e in option)
                for option in options
            )
        }
        if more == done:
            return done
        done = more


def _refuse_left_recursion(productions: list[list[tuple[Element, ...]]], owner: list[str]) -> None:
    """Refuse productions that come back on top of a larger stack without reading a byte."""
    empty = _finished(productions, with_ranges=False)
    calls: list[set[int]] = [set() for _ in productions]
    growing: set[tuple[int, int]] = set()
    for number, options in enumerate(productions):
        for option in options:
            for place, element in enumerate(option):
                if not isinstance(element, int):
                    break
                calls[number].add(element)
                if place + 1 < len(option):
                    growing.add((number, element))
                if element not in empty:
                    break
    for caller, called in sorted(growing):
        reached, ahead = {called}, [called]
        while ahead:
            for further in calls[ahead.pop()] - reached:
                reached.add(further)
                ahead.append(further)
        if caller in reached:
            raise ValueError(
                f"the rule {owner[caller]!r} is left-recursive; write a list as "
                'item ("," item)*, not as list "," item'
            )
