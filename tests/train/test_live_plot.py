"""The picture of a running run: when it is drawn, what is in it, and where it reads from."""

import math
import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

import minillm.train.live_plot as live_plot
from minillm.train import MetricsFile, TrainConfig, train
from minillm.train.live_plot import LivePlot, NotebookPicture, curve, describe, figure, watch


class Clock:
    """A clock that moves when it is told to, or when somebody sleeps."""

    def __init__(self):
        self.now, self.slept = 100.0, []
        self.at_sleep = lambda: None

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds
        self.at_sleep()


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(live_plot, "time", made)
    return made


@pytest.fixture
def shown():
    return []


def step(n, loss=1.0, **more):
    return {"step": n, "loss": loss, "grad_norm": 0.5, **more}


def test_at_most_once_a_second(clock, shown):
    live = LivePlot(show=lambda png, alt: shown.append(alt))
    for n in range(1, 31):
        live(step(n))
        clock.now += 0.25
    assert len(shown) == 8  # 30 steps in 7.5 seconds: at 0, 1, ... 7
    assert shown[1] == "Loss by step: step 5, loss 1.000."
    with live:
        pass
    assert shown[-1] == "Loss by step: step 30, loss 1.000."


def test_drawing_takes_a_tenth_of_the_time_at_most(clock, shown):
    def slow(png, alt):
        shown.append(alt)
        clock.now += 0.5

    live = LivePlot(show=slow)
    for n in range(1, 101):
        live(step(n))
        clock.now += 0.1
    assert len(shown) == 3  # in 11 seconds: 5 s from one that takes 0.5 s to the next


def test_a_run_draws_itself(new_model, counting, shown):
    how = TrainConfig(4, 4, 8, precision="float32", eval_every=2)
    with LivePlot(show=lambda png, alt: shown.append((png, alt)), every_seconds=1e9) as live:
        train(
            new_model(), counting(), how, log=live, evaluate=lambda m: 2.0, progress=False,
        )  # fmt: skip
    assert len(shown) == 2  # the first step and the end
    png, alt = shown[-1]
    assert png.startswith(b"\x89PNG")
    assert alt.startswith("Loss by step: step 4, loss ")


def test_nothing_to_draw(shown):
    with LivePlot(show=lambda png, alt: shown.append(alt)):
        pass
    assert shown == []
    assert describe([]) == "Loss by step: no step yet."


def test_what_is_in_the_picture():
    records = [step(1, 3.0), step(2, 2.0), {"step": 2, "evaluate": {"held_out": 2.5}}]
    records += [{"step": 1, "rewind": {"skipped": 3}}, step(2, 1.5), step(3, None), step(4, 1.0)]
    left, right = figure(records).axes
    loss, held_out, rewind = left.lines
    assert list(rewind.get_xdata()) == [1, 1]
    assert [t.get_text() for t in left.get_legend().get_texts()] == [
        "training",
        "evaluate: held_out",
    ]
    assert (held_out.get_xdata().tolist(), held_out.get_ydata().tolist()) == ([2], [2.5])
    x, y = loss.get_data()
    assert x.tolist()[:2] == [1, 2]
    assert math.isnan(x[2])  # no line from the end of one branch to the start of the other
    assert x.tolist()[3:] == [2, 3, 4]
    assert y.tolist()[:2] == [3.0, 2.0]
    assert [y[3], y[5]] == [1.5, 1.0]
    assert math.isnan(y[4])
    assert (right.get_ylabel(), len(right.lines)) == ("gradient norm", 1)
    assert describe(records) == "Loss by step: step 4, loss 1.000, gone back 1 times."


def test_curves():
    records = [step(1, 3.0, lr=0.1), {"step": 1, "evaluate": {"a": 1.0}}, step(2, math.inf)]
    assert curve(records, "lr") == ([1], [0.1])
    assert curve(records, "evaluate/a") == ([1], [1.0])
    assert curve(records, "evaluate/b") == ([], [])
    assert math.isnan(curve(records, "loss")[1][1])


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan])
def test_bad_times(seconds, shown, tmp_path):
    with pytest.raises(ValueError, match=f"every_seconds must be positive, got {seconds}"):
        LivePlot(every_seconds=seconds, show=shown.append)
    with pytest.raises(ValueError, match=f"seconds must be positive, got {seconds}"):
        watch(tmp_path / "m.jsonl", seconds=seconds, show=shown.append)


