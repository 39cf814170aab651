"""Imports point down, close no circle, and cost little; files and functions stay readable.

The floors are those of the plan of the house: a room may import rooms of lower floors only, the
rooms of floor 0 do not know one another, `lesson.py` takes nothing but the verdict rule. Imports
inside functions count too for the floors, and so does `import_module("minillm.x")`.
"""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import minillm
from tools.lock import parse_pins

PACKAGE = Path(minillm.__file__).parent
ROOT = PACKAGE.parent
FLOORS = {
    "data": 0,
    "tokenizer": 0,
    "model": 0,
    "scaling": 0,
    "objectives": 1,
    "inference": 2,
    "train": 3,
    "evaluate": 4,
    "finetune": 5,
    "distributed": 5,
    "align": 6,
    "recipes": 7,
    "__main__": 8,
}
ALLOWED = {  # (from, to): arrows that the floors alone would refuse
    ("minillm.data.packing", "minillm.tokenizer"),  # it names the ids of special tokens
    ("minillm.lesson", "minillm.evaluate.verdict"),
}
EXTRAS = {"minillm.recipes.cleaning.blocks"}  # nothing imports it; it needs the extra [scale]
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 40


def module_name(path: Path, package: Path) -> str:
    parts = [package.name, *path.relative_to(package).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources(package: Path) -> dict[str, Path]:
    """Every module of a package tree by its dotted name."""
    return {module_name(path, package): path for path in sorted(package.rglob("*.py"))}


class OnlyAtImport(ast.NodeTransformer):
    """Leaves out what does not run when a module is imported: type imports, function bodies."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return ast.Pass()

    def visit_If(self, node: ast.If) -> ast.AST:
        if "TYPE_CHECKING" in ast.unparse(node.test):
            return ast.Pass()
        return self.generic_visit(node)


def named_imports(path: Path, name: str, everywhere: bool) -> Iterator[tuple[str, str | None]]:
    """Yield (module, name or None) for each import of a file, relative ones made absolute."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    tree: ast.AST = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree if everywhere else OnlyAtImport().visit(tree)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) + 1 - node.level]
            module = ".".join([*base, node.module] if node.module else base)
            module = module if node.level else str(node.module)
            yield from ((module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant):
                    yield str(argument.value), None


def arrows(package: Path, *, everywhere: bool = True) -> set[tuple[str, str]]:
    """Return (importing module, imported module) within the package.

    Everything counts for the floors. For a circle only what runs at import counts: a method may
    import, when it is called, a file of its own room that is built on its class.
    """
    modules, found = sources(package), set()
    for name, path in modules.items():
        for module, attribute in named_imports(path, name, everywhere):
            if module.split(".")[0] != package.name:
                continue
            target = f"{module}.{attribute}" if f"{module}.{attribute}" in modules else module
            if module == package.name and attribute in minillm._ROOM_OF:
                target = minillm._ROOM_OF[str(attribute)]  # a lazy name stands for its room
            found.add((name, target))
    return found


def room_of(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def wrong_arrows(package: Path) -> list[str]:
    """Return each import that points up or sideways, as one line."""
    bad = []
    for source, target in sorted(arrows(package)):
        here, there = room_of(source), room_of(target)
        if here == there or not there:  # within a room; or the bare package, which holds no code
            continue
        if any(source == a and (target + ".").startswith(b + ".") for a, b in ALLOWED):
            continue
        if here in ("lesson", "") or there == "lesson" or FLOORS[here] <= FLOORS[there]:
            bad.append(f"{source} imports {target}")
    return bad


def find_circle(package: Path) -> list[str]:
    """Return the modules of one circle of imports, or an empty list."""
    graph: dict[str, list[str]] = {}
    for source, target in sorted(arrows(package, everywhere=False)):
        graph.setdefault(source, []).append(target)
    done: set[str] = set()

    def visit(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name in done:
            return []
        for target in graph.get(name, []):
            circle = visit(target, [*trail, name])
            if circle:
                return circle
        done.add(name)
        return []

    return next((circle for name in graph if (circle := visit(name, []))), [])


def in_fresh_python(code: str) -> str:
    """Run code in a new interpreter and return what it prints; its failure fails the test."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- the package


def test_every_room_has_a_floor():
    rooms = {room_of(name) for name in sources(PACKAGE)} - {"", "lesson"}
    assert rooms <= set(FLOORS), rooms - set(FLOORS)


def test_imports_point_down():
    assert wrong_arrows(PACKAGE) == []


def test_no_circle_of_imports():
    assert find_circle(PACKAGE) == []


def test_no_room_for_leftovers():
    forbidden = {"utils", "common", "helpers", "misc"}
    names = {part for name in sources(PACKAGE) for part in name.split(".")}
    assert not names & forbidden


def test_bare_import_is_cheap():
    heavy = "[n for n in ('torch', 'numpy', 'pandas', 'matplotlib') if n in sys.modules]"
    assert in_fresh_python(f"import sys, minillm; print({heavy})") == "[]\n"
    # ... and the question can be answered otherwise
    assert in_fresh_python(f"import sys, numpy, minillm; print({heavy})") == "['numpy']\n"


def test_every_module_imports_without_the_oracles():
    """The packages of requirements-test.txt are hidden: no module may need them to be imported."""
    run = parse_pins((ROOT / "requirements.txt").read_text())
    test = set(parse_pins((ROOT / "requirements-test.txt").read_text())) - set(run)
    code = f"""
import importlib, importlib.metadata, sys
hidden = {sorted(test)!r}
owners = importlib.metadata.packages_distributions()
low = lambda name: name.lower().replace('_', '-')
roots = {{root for root, dists in owners.items() if all(low(d) in hidden for d in dists)}}
assert 'hypothesis' in roots, roots
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in roots:
            raise ModuleNotFoundError(f'{{name}} is an oracle of the tests', name=name)
sys.meta_path.insert(0, Hide())
for name in {sorted(set(sources(PACKAGE)) - EXTRAS)!r}:
    importlib.import_module(name)
print('all')
"""
    assert in_fresh_python(code) == "all\n"


@pytest.mark.parametrize("name", sorted(minillm.__all__))
def test_every_public_name_resolves(name):
    assert getattr(minillm, name) is not None
    assert name in dir(minillm)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = minillm.no_such_name


@pytest.mark.parametrize("room", sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")))
def test_a_room_only_hands_names_on(room):
    """An `__init__` holds a docstring, imports, `__all__`, and at most the lazy look-up."""
    tree = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            assert node.name in ("__getattr__", "__dir__"), node.name
        elif not isinstance(node, ast.Expr):
            assert isinstance(node, allowed), ast.unparse(node)
    exported = getattr(importlib.import_module(f"minillm.{room}"), "__all__", [])
    for name in exported:
        assert getattr(importlib.import_module(f"minillm.{room}"), name) is not None


# --- sizes


def own_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body without its docstring: what one has to follow as code."""
    first = node.body[0]
    start = first.lineno
    if ast.get_docstring(node) is not None:
        start = (first.end_lineno or 0) + 1
    return (node.end_lineno or 0) - start + 1


def too_long(path: Path) -> list[str]:
    """Return what is over the limits in one file and not excused by a sentence that says why.

    The sentence names the limit it breaks ("300 lines", "40 lines") and stands in the docstring of
    the module, or for a function in its own.
    """
    text = path.read_text(encoding="utf-8")
    tree, found = ast.parse(text), []
    top = ast.get_docstring(tree) or ""
    if text.count("\n") > MAX_FILE_LINES and f"{MAX_FILE_LINES} lines" not in top:
        found.append(f"{path.name}: {text.count(chr(10))} lines")
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            why = f"{top} {ast.get_docstring(node) or ''}"
            excused = re.search(rf"\b{MAX_FUNCTION_LINES}\s+lines", why)
            if own_lines(node) > MAX_FUNCTION_LINES and not excused:
                found.append(f"{path.name}:{node.lineno} {node.name}: {own_lines(node)} lines")
    return found


@pytest.mark.parametrize("folder", ["minillm", "tools", "benchmarks"])
def test_files_and_functions_are_short(folder):
    assert [line for path in sorted((ROOT / folder).rglob("*.py")) for line in too_long(path)] == []


# --- the checks bite


def plant(folder: Path, files: dict[str, str]) -> Path:
    """Write a package named minillm with the given files and return its folder."""
    package = folder / "minillm"
    for name, text in {"__init__.py": "", **files}.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return package


@pytest.mark.parametrize(
    ("name", "text", "bad"),
    [
        ("model/x.py", "from minillm.train import AdamW", "minillm.model.x imports minillm.train"),
        ("model/x.py", "import minillm.train.loop", "minillm.model.x imports minillm.train.loop"),
        ("model/x.py", "from ..train import loop", "minillm.model.x imports minillm.train.loop"),
        ("model/x.py", "from minillm import train", "minillm.model.x imports minillm.train"),
        ("model/x.py", "from minillm import AdamW", "minillm.model.x imports minillm.train"),
        ("model/x.py", "def f():\n    import minillm.data", "minillm.model.x imports minillm.data"),
        (
            "model/x.py",
            "import importlib\nimportlib.import_module('minillm.train')",
            "minillm.model.x imports minillm.train",
        ),
        ("data/loader.py", "import minillm.tokenizer", "minillm.data.loader imports minillm.tok"),
        ("lesson.py", "import minillm.model", "minillm.lesson imports minillm.model"),
        ("lesson.py", "import minillm.evaluate", "minillm.lesson imports minillm.evaluate"),
        ("train/x.py", "import minillm.lesson", "minillm.train.x imports minillm.lesson"),
        ("__init__.py", "import minillm.model", "minillm imports minillm.model"),
        ("finetune/x.py", "import minillm.distributed", "minillm.finetune.x imports minillm.dist"),
    ],
)
def test_a_planted_arrow_is_seen(tmp_path, name, text, bad):
    rooms = {f"{room}/__init__.py": "" for room in FLOORS if room != "__main__"}
    package = plant(tmp_path, {**rooms, "train/loop.py": "", name: text})
    (line,) = wrong_arrows(package)
    assert line.startswith(bad)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("train/x.py", "from minillm.model import Decoder\nimport torch, minillm"),
        ("data/packing.py", "from minillm.tokenizer import Tokenizer"),
        ("lesson.py", "from minillm.evaluate.verdict import verdict"),
        ("model/x.py", "from . import y\nfrom .y import z\nfrom minillm import __version__"),
        ("__main__.py", "from minillm.recipes import laptop"),
    ],
)
def test_a_good_arrow_is_left_alone(tmp_path, name, text):
    assert wrong_arrows(plant(tmp_path, {name: text, "model/y.py": ""})) == []


def test_a_planted_circle_is_seen(tmp_path):
    line = {
        "model/a.py": "from minillm.model import b",
        "model/b.py": "if TYPE_CHECKING:\n    from . import a\ndef f():\n    from . import a",
    }
    assert find_circle(plant(tmp_path / "line", line)) == []
    circle = {
        "model/a.py": "from minillm.model import b",
        "model/b.py": "try:\n    from .c import x\nfinally:\n    pass",
        "model/c.py": "from . import a",
    }
    names = ["minillm.model.a", "minillm.model.b", "minillm.model.c", "minillm.model.a"]
    assert find_circle(plant(tmp_path / "circle", circle)) == names


def test_a_long_function_is_seen_and_can_be_excused(tmp_path):
    path = tmp_path / "x.py"
    body = "    x = 1\n" * MAX_FUNCTION_LINES
    path.write_text(f"def f():\n{body}")
    assert too_long(path) == []  # exactly the limit
    body += "    x = 1\n"
    path.write_text(f"def f():\n{body}")
    assert too_long(path) == [f"x.py:1 f: {MAX_FUNCTION_LINES + 1} lines"]
    path.write_text(f"async def f(\n    x,\n    y\n):\n{body}")
    assert too_long(path) == [f"x.py:1 f: {MAX_FUNCTION_LINES + 1} lines"]
    path.write_text(f'def f():\n    """Over 40 lines, so that a step is seen whole."""\n{body}')
    assert too_long(path) == []
    docs = '    """One.\n' + "\n" * 50 + '    """\n'
    path.write_text(f"def f():\n{docs}{body[10:]}")  # a docstring is not code
    assert too_long(path) == []


def test_a_long_file_is_seen_and_can_be_excused(tmp_path):
    path = tmp_path / "x.py"
    path.write_text("x = 1\n" * MAX_FILE_LINES)
    assert too_long(path) == []
    path.write_text("x = 1\n" * (MAX_FILE_LINES + 1))
    assert too_long(path) == [f"x.py: {MAX_FILE_LINES + 1} lines"]
    path.write_text('"""A table; over 300 lines because."""\n' + "x = 1\n" * (MAX_FILE_LINES + 1))
    assert too_long(path) == []
