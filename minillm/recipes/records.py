"""Recorded runs: seeds times settings, made once by one resumable command, read by the lessons.

    python -m minillm.recipes records                which studies there are, and what is missing
    python -m minillm.recipes records mixtures       make what is missing of one study
    python -m minillm.recipes records all

A study is a `Job`: named settings (its arms), seeds, and a function that carries out one run. Each
run is written to `data/results/<job>/<arm>-<seed>.json` as soon as it is done, with its settings,
seed, machine, versions and commit, so that Ctrl-C loses at most the run that was going on. A run
is made again only when its settings, or the code of the study, are no longer those of the record.
"""

import ast
import hashlib
import importlib
import inspect
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import minillm
from minillm.evaluate import Interval, mean_interval, paired_difference

RESULTS = Path(minillm.__file__).parents[1] / "data" / "results"
STUDIES = Path(__file__).parent / "studies"
SEEDS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Job:
    """A study: every arm is run with every seed.

    Lesson: notebooks/02_sources.ipynb
    """

    name: str
    """Also the name of its file in `recipes/studies/` and of its folder in `data/results/`."""

    title: str
    """One line: which question is asked."""

    lesson: str
    """Number of the lesson that reads it, such as `08`."""

    arms: Mapping[str, Mapping[str, Any]]
    """Settings by name; everything in them is a number, a text, or a list or dict of such."""

    run: Callable[[Mapping[str, Any], int], Mapping[str, float]]
    """(settings of an arm, seed) -> what was measured, by name. It sets its own seeds."""

    seeds: tuple[int, ...] = SEEDS

    def __post_init__(self) -> None:
        for arm in self.arms:
            if not arm.replace("_", "").replace(".", "").isalnum():
                raise ValueError(f"{self.name}: an arm is named by letters and digits, got {arm!r}")
        if not self.arms or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"{self.name}: it needs an arm at least, and no seed twice")


@dataclass(frozen=True)
class Results:
    """What the runs of one study measured."""

    job: str
    measured: Mapping[str, Mapping[int, Mapping[str, Any]]]
    """arm -> seed -> name -> value."""
    provenance: str = field(default="", repr=False)
    """One line for the reader: runs, machine, commit."""

    @property
    def seeds(self) -> list[int]:
        """The seeds that every arm has, in order."""
        sets = [set(runs) for runs in self.measured.values()]
        return sorted(set.intersection(*sets)) if sets else []

    def values(self, arm: str, name: str) -> list[Any]:
        """One measured value of an arm, by seed.

        Raises:
            ValueError: if the study has no such arm, or measured nothing of that name.
        """
        if arm not in self.measured:
            raise ValueError(f"{self.job} has no arm {arm!r}; it has {', '.join(self.measured)}")
        runs = [self.measured[arm][seed] for seed in self.seeds]
        if any(name not in run for run in runs):
            raise ValueError(f"{self.job} has no {name!r}; it has {', '.join(runs[0])}")
        return [run[name] for run in runs]

    def mean(self, arm: str, name: str, level: float = 0.95) -> Interval:
        """Mean over the seeds, with its interval."""
        return mean_interval(self.values(arm, name), level)

    def difference(self, arm: str, against: str, name: str, level: float = 0.95) -> Interval:
        """Mean of `arm` minus mean of `against`, paired by seed."""
        return paired_difference(self.values(arm, name), self.values(against, name), level)


def jobs() -> dict[str, Job]:
    """Every study of `recipes/studies/`, by name."""
    names = sorted(path.stem for path in STUDIES.glob("*.py") if path.stem != "__init__")
    return {name: find_job(name) for name in names}


def find_job(name: str) -> Job:
    """Look a study up.

    Raises:
        ValueError: if there is none of that name; the message lists those that there are.
    """
    known = sorted(path.stem for path in STUDIES.glob("*.py") if path.stem != "__init__")
    if name not in known:
        raise ValueError(f"no study {name!r}; there are {', '.join(known) or 'none yet'}")
    job: Job = importlib.import_module(f"minillm.recipes.studies.{name}").JOB
    return job


