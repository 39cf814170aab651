"""Runs of published size: model, batch, schedule and length as their papers state them.

A run is the same on any number of cards: `batch_size * accumulate` sequences a step, which
fit_to_ranks deals out. What a paper leaves open is filled from the named other source, and said.
`minillm.recipes` makes a Run of each.
"""

from collections.abc import Callable
from dataclasses import dataclass

from minillm.distributed.fsdp import ShardingConfig
from minillm.distributed.hardware import A100_40, A100_80, H100_80, Card, Cluster
from minillm.model import DecoderConfig, presets
from minillm.train import OptimizerConfig, TrainConfig

AT_200_GBIT = "8 x 200 Gbit/s a machine, as DGX A100; assumed where the paper is silent"


@dataclass(frozen=True)
class FullSize:
    """A run too large for this machine.

    Attributes:
        name: of the recipe.
        model, optimizer, train: what is trained, and how; train.batch_size sequences a step.
        sharding: the layout that is proposed.
        cluster: the cards of the paper, or of whoever published times.
        gpu_hours: that were reported for the whole run; None where nobody did.
        source: of the settings.
    """

    name: str
    model: DecoderConfig
    optimizer: OptimizerConfig
    train: TrainConfig
    sharding: ShardingConfig
    cluster: Cluster
    gpu_hours: float | None
    source: str

    @property
    def n_tokens(self) -> int:
        """Tokens of the whole run."""
        t = self.train
        return t.steps * t.batch_size * t.accumulate * t.context


def gpt2_124m() -> FullSize:
    """GPT-2 of 124 M parameters, with the settings of GPT-3 Small: GPT-2's are not published.

    GPT-3 falls to a tenth within 260 of its 300 B tokens and begins with smaller batches; here the
    cosine takes all of them, and every batch is whole.
    """
    return _run(
        "gpt2_124m",
        presets.gpt2_124m(),
        lr=6e-4,
        rows=512,
        n_tokens=300e9,
        warmup_steps=715,  # 375 M tokens
        cluster=Cluster(H100_80, 1, 8, 50e9, "one machine: nothing goes between"),
        source="Radford et al. 2019, section 2.3 (shape, 512 rows of 1 024); Brown et al. 2020, "
        "arXiv:2005.14165, table 2.1 and appendix B (the rest, of GPT-3 Small)",
    )


def llama_1b() -> FullSize:
    """TinyLlama: the shape of LLaMA at 1.1 B parameters, three trillion tokens."""
    return _run(
        "llama_1b",
        presets.tinyllama_1b(),
        lr=4e-4,
        rows=1024,
        n_tokens=3e12,
        cluster=Cluster(A100_40, 2, 8, 25e9, AT_200_GBIT),
        gpu_hours=34_560,  # ten times 3 456, for 300 B tokens
        source="Zhang et al. 2024, arXiv:2401.02385, section 2; its README of 2023-09",
    )


def llama_7b() -> FullSize:
    """LLaMA-7B: a trillion tokens in batches of 4 M."""
    return _llama("llama_7b", presets.llama_7b(), gpu_hours=82_432)


def llama_13b() -> FullSize:
    """LLaMA-13B: a trillion tokens in batches of 4 M."""
    return _llama("llama_13b", presets.llama_13b(), gpu_hours=135_168)


def llama2_70b() -> FullSize:
    """LLaMA-2-70B: two trillion tokens, 4 096 at a time."""
    return _run(
        "llama2_70b",
        presets.llama2_70b(),
        lr=1.5e-4,
        rows=1024,
        n_tokens=2e12,
        cluster=_a100(128, "200 Gbit/s a card, section 2.2.1"),
        gpu_hours=1_720_320,
        sharding=ShardingConfig(weights="bfloat16", recompute=True),
        source="Touvron et al. 2023, arXiv:2307.09288, section 2.2 and tables 1 and 2; the number "
        "of cards is not stated; a step has 1 024 rows, so FSDP alone cannot use more than 1 024",
    )


def _llama(name: str, model: DecoderConfig, *, gpu_hours: float) -> FullSize:
    return _run(
        name,
        model,
        lr=3e-4,
        rows=2048,
        n_tokens=1e12,
        cluster=_a100(32),
        gpu_hours=gpu_hours,
        source="Touvron et al. 2023, arXiv:2302.13971, section 2.3 and tables 2 and 15; the number "
        "of cards is not stated for this size",
    )


def _a100(n_machines: int, source: str = AT_200_GBIT) -> Cluster:
    return Cluster(A100_80, n_machines, 8, 25e9, source)


def _run(
    name: str,
    model: DecoderConfig,
    *,
    lr: float,
    rows: int,
    n_tokens: float,
    cluster: Cluster,
    source: str,
    warmup_steps: int = 2000,
    gpu_hours: float | None = None,
    sharding: ShardingConfig | None = None,
) -> FullSize:
    """What all of these papers share: AdamW 0.9, 0.95, decay 0.1, clip 1, cosine to a tenth."""
    train = TrainConfig(
        steps=round(n_tokens / (rows * model.context)),
        batch_size=rows,
        context=model.context,
        warmup_steps=warmup_steps,
        min_lr_ratio=0.1,
        clip=1.0,
        save_every=1000,
        eval_every=1000,
    )
    optimizer = OptimizerConfig(lr=lr, betas=(0.9, 0.95), weight_decay=0.1)
    layout = sharding or ShardingConfig(weights="bfloat16")
    return FullSize(name, model, optimizer, train, layout, cluster, gpu_hours, source)


_ALL = (gpt2_124m, llama_1b, llama_7b, llama_13b, llama2_70b)
FULL_SIZES: dict[str, Callable[[], FullSize]] = {run.__name__: run for run in _ALL}


def find_full_size(name: str) -> FullSize:
    """Look a run up by its name.

    Raises:
        ValueError: if there is no such run; the message lists those that there are.
    """
    if name not in FULL_SIZES:
        raise ValueError(f"no full-size run {name!r}; there are {', '.join(FULL_SIZES)}")
    return FULL_SIZES[name]()


def on(run: FullSize, card: Card, n_cards: int, *, between: float | None = None) -> Cluster:
    """Describe other cards for a run, eight a machine.

    Args:
        run: whose network is kept, where none is given.
        card: the accelerator.
        n_cards: at most 8, or a multiple of 8.
        between: bytes/s of a card to other machines.

    Raises:
        ValueError: if the cards do not fill whole machines.
    """
    if n_cards < 1 or (n_cards > 8 and n_cards % 8):
        raise ValueError(f"n_cards must be 1 to 8 or a multiple of 8, got {n_cards}")
    speed = run.cluster.between if between is None else between
    each = min(n_cards, 8)
    return Cluster(card, n_cards // each, each, speed, run.cluster.source)
