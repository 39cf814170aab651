"""Change one row of the ledger: python -m tools.ledger_row POS-007 status=live tolerance=1e-12

The file is read again just before it is written, so that two people can work on it in turns.
"""

import csv
import sys
from pathlib import Path

from minillm.evaluate.verdict import COLUMNS, read_ledger


def change(path: Path, id: str, changes: dict[str, str]) -> None:
    """Set columns of one row; a ledger that would not be readable is not written.

    Raises:
        ValueError: if the id or a column is unknown, or a status or a rule does not exist.
    """
    unknown = sorted(set(changes) - set(COLUMNS[1:]))
    if unknown:
        raise ValueError(f"unknown column {unknown[0]!r}; take one of {', '.join(COLUMNS[1:])}")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = [row for row in rows if row["id"] == id]
    if not found:
        raise ValueError(f"no claim {id!r} in {path.name}")
    found[0].update(changes)
    beside = path.with_suffix(".new")
    with beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    try:
        read_ledger(beside)
    except ValueError:
        beside.unlink()
        raise
    beside.replace(path)


def main(arguments: list[str]) -> None:
    """Change a row as the command line says, and print it."""
    ledger = Path(__file__).resolve().parents[1] / "data" / "claims" / "ledger.csv"
    if not arguments or any("=" not in a for a in arguments[1:]):
        raise SystemExit(__doc__)
    try:
        change(ledger, arguments[0], dict(a.split("=", 1) for a in arguments[1:]))
        print(read_ledger(ledger)[arguments[0]])
    except ValueError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main(sys.argv[1:])