# ---- of another process ------------------------------------------------------------------------


def test_watches_a_file_until_the_last_step(clock, shown, tmp_path):
    path = tmp_path / "metrics.jsonl"
    steps = iter(range(1, 6))

    def another_process():
        n = next(steps)
        log = MetricsFile(path) if n == 1 else writing[0]
        writing[:] = [log]
        if n not in (3, 5):  # 3: nothing new, no new picture
            log(step(n))
        if n == 4:  # a line that is half written is not read
            with path.open("a") as file:
                file.write('{"step": 5, "lo')
        if n == 5:
            with path.open("a") as file:
                file.write('ss": 0.5}\n')

    writing = []
    clock.at_sleep = another_process
    watch(path, steps=5, show=lambda png, alt: shown.append(alt))
    words = "Loss by step: step {}, loss {}."
    assert shown == [words.format(n, loss) for n, loss in
                     [(1, "1.000"), (2, "1.000"), (4, "1.000"), (5, "0.500")]]  # fmt: skip
    assert clock.slept == [1.0] * 5


def test_watches_for_as_long_as_asked(clock, shown, tmp_path):
    watch(tmp_path / "none.jsonl", seconds=2.5, show=lambda png, alt: shown.append(alt))
    assert shown == []
    assert clock.slept == [1.0, 1.0, 0.5]


def test_an_evaluation_of_the_last_step_alone_is_no_end(clock, shown, tmp_path):
    log = MetricsFile(tmp_path / "m.jsonl")
    log({"step": 5, "evaluate": {"a": 1.0}})
    watch(tmp_path / "m.jsonl", steps=5, seconds=3, show=lambda png, alt: shown.append(alt))
    assert len(clock.slept) == 3


def test_ctrl_c_ends_the_watching_only(clock, tmp_path):
    def pressed():
        raise KeyboardInterrupt

    clock.at_sleep = pressed
    watch(tmp_path / "none.jsonl", show=lambda png, alt: None)
    assert clock.slept == [1.0]


def test_a_run_of_another_process(shown, tmp_path):
    """For real: another Python writes, this one watches, by the true clock."""
    path = tmp_path / "metrics.jsonl"
    code = (
        "import json, sys, time\n"
        "for n in range(1, 4):\n"
        "    with open(sys.argv[1], 'a') as f:\n"
        "        f.write(json.dumps({'step': n, 'loss': 1 / n}) + '\\n')\n"
        "    time.sleep(0.05)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)]):
        watch(
            path, steps=3, seconds=60, every_seconds=0.02,
            show=lambda png, alt: shown.append(alt),
        )  # fmt: skip
    assert shown[-1] == "Loss by step: step 3, loss 0.333."


# ---- in a notebook -----------------------------------------------------------------------------


def test_the_picture_changes_in_its_place(monkeypatch):
    shown, changed = [], []
    handle = SimpleNamespace(update=lambda data, **how: changed.append((data, how)))

    def display(data, *, display_id, **how):
        assert display_id is True
        shown.append((data, how))
        return handle

    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setattr("IPython.display.display", display)
    live = LivePlot(every_seconds=1e-9)
    live(step(1))
    live.draw()
    assert (len(shown), len(changed)) == (1, 1)
    data, how = changed[0]
    assert data["text/plain"] == "Loss by step: step 1, loss 1.000."
    assert data["image/png"].startswith("iVBOR")
    assert how == {
        "raw": True,
        "metadata": {"image/png": {"alt": "Loss by step: step 1, loss 1.000."}},
    }


def test_outside_a_notebook_there_is_nowhere_to_draw(monkeypatch, tmp_path):
    for here in (None, SimpleNamespace(kernel=None), SimpleNamespace()):
        monkeypatch.setattr("IPython.get_ipython", lambda here=here: here)
        for start in (NotebookPicture, LivePlot, lambda: watch(tmp_path / "m.jsonl")):
            with pytest.raises(RuntimeError, match=r"no notebook.*TensorBoardLog, or give show"):
                start()


def test_it_draws_outside_the_main_thread(shown):
    live = LivePlot(show=lambda png, alt: shown.append(os.getpid()))
    thread = threading.Thread(target=live, args=(step(1),))
    thread.start()
    thread.join()
    assert shown == [os.getpid()]
