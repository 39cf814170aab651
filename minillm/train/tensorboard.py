"""A log that TensorBoard reads, written by hand: no package is needed to write it.

    log = TensorBoardLog("runs/first/tensorboard")
    train(model, batches, config, log=log)

To look at it: `pip install tensorboard`, then `tensorboard --logdir runs`, in a browser; in a
notebook `%load_ext tensorboard` and `%tensorboard --logdir runs`.

- An event file is a row of records: length, checksum of the length, data, checksum of the data.
- The data is an Event of TensorFlow's protocol buffers. Of a message only what is set is written:
  a key (number of the field, kind of value) and the value.
"""

import math
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VARINT, DOUBLE, BYTES, FLOAT = 0, 1, 2, 5  # kinds of values, "wire types"
_POLYNOMIAL = 0x82F63B78  # Castagnoli's, bits reversed


class TensorBoardLog:
    """A callable for `log=` of the loop: each number of a record becomes a point of a curve.

    Numbers inside a part of the record get its name before theirs: `evaluate/validation_loss`.
    What is no number, or None, is left out.

    Args:
        folder: of one run; it is made. TensorBoard shows the folders below its own as runs.
        resume_at: step of the checkpoint that the run goes on from: TensorBoard then drops what
            an earlier session has written of later steps.

    Raises:
        ValueError: if resume_at is negative.

    Cost: some 50 microseconds and 40 bytes a number.
    Source: TensorFlow, tensorflow/core/util/event.proto and lib/io/record_writer.h.
    Lesson: notebooks/20a_adamw.ipynb
    """

    def __init__(self, folder: str | Path, *, resume_at: int = 0) -> None:
        if resume_at < 0:
            raise ValueError(f"resume_at must not be negative, got {resume_at}")
        self.path = _new_file(Path(folder))
        self._write(_event(_bytes(3, b"brain.Event:2")))
        if resume_at:
            self._write(_event(_bytes(7, _varint(1, 1)), step=resume_at + 1))  # a session starts

    def __call__(self, record: dict[str, Any]) -> None:
        """Append one record, which must have a "step"; a reader sees it at once."""
        values = [(tag, number) for tag, number in scalars(record) if tag != "step"]
        if values:
            summary = b"".join(_bytes(1, _bytes(1, tag.encode()) + _float(2, number))
                               for tag, number in values)  # fmt: skip
            self._write(_event(_bytes(5, summary), step=record["step"]))

    def _write(self, data: bytes) -> None:
        length = struct.pack("<Q", len(data))
        with self.path.open("ab") as file:
            file.write(length + _checksum(length) + data + _checksum(data))


def scalars(record: dict[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    """Give each number of a record with its name, those of its parts with both names."""
    for name, value in record.items():
        if isinstance(value, dict):
            yield from scalars(value, f"{before}{name}/")
        elif isinstance(value, int | float):
            yield f"{before}{name}", float(value)


def crc32c(data: bytes) -> int:
    """Compute the checksum of RFC 3720 (Castagnoli), a table of 256 numbers a byte.

    Source: RFC 3720, section 12.1; its appendix B.4 has the test vectors.
    Lesson: notebooks/20a_adamw.ipynb
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _checksum(data: bytes) -> bytes:
    """The masked checksum: a checksum of data that holds checksums would be weak."""
    crc = crc32c(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def _entry(number: int) -> int:
    for _ in range(8):
        number = (number >> 1) ^ (_POLYNOMIAL if number & 1 else 0)
    return number


_TABLE = [_entry(number) for number in range(256)]


def _event(what: bytes, step: int = 0) -> bytes:
    when = _key(1, DOUBLE) + struct.pack("<d", time.time())
    return when + (_varint(2, step) if step else b"") + what


def _key(field: int, kind: int) -> bytes:
    return bytes([field << 3 | kind])  # fields of one byte are enough here


def _varint(field: int, value: int) -> bytes:
    """A number as rows of 7 bits, the lowest first; the top bit says that more follow."""
    return _key(field, VARINT) + _row(value)


def _row(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _bytes(field: int, value: bytes) -> bytes:
    return _key(field, BYTES) + _row(len(value)) + value


def _float(field: int, value: float) -> bytes:
    if math.isfinite(value) and abs(value) > 3.4028234663852886e38:
        value = math.copysign(math.inf, value)
    return _key(field, FLOAT) + struct.pack("<f", value)


def _new_file(folder: Path) -> Path:
    """Make an empty file whose name no other session has; later sessions sort behind."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1000):
        name = f"events.out.tfevents.{int(time.time()):010}.minillm.{os.getpid()}.{number:03}"
        try:
            (folder / name).touch(exist_ok=False)
        except FileExistsError:
            continue
        return folder / name
    raise FileExistsError(f"a thousand logs were begun within a second in {folder}")
