"""The build: byte-identical, cleaned, recorded; a failing cell is named."""

import json

import nbformat
import pytest

from tools import build
from tools.masters import LessonError, master_sha256, tags_of


def cells(course):
    return nbformat.read(course.notebook("98_sample"), as_version=4).cells


def cell_with(course, text):
    return next(cell for cell in cells(course) if text in cell.source)


def test_a_second_build_is_byte_identical(course):
    files = [*course.root.rglob("*.ipynb"), *course.root.rglob("*.json")]
    before = {path: path.read_bytes() for path in files}
    assert len(before) == 3  # the notebook, the record, the costs
    # a cost near the old one is noise and must not change the file, so make it surely near
    costs = json.loads(course.costs.read_text())
    said = build.build(course, "98_sample")
    after = {path: path.read_bytes() for path in files}
    before.pop(course.costs), after.pop(course.costs)
    assert before == after
    assert "built, unchanged" in said
    assert costs["98_sample"]["machine_class"] in course.costs.read_text()


def test_the_notebook_is_the_students(built):
    assert "raise NotImplementedError  # your code here" in cell_with(built, "def my_mask").source
    assert "SOLUTION" not in built.notebook("98_sample").read_text()
    assert cell_with(built, "check(my_mask").outputs[0].text == "my_mask: not written yet\n"


def test_what_changes_from_run_to_run_is_gone(built):
    text = built.notebook("98_sample").read_text()
    assert '"execution": {' not in text
    assert "<object object at 0x...>" in text.replace("object at", "object object at")
    assert str(built.root) not in text
    assert [cell.id for cell in cells(built)] == [
        f"c{i:03d}" for i in range(1, len(cells(built)) + 1)
    ]
    counts = [c.execution_count for c in cells(built) if c.cell_type == "code"]
    assert [n for n in counts if n] == list(range(1, len(counts)))  # all but the widget


def test_a_widget_is_not_executed(built):
    widget = cell_with(built, "a widget must not run")
    assert widget.outputs == []
    assert set(tags_of(widget)) == {"widget", "skip-execution", "nbval-skip"}


def test_the_hash_of_the_master_is_stored(built):
    notebook = nbformat.read(built.notebook("98_sample"), as_version=4)
    assert notebook.metadata.minillm.master_sha256 == master_sha256(built.master("98_sample"))


def test_time_and_memory_are_measured_and_small_changes_are_noise(course):
    costs = json.loads(course.costs.read_text())["98_sample"]
    assert 0.5 < costs["cpu_seconds"] < 60
    assert 0.05 < costs["peak_memory_gb"] < 4
    before = course.costs.read_bytes()
    near = {"cpu_seconds": costs["cpu_seconds"] * 1.2, "peak_memory_gb": costs["peak_memory_gb"]}
    build._write_cost(course, "98_sample", near)
    assert course.costs.read_bytes() == before
    build._write_cost(course, "98_sample", near | {"cpu_seconds": costs["cpu_seconds"] * 1.4})
    assert course.costs.read_bytes() != before


def test_a_failing_cell_is_named_and_nothing_is_written(course):
    master = course.master("98_sample")
    before = course.notebook("98_sample").read_bytes()
    master.write_text(master.read_text().replace("16**0.5)", "16**0.5 + None)"))
    with pytest.raises(LessonError, match=r"98_sample: cell c004 failed \('print") as caught:
        build.build(course, "98_sample")
    assert "TypeError" in str(caught.value)
    assert course.notebook("98_sample").read_bytes() == before


def test_solved_notebooks_run_with_the_solution(course):
    notebook, _, _ = build.execute(course, "98_sample", solved=True)
    checked = next(c for c in notebook.cells if "check(my_mask" in c.source)
    assert checked.outputs[0].text == "my_mask: right in all 3 cases\n"
    assert not any("SOLUTION" in cell.source for cell in notebook.cells)


def test_the_kernel_has_one_thread_no_network_and_is_this_python(course, tmp_path):
    env = build.kernel_environment(course, tmp_path / "r", solved=False)
    assert env["OMP_NUM_THREADS"] == env["NUMBA_NUM_THREADS"] == "1"
    assert env["PYTHONPATH"].split(":")[0].endswith("tools/offline")
    assert env["MINILLM_SOLVED"] == "0"
    assert env["MINILLM_RECORD"] == str(tmp_path / "r")


def test_a_kernel_whose_port_was_taken_is_started_again(course, monkeypatch):
    real, tries = build.NotebookClient.execute, []

    def sometimes(client, **told):
        tries.append("one")  # not the client, whose sockets would stay open
        if len(tries) < 3:
            raise RuntimeError("Kernel died before replying to kernel_info")
        return real(client, **told)

    monkeypatch.setattr(build.NotebookClient, "execute", sometimes)
    _, _, cost = build.execute(course, "98_sample", solved=False)
    assert len(tries) == 3
    assert cost["cpu_seconds"] > 0
