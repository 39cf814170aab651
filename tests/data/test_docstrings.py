import pytest

from minillm.data.docstrings import read_docstrings, running_text, split_examples

SOURCE = b'''"""The module."""
import os

add_docstr(os.abs, r"""Absolute value, written in C.

    >>> abs(-1)
    1
""")
print("no docstring")

class Outer:
    """A class."""

    def method(self):
        """A method.

        Indented."""
        def inner():
            "An inner function."

    class Inner:
        """A class in a class."""

async def waits():
    """It waits."""

def silent():
    return "not a docstring"

if os.name:
    def conditional():
        """Below an if."""
else:
    def other():
        """Below an else."""
try:
    pass
except ValueError:
    def rescue():
        """Below an except."""
finally:
    def last():
        """Below a finally."""
'''


def test_every_docstring_is_found_in_order_and_named():
    found = [(d.name, d.text.split("\n")[0]) for d in read_docstrings(SOURCE)]
    assert found == [
        ("", "The module."),
        ("os.abs", "Absolute value, written in C."),
        ("Outer", "A class."),
        ("Outer.method", "A method."),
        ("Outer.method.inner", "An inner function."),
        ("Outer.Inner", "A class in a class."),
        ("waits", "It waits."),
        ("conditional", "Below an if."),
        ("other", "Below an else."),
        ("rescue", "Below an except."),
        ("last", "Below a finally."),
    ]


def test_docstrings_are_dedented():
    texts = {d.name: d.text for d in read_docstrings(SOURCE)}
    assert texts["Outer.method"] == "A method.\n\nIndented."
    assert texts["os.abs"].endswith(">>> abs(-1)\n1")


def test_calls_of_numpy_are_named_by_their_strings():
    source = b'add_newdoc("numpy", "ndarray", ("shape", """The shape of an array."""))'
    assert [(d.name, d.text) for d in read_docstrings(source)] == [
        ("numpy.ndarray", "The shape of an array.")
    ]


@pytest.mark.parametrize("source", [b"def (", b"\0", b"", b"x = 1"])
def test_what_cannot_be_parsed_or_says_nothing_gives_none(source):
    assert read_docstrings(source) == []


def test_the_coding_line_is_honoured_and_bad_escapes_do_not_warn():
    source = b'# coding: latin-1\n"""caf\xe9 \\d"""'
    assert read_docstrings(source)[0].text == "caf\u00e9 \\d"


def test_examples_are_parted_from_prose():
    prose, examples = split_examples("Adds.\n\n>>> 1 + 1\n2\n>>> x = 3\n>>> x\n3\n\nIt is exact.")
    assert prose == "Adds.\n\nIt is exact."
    assert [(e.source, e.want) for e in examples] == [
        ("1 + 1\n", "2\n"),
        ("x = 3\n", ""),
        ("x\n", "3\n"),
    ]
    assert split_examples("  No examples. ") == ("No examples.", [])


def test_malformed_examples_are_left_out():
    assert split_examples("Before.\n\n>>>1\n1") == ("Before.", [])


GOOD = "This is a sentence of more than six words."


@pytest.mark.parametrize(
    "paragraph",
    [
        GOOD,
        "Is this not a question of six words?",
        "A line\n    and its indented second line make one paragraph.",
        "Uses ``numpy`` and :func:`abs` for what has to be done here, and nothing else at all.",
        "Here is what follows from all of the above:",
        "Note: this looks like an entry but is a sentence.",
    ],
)
def test_sentences_are_kept(paragraph):
    wanted = "\n".join(line.strip() for line in paragraph.split("\n"))
    assert running_text(f"{GOOD}!\n\n{paragraph}\n\n") == [f"{GOOD}!", wanted]


@pytest.mark.parametrize(
    "paragraph",
    [
        "Only five words are here.",
        "A sentence of six words without its end",
        "- a list of six words or more.",
        "1. a list of six words or more.",
        "axis : int\n    The axis along which the thing is done.",
        "out : array, optional, where the result goes",
        "name (str): the name of the thing that is meant.",
        "abs(x) -> the absolute value of what was given.",
        ".. note:: this is a directive of many words.",
        ":param x: the value that is meant by this.",
        "x[0] = y[1] + 2*z(3); a = {b: 7}; f(8, 9).",
        ">>> prompt with six words in it.",
        "| a | table | of | many | small | cells |.",
    ],
)
def test_lists_tables_and_code_are_dropped(paragraph):
    assert running_text(f"{GOOD}\n\n{paragraph}") == [GOOD]


def test_a_title_is_taken_off_its_paragraph():
    assert running_text(f"Notes\n-----\n{GOOD}\n\nSee Also\n========\nabs") == [GOOD]


def test_six_words_are_enough_and_85_percent_letters():
    assert running_text("one two three four five six.") == ["one two three four five six."]
    letters = "aaaa bbbb cccc dddd eeee " + "f" * 60  # 85 letters and blanks
    assert running_text(letters + "#" * 14 + ".") == [letters + "#" * 14 + "."]
    assert running_text(letters + "#" * 15 + ".") == []
