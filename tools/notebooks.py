"""The lesson workshop: python -m tools.notebooks VERB [LESSON ...]

A lesson may be written as `14`, `14_rope` or a path; without one, a verb takes them all.
CONTRIBUTING.md tells how a lesson is written; `tools/masters.py` what a master is.
"""

from concurrent.futures import ThreadPoolExecutor
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
def check(lessons: Lessons = None) -> None:
    """Say what a lesson lacks and whether its notebook is up to date; nothing is executed."""
    from tools import anatomy

    course, failed = _course(), 0
    for name in course.choose(lessons or []):
        wrong = anatomy.problems(course, name)
        failed += bool(wrong)
        print(f"{name}: {'in order' if not wrong else f'{len(wrong)} problems'}")
        for line in wrong:
            print(f"  problem: {line}")
        for line in anatomy.advice(course, name) if course.notebook(name).is_file() else []:
            print(f"  advice:  {line}")
    seconds = sum(cost["cpu_seconds"] for cost in anatomy.read_costs(course).values())
    print(f"all lessons together: {seconds / 60:.1f} CPU minutes")
    if failed or seconds > anatomy.COURSE_CPU_SECONDS:
        raise LessonError(f"{failed} lessons to mend; at most 45 CPU minutes in all")


@app.command()
def pull(
    lesson: str,
    edited: Annotated[Path | None, typer.Option("--from", help="the edited notebook")] = None,
) -> None:
    """Bring edits made in JupyterLab (work/ or notebooks/) back into the master."""
    from tools import pull as puller

    (name,) = _course().choose([lesson])
    lines = puller.pull(_course(), name, edited)
    print("\n".join(lines) if lines else f"{name}: nothing to bring back")


@app.command()
def new(name: str) -> None:
    """Write the skeleton of a lesson, such as 14_rope."""
    from tools import skeleton

    print(skeleton.new(_course(), name))


@app.command()
def solutions(
    lessons: Lessons = None,
    run: Annotated[bool, typer.Option("--run", help="execute them as well")] = False,
) -> None:
    """Write the solved notebooks to work/solutions/, which git ignores."""
    from tools import build as builder

    course = _course()
    for name in course.choose(lessons or []):
        path = course.root / "work" / "solutions" / f"{name}.ipynb"
        notebook = (
            builder.execute(course, name, solved=True)[0]
            if run
            else builder.prepare(course.master(name), solved=True)
        )
        builder.write_notebook(path, notebook)
        print(f"work/solutions/{name}.ipynb")


@app.command()
def homework(lessons: Lessons = None) -> None:
    """Prove the exercises: solved, unsolved, and at least five wrong solutions of each."""
    from tools import homework as prover

    course, failed = _course(), []
    names = course.choose(lessons or [])
    with ThreadPoolExecutor(2) as pool:  # each proof is a process of its own
        for name, proof in [(n, pool.submit(prover.run, course, n)) for n in names]:
            try:
                print(proof.result(), flush=True)
            except LessonError as error:
                failed.append(name)
                print(error, flush=True)
    if failed:
        raise LessonError(f"exercises to mend: {', '.join(failed)}")


@app.command()
def slides(
    lessons: Lessons = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="also a PDF (needs Chromium)")] = False,
    png: Annotated[bool, typer.Option("--png", help="also a picture of each slide")] = False,
    look: Annotated[bool, typer.Option("--look", help="fail if a slide overflows")] = False,
) -> None:
    """Build decks into slides/built/, one self-contained HTML file each."""
    from tools import slides as decks

    course = _course()
    with_deck = [
        name for name in course.choose(lessons or []) if lessons or course.deck(name).is_file()
    ]
    extra = [word for word, wanted in (("--pdf", pdf), ("--png", png)) if wanted]
    for name in with_deck:
        path = decks.build(course, name, *extra)
        print(f"slides/built/{path.name}: {path.stat().st_size / 1000:.0f} KB", flush=True)
        if look:
            from tools.frame import overflows

            if wrong := overflows(course, name):
                raise LessonError("\n  ".join([f"slides/{name}.md does not fit:", *wrong]))
            print("  every slide fits into its frame", flush=True)


@app.command()
def table(check: Check = False) -> None:
    """Write the table of lessons in README.md."""
    from tools.table import readme_with_table

    _write(_course().root / "README.md", readme_with_table(_course()), check=check)


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
