"""ppo and rejection on all ranks that torchrun has started; see `sharded`.

What is learned is what one process learns: align/ppo_ranks.py and align/rejection_ranks.py say how.
A reward model is not cut: each rank holds all of it, and scores its own answers.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from minillm.align.drift import DriftError
from minillm.align.ppo import ppo
from minillm.align.ppo_ranks import OpenActorCritic, share_ppo
from minillm.align.rejection_ranks import RankRounds
from minillm.align.reward import RewardModel
from minillm.distributed.fsdp import let_go
from minillm.distributed.ranks import AllRanksError, Ranks, StopSignal, all_succeed, first_decides
from minillm.distributed.ready import trained_weights
from minillm.distributed.sealed import find_whole_together
from minillm.distributed.sharded_checkpoint import ShardedCheckpointer, load_sharded
from minillm.distributed.team import RankTeam
from minillm.recipes.aligning.config import AlignRun
from minillm.recipes.aligning.draw_runs import (
    actor_critic,
    ppo_parts,
    rejection_rounds_of,
    told_step,
)
from minillm.recipes.aligning.material import Material
from minillm.recipes.aligning.opening import describe
from minillm.recipes.aligning.scorers import open_scorer
from minillm.recipes.finetuning.opening import Base
from minillm.train import MetricsFile, TrainState, make_optimizer

Say = Callable[[str], object]


def check_draws(run: AlignRun, n_ranks: int) -> None:
    """Refuse what cannot be dealt out.

    Raises:
        ValueError: if the answers of ppo, or of one of its updates, are no multiple of the ranks.
    """
    for name, n in (
        ("train.batch_size", run.train.batch_size),
        ("ppo.minibatch_size", run.ppo.minibatch_size),
    ):
        if run.method == "ppo" and n % n_ranks:
            raise ValueError(
                f"{name}={n} answers cannot be dealt out to {n_ranks} ranks; make it a multiple of "
                f"{n_ranks}"
            )


def draw_on_ranks(
    run: AlignRun, base: Base, material: Material, ranks: Ranks, *, out: Path, say: Say
) -> dict[str, Tensor] | None:
    """Carry out ppo or rejection on all ranks, from where `out` has come to.

    Args:
        run: its settings, for any number of ranks.
        base: opened on every rank, on its device; trained in place.
        material: the same on every rank.
        ranks: from joined().
        out: where checkpoints and metrics go.
        say: prints a line, on rank 0.

    Returns:
        The weights of the policy, by name; None if the run was asked to stop before its end.

    Raises:
        AllRanksError: on every rank, for what stops such a run on one process.
    """
    scorer = all_succeed(
        lambda: open_scorer(run, base.tokenizer, ranks.device), "opening the reward model"
    )
    with shared_errors():
        if run.method == "ppo":
            model, state = ppo_on_ranks(run, base, scorer, material, ranks, out=out, say=say)
            let_go(model)
            return None if state.interrupted else trained_weights(model.policy)
        done = rejection_rounds_of(
            run, out, base, scorer, material, say=say, crew=RankRounds(ranks)
        )
        weights = {name: p.detach().cpu() for name, p in base.model.named_parameters()}
        return weights if done else None


def ppo_on_ranks(
    run: AlignRun,
    base: Base,
    scorer: RewardModel | None,
    material: Material,
    ranks: Ranks,
    *,
    out: Path,
    say: Say,
) -> tuple[OpenActorCritic, TrainState]:
    """Train by PPO on all ranks; arguments as in draw_on_ranks.

    Returns:
        The actor and critic, cut over the ranks, and the state at the end.
    """
    parts = ppo_parts(run, base.tokenizer, scorer, material)
    whole, first = actor_critic(run, base, OpenActorCritic)
    team = RankTeam(ranks)
    with StopSignal() as stop, ExitStack() as stack:
        model, reference, crew = share_ppo(
            whole,
            first,
            ranks,
            temperature=run.ppo.temperature,
            agree=lambda wish: team.agree(wish or stop.requested),
        )
        optimizer = make_optimizer(model, run.optimizer)
        place = find_whole_together(out, say=say)
        state = TrainState() if place is None else load_sharded(place, model, optimizer)
        if place is not None:
            say(f"going on from {place}")
        save = ShardedCheckpointer(out, manifest=describe(run, base))
        stack.callback(save.wait)
        log = stack.enter_context(RankNotes(run, out, team, state.step, say))
        state = ppo(
            model,
            reference,
            parts.prompts,
            parts.reward,
            parts.config,
            optimizer=optimizer,
            state=state,
            measures=parts.measures,
            log=log,
            save=save,
            crew=crew,
        )
        save.finish()
        team.agree(False)  # or a log that failed at the very end would go unnoticed
    if state.interrupted:
        say(f"asked to stop: stopped after step {state.step} of {run.train.steps}")
    return model, state


class RankNotes:
    """The log of ppo on every rank: rank 0 writes it; if it cannot, the run ends on all.

    Args:
        run: says how often a line is printed.
        out: of the run.
        team: told of trouble.
        step: that the run goes on from.
        say: prints a line.
    """

    def __init__(self, run: AlignRun, out: Path, team: RankTeam, step: int, say: Say) -> None:
        self.every, self.team, self.say = run.train.log_every, team, say
        self.files: list[MetricsFile] = []
        path = out / "metrics.jsonl"
        first_decides(lambda: self.files.append(MetricsFile(path, resume_at=step)))

    def __enter__(self) -> "RankNotes":
        return self

    def __exit__(self, *_: object) -> None:
        for file in self.files:
            file.__exit__(None, None, None)

    def __call__(self, record: dict[str, Any]) -> None:
        """Take the record of a step; called on every rank."""
        for file in self.files:
            try:
                file(record)
            except OSError as error:
                self.team.trouble = f"the log cannot be written: {error}"
        if self.every and record["step"] % self.every == 0:
            self.say(told_step(record))


@contextmanager
def shared_errors() -> Iterator[None]:
    """Turn what all ranks find alike, such as a score that is no number, into one message."""
    try:
        yield
    except AllRanksError:
        raise
    except (DriftError, ValueError) as error:
        raise AllRanksError(str(error)) from error
