"""What a sharded run needs of each card, how long it takes, and what to change if it does not fit.

Counted: bytes from shapes, FLOPs from the config, bytes on links from the rings, and the step as a
simulation of two streams (step_time.py). Assumed: the share of its peak that a card reaches while
it computes, one number, and links at the data sheet's speed. So a time is a forecast with its
weakness in one place; memory is a count.

Shape letters: B sequences a card takes at once, T positions, D model width, V vocabulary, W ranks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from minillm.distributed.fsdp import ShardingConfig
from minillm.distributed.full_size import FullSize
from minillm.distributed.hardware import Cluster
from minillm.distributed.links import Link
from minillm.distributed.step_time import StepTime, Unit, fsdp_step
from minillm.distributed.trainer import fit_to_ranks
from minillm.model import DecoderConfig
from minillm.model.config import (
    count_matrix_parameters,
    count_padding,
    count_parameters,
    flops_per_token,
)
from minillm.train.memory import memory_ledger

ROOM = 0.9  # of a card's memory; the rest is for the allocator, buffers of the network, the driver


@dataclass(frozen=True)
class Share:
    """Bytes on one card.

    Attributes:
        parts: weights, gradients, m and v of this rank, float32: 16 bytes a weight over W.
        gathered: the root, the block at work and the next one, whole, and a block's gradients.
        activations: of B sequences.
        loss: what the output matrix keeps.
    """

    parts: float
    gathered: float
    activations: float
    loss: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.parts + self.gathered + self.activations + self.loss


@dataclass(frozen=True)
class Fit:
    """A full-size run on some cards.

    Attributes:
        run: with the sharding that is meant.
        cluster: the cards.
        rows: B, sequences that a card takes at once.
        share: bytes on a card.
        step: the simulated step.
        mfu: model FLOPs as a share of the peak; what is learned from.
        hfu: with the FLOPs of recomputation; what the cards do.
    """

    run: FullSize
    cluster: Cluster
    rows: int
    share: Share
    step: StepTime
    mfu: float
    hfu: float

    @property
    def fits(self) -> bool:
        """Whether a step fits into a card, a tenth of it left for everything else."""
        return self.share.total <= ROOM * self.cluster.card.memory

    @property
    def gpu_hours(self) -> float:
        """Of the whole run, without failures and evaluation."""
        return self.step.total * self.run.train.steps * self.cluster.n_cards / 3600


def fit(run: FullSize, cluster: Cluster, rows: int, *, kernel_share: float = 0.6) -> Fit:
    """Count what a run needs with B = rows.

    Args:
        run: the run; its sharding counts.
        cluster: the cards.
        rows: at most so many sequences a card at once; fewer where a step cannot be cut so.
        kernel_share: share of the peak that is reached while computing; the one assumption.

    Returns:
        The count, whether it fits or not.

    Raises:
        ValueError: if the layout does not suit the cards, the batch cannot be dealt out, tensor
            ranks are asked for (see lesson 23's bill), or kernel_share is no share.

    Source: memory: Rajbhandari et al. 2020 (ZeRO), arXiv:1910.02054, sections 3.1 and 5.3.
    Lesson: notebooks/24_fsdp.ipynb
    """
    if not 0 < kernel_share <= 1:
        raise ValueError(f"kernel_share must be over 0 and at most 1, got {kernel_share}")
    if run.sharding.tensor > 1:
        raise ValueError("fit plans FSDP alone; for tensor ranks see minillm.distributed.bill")
    shards = run.sharding.shards(cluster.n_cards)
    train = fit_to_ranks(run.train, cluster.n_cards, rows)
    rows = train.batch_size // cluster.n_cards
    share = share_of_card(run.model, run.sharding, shards, rows, train.context)
    speed = cluster.card.peak * kernel_share
    units = _units(run.model, run.sharding, rows * train.context, train.context, speed)
    between = Link("between machines", cluster.between / 1e9, 5.0)
    inside = Link("inside a machine", cluster.card.link / 1e9, 5.0)
    update = 7 * share.parts / 4 / cluster.card.bandwidth  # 28 bytes moved for 16 held
    step = fsdp_step(
        units,
        inside if shards <= cluster.cards_per_machine else between,
        shards,
        n_passes=train.accumulate,
        optimizer=update,
        keep_gathered=run.sharding.keep_gathered,
        copies=run.sharding.replicas,
        between=inside if cluster.n_machines == 1 else between,
    )
    n_tokens = train.batch_size * train.accumulate * train.context
    model = flops_per_token(run.model, context=train.context) * n_tokens
    blocks = model - 6 * run.model.vocab_size * run.model.d_model * n_tokens
    extra = blocks / 3 if run.sharding.recompute else 0.0
    able = step.total * cluster.n_cards * cluster.card.peak
    return Fit(run, cluster, rows, share, step, model / able, (model + extra) / able)


def share_of_card(
    config: DecoderConfig, sharding: ShardingConfig, shards: int, rows: int, context: int
) -> Share:
    """Count the bytes on one card.

    Args:
        config: the model.
        sharding: its format, recomputation, and whether gathered weights stay.
        shards: W, among which every weight is cut.
        rows: B.
        context: T.

    Lesson: notebooks/24_fsdp.ipynb
    """
    n = count_parameters(config) + count_padding(config)
    block = count_matrix_parameters(config) / config.n_layers
    each = 2 if sharding.weights == "bfloat16" else 4
    root = n - block * config.n_layers
    held = block * config.n_layers if sharding.keep_gathered else 2 * block
    gathered = each * (root + held) + (each + 4) * max(block, root)  # gradients, and their sum
    ledger = memory_ledger(config, rows, context, bytes_per_activation=each)
    activations: float = ledger.activations
    if sharding.recompute:
        inputs = each * rows * context * config.d_model * config.n_layers
        activations = inputs + ledger.activations / config.n_layers
    return Share(16 * n / shards, gathered, activations, ledger.loss)


def _units(
    config: DecoderConfig,
    sharding: ShardingConfig,
    n_tokens: int,
    context: int,
    speed: float,
) -> list[Unit]:
    """The root, and the blocks, each a third forward and two thirds backward."""
    table = 6 * config.vocab_size * config.d_model * n_tokens / speed
    whole = flops_per_token(config, context=context) * n_tokens / speed
    block = (whole - table) / config.n_layers
    each = 2 if sharding.weights == "bfloat16" else 4
    n = count_matrix_parameters(config) / config.n_layers
    root = count_parameters(config) - n * config.n_layers
    again = 1 / 3 if sharding.recompute else 0.0
    first = Unit("root", 0.0, table, each * root, 4 * root)  # the loss computes both at once
    block_units = (
        Unit(str(i), block / 3, block * (2 / 3 + again), each * n, 4 * n)
        for i in range(config.n_layers)
    )
    return [first, *block_units]


def choices(sharding: ShardingConfig) -> Iterator[tuple[ShardingConfig, int]]:
    """Give the settings to try; the last takes the least memory."""
    for recompute in (False, True):
        for keep in (True, False):
            for rows in (16, 8, 4, 2, 1):
                yield replace(sharding, recompute=recompute, keep_gathered=keep), rows


def best_fit(run: FullSize, cluster: Cluster, *, kernel_share: float = 0.6) -> Fit:
    """Find the fastest of the choices that fit; the leanest, which does not, if none does."""
    tried = [
        fit(replace(run, sharding=sharding), cluster, rows, kernel_share=kernel_share)
        for sharding, rows in choices(run.sharding)
    ]
    fitting = [each for each in tried if each.fits]
    return min(fitting, key=lambda each: each.step.total) if fitting else tried[-1]


def smallest_cluster(run: FullSize, cluster: Cluster, *, up_to: int = 4096) -> Cluster | None:
    """Double the cards (whole machines beyond the first) until a run fits; None if it never does.

    Only the leanest choice is asked, and only numbers that the rows of a step can be dealt out to.
    """
    *_, (lean, rows) = choices(run.sharding)
    lean_run = replace(run, sharding=lean)
    each, machines = cluster.cards_per_machine, cluster.n_machines
    while each * machines <= up_to:
        trial = replace(cluster, cards_per_machine=each, n_machines=machines)
        dealt = run.train.batch_size * run.train.accumulate % trial.n_cards == 0
        if dealt and fit(lean_run, trial, rows).fits:
            return trial
        each, machines = (each * 2, machines) if each < 8 else (each, machines * 2)
    return None


def check_fits(run: FullSize, cluster: Cluster) -> Fit:
    """Plan a run, and refuse it with a suggestion if it does not fit.

    Args:
        run: from full_size.
        cluster: the cards that are there.

    Returns:
        The best fit.

    Raises:
        ValueError: if no choice of rows and recomputation fits. It says what is missing, and the
            smallest number of the same cards on which the run fits.

    Lesson: notebooks/24_fsdp.ipynb
    """
    found = best_fit(run, cluster)
    if found.fits:
        return found
    need, have = found.share.total / 1e9, ROOM * cluster.card.memory / 1e9
    larger = smallest_cluster(run, cluster)
    remedy = "take a smaller model, or tensor ranks (lesson 23)"
    if larger is not None:
        remedy = f"{larger.n_cards} of these cards are the fewest, in doublings, on which it fits"
    raise ValueError(
        f"{run.name} does not fit on {cluster.n_cards} x {cluster.card.name}: with one sequence at "
        f"a time and recomputation a card needs {need:.1f} GB of {have:.1f} GB, "
        f"{found.share.parts / 1e9:.1f} GB of them its part of weights and optimizer; {remedy}"
    )


def report(found: Fit) -> str:
    """Write a fit as lines for the terminal."""
    run, share, card = found.run, found.share, found.cluster.card
    n, t = count_parameters(run.model), run.train
    train = fit_to_ranks(t, found.cluster.n_cards, found.rows)
    days = found.gpu_hours / found.cluster.n_cards / 24
    lines = [
        f"{run.name}: {n:,} parameters, {run.n_tokens:.3g} tokens in {t.steps:,} steps of "
        f"{t.batch_size * t.accumulate:,} x {t.context:,}",
        f"cards     {found.cluster.n_cards} x {card.name}; between machines "
        f"{found.cluster.between / 1e9:.4g} GB/s a card ({found.cluster.source})",
        f"layout    {run.sharding.shards(found.cluster.n_cards)} shards x {run.sharding.replicas} "
        f"replicas, weights in {run.sharding.weights}, {found.rows} rows at once, "
        f"{train.accumulate} passes a step"
        + (", recomputed" if run.sharding.recompute else "")
        + (", gathered weights stay" if run.sharding.keep_gathered else ""),
        *(
            f"          {name:<12}{value / 1e9:>8.2f} GB"
            for name, value in [*vars(share).items(), ("total", share.total)]
        ),
        f"step      {found.step.total:.3g} s, of which {found.step.exposed / found.step.total:.0%} "
        f"waits for the network; MFU {found.mfu:.0%}, HFU {found.hfu:.0%} (forecast)",
        f"run       {days:.3g} days, {found.gpu_hours:,.0f} card hours"
        + (f"; reported: {run.gpu_hours:,.0f}" if run.gpu_hours else ""),
    ]
    return "\n".join(lines)
