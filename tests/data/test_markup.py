"""Threads to dialogues, papers to text, questions with their answers."""

import random
import re

import pytest

from minillm.data.markup import Comment, clean_latex, clean_question, dialogues


def thread(*rows):
    return [Comment(id, parent, f"user {id}", body) for id, parent, body in rows]


def ids(found):
    return ["".join(comment.id for comment in path) for path in found]


# a - b - d        e (deleted) - f - g
#   \ c
ROWS = thread(
    ("a", None, "1"), ("b", "a", "2"), ("c", "a", "3"), ("d", "b", "4"),
    ("e", "a", "[deleted]"), ("f", "e", "5"), ("g", "f", "6"), ("h", None, "alone"),
)  # fmt: skip


def test_paths_of_a_tree_by_hand():
    assert ids(dialogues(ROWS)) == ["abd", "fg"]
    assert ids(dialogues(ROWS, keep="all")) == ["ac", "abd", "fg"]
    assert ids(dialogues(ROWS, max_turns=2)) == ["bd", "fg"]
    assert dialogues([]) == []
    two = thread(("a", None, "1"), ("b", "a", "2"), ("c", "a", "3"))
    assert ids(dialogues(two)) == ["ab"]  # the first of equally long ones


def test_the_order_of_the_comments_does_not_change_the_dialogues():
    draw = random.Random(1)
    for _ in range(50):
        shuffled = draw.sample(ROWS, len(ROWS))
        assert sorted(ids(dialogues(shuffled, keep="all"))) == ["abd", "ac", "fg"]


def test_random_trees_against_a_recursive_search():
    draw = random.Random(2)
    for _ in range(300):
        n = draw.randint(1, 12)
        parents = [
            None if i == 0 or draw.random() < 0.2 else str(draw.randrange(i)) for i in range(n)
        ]
        bodies = ["[removed]" if draw.random() < 0.2 else f"t{i}" for i in range(n)]
        comments = thread(*((str(i), parents[i], bodies[i]) for i in range(n)))
        alive = {str(i) for i in range(n) if bodies[i] != "[removed]"}

        def paths(i, comments=comments, alive=alive):
            below = [c.id for c in comments if c.parent == i and c.id in alive]
            return [[i, *path] for j in below for path in paths(j)] or [[i]]

        roots = [c.id for c in comments if c.id in alive and c.parent not in alive]
        want = sorted(path for root in roots for path in paths(root) if len(path) > 1)
        got = dialogues(comments, keep="all")
        assert sorted([c.id for c in path] for path in got) == want


def test_a_thread_of_a_hundred_thousand_turns_needs_no_recursion():
    rows = [Comment(str(i), str(i - 1) if i else None, "x", "y") for i in range(100_000)]
    (path,) = dialogues(rows, max_turns=100_000)
    assert len(path) == 100_000


def test_mistakes_in_threads():
    with pytest.raises(ValueError, match="'a' comes twice"):
        dialogues(thread(("a", None, "x"), ("a", None, "y")))
    with pytest.raises(ValueError, match="in a circle"):
        dialogues(thread(("a", "b", "x"), ("b", "a", "y")))
    with pytest.raises(ValueError, match="got 'best', 50"):
        dialogues([], keep="best")
    with pytest.raises(ValueError, match="at least 2, got 'all', 1"):
        dialogues([], keep="all", max_turns=1)


PAPER = r"""\documentclass{article}
\newcommand{\R}{\mathbb{R}}  % the reals
\newcommand{\pair}[2]{(#1, #2)}
\def\half#1{\frac{#1}{2}}
\DeclareMathOperator{\rank}{rank}
\begin{document}
\title{T}\maketitle
An abstract, not kept.
\section{One}
We have 50\% of $\pair{\R}{\half{x}}$. % a remark
Here $\rank A$.



\cite{a}
\begin{thebibliography}{9} \bibitem{a} A. \end{thebibliography}
\end{document}
what nobody reads
"""


def test_a_paper_by_hand():
    want = (
        "\\section{One}\nWe have 50\\% of $(\\mathbb{R}, \\frac{x}{2})$.\n"
        "Here $\\operatorname{rank} A$.\n\n\\cite{a}"
    )
    assert clean_latex(PAPER) == want


def test_without_a_section_the_body_is_taken_and_without_a_document_all():
    assert clean_latex("\\begin{document}\nhello\n\\end{document} x") == "hello"
    assert clean_latex("hello % not this") == "hello"
    assert clean_latex("") == ""
    assert clean_latex("a \\bibliography{refs} b") == "a  b"


def test_a_line_break_before_a_comment_sign_keeps_the_comment_a_comment():
    assert clean_latex("a \\\\% gone\nb") == "a \\\\\nb"
    assert clean_latex("a \\% kept\nb") == "a \\% kept\nb"


def test_macros_that_call_themselves_end_in_a_clear_error():
    with pytest.raises(ValueError, match="a definition calls itself"):
        clean_latex("\\newcommand{\\a}{" + "\\a" * 300 + "} \\a" * 3)
    assert clean_latex("\\newcommand{\\a}{\\a} x \\a").startswith("x")  # grows nothing: harmless


@pytest.mark.parametrize("n", [4_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_strange_sources_end(n):
    draw = random.Random(5)
    pieces = ["\\newcommand", "{", "}", "\\a", "\\b", "[1]", "#1", "%", "\n", "\\section{", "x",
              "\\def", "\\begin{document}", "\\end{document}", "\\begin{thebibliography}",
              "\\\\", "词"]  # fmt: skip
    for _ in range(n):
        text = "".join(draw.choices(pieces, k=draw.randint(0, 30)))
        try:
            cleaned = clean_latex(text)
        except ValueError as error:
            cleaned = "" if "calls itself" in str(error) else "% another error"
        assert "%" not in re.sub(r"\\%", "", cleaned)


def test_answers_stand_by_their_score():
    answers = [
        (1, "<p>low</p>"),
        (7, "<p>best <b>of</b> all</p>"),
        (7, "<p>as good</p>"),
        (9, "<hr>"),
    ]
    assert clean_question("", "", [(1, "<p>a</p>"), (1, "<p>b</p>")]) == "a\n\nb"
    found = clean_question(" How? ", "<p>I ask &amp; ask.</p>", answers)
    assert found == "How?\n\nI ask & ask.\n\nbest of all\n\nas good\n\nlow"
    assert clean_question("How?", "<p>x</p>", answers, max_answers=0) == "How?\n\nx"
    two = clean_question("How?", "<p>x</p>", answers, max_answers=2)
    assert two == "How?\n\nx\n\nbest of all"  # the best one had no word
    with pytest.raises(ValueError, match="got -1"):
        clean_question("a", "b", [], max_answers=-1)
