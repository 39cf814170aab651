"""The trainer for torchrun: it calls the lesson's own loop, minillm.train.train, and no other.

All that differs on many ranks goes in through the loop's arguments:

    model        cut over the ranks, its gradients summed by FSDP's hooks
    batches      SharedBatches: the rows of this rank; also where all agree to stop
    objective    loss_across_ranks: one value on all ranks, so that all decide alike
    optimizer    AdamW by hand, over the parts
    save         ShardedCheckpointer
    log, progress    on rank 0 only

clip_grad_norm needs no change: the parameters are DTensors, whose norm is that of the whole.
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from minillm.distributed.exact import SharedBatches, StopAgreed, loss_across_ranks
from minillm.distributed.fsdp import ShardingConfig, make_mesh, shard_decoder
from minillm.distributed.ranks import Ranks, StopSignal, first_decides
from minillm.distributed.sharded_checkpoint import ShardedCheckpointer, find_whole, load_sharded
from minillm.model import DecoderConfig
from minillm.train import OptimizerConfig, TrainConfig, TrainState, make_optimizer, train
from minillm.train.loop import Evaluate, Log
from minillm.train.precision import resolve_precision

LogMaker = Callable[[int], Log]


def train_sharded(
    model: DecoderConfig,
    batches: Iterable[tuple[Tensor, Tensor]],
    config: TrainConfig,
    *,
    ranks: Ranks,
    optimizer: OptimizerConfig | None = None,
    sharding: ShardingConfig | None = None,
    out: str | Path | None = None,
    make_log: LogMaker | None = None,
    evaluate: Evaluate | None = None,
    manifest: dict[str, Any] | None = None,
    in_background: bool = False,
    bytes_per_token: float | None = None,
    progress: bool = True,
) -> tuple[nn.Module, TrainState]:
    """Train a decoder on all ranks, from the newest whole checkpoint in `out` if there is one.

    Over 40 lines, so that all that goes into the loop is seen in one piece.

    Args:
        model: the decoder to train; it starts from config.seed.
        batches: gives whole batches (x, y), (batch_size, T), the same on every rank.
        config: batch_size counts the sequences of all ranks in one forward pass.
        ranks: from joined().
        optimizer: the settings; None means OptimizerConfig().
        sharding: the layout; None cuts every weight over all ranks.
        out: where checkpoints go; None saves nothing.
        make_log: called on rank 0 with the step that the run goes on from; gives the loop's log=.
        evaluate: called on every rank with the sharded model; its forward passes are collective.
        manifest: what made the run, for the checkpoints.
        in_background: checkpoints are written while the loop goes on.
        bytes_per_token, progress: as in train; progress on rank 0 only.

    Returns:
        The sharded model, and the state at the end. If SIGTERM came to any rank, all have
        stopped between two steps and saved, and `interrupted` is set.

    Raises:
        ValueError: if the batch cannot be dealt out, or config wants what needs one process:
            recovery, ledger, or a batch ramp on several ranks.
        AllRanksError: on every rank, if a checkpoint cannot be written or read.

    Lesson: notebooks/24_fsdp.ipynb
    """
    sharding = sharding or ShardingConfig()
    mesh = make_mesh(sharding, ranks.size, ranks.device.type)
    n_readers = ranks.size // sharding.tensor
    check_config(config, sharding, n_readers, ranks)
    built = shard_decoder(model, sharding, mesh, seed=config.seed)
    moving = make_optimizer(built, optimizer or OptimizerConfig())
    say = print if ranks.first and progress else _quiet
    with ExitStack() as stack:
        stop = stack.enter_context(StopSignal())
        part = ranks.rank // sharding.tensor
        shared = SharedBatches(batches, part, n_readers, stop=lambda: stop.requested)
        state, save = TrainState(), None
        if out is not None:
            save = ShardedCheckpointer(out, manifest=manifest, in_background=in_background)
            stack.callback(save.wait)
            state = _go_on(out, built, moving, shared, n_readers, say)
        shared.ignored = n_readers == 1 or config.accumulate == 1
        before = state.n_batches
        shared.between_steps = lambda n_drawn: before + n_drawn == state.n_batches
        state.precision = state.precision or _precision(config, sharding, ranks)
        try:
            train(
                built,
                shared,
                config,
                optimizer=moving,
                state=state,
                evaluate=evaluate,
                save=_counting_all(save, n_readers),
                log=_on_first(make_log, ranks, n_readers, state.step),
                bytes_per_token=bytes_per_token,
                objective=loss_across_ranks,
                folder=None if out is None else Path(out) / f"rank-{ranks.rank}",
                progress=progress and ranks.first,
            )
        except StopAgreed:
            state.interrupted = True
            say(f"asked to stop: stopped after step {state.step} of {config.steps}")
            if save is not None:
                state.data = shared.state_dict()
                _counting_all(save, n_readers)(built, moving, state)
        if save is not None:
            save.finish()
    state.n_tokens *= n_readers
    return built, state


def check_config(
    config: TrainConfig, sharding: ShardingConfig, n_readers: int, ranks: Ranks
) -> None:
    """Refuse, before anything is built, what cannot run so."""
    if config.batch_size % n_readers:
        raise ValueError(
            f"train.batch_size={config.batch_size} sequences cannot be dealt out to {n_readers} "
            f"ranks; make it a multiple of {n_readers}, and mend train.accumulate so that a step "
            "reads as many tokens as before"
        )
    if config.recovery is not None:
        raise ValueError("train.recovery keeps its marks on one process; leave it out here")
    if config.ledger:
        raise ValueError("train.ledger counts a bare Decoder; leave it out here")
    if config.ramp is not None and ranks.size > 1:
        raise ValueError("train.ramp counts the tokens of one rank; leave it out on several")


def fit_to_ranks(config: TrainConfig, n_readers: int, rows: int) -> TrainConfig:
    """Cut the same step anew: each rank takes at most `rows` sequences at once.

    The tokens of a step, their order and the schedule stay; only the number of forward passes
    changes.

    Args:
        config: of the run, for any number of ranks.
        n_readers: ranks that read different rows.
        rows: sequences that fit on a rank in one forward pass.

    Returns:
        The config with other batch_size and accumulate; their product is as before.

    Raises:
        ValueError: if the sequences of a step cannot be cut so.

    Lesson: notebooks/24_fsdp.ipynb
    """
    a_step = config.batch_size * config.accumulate
    each, rest = divmod(a_step, n_readers)
    if rest:
        raise ValueError(
            f"a step of {a_step} sequences cannot be dealt out to {n_readers} ranks; take a "
            f"number of ranks that divides {a_step}"
        )
    if rows < 1:
        raise ValueError(f"rows must be at least 1, got {rows}")
    rows = next(n for n in range(min(rows, each), 0, -1) if each % n == 0)
    return replace(config, batch_size=rows * n_readers, accumulate=each // rows)


def _go_on(
    out: str | Path,
    model: nn.Module,
    optimizer: Any,
    batches: SharedBatches,
    n_readers: int,
    say: Callable[[str], object],
) -> TrainState:
    """Load the newest whole checkpoint, which rank 0 looks for; a new state if there is none."""
    name = first_decides(lambda: str(find_whole(out, say=say) or ""))
    if not name:
        return TrainState()
    state = load_sharded(Path(name), model, optimizer)
    state.n_tokens //= n_readers
    state.interrupted = False
    batches.load_state_dict(state.data)
    say(f"going on from {name}")
    return state


def _counting_all(save: ShardedCheckpointer | None, n_readers: int) -> Any:
    """Save with the tokens of all ranks: the loop counts those of its own."""
    if save is None:
        return None

    def saved(model: nn.Module, optimizer: Any, state: TrainState) -> None:
        save(model, optimizer, replace(state, n_tokens=state.n_tokens * n_readers))

    return saved


def _on_first(make_log: LogMaker | None, ranks: Ranks, n_readers: int, step: int) -> Log | None:
    """The log of rank 0, with the speed of all ranks; the others keep none."""
    if make_log is None or not ranks.first:
        return None
    log = make_log(step)

    def logged(record: dict[str, Any]) -> None:
        speed = record.get("tokens_per_second")
        log(record if speed is None else {**record, "tokens_per_second": speed * n_readers})

    return logged


def _precision(config: TrainConfig, sharding: ShardingConfig, ranks: Ranks) -> str:
    """One answer for all ranks; with 16-bit weights there is nothing for autocast to do."""
    if sharding.weights == "bfloat16":
        return "float32"
    return first_decides(lambda: resolve_precision(config.precision, ranks.device))


def _quiet(_: str) -> None:
    """Say nothing."""
