"""Claims: the records of the build, what makes them stale, and the generated page.

A record is stale when what it was measured with has changed. That is the hash over

- the code of the master's cells (not its prose),
- each module of minillm that the master imports, directly or through another module,
- the row of the ledger (claimed value, direction, rule, tolerance), which is the test's config.

Modules are hashed as syntax trees without docstrings, so that neither a comment, nor formatting,
nor a commit to a room that the lesson does not use makes any record stale.
"""

import ast
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from minillm.evaluate.verdict import Row, read_ledger, verdict
from tools.machine import machine_class
from tools.masters import Course, LessonError, read_master, sha256

SCHEMA = 1
HEAD = """# What became of the claims

Made by `python -m tools.notebooks claims` from `data/claims/`; do not edit. The verdict of each row
follows from a rule that was written before the run; the rules are the table at the top of
`minillm/evaluate/verdict.py`. A claim that is `planned` waits for its lesson.
"""


def claims_in(course: Course, name: str) -> list[str]:
    """Ids of the claims that a master's cells judge, in order; each must be a literal."""
    ids = []
    for cell in read_master(course.master(name), solved=True).cells:
        if cell.cell_type != "code" or "claim(" not in cell.source:
            continue
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "claim":
                first = node.args[0] if node.args else None
                if not isinstance(first, ast.Constant):
                    raise LessonError(f"{name}: claim(...) needs its id as a literal text")
                ids.append(str(first.value))
    return ids


