"""The fine-tuning runs of the course, each a function that returns one `FinetuneRun`.

All three start from `tiny` and learn instructions about stories of the village, in a minute or two
of one core. Their learning rates stand here until the study of lesson 31 has chosen them by pilots.
"""

from collections.abc import Callable
from dataclasses import replace

from minillm.recipes.finetuning.config import AdapterConfig, FinetuneRun
from minillm.train import OptimizerConfig, TrainConfig


def full() -> FinetuneRun:
    """Move every weight."""
    return FinetuneRun(
        name="full",
        method="full",
        optimizer=OptimizerConfig(lr=1e-3, weight_decay=0.01),
        train=TrainConfig(
            steps=300, batch_size=8, context=128, warmup_steps=20, eval_every=100, save_every=100
        ),
    )


def lora() -> FinetuneRun:
    """Move low-rank updates of every matrix of the blocks; the base stays as it is."""
    return replace(
        full(),
        name="lora",
        method="lora",
        adapter=AdapterConfig(targets="all", rank=8, alpha=16.0),
        optimizer=OptimizerConfig(lr=5e-3, weight_decay=0.0),
    )


def qlora() -> FinetuneRun:
    """Do the same on a base whose matrices are kept in four bits."""
    return replace(lora(), name="qlora", method="qlora")


FINETUNES: dict[str, Callable[[], FinetuneRun]] = {run.__name__: run for run in (full, lora, qlora)}


def find_finetune(name: str) -> FinetuneRun:
    """Look a run up by its name.

    Raises:
        ValueError: if there is no such run; the message lists those that there are.

    Lesson: notebooks/28_instructions.ipynb
    """
    if name not in FINETUNES:
        raise ValueError(f"no fine-tuning recipe {name!r}; there are {', '.join(FINETUNES)}")
    return FINETUNES[name]()
