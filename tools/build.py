"""Build a notebook from its master: strip or keep solutions, execute, clean, write.

The kernel is the running interpreter, started in `notebooks/` (where the reader's kernel runs),
on one thread, with Python's hash seed fixed and the network cut. What changes from run to run is
taken out afterwards, so that a second build is byte-identical wherever the cells are deterministic.
"""

import gc
import json
import os
import re
import sys
import tempfile
import warnings
from pathlib import Path

import nbformat
import psutil
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from tools import ledger
from tools.machine import machine_class
from tools.masters import Course, LessonError, master_sha256, read_master, tags_of

TIMEOUT_SECONDS = 900
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,16}\b")
_KEPT_TAGS_OF_A_WIDGET = ("skip-execution", "nbval-skip")


def build(course: Course, name: str) -> str:
    """Build one student notebook; write its claims' records and its measured cost.

    Returns:
        One line that says what was done.

    Raises:
        LessonError: if a cell fails, naming the cell, or a claim is unknown.
    """
    notebook, claims, cost = execute(course, name, solved=False)
    notebook.metadata["minillm"] = {"master_sha256": master_sha256(course.master(name))}
    ledger.write_records(course, name, claims)
    _write_cost(course, name, cost)
    changed = write_notebook(course.notebook(name), notebook)
    said = "built" if changed else "built, unchanged"
    seconds, gigabytes = cost["cpu_seconds"], cost["peak_memory_gb"]
    return f"{name}: {said}; {seconds:.0f} s of CPU, {gigabytes:.2f} GB, {len(claims)} claims"


def execute(course: Course, name: str, *, solved: bool) -> tuple[NotebookNode, list[dict], dict]:
    """Run a master from top to bottom in a fresh kernel.

    Returns:
        The cleaned notebook, the measurements that its `claim` calls handed in, and its cost.
    """
    notebook = prepare(course.master(name), solved=solved)
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "claims.jsonl"
        environment = kernel_environment(course, record, solved=solved)
        cost, failure = _run(notebook, course.root / "notebooks", environment)
        lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
    with warnings.catch_warnings():  # a failed run leaves sockets open; close them here and now
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    if failure:
        raise LessonError(f"{name}: {_where(notebook)}\n{_plain(failure)}")
    return clean(notebook, course.root), [json.loads(line) for line in lines], cost


def _run(notebook: NotebookNode, folder: Path, environment: dict[str, str]) -> tuple[dict, str]:
    """Execute a notebook in place; hand back its cost and the text of its error, if any."""
    cost: dict = {}
    for tries_left in (2, 1, 0):
        client = NotebookClient(
            notebook,
            km=_kernel(),
            timeout=TIMEOUT_SECONDS,
            coalesce_streams=True,
            store_widget_state=False,
            resources={"metadata": {"path": str(folder)}},
        )
        client.on_notebook_complete = lambda notebook, client=client: cost.update(
            _measure(client.km)
        )
        try:
            client.execute(env=environment)
        except CellExecutionError as error:
            return cost, str(error)
        except RuntimeError as error:  # somebody has taken one of its ports before it could
            if "Kernel died before replying" not in str(error) or not tries_left:
                raise
        else:
            return cost, ""
    raise AssertionError("the last try returns or raises")


