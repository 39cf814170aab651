"""A run so small that a test may train it, on a text that a test writes."""

import dataclasses

import pytest

from minillm.recipes import DataConfig, Run, decoder
from minillm.train import OptimizerConfig, TrainConfig


@pytest.fixture
def small_run(tmp_path, monkeypatch):
    monkeypatch.setenv("MINILLM_DATA", str(tmp_path / "data"))
    texts = tmp_path / "texts"
    texts.mkdir()
    for i in range(40):
        words = " ".join(f"word{(i * 7 + j) % 11} and" for j in range(30))
        (texts / f"{i:02}.txt").write_text(f"Text {i}. {words}.", encoding="utf-8")
    return Run(
        name="small",
        model=decoder(6_144, d_model=16, n_layers=1, n_heads=2, context=16),
        optimizer=OptimizerConfig(lr=1e-2),
        train=TrainConfig(
            steps=6, batch_size=2, context=16, save_every=3, log_every=0, precision="float32"
        ),
        data=DataConfig(mixture=((str(texts), 1_000_000),), validation_share=0.1),
    )


@pytest.fixture
def change():
    """Change fields of a part of a run: change(run, "train", steps=3)."""

    def apply(run, part, **values):
        return dataclasses.replace(run, **{part: dataclasses.replace(getattr(run, part), **values)})

    return apply
