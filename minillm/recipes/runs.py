"""The runs of the course, each a function that returns one `Run`.

`laptop` is the one to begin with; `draft` and `tiny` are the two base models that the lessons
before 27 start from (`make base-tiny`); `small` and `medium` those of lesson 27 (`make base`).
find_run also finds the published sizes of minillm.distributed.full_size (`llama_7b` ...).
"""

from collections.abc import Callable
from dataclasses import replace

from minillm.model import (
    AttentionConfig,
    DecoderConfig,
    FeedForwardConfig,
    PositionConfig,
)
from minillm.recipes.run import DataConfig, Run
from minillm.train import OptimizerConfig, TrainConfig

COURSE_VOCABULARY = 6_144

# The base models read stories with questions below them, then the stories alone, then real prose:
# at least 60 % of the tokens are storyworld's (contracts.md), the rest is the harvest's prose.
BASE_MIXTURE = (
    ("questions-en", 6_000_000),
    ("stories-en", 2_000_000),
    ("questions-zh", 4_000_000),
    ("stories-zh", 1_000_000),
    ("prose", 3_500_000),
)

# What lesson 27 pretrains on: all prose and code of the harvest (6.3M tokens), and 7 tokens of
# storyworld for every 3 of them, half in each language: 21M tokens, 25M with the torn ones.
PRETRAINING_MIXTURE = (
    ("tales-en", 22_600_000),
    ("questions-en", 6_000_000),
    ("tales-zh", 27_400_000),
    ("questions-zh", 5_000_000),
    ("prose", 10_000_000),
    ("code", 12_000_000),
)


def decoder(
    vocab_size: int,
    d_model: int,
    n_layers: int,
    n_heads: int,
    context: int,
    *,
    tie_embeddings: bool = True,
    **attention: int,
) -> DecoderConfig:
    """A LLaMA-shaped decoder: RMSNorm before each part, RoPE, SwiGLU.

    The feed-forward width is 8/3 of d_model, rounded up to a multiple of 16, so that its three
    matrices hold as many numbers as two of width 4 d_model (lesson 12 derives the 8/3).

    Args:
        vocab_size: V. d_model: D. n_layers, n_heads, context: as in `DecoderConfig`.
        tie_embeddings: use the embedding as the output matrix, too. Untied, a very small model
            learns much earlier to fetch a name from its text: see lesson 00.
        attention: further fields of `AttentionConfig`, such as n_kv_heads=2.

    Source: Touvron et al. 2023, arXiv:2302.13971, section 2.2; Shazeer 2020, arXiv:2002.05202.
    """
    width = -(-8 * d_model // 3 // 16) * 16
    return DecoderConfig(
        vocab_size=vocab_size,
        d_model=d_model,
        n_layers=n_layers,
        context=context,
        attention=AttentionConfig(n_heads=n_heads, **attention),  # type: ignore[arg-type]
        feedforward=FeedForwardConfig(kind="swiglu", width=width),
        position=PositionConfig(kind="rope"),
        tie_embeddings=tie_embeddings,
    )


def laptop() -> Run:
    """About a minute and a half on one core: 0.6 M parameters on English stories."""
    return Run(
        name="laptop",
        model=decoder(COURSE_VOCABULARY, d_model=64, n_layers=4, n_heads=4, context=128),
        optimizer=OptimizerConfig(lr=5e-3, weight_decay=0.1),
        train=TrainConfig(
            steps=300, batch_size=16, context=128, warmup_steps=30, eval_every=100, save_every=100
        ),
        data=DataConfig(mixture=(("stories-en", 3_000_000),)),
    )


def draft() -> Run:
    """The smaller base model, about 0.3 M parameters: the draft model of lesson 19."""
    return Run(
        name="draft",
        model=decoder(COURSE_VOCABULARY, d_model=40, n_layers=3, n_heads=2, context=128),
        optimizer=OptimizerConfig(lr=5e-3, weight_decay=0.1),
        train=TrainConfig(
            steps=1_300,
            batch_size=16,
            context=128,
            warmup_steps=100,
            eval_every=500,
            save_every=500,
        ),
        data=DataConfig(mixture=BASE_MIXTURE),
    )


def tiny() -> Run:
    """The base model of the lessons before 27, about 1.6 M parameters."""
    return Run(
        name="tiny",
        model=decoder(
            COURSE_VOCABULARY, d_model=96, n_layers=4, n_heads=4, context=128, tie_embeddings=False
        ),
        optimizer=OptimizerConfig(lr=6e-3, weight_decay=0.1),
        train=TrainConfig(
            steps=1_600,
            batch_size=16,
            context=128,
            warmup_steps=100,
            eval_every=500,
            save_every=200,
        ),
        data=DataConfig(mixture=BASE_MIXTURE),
    )


def small() -> Run:
    """The base model of the lessons after 27: 3.1 M parameters, 33 M tokens, an evening's run.

    The context of 512 holds a question with its story, or the longest story of the village (99 %
    have at most 440 tokens); the third of the heads' keys is lesson 16a's.
    """
    return Run(
        name="small",
        model=decoder(
            COURSE_VOCABULARY, d_model=192, n_layers=5, n_heads=6, context=512, n_kv_heads=2
        ),
        optimizer=OptimizerConfig(lr=4e-3, weight_decay=0.1),
        train=TrainConfig(
            steps=8_000,
            batch_size=8,
            context=512,
            warmup_steps=200,
            eval_every=500,
            save_every=100,
        ),
        data=DataConfig(mixture=PRETRAINING_MIXTURE, packing="once", validation_share=0.01),
    )


def medium() -> Run:
    """The larger base model: 7.4 M parameters, for a GPU (`benchmarks/gpu/base.py`).

    It reads what `small` reads, so that the same validation rows judge both: 82 M tokens, every
    text about four times. That is 11 tokens a parameter, as many as `small` gets; it takes a GPU
    some minutes, and two cores the better part of a day.
    """
    base = small()
    train = replace(base.train, steps=2_500, batch_size=64, eval_every=250, save_every=250)
    return replace(
        base,
        name="medium",
        model=decoder(
            COURSE_VOCABULARY, d_model=256, n_layers=8, n_heads=8, context=512, n_kv_heads=4
        ),
        optimizer=replace(base.optimizer, lr=3e-3),
        train=train,
    )


_ALL = (laptop, draft, tiny, small, medium)
RUNS: dict[str, Callable[[], Run]] = {run.__name__: run for run in _ALL}
FULL_SIZES = ("gpt2_124m", "llama_1b", "llama_7b", "llama_13b", "llama2_70b")
"""Names of minillm.distributed.full_size, known here without its import of torch's FSDP."""


def find_run(name: str) -> Run:
    """Look a run up by its name: one of RUNS, or a published size on the course's own text.

    Raises:
        ValueError: if there is no such run; the message lists those that there are.
    """
    if name in RUNS:
        return RUNS[name]()
    if is_full_size(name):
        from minillm.distributed.full_size import find_full_size

        found = find_full_size(name)
        return Run(name, found.model, found.optimizer, found.train)
    raise ValueError(f"no run {name!r}; there are {', '.join([*RUNS, *FULL_SIZES])}")


def is_full_size(name: str) -> bool:
    """Whether a name is that of a published size, planned and trained on many cards."""
    return name in FULL_SIZES
