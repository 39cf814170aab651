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

PILOT = {
    "reward": {5e-4: 0.759, 1e-3: 0.754},
}
"""Method -> learning rate -> what was measured in English on stories of validation worlds, which no
training reads, with train.seed=101 data.seed=101: of reward the share of 398 pairs whose better
answer gets the higher reward. One run each, whose 95 % interval is about 0.04 to either side:
the rates are not told apart."""

RATES = {"reward": 5e-4, "ppo": 1e-4, "dpo": 1e-4, "rejection": 5e-4}
"""Method -> learning rate. That of reward is the best of PILOT; that of ppo the best of four in the
pilot of lesson 34b (`recipes.studies.ppo_small.PILOT`: the same method, on an instructed `small`).
Those of dpo and rejection are guesses: in the making of `chat` (its card tells) dpo at this rate
neither helped nor harmed, and rejection harmed a little at this rate and at a lower one."""


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
