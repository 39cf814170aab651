"""The verdict on a claim of the literature: a rule that is written before the run.

A row of `data/claims/ledger.csv` says what was claimed and by which rule we shall judge it. The
measurement comes later, and only this file turns the two into a word. The whole rule book:

    rule       | accepted values A                       | measured inside A | measured outside A
    -----------|-----------------------------------------|-------------------|--------------------
    exact      | claimed - tolerance .. claimed + tol.   | reproduced        | contradicted
    error      | claimed - tolerance .. claimed + tol.   | reproduced        | error in the source
    at_most    | everything up to claimed + tolerance    | reproduced        | contradicted
    at_least   | everything from claimed - tolerance up  | reproduced        | contradicted
    direction  | an effect on the claimed side of zero   | see below         | contradicted

- With an interval, "inside" means that all of [low, high] lies in A and "outside" that none of it
  does; an interval that lies across the edge decides nothing: `not seen at this scale`.
- `direction` needs an interval of a *difference* and a direction, `up` or `down`. It must exclude
  zero on the claimed side. Then the size is looked at: without a claimed size, or with a measured
  value within the tolerance of it, `reproduced`; otherwise `direction only`. An interval that holds
  zero is `not seen at this scale`; one that excludes zero on the other side is `contradicted`.
- A tolerance is absolute (`0.05`) or a share of the claimed value (`5%`). Empty means 0.
- `exact` and `error` also judge words, `true` and `false`: equal or not, without a tolerance.
- `error` is for a sentence of a source that arithmetic can refute (a wrong sum, a wrong table), so
  that a slip of the pen and a result that did not come again are never called by the same name.
"""

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPRODUCED = "reproduced"
DIRECTION_ONLY = "direction only"
NOT_SEEN = "not seen at this scale"
CONTRADICTED = "contradicted"
SOURCE_ERROR = "error in the source"
VERDICTS = (REPRODUCED, DIRECTION_ONLY, NOT_SEEN, CONTRADICTED, SOURCE_ERROR)

