"""Published recipes of pre-training: the numbers as printed, and how to use them on a small run.

A recipe holds what its paper says and nothing else; what is not printed is None. `scaled` makes
the settings of a run of any length from it: rates of change and shares are kept, lengths are not.
"""

from dataclasses import dataclass

from minillm.train.optimizers import OptimizerConfig
from minillm.train.settings import TrainConfig


@dataclass(frozen=True)
class Recipe:
    """The optimizer settings of one published model.

    Attributes:
        lr: the largest learning rate.
        weight_decay: AdamW's; PaLM's is the square of the rate, and then None.
        clip: longest gradient that is let through.
        steps: updates of the whole run, where printed or tokens over a constant batch.
        warmup_steps: updates of the rise, where it is given in updates.
        warmup_share: what share of the run's tokens is warm-up, where both are printed.
        batch_tokens: tokens of a batch at its largest.
        betas: memories of AdamW's two means; None for PaLM, whose second changes with the step.
        eps: where printed.
        min_lr_ratio: last rate over the largest.
        kind: of OptimizerConfig.
        source: paper and section, or released file.
    """

    lr: float
    weight_decay: float | None
    clip: float
    steps: int | None
    warmup_steps: int | None
    warmup_share: float | None
    batch_tokens: int | None
    source: str
    betas: tuple[float, float] | None = (0.9, 0.95)
    eps: float | None = None
    min_lr_ratio: float | None = 0.1
    kind: str = "adamw"

    @property
    def horizon(self) -> float | None:
        """Steps over which the mean square averages: 1 / (1 - beta2); None without betas."""
        return None if self.betas is None else 1 / (1 - self.betas[1])


RECIPES: dict[str, Recipe] = {
    "gpt3_175b": Recipe(
        lr=0.6e-4,
        weight_decay=0.1,
        clip=1.0,
        steps=None,  # the batch grows
        warmup_steps=None,
        warmup_share=375e6 / 300e9,
        batch_tokens=3_200_000,
        eps=1e-8,
        source="Brown et al. 2020, arXiv:2005.14165, table 2.1 and appendix B",
    ),
    "palm_540b": Recipe(
        lr=1e-2,
        weight_decay=None,
        clip=1.0,
        steps=255_000,
        warmup_steps=0,
        warmup_share=0.0,
        batch_tokens=2048 * 2048,
        betas=None,
        min_lr_ratio=None,
        kind="palm",
        source="Chowdhery et al. 2022, arXiv:2204.02311, section 5",
    ),
    "llama_7b": Recipe(
        lr=3e-4,
        weight_decay=0.1,
        clip=1.0,
        steps=250_000,
        warmup_steps=2000,
        warmup_share=2000 / 250_000,
        batch_tokens=4_000_000,
        source="Touvron et al. 2023, arXiv:2302.13971, table 2 and section 2.3",
    ),
    "llama_65b": Recipe(
        lr=1.5e-4,
        weight_decay=0.1,
        clip=1.0,
        steps=350_000,
        warmup_steps=2000,
        warmup_share=2000 / 350_000,
        batch_tokens=4_000_000,
        source="Touvron et al. 2023, arXiv:2302.13971, table 2 and section 2.3",
    ),
    "bloom_176b": Recipe(
        lr=6e-5,
        weight_decay=0.1,
        clip=1.0,
        steps=None,  # the batch grows
        warmup_steps=None,
        warmup_share=183_105 / 220_000_000,
        batch_tokens=2048 * 2048,
        eps=1e-8,
        source="bigscience-workshop/bigscience, train/tr11-176B-ml/tr11-176B-ml.slurm",
    ),
    "glm_130b": Recipe(
        lr=8e-5,
        weight_decay=0.1,
        clip=1.0,
        steps=None,  # the batch grows
        warmup_steps=None,
        warmup_share=0.005,
        batch_tokens=4224 * 2048,
        eps=1e-8,
        source="Zeng et al. 2022, arXiv:2210.02414, section 2.3; eps: its released script",
    ),
    "baichuan2_7b": Recipe(
        lr=2e-4,
        weight_decay=0.1,
        clip=0.5,
        steps=None,
        warmup_steps=2000,
        warmup_share=None,
        batch_tokens=None,
        min_lr_ratio=None,
        source="Yang et al. 2023, arXiv:2309.10305, section 2.5 and table 3",
    ),
}


def find_recipe(name: str) -> Recipe:
    """Look a recipe up.

    Args:
        name: one of RECIPES.

    Returns:
        The recipe.

    Raises:
        ValueError: if there is none of that name; the message lists those that there are.

    Lesson: notebooks/20a_adamw.ipynb
    """
    if name not in RECIPES:
        raise ValueError(f"no recipe {name!r}; there are {', '.join(RECIPES)}")
    return RECIPES[name]


def scaled(
    name: str, steps: int, *, batch_size: int, context: int, lr: float | None = None
) -> tuple[OptimizerConfig, TrainConfig]:
    """Make the settings of a run of any length after a published recipe.

    Kept: betas, eps, decay, clipping, the last rate over the largest, and the share of the
    warm-up; but the warm-up is at least as long as the mean square's memory (20 steps at beta2 =
    0.95), or a tenth of the run if that is shorter, since before that v is a mean over few steps.
    Not kept: the rate, if lr is given, as small models bear larger ones.

    Args:
        name: one of RECIPES, of AdamW.
        steps: updates of the run, at least 1.
        batch_size, context: as in TrainConfig.
        lr: the largest rate; None means the recipe's.

    Returns:
        The optimizer's settings and the loop's.

    Raises:
        ValueError: if the recipe is unknown or not of AdamW, or steps is below 1.

    Lesson: notebooks/20a_adamw.ipynb
    """
    recipe = find_recipe(name)
    if recipe.betas is None or recipe.horizon is None or recipe.weight_decay is None:
        raise ValueError(f"{name} was not trained with AdamW; its optimizer is {recipe.kind!r}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    least = min(round(recipe.horizon), steps // 10)
    warmup = max(least, round((recipe.warmup_share or 0.0) * steps))
    optimizer = OptimizerConfig(
        lr=recipe.lr if lr is None else lr,
        betas=recipe.betas,
        eps=recipe.eps or 1e-8,
        weight_decay=recipe.weight_decay,
    )
    return optimizer, TrainConfig(
        steps=steps,
        batch_size=batch_size,
        context=context,
        warmup_steps=warmup,
        min_lr_ratio=0.1 if recipe.min_lr_ratio is None else recipe.min_lr_ratio,
        clip=recipe.clip,
    )