def write_records(course: Course, name: str, measured: list[dict]) -> None:
    """Write `data/claims/measured/<id>.json` for each claim of a lesson; drop what it lost."""
    rows = read_ledger(course.claims / "ledger.csv") if measured else {}
    code = code_behind(course, name) if measured else []
    folder = course.claims / "measured"
    folder.mkdir(parents=True, exist_ok=True)
    for entry in measured:
        row = rows[entry["id"]]
        record = {
            "schema": SCHEMA,
            "id": row.id,
            **{key: _rounded(entry[key]) for key in ("value", "unit", "low", "high", "level")},
            "n_seeds": entry["n_seeds"],
            "source_sha256": source_sha256(row, code),
            "machine_class": machine_class(),
        }
        _record_path(course, row.id).write_text(
            json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    kept = {entry["id"] for entry in measured}
    if (course.claims / "ledger.csv").is_file():
        for row in read_ledger(course.claims / "ledger.csv").values():
            ours = row.lesson == name.split("_")[0] and row.status == "live"
            if ours and row.id not in kept:
                _record_path(course, row.id).unlink(missing_ok=True)


def read_record(course: Course, id: str) -> dict | None:
    """The record of a claim, or None."""
    path = _record_path(course, id)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def judge(row: Row, record: dict) -> str:
    """The verdict on a record."""
    ends = None if record["low"] is None else (record["low"], record["high"])
    return verdict(row, record["value"], ends)


def problems(course: Course) -> list[str]:
    """Say where ledger, cells and records do not fit together; empty if all is well."""
    rows = read_ledger(course.claims / "ledger.csv")
    cell_of = {id: name for name in course.names() for id in claims_in(course, name)}
    code_of = {name: code_behind(course, name) for name in set(cell_of.values())}
    found = []
    for id, name in cell_of.items():
        if id not in rows:
            found.append(f"{name}: the claim {id} is not in the ledger")
        elif rows[id].status != "live":
            found.append(f"{name}: {id} has a cell, but is {rows[id].status!r}, not live")
        elif rows[id].lesson != name.split("_")[0]:
            found.append(f"{name}: {id} belongs to lesson {rows[id].lesson} in the ledger")
    for row in rows.values():
        if row.status != "live":
            continue
        record = read_record(course, row.id)
        if row.id not in cell_of:
            found.append(f"{row.id}: it is live, but no lesson has a cell with its claim")
        if record is None:
            found.append(f"{row.id}: it is live, but has no record; build lesson {row.lesson}")
        elif row.id in cell_of and is_stale(record, row, code_of[cell_of[row.id]]):
            found.append(f"{row.id}: its record is stale; build lesson {row.lesson} again")
    for path in sorted((course.claims / "measured").glob("*.json")):
        if path.stem not in rows or rows[path.stem].status == "planned":
            found.append(f"{path.stem}: there is a record, but no live claim")
    return found


def is_stale(record: dict, row: Row, code: Sequence[str]) -> bool:
    """Whether a record was measured with other code, or under another rule, than there is now."""
    return bool(record["source_sha256"] != source_sha256(row, code))


def source_sha256(row: Row, code: Sequence[str]) -> str:
    """Hash of all that a measurement depends on; see the top of this file."""
    rule = [row.claimed, row.direction, row.rule, row.tolerance]
    return sha256(*code, *rule)


def code_behind(course: Course, name: str) -> list[str]:
    """The code of a lesson's cells, and of all that it imports from minillm, as syntax trees."""
    cells = read_master(course.master(name), solved=False).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    modules = modules_behind("\n".join(code))
    return code + [_tree(path.read_text(encoding="utf-8")) for path in modules]


def modules_behind(code: str) -> list[Path]:
    """Files of minillm that some code imports, directly or through others, sorted."""
    import minillm

    package = Path(minillm.__file__).parent
    found: set[Path] = set()
    waiting = _imported(ast.parse(code), package.parent, package.parent)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            if path.name != "__init__.py":
                tree = _parsed(path.read_text(encoding="utf-8"))
                waiting += _imported(tree, package.parent, path.parent)
    return sorted(found)


def _imported(tree: ast.AST, top: Path, here: Path) -> list[Path]:
    """Files that a syntax tree imports from minillm."""
    files = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "minillm":
                    files += _files(top.joinpath(*alias.name.split(".")), None, top)
        elif isinstance(node, ast.ImportFrom):
            parts = (node.module or "").split(".") if node.module else []
            if node.level or parts[:1] == ["minillm"]:
                base = here.joinpath(*[".."] * (node.level - 1)).resolve() if node.level else top
                names = [alias.name for alias in node.names]
                files += _files(base.joinpath(*parts), names, top)
    return files


def _files(module: Path, names: list[str] | None, top: Path) -> list[Path]:
    """The files behind `from module import names`; a package's names lead to where they live."""
    if module.with_suffix(".py").is_file():
        return [module.with_suffix(".py")]
    door = module / "__init__.py"
    if not door.is_file():
        return []
    if names is None:
        return [door]
    files = [door]
    origin = {}
    for node in ast.walk(_parsed(door.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            origin |= {(a.asname or a.name): node for a in node.names}
    for name in names:
        if (module / f"{name}.py").is_file():
            files.append(module / f"{name}.py")
        elif (module / name / "__init__.py").is_file():
            files.append(module / name / "__init__.py")
        elif name in origin:
            one = ast.Module(body=[origin[name]], type_ignores=[])
            files += [path for path in _imported(one, top, module) if path != door]
    return files


@lru_cache(maxsize=1000)
def _parsed(text: str) -> ast.Module:
    """A syntax tree, made once for each text: many lessons import the same modules."""
    return ast.parse(text)


@lru_cache(maxsize=1000)
def _tree(text: str) -> str:
    """A module as a syntax tree without docstrings."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [s for s in body if not _is_docstring(s)]
            node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_docstring(statement: ast.AST) -> bool:
    value = getattr(statement, "value", None)
    is_text = isinstance(value, ast.Constant) and isinstance(value.value, str)
    return isinstance(statement, ast.Expr) and is_text


def _rounded(value: object) -> object:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _record_path(course: Course, id: str) -> Path:
    return course.claims / "measured" / f"{id}.json"


def page(course: Course) -> str:
    """The page of all claims, as Markdown."""
    rows = read_ledger(course.claims / "ledger.csv")
    lines = [HEAD]
    counts: dict[str, int] = {}
    table = ["| id | lesson | claim | source | claimed | measured | interval | verdict |"]
    table.append("|---|---|---|---|---|---|---|---|")
    for row in sorted(rows.values(), key=lambda row: row.lesson):
        record = read_record(course, row.id) if row.status != "planned" else None
        word = judge(row, record) if record else "planned"
        counts[word] = counts.get(word, 0) + 1
        measured = ends = ""
        if record:
            value = record["value"]
            number = isinstance(value, float)
            measured = f"{value:.4g} {record['unit']}".strip() if number else f"{value}"
            ends = "" if record["low"] is None else f"{record['low']:.4g} to {record['high']:.4g}"
        fields = (row.id, row.lesson, row.claim, row.source, row.claimed, measured, ends, word)
        table.append("| " + " | ".join(_cell(field) for field in fields) + " |")
    lines.append(" · ".join(f"{word}: {n}" for word, n in sorted(counts.items())) + "\n")
    return "\n".join(lines + table) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
