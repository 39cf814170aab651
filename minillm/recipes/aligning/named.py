"""The alignment runs of the course, each a function that returns one `AlignRun`.

`reward` starts from `small`; the others start from what `python -m minillm finetune full` has made,
since who never saw a talk has no answers to prefer.
"""

from collections.abc import Callable

from minillm.align.rejection_rounds import RejectionConfig
from minillm.recipes.aligning.config import AlignRun
from minillm.train import OptimizerConfig, TrainConfig

TUNED = "runs/full"
"""Where `python -m minillm finetune full` writes."""

RATES = {"reward": 5e-4, "ppo": 1e-4, "dpo": 1e-4, "rejection": 5e-4}
"""Method -> learning rate. Not tuned yet: no pilot has been run, these are guesses at a third or
less of what the fine-tuning of the same model likes best."""


def reward() -> AlignRun:
    """Learn from pairs what annotators prefer: one number for an answer."""
    return AlignRun(
        name="reward",
        method="reward",
        optimizer=OptimizerConfig(lr=RATES["reward"], weight_decay=0.01),
        train=TrainConfig(
            steps=225, batch_size=4, context=256, warmup_steps=20, eval_every=75, save_every=75
        ),
    )


def ppo() -> AlignRun:
    """Draw answers, see what they earn, learn a little, draw again."""
    return AlignRun(
        name="ppo",
        method="ppo",
        base=TUNED,
        optimizer=OptimizerConfig(lr=RATES["ppo"], weight_decay=0.0),
        train=TrainConfig(steps=60, batch_size=32, context=256, save_every=10),
    )


def dpo() -> AlignRun:
    """Learn from the same pairs as a reward model, without one."""
    return AlignRun(
        name="dpo",
        method="dpo",
        base=TUNED,
        optimizer=OptimizerConfig(lr=RATES["dpo"], weight_decay=0.0),
        train=TrainConfig(
            steps=150, batch_size=4, context=256, warmup_steps=15, eval_every=50, save_every=50
        ),
    )


def rejection() -> AlignRun:
    """Answer each prompt eight times, learn the best answers, and once more."""
    return AlignRun(
        name="rejection",
        method="rejection",
        base=TUNED,
        rejection=RejectionConfig(n_samples=8, rounds=2),
        optimizer=OptimizerConfig(lr=RATES["rejection"], weight_decay=0.01),
        train=TrainConfig(steps=100, batch_size=4, context=256, warmup_steps=10, save_every=50),
    )


ALIGNS: dict[str, Callable[[], AlignRun]] = {
    run.__name__: run for run in (reward, ppo, dpo, rejection)
}


def find_align(name: str) -> AlignRun:
    """Look a run up by its name.

    Raises:
        ValueError: if there is no such run; the message lists those that there are.

    Lesson: notebooks/33_reward.ipynb
    """
    if name not in ALIGNS:
        raise ValueError(f"no alignment recipe {name!r}; there are {', '.join(ALIGNS)}")
    return ALIGNS[name]()
