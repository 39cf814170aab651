"""The recogniser against Python's re and json, and lark's Earley parser."""

import json
import re
from itertools import product

import lark
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.inference import JSON, Grammar, one_of
from minillm.inference.grammar import utf8_ranges
from minillm.inference.grammar_notation import Characters, parse_notation

WORDS = ["".join(w) for n in range(7) for w in product("ab", repeat=n)]

REGULAR = {  # grammar -> the same for re
    'root ::= "a"': "a",
    'root ::= "a"* "b"': "a*b",
    'root ::= ("a" | "bb")+': "(a|bb)+",
    'root ::= "a"? "b"? "a"': "a?b?a",
    'root ::= ("a"? "b"*)* "a"': "(a?b*)*a",  # repeats of what may be nothing
    'root ::= (("a"*)*)*': "((a*)*)*",
    'root ::= x y | y x\nx ::= "ab"+\ny ::= "b" | ""': "((ab)+(b|)|(b|)(ab)+)",
    "root ::= [ab] [^a]* [b-z]": "[ab][^a]*[b-z]",
    'root ::= "a"+?': "(a+)?",
}


@pytest.mark.parametrize(("grammar", "pattern"), REGULAR.items())
def test_regular_grammars_equal_re(grammar, pattern):
    ours = Grammar(grammar)
    assert [w for w in WORDS if ours.accepts(w)] == [w for w in WORDS if re.fullmatch(pattern, w)]
    assert any(ours.accepts(w) for w in WORDS)


CONTEXT_FREE = {  # grammar -> the same for lark
    'root ::= "a" root "b" | ""': 'start: "a" start "b" |',
    'root ::= "a" root "a" | "b" root "b" | "a" | "b" | ""': (
        'start: "a" start "a" | "b" start "b" | "a" | "b" |'
    ),
    'root ::= pair*\npair ::= "a" root "b"': 'start: pair*\npair: "a" start "b"',
    'root ::= s s "a"\ns ::= "a" s | "b" s "b" | ""': 'start: s s "a"\ns: "a" s | "b" s "b" |',
}


@pytest.mark.parametrize(("grammar", "theirs"), CONTEXT_FREE.items())
def test_context_free_grammars_equal_an_earley_parser(grammar, theirs):
    ours, parser = Grammar(grammar), lark.Lark(theirs, parser="earley")

    def parses(word):
        try:
            parser.parse(word)
        except lark.exceptions.LarkError:
            return False
        return True

    expected = [w for w in WORDS if parses(w)]
    assert [w for w in WORDS if ours.accepts(w)] == expected
    assert 0 < len(expected) < len(WORDS)
    beginnings = {w[:n] for w in expected for n in range(len(w) + 1)}
    for w in WORDS[:63]:  # up to five letters: alive exactly if some text begins so
        if ours.advance(ours.start, w.encode()):
            longer = [x for x in map("".join, product("ab", repeat=6)) if x.startswith(w)]
            assert w in beginnings or any(ours.advance(ours.start, x.encode()) for x in longer)
        else:
            assert w not in beginnings


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
MACHINE = Grammar(JSON)


@given(st.dictionaries(st.text(), values, max_size=3), st.booleans())
@settings(max_examples=60, deadline=None)
def test_json_reads_what_json_writes(value, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only)
    if re.search("[\ud800-\udfff]", text):
        return
    state = MACHINE.start
    for byte in text.encode():
        assert not MACHINE.may_end(state)  # nothing before the last byte is the end
        state = MACHINE.advance(state, bytes((byte,)))
    assert MACHINE.may_end(state)


@given(st.text(alphabet='{}[]":, 019-.eEtrufalsn\\', max_size=12))
@settings(max_examples=300, deadline=None)
def test_what_json_admits_json_reads(body):
    for text in (body, "{" + body + "}", '{"a": ' + body + "}"):
        assert not MACHINE.accepts(text) or isinstance(json.loads(text), dict)


@pytest.mark.parametrize("text", ["{}", '{"a": -0.5e+1}', '{"": [null, {}, "\\u00e9"], "b": true}'])
def test_json_admits(text):
    assert MACHINE.accepts(text)
    assert isinstance(json.loads(text), dict)


@pytest.mark.parametrize("text", ['{"a":1}', "[1]", '{"a": 01}', '{"a": 1,}', '{"a": "\n"}', "{"])
def test_json_refuses(text):
    assert not MACHINE.accepts(text)


# ---- characters --------------------------------------------------------------------------------

points = st.integers(0, 0x10FFFF).filter(lambda c: not 0xD800 <= c <= 0xDFFF)


