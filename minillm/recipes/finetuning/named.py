"""The fine-tuning runs of the course, each a function that returns one `FinetuneRun`.

All three start from `small` and learn instructions about stories of the village, in two or three
minutes of one core. The learning rates are those that answered most of 100 tasks in other worlds
rightly, on seed 101 (`PILOT`); qlora takes lora's.
"""

from collections.abc import Callable
from dataclasses import replace

from minillm.recipes.finetuning.config import AdapterConfig, FinetuneRun
from minillm.train import OptimizerConfig, TrainConfig

PILOT = {
    "full": {5e-4: 0.53, 1e-3: 0.64, 2e-3: 0.71, 4e-3: 0.62},
    "lora": {2e-3: 0.35, 5e-3: 0.53, 1e-2: 0.40, 2e-2: 0.17},
}
"""Method -> learning rate -> share of right answers, made with train.seed=101 data.seed=101
data.n_held_out=100. One run each, whose 95 % interval is about 0.1 to either side: neighbours are
not told apart."""


def best_rate(method: str) -> float:
    """The learning rate of the most right answers in the pilot."""
    return max(PILOT[method], key=lambda rate: PILOT[method][rate])


def full() -> FinetuneRun:
    """Move every weight."""
    return FinetuneRun(
        name="full",
        method="full",
        optimizer=OptimizerConfig(lr=best_rate("full"), weight_decay=0.01),
        train=TrainConfig(
            steps=300, batch_size=4, context=256, warmup_steps=20, eval_every=100, save_every=100
        ),
    )


def lora() -> FinetuneRun:
    """Move low-rank updates of every matrix of the blocks; the base stays as it is."""
    return replace(
        full(),
        name="lora",
        method="lora",
        adapter=AdapterConfig(targets="all", rank=8, alpha=16.0),
        optimizer=OptimizerConfig(lr=best_rate("lora"), weight_decay=0.0),
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