def read_results(job: Job | str, results: Path = RESULTS) -> Results:
    """Read what is recorded of a study.

    Args:
        job: the study or its name.
        results: folder of all recorded runs.

    Raises:
        ValueError: if there is no such study, or nothing of it is recorded.

    Lesson: notebooks/02_sources.ipynb
    """
    job = find_job(job) if isinstance(job, str) else job
    found: dict[str, dict[int, Mapping[str, Any]]] = {arm: {} for arm in job.arms}
    notes = []
    for arm in job.arms:
        for seed in job.seeds:
            path = _path(job, arm, seed, results)
            if path.is_file():
                notes.append(json.loads(path.read_text("utf-8")))
                found[arm][seed] = notes[-1]["measured"]
    if not notes:
        raise ValueError(
            f"nothing is recorded of {job.name}; run: python -m minillm.recipes records {job.name}"
        )
    machines = sorted({note["machine"]["cpu"] for note in notes})
    days = sorted({note["date"] for note in notes})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    n_seeds = len({note["seed"] for note in notes})
    said = f"{len(notes)} recorded runs, {n_seeds} seeds, {', '.join(machines)}, {when}"
    return Results(job.name, found, said)


def missing(job: Job, results: Path = RESULTS) -> list[tuple[str, int]]:
    """The (arm, seed) pairs without a record, or with one of other settings or other code."""
    code = code_sha256(job)
    wanted = []
    for seed in job.seeds:  # seed by seed, so that an unfinished study can already be compared
        for arm, settings in job.arms.items():
            path = _path(job, arm, seed, results)
            note = json.loads(path.read_text("utf-8")) if path.is_file() else {}
            if note.get("config") != _plain(settings) or note.get("code_sha256") != code:
                wanted.append((arm, seed))
    return wanted


def record(
    job: Job, results: Path = RESULTS, *, seeds: Sequence[int] = (), progress: bool = True
) -> int:
    """Carry out the runs of a study that are missing, and write each one down.

    Args:
        job: the study.
        results: folder of all recorded runs.
        seeds: only these; none means all.
        progress: show a bar.

    Returns:
        How many runs were made.

    Raises:
        KeyboardInterrupt: on Ctrl-C; what was done is kept.
    """
    from tqdm import tqdm

    wanted = [(arm, seed) for arm, seed in missing(job, results) if not seeds or seed in seeds]
    for arm, seed in tqdm(wanted, desc=job.name, unit=" runs", disable=not progress):
        record_run(job, arm, seed, results)
    return len(wanted)


def record_run(job: Job, arm: str, seed: int, results: Path = RESULTS) -> None:
    """Carry out one run of a study, whatever is recorded of it, and write it down."""
    began = time.process_time()
    measured = dict(job.run(job.arms[arm], seed))
    note = {
        "job": job.name,
        "arm": arm,
        "seed": seed,
        "config": _plain(job.arms[arm]),
        "code_sha256": code_sha256(job),
        "machine": machine(),
        "versions": versions(),
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
        "cpu_seconds": round(time.process_time() - began, 1),
        "measured": measured,
    }
    write_note(_path(job, arm, seed, results), note)


def write_note(path: Path, note: Mapping[str, Any]) -> None:
    """Write a record as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    text = json.dumps(note, indent=1, ensure_ascii=False, allow_nan=False)
    part.write_text(text + "\n", encoding="utf-8")
    os.replace(part, path)


def code_sha256(job: Job) -> str:
    """Hash of the code of a study, its docstrings and its layout left out."""
    tree = ast.parse(Path(inspect.getfile(job.run)).read_text("utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            body[0] = ast.Pass()  # type: ignore[index]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def machine() -> dict[str, Any]:
    """What kind of machine this is; nothing that names it."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        cpu = lines[0].partition(":")[2].strip() if lines else cpu
    return {"system": platform.system(), "cpu": cpu, "cores": os.cpu_count()}


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that numbers depend on."""
    from importlib import metadata

    found = {name: metadata.version(name).split("+")[0] for name in ("torch", "numpy")}
    return {"python": platform.python_version(), **found}


def commit() -> str:
    """The commit of the checkout; `+` behind it where files were changed since, or nothing."""
    git = ["git", "-C", str(Path(minillm.__file__).parents[1])]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
        dirty = subprocess.run(
            [*git, "status", "--porcelain", "minillm"], capture_output=True, text=True
        )
    except OSError:
        return ""
    return head.stdout.strip()[:12] + "+" * bool(dirty.stdout.strip())


def _path(job: Job, arm: str, seed: int, results: Path) -> Path:
    return results / job.name / f"{arm}-{seed}.json"


def _plain(settings: Mapping[str, Any]) -> Any:
    """Settings as JSON gives them back: tuples become lists."""
    return json.loads(json.dumps(settings))
