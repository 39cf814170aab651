"""Questions with answers that can be checked by running them: the doctests of the packages.

A docstring's example `>>> 1 + 1` with the line `2` below it is a question and its answer, written
by the people who wrote the library. Since the library is installed, the answer can be verified:
a source of exact right and wrong that costs nothing.
"""

import contextlib
import doctest
import importlib
import io
import json
import warnings
from dataclasses import dataclass

from minillm.data.harvest import Record, harvest

_OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


@dataclass(frozen=True)
class Doctest:
    """One question and its answer."""

    origin: str
    """File below site-packages and the documented name, parted by `::`."""
    source: str
    """What is typed, without the prompt, ending in a newline."""
    want: str
    """What is printed, ending in a newline."""
    before: tuple[str, ...] = ()
    """The sources of the earlier examples of the docstring, which this one may need."""

    @property
    def module(self) -> str:
        """The module that the docstring belongs to, such as `numpy.linalg`."""
        path = self.origin.partition("::")[0].removeprefix("python/").removesuffix(".py")
        return path.removesuffix("/__init__").replace("/", ".")

    def __str__(self) -> str:
        first, *others = self.source.rstrip("\n").split("\n")
        lines = [f">>> {first}", *(f"... {line}" for line in others)]
        return "\n".join([*lines, self.want.rstrip("\n")])


def doctests_of(records: list[Record]) -> list[Doctest]:
    """Turn the records of the harvest into one Doctest for each example that prints something."""
    found = []
    for origin, text in records:
        before: tuple[str, ...] = ()
        for source, want in json.loads(text):
            if want:
                found.append(Doctest(origin, source, want, before))
            before = (*before, source)
    return found


def load_doctests(*, progress: bool = True) -> list[Doctest]:
    """Return every question and answer pair of the harvest, in the order of their files.

    Cost: half a minute the first time, then under a second.
    Lesson: notebooks/02_sources.ipynb
    """
    return doctests_of(harvest("doctests", progress=progress))


def run_doctest(question: Doctest, *, context: bool = True) -> tuple[bool, str]:
    """Ask the interpreter: run a question and compare what it prints with the wanted answer.

    The module of the docstring is imported and the code is executed in this process, with its
    full rights: run only what came with the packages you installed.

    Args:
        question: from `load_doctests`.
        context: run the earlier examples of the same docstring first.

    Returns:
        Whether the answer is right (blanks normalised, `...` matches anything, as the packages'
        own tests do), and what was printed: the output, or one line naming the exception.
    """
    sources = (*question.before, question.source) if context else (question.source,)
    got: list[str] = []
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            names = dict(vars(importlib.import_module(question.module)))
        except Exception as error:
            return False, f"{type(error).__name__}: {error}"
        examples = [doctest.Example(source, "") for source in sources[:-1]]
        examples.append(doctest.Example(sources[-1], question.want, _raised(question.want)))
        test = doctest.DocTest(examples, names, question.origin, None, None, None)
        runner = _Asking(got)
        runner.run(test, out=lambda text: None, clear_globs=True)
    return runner.right, "".join(got)


def _raised(want: str) -> str | None:
    """Return the line that names the exception, if that is what is wanted."""
    if not want.startswith("Traceback ("):
        return None
    lines = want.splitlines(keepends=True)[1:]
    after = next((i for i, line in enumerate(lines) if not line[:1].isspace()), len(lines))
    return "".join(lines[after:]) or None


class _Asking(doctest.DocTestRunner):
    """Runs all examples and remembers how the last one went."""

    def __init__(self, got: list[str]) -> None:
        super().__init__(verbose=False, optionflags=_OPTIONS)
        self.got = got
        self.right = False

    def _remember(self, test: doctest.DocTest, example: doctest.Example, got: str) -> bool:
        if example is test.examples[-1]:
            self.got[:] = [got]
            return True
        return False

    def report_success(
        self, out: object, test: doctest.DocTest, example: doctest.Example, got: str
    ) -> None:
        self.right = self._remember(test, example, got)

    def report_failure(
        self, out: object, test: doctest.DocTest, example: doctest.Example, got: str
    ) -> None:
        self._remember(test, example, got)

    def report_unexpected_exception(
        self, out: object, test: doctest.DocTest, example: doctest.Example, exc_info: object
    ) -> None:
        kind, error = exc_info[:2]  # type: ignore[index]
        self._remember(test, example, f"{kind.__name__}: {error}")
