"""The lesson workshop: python -m tools.notebooks VERB [LESSON ...]

A lesson may be written as `14`, `14_rope` or a path; without one, a verb takes them all.
CONTRIBUTING.md tells how a lesson is written; `tools/masters.py` what a master is.
"""

from pathlib import Path
from typing import Annotated

import typer

from tools.masters import Course, LessonError

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
Check = Annotated[bool, typer.Option("--check", help="write nothing; fail if it is out of date")]
Lessons = Annotated[list[str] | None, typer.Argument(help="14, 14_rope or a path; none: all")]


def _course() -> Course:
    return Course(Path(__file__).resolve().parents[1])


@app.command()
def build(lessons: Lessons = None) -> None:
    """Run masters from top to bottom and write the notebooks, records and costs."""
    from tools import build as builder

    for name in _course().choose(lessons or []):
        print(builder.build(_course(), name), flush=True)


@app.command()
def claims(
    check: Check = False,
) -> None:
    """Write notebooks/CLAIMS.md, the page of all claims and verdicts."""
    from tools import ledger

    _write(_course().root / "notebooks" / "CLAIMS.md", ledger.page(_course()), check=check)


def _write(path: Path, text: str, *, check: bool) -> None:
    """Write a generated page, or with check fail if it is not up to date."""
    old = path.read_text(encoding="utf-8") if path.is_file() else ""
    if check and old != text:
        raise LessonError(f"{path.name} is not up to date; run the same command without --check")
    if old != text:
        path.write_text(text, encoding="utf-8")
    print(f"{path.name}: {'up to date' if old == text else 'written'}")


def main() -> None:
    """Run a verb; a mistake in a lesson ends with one message and status 1."""
    try:
        app(standalone_mode=True)
    except (LessonError, ValueError) as error:
        typer.echo(str(error), err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
