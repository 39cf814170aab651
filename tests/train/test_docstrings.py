"""Every public part of the rooms of lessons 20b and 21 says where it comes from and is taught."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = (
    "adafactor", "lion", "muon", "batch_ramp", "noise_scale", "formats", "loss_scaling",
    "master_weights", "gradient_shrink", "spikes", "rewind",
)  # fmt: skip
OURS = {  # plain counting or arithmetic, with no paper to name
    "accumulation", "ramp_steps", "ramp_length", "flat_gradient", "repeated_sum", "moved_share",
}  # fmt: skip


def public(name: str) -> dict[str, str]:
    """Docstrings of the public functions and classes of a module, by name."""
    module = importlib.import_module(f"minillm.train.{name}")
    parts = {
        part: thing
        for part, thing in vars(module).items()
        if not part.startswith("_")
        and (inspect.isfunction(thing) or inspect.isclass(thing))
        and thing.__module__ == module.__name__
    }
    return {part: inspect.getdoc(thing) or "" for part, thing in parts.items()}


@pytest.mark.parametrize("name", MODULES)
def test_each_public_part_names_its_source_and_its_lesson(name):
    found = public(name)
    assert found
    for part, text in found.items():
        assert "Source" in text or part in OURS, f"{name}.{part} names no source"
        assert "Lesson" in text, f"{name}.{part} names no lesson"
        for lesson in re.findall(r"notebooks/[\w.]+\.ipynb", text):
            assert (ROOT / lesson).is_file(), f"{name}.{part} is taught in {lesson}: no such file"


def test_nobody_is_excused_who_names_a_source():
    texts = {part: text for name in MODULES for part, text in public(name).items()}
    assert set(texts) >= OURS
    assert not [part for part in OURS if "Source" in texts[part]]
