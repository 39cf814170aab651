"""The trainer for torchrun: it calls the lesson's own loop, minillm.train.train, and no other.

All that differs on many ranks goes in through the loop's arguments:

    model        cut over the ranks, its gradients summed by FSDP's hooks
    batches      SharedBatches: the rows of this rank; also where all agree to stop
    objective    loss_across_ranks: one value on all ranks, so that all decide alike
    optimizer    AdamW by hand, over the parts
    save         ShardedCheckpointer
    team         RankTeam: what the loop counts and decides, all ranks do together
    log          RankLog: rank 0 writes; seconds and memory of the ranks are added

clip_grad_norm needs no change: the parameters are DTensors, whose norm is that of the whole.
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from minillm.distributed.exact import SharedBatches, StopAgreed, loss_across_ranks
from minillm.distributed.fsdp import ShardingConfig, make_mesh, shard_decoder
from minillm.distributed.ranks import Ranks, StopSignal, first_decides
from minillm.distributed.sealed import find_whole_together
from minillm.distributed.sharded_checkpoint import ShardedCheckpointer, load_sharded
from minillm.distributed.step_clock import StepClock
from minillm.distributed.team import RankLog, RankTeam, memory_of
from minillm.model import DecoderConfig
from minillm.train import OptimizerConfig, TrainConfig, TrainState, make_optimizer, train
from minillm.train.loop import Evaluate, Log
from minillm.train.precision import resolve_precision

LogMaker = Callable[[int], Log]
Build = Callable[[ShardingConfig, DeviceMesh], nn.Module]


def train_sharded(
    model: DecoderConfig | Build,
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
        model: the decoder to train, which starts from config.seed; or a function of the layout and
            the mesh that gives a model laid over the ranks, such as shard_ready does.
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
        ValueError: if the batch cannot be dealt out, config.ledger is set, which needs one process,
            or config.recovery without a folder.
        AllRanksError: on every rank, if a checkpoint cannot be written or read.

    Lesson: notebooks/24_fsdp.ipynb
    """
    sharding = sharding or ShardingConfig()
    mesh = make_mesh(sharding, ranks.size, ranks.device.type)
    n_readers = ranks.size // sharding.tensor
    check_config(config, n_readers, out)
    if isinstance(model, DecoderConfig):
        built: nn.Module = shard_decoder(model, sharding, mesh, seed=config.seed)
    else:
        built = model(sharding, mesh)
    moving = make_optimizer(built, optimizer or OptimizerConfig())
    say = print if ranks.first and progress else _quiet
    clock = StepClock()
    clock.follow(built, moving)
    with StopSignal() as stop, ExitStack() as stack:
        part = ranks.rank // sharding.tensor
        shared = SharedBatches(batches, part, n_readers, stop=lambda: stop.requested, clock=clock)
        state, save = TrainState(), None
        if out is not None:
            save = ShardedCheckpointer(out, manifest=manifest, in_background=in_background)
            stack.callback(save.wait)
            state = _go_on(out, built, moving, shared, say)
        before = state.n_batches
        shared.between_steps = lambda n_drawn: before + n_drawn == state.n_batches
        state.precision = state.precision or _precision(config, sharding, ranks)
        team = RankTeam(ranks, tensor=sharding.tensor, save=save, weights=sharding.weights)
        log = RankLog(
            team,
            _made_on_first(make_log, state.step),
            clock,
            lambda: memory_of(built, moving, ranks.device),
            log_every=config.log_every,
            progress=progress,
        )
        try:
            train(
                built,
                shared,
                config,
                optimizer=moving,
                state=state,
                evaluate=None if evaluate is None else clock.during("evaluate", evaluate),
                save=None if save is None else clock.during("save", save),
                log=log,
                bytes_per_token=bytes_per_token,
                objective=clock.during("forward", loss_across_ranks, after="backward"),
                folder=None if out is None else Path(out) / f"rank-{ranks.rank}",
                progress=progress and ranks.first,
                team=team,
            )
            team.agree(False)  # or a log that failed at the very end would go unnoticed
        except StopAgreed:
            state.interrupted = True
            say(f"asked to stop: stopped after step {state.step} of {config.steps}")
            if save is not None:
                state.data = shared.state_dict()
                save(built, moving, state)
        if save is not None:
            save.finish()
    return built, state


def check_config(config: TrainConfig, n_readers: int, out: str | Path | None) -> None:
    """Refuse, before anything is built, what cannot run so."""
    if config.batch_size % n_readers:
        raise ValueError(
            f"train.batch_size={config.batch_size} sequences cannot be dealt out to {n_readers} "
            f"ranks; make it a multiple of {n_readers}, and mend train.accumulate so that a step "
            "reads as many tokens as before"
        )
    if config.recovery is not None and out is None:
        raise ValueError("train.recovery keeps its marks in the folder of the run; give out=")
    if config.ledger:
        raise ValueError("train.ledger counts a bare Decoder; leave it out here")


def fit_to_ranks(config: TrainConfig, n_readers: int, rows: int) -> TrainConfig:
    """Cut the same step anew: each rank takes at most `rows` sequences at once.

    The tokens of a step, their order and the schedule stay; only the number of forward passes
    changes.

    Args:
        config: of the run, for any number of ranks.
        n_readers: ranks that read different rows.
        rows: sequences that fit on a rank in one forward pass.

    Returns:
        The config with other batch_size and accumulate; their product is as before. With a ramp,
        which says itself how many passes a step has, only batch_size changes.

    Raises:
        ValueError: if the sequences of a step cannot be cut so.

    Lesson: notebooks/24_fsdp.ipynb
    """
    a_step = config.batch_size * (config.accumulate if config.ramp is None else 1)
    each, rest = divmod(a_step, n_readers)
    if rest:
        raise ValueError(
            f"a step of {a_step} sequences cannot be dealt out to {n_readers} ranks; take a "
            f"number of ranks that divides {a_step}"
        )
    if rows < 1:
        raise ValueError(f"rows must be at least 1, got {rows}")
    rows = next(n for n in range(min(rows, each), 0, -1) if each % n == 0)
    accumulate = config.accumulate if config.ramp is not None else each // rows
    return replace(config, batch_size=rows * n_readers, accumulate=accumulate)


def _go_on(
    out: str | Path,
    model: nn.Module,
    optimizer: Any,
    batches: SharedBatches,
    say: Callable[[str], object],
) -> TrainState:
    """Load the newest whole checkpoint, and go to its data; a new state if there is none."""
    place = find_whole_together(out, say=say)
    if place is None:
        return TrainState()
    state = load_sharded(place, model, optimizer)
    state.interrupted = False
    batches.load_state_dict(state.data)
    say(f"going on from {place}")
    return state


def _made_on_first(make_log: LogMaker | None, step: int) -> Log | None:
    """The log of rank 0; the others keep none. A failure is told to all."""
    made: list[Log] = []
    if make_log is not None:
        first_decides(lambda: made.append(make_log(step)))
    return made[0] if made else None


def _precision(config: TrainConfig, sharding: ShardingConfig, ranks: Ranks) -> str:
    """One answer for all ranks; with 16-bit weights there is nothing for autocast to do."""
    if sharding.weights == "bfloat16":
        return "float32"
    return first_decides(lambda: resolve_precision(config.precision, ranks.device))


def _quiet(_: str) -> None:
    """Say nothing."""