def prepare(path: Path, *, solved: bool) -> NotebookNode:
    """Read a master, number its cells, and mark its widgets as not to be executed."""
    notebook = read_master(path, solved=solved)
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id = f"c{number:03d}"
        tags = tags_of(cell)
        if "widget" in tags:
            tags += [tag for tag in _KEPT_TAGS_OF_A_WIDGET if tag not in tags]
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def kernel_environment(course: Course, record: Path, *, solved: bool) -> dict[str, str]:
    """The environment of the kernel: one thread, fixed seeds of hashing, no network."""
    offline = Path(__file__).parent / "offline"
    path = [str(offline)] if offline.is_dir() else []
    path += [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
    threads = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    fixed = {"PYTHONHASHSEED": "0", "TZ": "UTC", "COLUMNS": "78", "MINILLM_RECORD": str(record)}
    environment = os.environ | dict.fromkeys(threads, "1") | fixed
    environment |= {"PYTHONPATH": os.pathsep.join(path), "MINILLM_SOLVED": "1" if solved else "0"}
    environment.pop("MPLBACKEND", None)
    return environment


def clean(notebook: NotebookNode, root: Path) -> NotebookNode:
    """Take out what changes from run to run: run metadata, addresses, paths of this machine."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            for holder, key in _texts(output):
                holder[key] = _sanitize(holder[key], root)
    for key in ("language_info", "widgets"):
        notebook.metadata.pop(key, None)
    notebook.metadata["language_info"] = nbformat.from_dict({"name": "python"})
    return notebook


def write_notebook(path: Path, notebook: NotebookNode) -> bool:
    """Write a notebook if it differs from what lies there; say whether it did."""
    nbformat.validate(notebook)
    text = nbformat.writes(notebook, version=4).rstrip("\n") + "\n"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return True


def _texts(output: NotebookNode) -> list[tuple]:
    """The places of an output that hold text: (holder, key) pairs."""
    if output.output_type == "stream":
        return [(output, "text")]
    if output.output_type == "error":
        return [(output, "evalue"), *((output.traceback, i) for i in range(len(output.traceback)))]
    data = output.get("data", {})
    return [(data, kind) for kind in data if kind.startswith("text/")]


def _sanitize(text: str, root: Path) -> str:
    text = _ADDRESS.sub("0x...", text)
    for place, word in ((str(root), "."), (sys.prefix, "PYTHON"), (str(Path.home()), "~")):
        text = text.replace(place, word) if len(place) > 1 else text
    return text


def _kernel() -> AsyncKernelManager:
    """A kernel of the running interpreter, whatever kernels are installed beside it."""
    manager = AsyncKernelManager(kernel_name="python3")
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=40"]
    manager._kernel_spec = KernelSpec(argv=argv, display_name="Python 3", language="python")
    return manager


def _measure(manager: AsyncKernelManager) -> dict:
    """CPU seconds and peak memory of the kernel, before it is shut down."""
    process = psutil.Process(manager.provisioner.pid)
    times = process.cpu_times()
    children = (getattr(times, kind, 0) for kind in ("children_user", "children_system"))
    seconds = times.user + times.system + sum(children)
    status = Path(f"/proc/{process.pid}/status")
    if status.is_file():
        peak = int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) * 1024
    else:  # not Linux: Windows keeps the peak, elsewhere what is in use now stands for it
        memory = process.memory_info()
        peak = getattr(memory, "peak_wset", memory.rss)
    return {"cpu_seconds": seconds, "peak_memory_gb": peak / 1e9}


def _write_cost(course: Course, name: str, cost: dict) -> None:
    """Keep the measured cost; a change below a quarter is noise and leaves the file as it is."""
    costs = json.loads(course.costs.read_text()) if course.costs.exists() else {}
    old = costs.get(name, {})
    new = {
        "cpu_seconds": round(cost["cpu_seconds"], 1),
        "peak_memory_gb": round(cost["peak_memory_gb"], 2),
        "machine_class": machine_class(),
    }
    same = old.get("machine_class") == new["machine_class"] and all(
        abs(new[k] - old[k]) <= 0.25 * old[k] for k in ("cpu_seconds", "peak_memory_gb")
    )
    if same:
        return
    course.costs.parent.mkdir(parents=True, exist_ok=True)
    costs[name] = new
    course.costs.write_text(json.dumps(costs, indent=1, sort_keys=True) + "\n")


def _where(notebook: NotebookNode) -> str:
    """Name the cell that failed."""
    for cell in notebook.cells:
        if any(output.output_type == "error" for output in cell.get("outputs", [])):
            first = next(iter(cell.source.splitlines()), "")
            return f"cell {cell.id} failed ({first!r})"
    return "a cell failed"


def _plain(text: str) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", text).strip()
    return "\n".join(text.splitlines()[-25:])
