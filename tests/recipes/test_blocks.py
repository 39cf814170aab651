"""The datatrove blocks: the same corpus as `clean` makes, from two processes, and with resume."""

import json

import pytest

from minillm.data.storyworld import make_corpus
from minillm.recipes.cleaning import CleanConfig, clean_folder

pytest.importorskip("datatrove", reason="the extra [scale] is not installed")
STORIES = make_corpus(5, 20, "en")
CONFIG = CleanConfig(rules=("gopher",), near=0.8)


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(4):
        texts = STORIES[5 * number : 5 * number + 5] + STORIES[:1]  # one is there five times
        texts += ["Too short."] if number == 2 else []
        lines = [json.dumps({"text": text}) for text in texts]
        (folder / f"{number}.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "bad.txt").write_bytes("Zürich".encode("latin-1"))
    return folder


def written(out):
    found = {}
    for path in sorted((out / "clean").glob("*.jsonl")):
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        found |= {row["id"]: row["text"] for row in rows}
    return found


def blocks_in_one_process(source, out, n_tasks):
    from minillm.recipes.cleaning.blocks import stages

    steps = stages(source, out, CONFIG)
    for number, pipeline in enumerate(steps):
        tasks = 1 if number == 1 else n_tasks
        for rank in range(tasks):
            data = None
            for step in pipeline:
                data = step.run(data, rank, tasks)
            list(data or ())
    return steps


def test_the_corpus_is_that_of_clean_whatever_the_number_of_tasks(source, tmp_path):
    report = clean_folder(source, tmp_path / "plain", CONFIG, progress=False)
    assert report["n_kept"] == 20
    for n_tasks in (1, 2, 3):
        steps = blocks_in_one_process(source, tmp_path / str(n_tasks), n_tasks)
        found = written(tmp_path / str(n_tasks))
        assert sorted(found.values()) == sorted(STORIES)
        assert sum(step.stats["not read: not UTF-8"].total for step in steps[0][:1]) == 1
        assert steps[1][0].stats["copies"].total == 5 - 1


@pytest.mark.dist
def test_two_processes_of_the_local_executor_and_a_second_call(source, tmp_path, monkeypatch):
    from minillm.recipes.cleaning.blocks import run_local

    run_local(source, tmp_path / "out", CONFIG, tasks=2, workers=2)
    assert sorted(written(tmp_path / "out").values()) == sorted(STORIES)
    parts = sorted(path.name for path in (tmp_path / "out" / "clean").glob("*.jsonl"))
    assert parts == ["00000.jsonl", "00001.jsonl"]
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "clean").glob("*.jsonl")}
    run_local(source, tmp_path / "out", CONFIG, tasks=2, workers=2)  # all tasks are done: nothing
    assert {p: p.stat().st_mtime_ns for p in before} == before
    with pytest.raises(ValueError, match="holds no file to read"):
        run_local(tmp_path / "out" / "logs", tmp_path / "other", CONFIG)


def test_the_pipelines_fit_the_other_executors(source, tmp_path):
    from datatrove.executor import SlurmPipelineExecutor

    from minillm.recipes.cleaning.blocks import stages

    first, _, _ = stages(source, tmp_path / "out", CONFIG)
    executor = SlurmPipelineExecutor(
        first, tasks=100, time="02:00:00", partition="cpu", logging_dir=str(tmp_path / "logs")
    )
    assert executor.world_size == 100
    assert [step.name for step in executor.pipeline] == [
        "minillm files", "minillm examine", "minillm sign",
    ]  # fmt: skip