RULES = ("exact", "error", "at_most", "at_least", "direction")
STATUSES = ("live", "recorded", "planned")
COLUMNS = (
    "id", "lesson", "source", "claim", "claimed", "scale",
    "test", "direction", "rule", "tolerance", "status",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One claim: a line of `data/claims/ledger.csv`, every field as text."""

    id: str
    lesson: str
    """Number of the lesson that measures it, such as `14` or `16b`."""
    source: str
    """The paper, or the source article, that makes the claim."""
    claim: str
    claimed: str
    """The value claimed: number, `true`, `false` or a short text; may be empty for `direction`."""
    scale: str
    """The size at which the claim was made."""
    test: str
    """What the lesson does to see it."""
    direction: str
    """`up`, `down` or empty."""
    rule: str
    """One of RULES; may be empty as long as the row is `planned`."""
    tolerance: str
    status: str
    """One of STATUSES."""


def read_ledger(path: str | Path) -> dict[str, Row]:
    """Read the ledger of claims.

    Returns:
        The rows by id, in the order of the file.

    Raises:
        ValueError: if the file is missing, a column is missing, an id comes twice, or a status or
            a rule is unknown; the message names the row.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no ledger at {path}: it belongs at data/claims/ledger.csv")
    rows: dict[str, Row] = {}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(f"{path.name}: the columns must be {', '.join(COLUMNS)}")
        for fields in reader:
            row = Row(**fields)
            if row.id in rows:
                raise ValueError(f"{path.name}: the id {row.id!r} comes twice")
            if row.status not in STATUSES:
                raise ValueError(f"{row.id}: unknown status {row.status!r}; take one of {STATUSES}")
            if row.rule not in RULES and (row.rule or row.status != "planned"):
                raise ValueError(f"{row.id}: unknown rule {row.rule!r}; take one of {RULES}")
            rows[row.id] = row
    return rows


def verdict(row: Row, measured: object, interval: object = None) -> str:
    """Judge a measurement by the rule of its row; the table is at the top of this file.

    Args:
        row: the claim and its rule.
        measured: a number, a bool or a text; for `direction` the measured difference.
        interval: None, a pair (low, high), or anything with `.low` and `.high` such as
            `minillm.evaluate.Interval`. Required by `direction`.

    Returns:
        One of VERDICTS.

    Raises:
        ValueError: if the rule is unknown, the row lacks what its rule needs, the measured value is
            not finite, or the interval does not contain it.

    Lesson: every one; the page of all verdicts is notebooks/CLAIMS.md
    """
    if row.rule not in RULES:
        raise ValueError(f"{row.id}: unknown rule {row.rule!r}; take one of {', '.join(RULES)}")
    if isinstance(measured, (bool, str)) or type(measured).__name__ == "bool":
        return _judge_word(row, str(measured))
    value = _number(row, measured, "the measured value")
    low, high = _ends(row, value, interval)
    if row.rule == "direction":
        return _judge_direction(row, value, low, high, has_interval=interval is not None)
    claimed = _number(row, row.claimed, "the claimed value")
    tolerance = _tolerance(row, claimed)
    bottom = -math.inf if row.rule == "at_most" else claimed - tolerance
    top = math.inf if row.rule == "at_least" else claimed + tolerance
    if bottom <= low and high <= top:
        return REPRODUCED
    if high < bottom or low > top:
        return SOURCE_ERROR if row.rule == "error" else CONTRADICTED
    return NOT_SEEN


def as_record(measured: object, interval: object = None) -> dict[str, object]:
    """Put a measurement into the form of `data/claims/measured/<id>.json`.

    Returns:
        value, low, high, level and n_seeds; what the interval does not say is None.
    """
    value = measured if isinstance(measured, (bool, str)) else float(measured)  # type: ignore[arg-type]
    low, high = (None, None) if interval is None else _pair(interval)
    level, n = getattr(interval, "level", None), getattr(interval, "n", None)
    return {"value": value, "low": low, "high": high, "level": level, "n_seeds": n}


def _judge_word(row: Row, measured: str) -> str:
    if row.rule not in ("exact", "error"):
        raise ValueError(f"{row.id}: the rule {row.rule!r} needs a number, got {measured!r}")
    if not row.claimed:
        raise ValueError(f"{row.id}: the ledger gives no claimed value for the rule {row.rule!r}")
    claimed = row.claimed.strip()
    same = measured == claimed or (measured in ("True", "False") and measured.lower() == claimed)
    if same:
        return REPRODUCED
    return SOURCE_ERROR if row.rule == "error" else CONTRADICTED


def _judge_direction(row: Row, value: float, low: float, high: float, *, has_interval: bool) -> str:
    if row.direction not in ("up", "down"):
        raise ValueError(f"{row.id}: direction must be 'up' or 'down', got {row.direction!r}")
    if not has_interval:
        raise ValueError(
            f"{row.id}: the rule 'direction' needs an interval; see evaluate.intervals"
        )
    if low <= 0 <= high:
        return NOT_SEEN
    if (low > 0) != (row.direction == "up"):
        return CONTRADICTED
    if not row.claimed:
        return REPRODUCED
    claimed = _number(row, row.claimed, "the claimed value")
    return REPRODUCED if abs(value - claimed) <= _tolerance(row, claimed) else DIRECTION_ONLY


def _number(row: Row, value: object, what: str) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(f"{row.id}: {what} must be one number, got {value!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"{row.id}: {what} must be finite, got {value!r}")
    return number


def _tolerance(row: Row, claimed: float) -> float:
    text = row.tolerance.strip()
    share = text.endswith("%")
    tolerance = _number(row, text.removesuffix("%") or 0, "the tolerance")
    if tolerance < 0:
        raise ValueError(f"{row.id}: the tolerance must not be negative, got {text!r}")
    return abs(claimed) * tolerance / 100 if share else tolerance


def _ends(row: Row, value: float, interval: object) -> tuple[float, float]:
    if interval is None:
        return value, value
    try:
        pair = _pair(interval)
    except (TypeError, ValueError):
        raise ValueError(f"{row.id}: an interval is (low, high), got {interval!r}") from None
    low, high = (_number(row, end, "an end of the interval") for end in pair)
    if not low <= value <= high:
        raise ValueError(f"{row.id}: the interval [{low:g}, {high:g}] must contain {value:g}")
    return low, high


def _pair(interval: Any) -> tuple[float, float]:
    low, high = (interval.low, interval.high) if hasattr(interval, "low") else interval
    return float(low), float(high)
