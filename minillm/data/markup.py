"""From three sources that are not web pages to text: Reddit, arXiv, Stack Exchange.

- dialogues: a thread of comments is a tree; a dialogue is a path through it.
- clean_latex: a paper's source without preamble, comments and bibliography, macros written out.
- clean_question: a question with its answers, best first, HTML stripped.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from minillm.data.html_text import html_text

DELETED = ("[deleted]", "[removed]", "")
_COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%[^\n]*")
_SECTION = re.compile(r"\\(?:section|chapter)\*?\s*[\[{]")
_BEGIN = re.compile(r"\\begin\s*\{document\}")
_END = re.compile(r"\\end\s*\{document\}")
_REFERENCES = re.compile(r"\\begin\s*\{thebibliography\}|\\end\s*\{thebibliography\}")
_REFERENCE_COMMANDS = re.compile(r"\\(?:bibliography(?:style)?|printbibliography)\b(?:\{[^{}]*\})?")
_GAP = r"[ \t\n]{0,9}"
_DEFINITION = re.compile(
    rf"\\(?:new|renew|provide)command\*?{_GAP}\{{?{_GAP}(\\[A-Za-z]+){_GAP}\}}?{_GAP}"
    rf"(?:\[(\d)\])?{_GAP}(?=\{{)"
    rf"|\\def{_GAP}(\\[A-Za-z]+){_GAP}((?:#\d){{0,9}}){_GAP}(?=\{{)"
    rf"|\\DeclareMathOperator\*?{_GAP}\{{{_GAP}(\\[A-Za-z]+){_GAP}\}}{_GAP}(?=\{{)"
)
_CALL = re.compile(r"\\[A-Za-z]+")
_ARGUMENT = re.compile(r"#(\d)")
_BRACE = re.compile(r"(?s)\\.|[{}]")
MAX_PASSES = 10


@dataclass(frozen=True)
class Comment:
    """One comment of a thread."""

    id: str
    parent: str | None
    """Id of the comment that it answers; None for the first of a thread."""
    author: str
    body: str


def dialogues(
    comments: Sequence[Comment], *, keep: Literal["longest", "all"] = "longest", max_turns: int = 50
) -> list[list[Comment]]:
    """Turn threads, in which many talk at once, into dialogues, in which one answers the other.

    A dialogue is a path of the tree from a first comment to one that nobody answered. A deleted
    comment ends the tree above it, and its answers begin trees of their own; so does an answer
    to something that is not there.

    Args:
        comments: of one thread or many, in any order.
        keep: `longest`: of each tree its longest path (the first of equals); `all`: every path, so
            that the opening turns of a thread come once for each of its ends.
        max_turns: only the last so many turns of a path.

    Returns:
        Dialogues of at least two turns, in the order of their last comment.

    Raises:
        ValueError: if an id comes twice, comments answer one another in a circle, keep is unknown
            or max_turns < 2.

    Cost: linear in the comments and in what is returned.
    Source: one chain a thread: Zhang et al. 2022, OPT, arXiv:2205.01068, section 2.3.
    Lesson: notebooks/02_sources.ipynb
    """
    if keep not in ("longest", "all") or max_turns < 2:
        raise ValueError(
            f"keep must be 'longest' or 'all' and max_turns at least 2, got {keep!r}, {max_turns}"
        )
    depth, root = _depths(comments)
    place = {comment.id: i for i, comment in enumerate(comments)}
    answered = {c.parent for c in comments if c.id in depth}
    ends = [c for c in comments if c.id in depth and c.id not in answered]
    if keep == "longest":
        best: dict[str, Comment] = {}
        for end in ends:
            known = best.get(root[end.id])
            if known is None or depth[end.id] > depth[known.id]:
                best[root[end.id]] = end
        ends = sorted(best.values(), key=lambda end: place[end.id])
    found = []
    for end in ends:
        path = [end]
        while len(path) < max_turns and depth[path[-1].id] > 1:
            path.append(comments[place[str(path[-1].parent)]])
        if len(path) > 1:
            found.append(path[::-1])
    return found


def _depths(comments: Sequence[Comment]) -> tuple[dict[str, int], dict[str, str]]:
    """Return depth (1 for the first) and root of every comment that was not deleted."""
    known = {comment.id: comment for comment in comments}
    if len(known) < len(comments):
        seen: set[str] = set()
        twice = next(c.id for c in comments if c.id in seen or seen.add(c.id))  # type: ignore
        raise ValueError(f"the comment {twice!r} comes twice: give each an id of its own")
    there = {c.id for c in comments if c.body.strip() not in DELETED}
    depth: dict[str, int] = {}
    root: dict[str, str] = {}
    for comment in comments:
        path: list[str] = []
        on_path: set[str] = set()
        at: str | None = comment.id
        while at in there and at not in depth:
            if at in on_path:
                raise ValueError(f"the comments answer one another in a circle at {at!r}")
            path.append(at)
            on_path.add(at)
            at = known[at].parent
        for name in reversed(path):
            parent = known[name].parent
            depth[name] = depth.get(parent, 0) + 1 if parent is not None else 1
            root[name] = root.get(parent, name) if parent is not None else name
    return depth, root


def clean_latex(source: str, *, max_growth: int = 20) -> str:
    r"""Clean the LaTeX source of a paper as LLaMA did: what a reader reads, macros written out.

    Comments go; so does everything before the first \section (or, without one, before
    \begin{document}), the bibliography, and what follows \end{document}. Macros that the author
    defined are replaced by their bodies, so that two papers write the same thing alike.

    Args:
        source: one .tex file.
        max_growth: refuse macros that blow the text up to more than so many times its length.

    Returns:
        LaTeX; commands of LaTeX itself stay.

    Raises:
        ValueError: if the macros blow the text up beyond measure, as definitions that call
            themselves do.

    Cost: linear in the source for each of at most ten rounds of expansion.
    Source: Touvron et al. 2023, LLaMA, arXiv:2302.13971, section 2.1 (after Lewkowycz et al. 2022).
    Lesson: notebooks/02_sources.ipynb
    """
    text = _COMMENT.sub(r"\1", source)
    macros, text = _definitions(text)
    section, begin = _SECTION.search(text), _BEGIN.search(text)
    text = text[section.start() if section else begin.end() if begin else 0 :]
    end = _END.search(text)
    text = text[: end.start()] if end else text
    text = _REFERENCE_COMMANDS.sub("", _without_references(text))
    limit = max_growth * max(len(source), 1000)
    for _ in range(MAX_PASSES):
        new = _expanded(text, macros, limit)
        if new == text:
            break
        text = new
    return re.sub(r"[ \t]+\n", "\n", re.sub(r"\n{3,}", "\n\n", text)).strip()


def _without_references(text: str) -> str:
    """Leave out each bibliography, up to its end or to that of the text."""
    kept, at, inside = [], 0, False
    for mark in _REFERENCES.finditer(text):
        opens = mark.group().startswith("\\begin")
        if opens and not inside:
            kept.append(text[at : mark.start()])
        at, inside = mark.end(), opens
    return "".join(kept) + ("" if inside else text[at:])


def _braces(text: str) -> dict[int, int]:
    """Return, for each opening brace that is closed, where."""
    found: dict[int, int] = {}
    open_: list[int] = []
    for match in _BRACE.finditer(text):
        if match.group() == "{":
            open_.append(match.start())
        elif match.group() == "}" and open_:
            found[open_.pop()] = match.start()
    return found


def _definitions(text: str) -> tuple[dict[str, tuple[int, str]], str]:
    """Collect the author's macros, {name: (number of arguments, body)}, and cut them out."""
    closing = _braces(text)
    macros: dict[str, tuple[int, str]] = {}
    kept, at = [], 0
    for match in _DEFINITION.finditer(text):
        opening = match.end()
        if match.start() < at or opening not in closing:
            continue
        name = next(group for group in match.group(1, 3, 5) if group)
        n_arguments = int(match[2] or 0) or (match[4] or "").count("#")
        body = text[opening + 1 : closing[opening]]
        if match[5]:
            body = rf"\operatorname{{{body}}}"
        macros[name] = (n_arguments, body)
        kept.append(text[at : match.start()])
        at = closing[opening] + 1
    return macros, "".join(kept) + text[at:]


