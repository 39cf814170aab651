"""What a run costs before it is started: parameters, FLOPs, memory, and whether it fits."""

from collections.abc import Iterable
from dataclasses import dataclass

import psutil
import torch

from minillm.model import DecoderConfig, presets
from minillm.model.config import count_parameters, flops_per_token, kv_bytes_per_token
from minillm.recipes.overrides import override
from minillm.recipes.run import Run
from minillm.recipes.runs import RUNS, find_run, is_full_size
from minillm.train import OptimizerConfig, TrainConfig
from minillm.train.memory import MemoryLedger, memory_ledger

PRESETS = {
    name: make
    for name, make in vars(presets).items()
    if callable(make) and getattr(make, "__annotations__", {}) == {"return": DecoderConfig}
}
TOKENS_PER_PARAMETER = 20  # Hoffmann et al. 2022, arXiv:2203.15556, table 3


@dataclass(frozen=True)
class Plan:
    """The bill of a run.

    Lesson: notebooks/00_tour.ipynb; the counts are derived in 09, 10, 22 and 25.
    """

    run: Run
    """What is planned."""

    n_tokens: float
    """Tokens that training reads."""

    memory: MemoryLedger
    """Of a training step."""

    available_bytes: float
    """Memory that it has to fit into."""

    @property
    def fits(self) -> bool:
        """Whether a training step fits into the memory, a tenth of it left for everything else."""
        return self.memory.total <= 0.9 * self.available_bytes

    def report(self) -> str:
        """The bill as lines for the terminal."""
        model, n = self.run.model, count_parameters(self.run.model)
        each = flops_per_token(model, context=self.run.train.context)
        precision = {4: "float32", 2: "16 bits"}
        cache = kv_bytes_per_token(model) / 1024
        lines = [
            f"{self.run.name}: {n:,} parameters ({n / 1e9:.3f} B)",
            f"FLOPs     {each:.3g} a token, {each * self.n_tokens:.3g} for {self.n_tokens:.3g} "
            f"tokens ({self.n_tokens / n:.1f} a parameter)",
            *(
                f"weights   {n * size / 2**30:.2f} GiB in {precision[size]} to use the model"
                for size in (4, 2)
            ),
            f"cache     {cache:,.1f} KiB a token and sequence in 16 bits",
            f"training  with AdamW in float32, batch {self.run.train.batch_size} of "
            f"{self.run.train.context} tokens:",
            *("          " + line for line in str(self.memory).splitlines()),
        ]
        need, have = self.memory.total / 1e9, self.available_bytes / 1e9
        if self.fits:
            return "\n".join([*lines, f"fits      {need:.2f} GB of {have:.1f} GB"])
        remedy = "take a smaller train.batch_size or train.context, or a smaller model"
        fixed = (self.memory.parameters + self.memory.gradients + self.memory.optimizer) / 1e9
        if fixed > 0.9 * have:
            remedy = f"weights, gradients and AdamW alone take {fixed:.2f} GB: shard it (lesson 24)"
        return "\n".join([*lines, f"does not fit: {need:.2f} GB of {have:.1f} GB; {remedy}"])


def find_plan(
    name: str,
    overrides: Iterable[str] = (),
    *,
    memory_gb: float | None = None,
    n_tokens: float | None = None,
) -> Plan:
    """Plan a run of `minillm.recipes`, or the training of a model of `minillm.model.presets`.

    Args:
        name: of the run (laptop) or of the model (llama_7b).
        overrides: as for `override`.
        memory_gb: to fit into, 1e9 bytes; None means this machine's GPU, else its memory.
        n_tokens: training tokens; None means the run's own, or 20 a parameter for a model.

    Raises:
        ValueError: if the name is unknown, an override is wrong, or a size is not positive.

    Source: 20 tokens a parameter: Hoffmann et al. 2022, arXiv:2203.15556, table 3.
    """
    for what, value in (("memory_gb", memory_gb), ("n_tokens", n_tokens)):
        if value is not None and value <= 0:
            raise ValueError(f"{what} must be positive, got {value}")
    if name in RUNS:
        run = override(find_run(name), overrides)
        t = run.train
        own_tokens = float(t.steps * t.accumulate * t.batch_size * t.context)
    elif name in PRESETS or is_full_size(name):
        model = PRESETS[name]() if name in PRESETS else find_run(name).model
        train = TrainConfig(batch_size=1, context=model.context)
        run = override(Run(name, model, OptimizerConfig(), train), overrides)
        own_tokens = float(TOKENS_PER_PARAMETER * count_parameters(run.model))
    else:
        raise ValueError(
            f"no run and no model {name!r}; runs: {', '.join(RUNS)}; models: {', '.join(PRESETS)}"
        )
    ledger = memory_ledger(run.model, run.train.batch_size, run.train.context)
    available = memory_gb * 1e9 if memory_gb is not None else _memory_here()
    return Plan(run, n_tokens or own_tokens, ledger, available)


def plan_sharded(
    name: str,
    overrides: Iterable[str] = (),
    *,
    gpu: str | None = None,
    n_gpus: int | None = None,
) -> str:
    """Plan a run on many cards, every weight sharded over them.

    Args:
        name: of a run, such as laptop or llama_7b.
        overrides: as for `override`.
        gpu: how the card's name begins, such as H100 or "A100 SXM 40"; of several the last of
            minillm.distributed.hardware.CARDS. None means the paper's, or H100.
        n_gpus: 1 to 8, or a multiple of 8; None means the paper's number, or 8.

    Returns:
        Lines: bytes on a card, rows at once, seconds of a step, days of the run.

    Raises:
        ValueError: if the run does not fit, with what would do; or a name is unknown.

    Lesson: notebooks/24_fsdp.ipynb
    """
    from minillm.distributed.fit import check_fits, report  # late: torch's FSDP takes a second
    from minillm.distributed.full_size import FULL_SIZES, on
    from minillm.distributed.hardware import CARDS, H100_80, Cluster
    from minillm.recipes.sharded import full_size_of

    run = override(find_run(name), overrides)
    cluster = Cluster(H100_80, 1, 8, 50e9, "one machine: nothing goes between")
    if name in FULL_SIZES:
        cluster = FULL_SIZES[name]().cluster
    fitting = [card for card in CARDS if card.name.startswith(gpu or cluster.card.name)]
    if not fitting:
        raise ValueError(f"no GPU {gpu!r}; there are {', '.join(card.name for card in CARDS)}")
    full = full_size_of(run, cluster)
    if gpu is not None or n_gpus is not None:
        full = full_size_of(run, on(full, fitting[-1], n_gpus or cluster.n_cards))
    return report(check_fits(full, full.cluster))


def _memory_here() -> float:
    if torch.cuda.is_available():
        return float(torch.cuda.get_device_properties(0).total_memory)
    return float(psutil.virtual_memory().total)
