"""Exercises: solved they pass, unsolved they say so, and wrong solutions are rejected.

Only the cells tagged `setup`, `exercise` and `check` run, in one fresh Python for each lesson.
Wrong solutions stand in `notebooks/src/mutants/NN_name.py`:

    MUTANTS = {"my_mask": [("one too far to the right", "def my_mask(T, S):\\n    ..."), ...]}

with at least five (label, source) pairs for each exercise. Each source is executed in the namespace
of the solved lesson, the check cells that name the exercise run again, and one of them must refuse.
"""

import contextlib
import io
import os
import runpy
import subprocess
import sys
from pathlib import Path

from tools.masters import Course, LessonError, exercises, read_master, tags_of

MIN_MUTANTS = 5
TIMEOUT_SECONDS = 900
KINDS = ("setup", "exercise", "check")


def run(course: Course, name: str) -> str:
    """Prove the exercises of a lesson in a fresh Python; return what it printed.

    Raises:
        LessonError: with the output, if a pass fails or a mutant survives.
    """
    command = [sys.executable, "-m", "tools.homework", str(course.root), name]
    offline = Path(__file__).parent / "offline"
    path = [str(offline), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "MPLBACKEND": "agg"}
    environment.pop("MINILLM_RECORD", None)
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise LessonError(f"{name}: the exercises take over {TIMEOUT_SECONDS} s") from None
    if done.returncode:
        raise LessonError(f"{name}: the exercises fail\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout.rstrip()


def prove(course: Course, name: str) -> None:
    """The solved pass, the unsolved pass and the mutants of one lesson, in this process."""
    names = _exercises(course, name)
    if not names:
        print(f"{name}: no exercises")
        return
    os.environ["MINILLM_SOLVED"] = "1"
    namespace, said = _run_cells(course, name, solved=True)
    _expect(name, names, said, "right")
    print(f"{name}: {len(names)} exercises right when solved")
    os.environ["MINILLM_SOLVED"] = "0"
    _, said = _run_cells(course, name, solved=False)
    _expect(name, names, said, "not written yet")
    print(f"{name}: {len(names)} exercises 'not written yet' when not")
    os.environ["MINILLM_SOLVED"] = "1"
    _prove_mutants(course, name, names, namespace)


def _exercises(course: Course, name: str) -> list[str]:
    cells = read_master(course.master(name), solved=False).cells
    return [e for c in cells if "exercise" in tags_of(c) for e in exercises(c.source)]


def _cells(course: Course, name: str, *, solved: bool) -> list[tuple[str, str]]:
    """(label, source) of the cells that homework runs; the first code cell is one of them."""
    cells = read_master(course.master(name), solved=solved).cells
    code = [c for c in cells if c.cell_type == "code"]
    kept = [c for i, c in enumerate(code) if i == 0 or set(tags_of(c)) & set(KINDS)]
    return [("check" if "check" in tags_of(c) else "", c.source) for c in kept]


def _run_cells(course: Course, name: str, *, solved: bool) -> tuple[dict, str]:
    """Run the cells in a new namespace; hand back the namespace and what was printed."""
    namespace: dict = {"__name__": "__main__"}
    printed = io.StringIO()
    for _, source in _cells(course, name, solved=solved):
        try:
            with contextlib.redirect_stdout(printed):
                exec(compile(source, f"<{name}>", "exec"), namespace)
        except Exception as error:
            first = source.splitlines()[0]
            state = "solved" if solved else "unsolved"
            text = f"{name}, {state}: the cell {first!r} raised {type(error).__name__}: {error}"
            raise LessonError(
                f"{text}\n(cells tagged setup, exercise and check must stand on their own)"
            ) from error
    return namespace, printed.getvalue()


def _expect(name: str, names: list[str], said: str, word: str) -> None:
    silent = [e for e in names if f"{e}: {word}" not in said]
    if silent:
        raise LessonError(f"{name}: no line '{silent[0]}: {word}' among\n{said}")


def _prove_mutants(course: Course, name: str, names: list[str], namespace: dict) -> None:
    path = course.sources / "mutants" / f"{name}.py"
    if not path.is_file():
        raise LessonError(f"{name}: there is no notebooks/src/mutants/{name}.py")
    mutants = runpy.run_path(str(path))["MUTANTS"]
    if unknown := set(mutants) - set(names):
        raise LessonError(f"{name}: mutants of {sorted(unknown)}, which are no exercises")
    checks = [source for label, source in _cells(course, name, solved=True) if label == "check"]
    survivors, total = [], 0
    for exercise in names:
        known = mutants.get(exercise, [])
        if len(known) < MIN_MUTANTS:
            raise LessonError(
                f"{name}: {exercise} has {len(known)} mutants; {MIN_MUTANTS} at least"
            )
        ours = [source for source in checks if exercise in source]
        for label, source in known:
            total += 1
            if not _is_caught(f"{exercise}: {label}", source, ours, namespace):
                survivors.append(f"{exercise}: {label}")
    print(f"{name}: {total - len(survivors)} of {total} mutants caught")
    if survivors:
        raise LessonError("not caught: " + "; ".join(survivors))


def _is_caught(label: str, mutant: str, checks: list[str], namespace: dict) -> bool:
    """Whether some check refuses a mutant; one that cannot even be defined is a mistake."""
    world = dict(namespace)
    try:
        exec(compile(mutant, f"<{label}>", "exec"), world)
    except Exception as error:
        raise LessonError(f"the mutant '{label}' cannot be defined: {error}") from error
    for check in checks:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(check, f"<check of {label}>", "exec"), world)
        except AssertionError:
            return True
    return False


if __name__ == "__main__":
    try:
        prove(Course(Path(sys.argv[1])), sys.argv[2])
    except LessonError as error:
        sys.exit(str(error))
