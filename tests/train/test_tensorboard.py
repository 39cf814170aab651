"""Event files: their bytes by hand, their checksums, and TensorBoard's own reader."""

import importlib.util
import math
import struct

import pytest

from minillm.train import TrainConfig, train
from minillm.train.metrics import log_to_all
from minillm.train.tensorboard import TensorBoardLog, crc32c, scalars

HAS_READER = importlib.util.find_spec("tensorboard") is not None
needs_reader = pytest.mark.skipif(
    not HAS_READER, reason="TensorBoard is not installed (57 MB); pip install tensorboard"
)


def test_checksums_of_the_rfc():
    """RFC 3720, appendix B.4; the last is the usual check value of catalogues."""
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(bytes(range(31, -1, -1))) == 0x113FDB5C
    assert crc32c(b"123456789") == 0xE3069283


def unmasked(four):
    (masked,) = struct.unpack("<I", four)
    rotated = (masked - 0xA282EAD8) & 0xFFFFFFFF
    return ((rotated >> 17) | (rotated << 15)) & 0xFFFFFFFF


def events(path):
    """The data of each record, checksums checked."""
    found, raw = [], path.read_bytes()
    while raw:
        (n,) = struct.unpack("<Q", raw[:8])
        assert unmasked(raw[8:12]) == crc32c(raw[:8])
        data = raw[12 : 12 + n]
        assert unmasked(raw[12 + n : 16 + n]) == crc32c(data)
        found.append(data)
        raw = raw[16 + n :]
    return found


@pytest.fixture
def at_noon(monkeypatch):
    monkeypatch.setattr("minillm.train.tensorboard.time.time", lambda: 1_700_000_000.5)


WHEN = b"\x09" + struct.pack("<d", 1_700_000_000.5)  # field 1, a double


def test_bytes_by_hand(tmp_path, at_noon):
    log = TensorBoardLog(tmp_path / "deep" / "run")
    log({"step": 300, "loss": 2.5, "lr": None})
    first, second = events(log.path)
    assert first == WHEN + b"\x1a\x0dbrain.Event:2"
    value = b"\x0a\x04loss" + b"\x15" + struct.pack("<f", 2.5)  # tag, simple_value
    summary = b"\x0a" + bytes([len(value)]) + value
    step = b"\x10\xac\x02"  # 300 = 2 * 128 + 44: 0xac says that more follows
    assert second == WHEN + step + b"\x2a" + bytes([len(summary)]) + summary


def test_a_session_that_goes_on_says_from_where(tmp_path, at_noon):
    log = TensorBoardLog(tmp_path, resume_at=4)
    assert events(log.path)[1] == WHEN + b"\x10\x05" + b"\x3a\x02\x08\x01"  # START at step 5


def test_a_long_record_needs_a_length_of_two_bytes(tmp_path, at_noon):
    log = TensorBoardLog(tmp_path)
    log({"step": 1, **{f"number {i:03}": float(i) for i in range(20)}})
    data = events(log.path)[1]
    rest = data[len(WHEN) + 2 :]
    assert rest[0] == 0x2A
    n = (rest[1] & 0x7F) | rest[2] << 7
    assert (rest[1] & 0x80, len(rest)) == (0x80, n + 3)


def test_what_is_no_number_is_left_out(tmp_path):
    record = {"step": 7, "loss": 1.0, "bits": None, "note": "hm", "flag": True,
              "evaluate": {"a": 2, "deeper": {"b": 3.5}}}  # fmt: skip
    assert dict(scalars(record)) == {
        "step": 7.0, "loss": 1.0, "flag": 1.0, "evaluate/a": 2.0, "evaluate/deeper/b": 3.5,
    }  # fmt: skip
    log = TensorBoardLog(tmp_path)
    log({"step": 7, "loss": None})
    assert len(events(log.path)) == 1  # nothing to tell


def test_every_session_has_its_file(tmp_path, at_noon):
    paths = [TensorBoardLog(tmp_path).path for _ in range(3)]
    assert len(set(paths)) == 3
    assert paths == sorted(paths)
    assert all("tfevents.1700000000." in p.name for p in paths)


def test_a_negative_step_to_go_on_from_is_refused(tmp_path):
    with pytest.raises(ValueError, match="resume_at must not be negative, got -1"):
        TensorBoardLog(tmp_path, resume_at=-1)


def test_two_logs_at_once(new_model, counting, tmp_path):
    records, log = [], TensorBoardLog(tmp_path)
    how = TrainConfig(3, 4, 8, precision="float32")
    train(new_model(), counting(), how, log=log_to_all(records.append, log), progress=False)
    assert len(records) == 3
    assert len(events(log.path)) == 4


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


@needs_reader
@pytest.mark.filterwarnings("ignore")
def test_tensorboard_reads_what_the_loop_writes(new_model, counting, tmp_path):
    records, log = [], TensorBoardLog(tmp_path)
    how = TrainConfig(5, 4, 8, precision="float32", eval_every=5)
    train(
        new_model(), counting(), how, log=log_to_all(records.append, log), progress=False,
        evaluate=lambda m: {"held_out": 1.25},
    )  # fmt: skip
    found = read(tmp_path)
    assert [s for s, _ in found["loss"]] == [1, 2, 3, 4, 5]
    assert [v for _, v in found["loss"]] == pytest.approx(
        [r["loss"] for r in records if "loss" in r]
    )
    assert found["evaluate/held_out"] == [(5, 1.25)]
    assert "step" not in found


@needs_reader
@pytest.mark.filterwarnings("ignore")
def test_tensorboard_drops_what_a_resumed_run_does_again(tmp_path):
    first = TensorBoardLog(tmp_path)
    for step in range(1, 9):
        first({"step": step, "loss": 1.0})
    again = TensorBoardLog(tmp_path, resume_at=4)
    for step in range(5, 8):
        again({"step": step, "loss": 2.0})
    again({"step": 8, "loss": math.inf, "huge": 1e300})
    found = read(tmp_path)
    assert found["loss"] == [(s, 1.0 if s <= 4 else 2.0) for s in range(1, 8)] + [(8, math.inf)]
    assert found["huge"] == [(8, math.inf)]
