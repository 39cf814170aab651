"""Change a run from the command line: `optimizer.lr=1e-3`, and read a run back from its JSON.

A run is a tree of frozen dataclasses. An override walks down the dots, checks the new value
against the type of the field, and builds the tree anew, so that every `__post_init__` on the way
has its say.
"""

import ast
import dataclasses
import difflib
import typing
from collections.abc import Iterable
from typing import Any, TypeVar

import cattrs

T = TypeVar("T")


def _strict_int(value: Any, _: type) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is not a whole number")
    return value


def _strict_float(value: Any, _: type) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{value!r} is not a number")
    return float(value)


def _strict_bool(value: Any, _: type) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither True nor False")
    return value


def _strict_str(value: Any, _: type) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a word")
    return value


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    for kind, hook in ((int, _strict_int), (float, _strict_float)):
        converter.register_structure_hook(kind, hook)
    converter.register_structure_hook(bool, _strict_bool)
    converter.register_structure_hook(str, _strict_str)
    return converter


_CONVERTER = _converter()


def to_dict(config: Any) -> dict[str, Any]:
    """Turn a tree of config dataclasses into plain dictionaries, ready for JSON.

    Args:
        config: any config dataclass of this package, a whole `Run` included.

    Returns:
        Nested dictionaries of numbers, words, lists and None.

    Lesson: notebooks/00_tour.ipynb
    """
    return _CONVERTER.unstructure(config)


def from_dict(values: dict[str, Any], kind: type[T]) -> T:
    """Build a config dataclass from plain dictionaries, the inverse of `to_dict`.

    Args:
        values: nested dictionaries, as read from a manifest.
        kind: the dataclass to build.

    Raises:
        ValueError: if a key is unknown or missing, or a value is of the wrong kind; one line.
    """
    try:
        return _CONVERTER.structure(values, kind)
    except Exception as error:
        reasons = "; ".join(cattrs.transform_error(error))
        raise ValueError(f"not a valid {kind.__name__}: {reasons}") from None


def _parse(text: str) -> Any:
    """Read a Python literal (1e-3, True, None, (1, 2)); anything else is a plain word."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _insert(config: Any, path: list[str], value: Any, full: str, tree: dict[str, Any]) -> None:
    """Check one assignment against the config, and put it into the tree of changes."""
    names = [f.name for f in dataclasses.fields(config)]
    head, rest = path[0], path[1:]
    if head not in names:
        near = difflib.get_close_matches(head, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ValueError(f"unknown key {full!r}{hint} Known here: {', '.join(names)}")
    current = getattr(config, head)
    if rest:
        if not dataclasses.is_dataclass(current):
            raise ValueError(f"unknown key {full!r}: {head!r} is a plain value, nothing lies below")
        _insert(current, rest, value, full, tree.setdefault(head, {}))
        return
    if dataclasses.is_dataclass(current):
        below = ", ".join(f.name for f in dataclasses.fields(current))
        raise ValueError(f"{full!r} is a group; set one of its keys: {below}")
    hint = typing.get_type_hints(type(config))[head]
    try:
        tree[head] = _CONVERTER.structure(value, hint)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{full}={value!r} does not fit: {reason}") from None


def _rebuild(config: Any, tree: dict[str, Any]) -> Any:
    """Replace all changed values of a part at once, as some only fit together."""
    changed = {
        name: _rebuild(getattr(config, name), value)
        if dataclasses.is_dataclass(getattr(config, name))
        else value
        for name, value in tree.items()
    }
    return dataclasses.replace(config, **changed)


def override(config: T, assignments: Iterable[str]) -> T:
    """Return a copy of a config with some of its values changed.

    Args:
        config: a tree of frozen dataclasses, usually a `Run`.
        assignments: texts such as `optimizer.lr=1e-3`; of two with the same key the last counts.

    Returns:
        The changed copy; `config` itself stays as it was.

    Raises:
        ValueError: one line that names the key, the value and the remedy, if a text has no `=`, a
            key is unknown, a value is of the wrong kind, or the config itself refuses it.

    Lesson: notebooks/00_tour.ipynb
    """
    tree: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise ValueError(f"cannot read {assignment!r}; write it as key=value")
        key = key.strip()
        _insert(config, key.split("."), _parse(text.strip()), key, tree)
    return _rebuild(config, tree)
