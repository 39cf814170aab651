"""Docstrings as text: the prose that programmers wrote to be read, and the examples in it.

Files are parsed with `ast` and never imported, so that reading a package runs none of its code.
"""

import ast
import doctest
import inspect
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
# numpy and torch document what is written in C by calls: add_docstr(torch.abs, r"""...""")
_DOCUMENTING_CALLS = {"add_newdoc", "add_docstr", "_add_docstr"}
_NO_SENTENCE = re.compile(
    r"[-*+#|@$%<>=~^\d(\[{:]"  # lists, headings, tables, directives, fields
    r"|\.\. |[^\n]*\n[-=~^]{3,}"  # a directive, a longer title with its underline
    r"|[*`\w., ]{1,60} ?: (?![^\n]*\.$)"  # `name : type`
    r"|[*`\w.]{1,40} ?\([^()\n]*\)(?::| ->| --)"  # `name (type): ...`, `name(x) -> ...`
)
_TITLE = re.compile(r"^[ \t]*[A-Z][\w ]{2,40}\n[ \t]*([-=~^])\1{2,}[ \t]*\n", re.MULTILINE)
_PARSER = doctest.DocTestParser()


@dataclass(frozen=True)
class Docstring:
    """One docstring: the name it documents (empty for a module) and its dedented text."""

    name: str
    text: str


def read_docstrings(source: bytes) -> list[Docstring]:
    """Read every docstring of a Python file, in the order of the file.

    Args:
        source: the bytes of the file; a coding line is honoured.

    Returns:
        Docstrings of the module, its classes and functions, and of calls such as
        `add_docstr(torch.abs, text)`. A file that this Python cannot parse gives none.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in other people's files
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            return []
    calls = any(name.encode() in source for name in _DOCUMENTING_CALLS)
    return [found for found in _walk(tree, "", calls) if found.text]


def _walk(node: ast.AST, name: str, calls: bool) -> Iterator[Docstring]:
    """Follow the statements below a node; expressions only when `calls` are to be found."""
    if isinstance(node, _DOCUMENTED):
        yield Docstring(name, ast.get_docstring(node) or "")
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield from _documenting_call(node.value)
    for field in ("body", "handlers", "orelse", "finalbody"):
        children = getattr(node, field, ())
        for child in children if isinstance(children, list) else ():
            if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                yield from _walk(child, f"{name}.{child.name}".lstrip("."), calls)
            elif calls or not isinstance(child, ast.Expr):
                yield from _walk(child, name, calls)


def _documenting_call(call: ast.Call) -> Iterator[Docstring]:
    function = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    function = call.func.id if isinstance(call.func, ast.Name) else function
    if function not in _DOCUMENTING_CALLS or not call.args:
        return
    strings = [
        node.value
        for node in ast.walk(call)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    target = ".".join(s for s in strings[:2] if s.isidentifier()) or ast.unparse(call.args[0])
    yield Docstring(target, inspect.cleandoc(max(strings, key=len, default="")))


def split_examples(text: str) -> tuple[str, list[doctest.Example]]:
    """Part a docstring into its prose and its doctest examples.

    Args:
        text: a dedented docstring.

    Returns:
        The text without the examples, and the examples (source and want). A docstring whose
        examples are malformed keeps its lines up to the first prompt and gives no example.
    """
    if ">>>" not in text:
        return text.strip(), []
    try:
        pieces = _PARSER.parse(text)
    except ValueError:
        pieces = [text[: text.index(">>>")]]
    prose = "".join(piece for piece in pieces if isinstance(piece, str))
    prose = re.sub(r"[ \t]+$", "", prose, flags=re.MULTILINE)
    prose = re.sub(r"\n{3,}", "\n\n", prose).strip()
    return prose, [piece for piece in pieces if isinstance(piece, doctest.Example)]


def running_text(prose: str) -> list[str]:
    """Keep the paragraphs of a docstring that are sentences; drop tables, lists and code.

    A paragraph is kept if it has 6 words or more, ends as a sentence does (. ! ? :), does not
    start as a list, a directive or an entry of a parameter table does, and if letters and blanks
    make up at least 85 % of it.

    Args:
        prose: a docstring without its examples.

    Returns:
        The kept paragraphs, in order, their indentation removed.
    """
    kept = []
    for block in re.split(r"\n[ \t]*\n", _TITLE.sub("\n", prose)):
        paragraph = "\n".join(line.strip() for line in block.split("\n")).strip()
        if (
            len(paragraph.split()) >= 6
            and paragraph.endswith((".", "!", "?", ":", '."', ".)"))
            and not _NO_SENTENCE.match(paragraph)
            and sum(c.isalpha() or c.isspace() for c in paragraph) >= 0.85 * len(paragraph)
        ):
            kept.append(paragraph)
    return kept