@given(points, points, points)
@settings(max_examples=200, deadline=None)
def test_utf8_ranges_spell_each_character_once(low, high, other):
    low, high = min(low, high), max(low, high)
    if low < 0xD800 and high > 0xDFFF:
        high = 0xD7FF
    spelled = list(utf8_ranges(low, high))
    for c in {low, high, (low + high) // 2, other, max(low - 1, 0), min(high + 1, 0x10FFFF)}:
        if 0xD800 <= c <= 0xDFFF:
            continue
        data = chr(c).encode()
        fits = [
            all(a <= byte <= b for byte, (a, b) in zip(data, ranges, strict=True))
            for ranges in spelled
            if len(ranges) == len(data)
        ]
        assert sum(fits) == (low <= c <= high)


def test_every_range_of_bytes_is_utf8():
    for ranges in utf8_ranges(0xE000, 0x10FFFF):
        for ends in product(*ranges):
            bytes(ends).decode()
    total = 0
    for ranges in [*utf8_ranges(0, 0xD7FF), *utf8_ranges(0xE000, 0x10FFFF)]:
        size = 1
        for a, b in ranges:
            size *= b - a + 1
        total += size
    assert total == 0x110000 - 0x800  # all characters, each once


def test_characters_in_parts():
    grammar = Grammar("root ::= [中-丰] [^a-z]?")
    state = grammar.advance(grammar.start, "中".encode()[:2])
    assert state
    assert not grammar.may_end(state)
    assert grammar.may_end(grammar.advance(state, "中".encode()[2:]))
    assert grammar.accepts("丰é")
    assert grammar.accepts("中\U0001f600")
    assert not grammar.accepts("中a")
    assert not grammar.accepts("一")
    assert not grammar.accepts("中".encode() + b"\xed\xa0\x80")  # a surrogate
    assert not grammar.accepts("中".encode() + b"\xc0\x80")  # a zero spelled too long


@pytest.mark.parametrize(
    ("chars", "ranges"),
    [
        ("[a-c]", [(97, 99)]),
        ("[c-de-fa]", [(97, 97), (99, 102)]),
        ("[a-]", [(45, 45), (97, 97)]),
        (r"[a\-c]", [(45, 45), (97, 97), (99, 99)]),
        (r"[\]\\\n]", [(10, 10), (92, 93)]),
        (r"[\x41\u4e00\U0001f600]", [(0x41, 0x41), (0x4E00, 0x4E00), (0x1F600, 0x1F600)]),
        ("[^b-y]", [(0, 97), (122, 0xD7FF), (0xE000, 0x10FFFF)]),
        ("[^]", [(0, 0xD7FF), (0xE000, 0x10FFFF)]),
        (r"[\^a]", [(94, 94), (97, 97)]),
    ],
)
def test_sets(chars, ranges):
    assert parse_notation(f"root ::= {chars}")["root"] == Characters(tuple(ranges))


def test_literals_comments_and_lists_of_texts():
    grammar = Grammar('# the start\nroot ::= "a\\"\\n\\u4e2d" # "b"\n  | tail\ntail ::= "#"')
    assert [grammar.accepts(t) for t in ('a"\n中', "#", "b", 'a"')] == [True, True, False, False]
    texts = ["yes", 'say "no"', "back\\slash\n", "中文", ""]
    grammar = Grammar(one_of(texts))
    assert all(grammar.accepts(t) for t in texts)
    assert not any(grammar.accepts(t) for t in ("y", "yesno", "say", "中", " "))


def test_deep_nesting():
    grammar = Grammar('root ::= "(" root ")" | ""')
    assert grammar.accepts("(" * 3000 + ")" * 3000)
    assert not grammar.accepts("(" * 3000 + ")" * 2999)


def test_what_can_never_be_finished_is_not_begun():
    grammar = Grammar('root ::= "a" | "b" never\nnever ::= "c" never')
    assert not grammar.advance(grammar.start, b"b")
    assert grammar.accepts("a")


# ---- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('root ::= "a" root', "admits no text: its root can never be finished"),
        ("root ::= []", "admits no text"),
        ("root ::= x\nx ::= y\ny ::= x", "admits no text"),
        ('root ::= root "a" | "b"', "the rule 'root' is left-recursive"),
        ('root ::= x\nx ::= y "a" | "c"\ny ::= x | "b"', "the rule 'x' is left-recursive"),
        ('root ::= x? root "a" | "b"\nx ::= "x"', "the rule 'root' is left-recursive"),
        ("", "no rule 'root' in the grammar"),
        ('start ::= "a"', "no rule 'root' in the grammar; there are .'start'."),
        ("root ::= other", "no rule 'other'"),
        ('root ::= "a"\nroot ::= "b"', "the rule 'root' is defined twice"),
        ('root ::= "a', "line 1 of the grammar: cannot read"),
        ('root ::=\n ("a"', r"line 2 of the grammar: expected \), found the end"),
        ('root ::= "a" | ', "expected name, found the end"),
        ('root "a"', "expected assign, found '\"a\"'"),
        ('root ::= * "a"', r"expected name, found '\*'"),
        ('root ::= "\\q"', r"unknown escape \\q"),
        ('root ::= "\\ud800"', r"\\ud800 in the grammar is no character"),
        ("root ::= [z-a]", "the range z-a in the grammar runs backwards"),
    ],
)
def test_bad_grammars(text, words):
    with pytest.raises(ValueError, match=words):
        Grammar(text)


def test_one_of_nothing():
    with pytest.raises(ValueError, match="at least one text"):
        one_of([])