def _expanded(text: str, macros: dict[str, tuple[int, str]], limit: int) -> str:
    """Replace each call of a macro once; those inside its arguments and body stay for later."""
    closing = _braces(text)
    out, at, size = [], 0, 0
    for call in _CALL.finditer(text):
        if call.start() < at or call.group() not in macros:
            continue
        n_arguments, body = macros[call.group()]
        arguments: list[str] = []
        end = call.end()
        while len(arguments) < n_arguments and text[end : end + 1] == "{" and end in closing:
            arguments.append(text[end + 1 : closing[end]])
            end = closing[end] + 1
        if len(arguments) < n_arguments:
            continue
        longest = max(map(len, arguments), default=0)
        size += call.start() - at + len(body) + body.count("#") * longest  # at most
        if size > limit:
            raise ValueError(
                f"the macros grow the text to over {limit:,} characters at {call.group()!r}: "
                "a definition calls itself; leave this source out"
            )
        out += [text[at : call.start()], _filled(body, arguments)]
        at = end
    return "".join(out) + text[at:]


def _filled(body: str, arguments: Sequence[str]) -> str:
    return _ARGUMENT.sub(
        lambda m: arguments[int(m[1]) - 1] if 0 < int(m[1]) <= len(arguments) else m[0], body
    )


def clean_question(
    title: str, question: str, answers: Iterable[tuple[int, str]], *, max_answers: int | None = None
) -> str:
    """Turn a question of Stack Exchange and its answers into one text, the best answer first.

    Args:
        title: plain text.
        question: HTML.
        answers: pairs (score, HTML).
        max_answers: keep only so many of the best.

    Returns:
        Title, question and answers, without HTML, an empty line between them. Answers stand from
        the highest score to the lowest; of equal scores the earlier comes first. An answer
        without a word is left out.

    Raises:
        ValueError: if max_answers is negative.

    Source: Touvron et al. 2023, LLaMA, arXiv:2302.13971, section 2.1.
    Lesson: notebooks/02_sources.ipynb
    """
    if max_answers is not None and max_answers < 0:
        raise ValueError(f"max_answers must be None or at least 0, got {max_answers}")
    ordered = sorted(answers, key=lambda answer: -answer[0])
    bodies = [html_text(body, rule=None, names=False) for _, body in ordered[:max_answers]]
    parts = [title.strip(), html_text(question, rule=None, names=False), *bodies]
    return "\n\n".join(part for part in parts if part)
