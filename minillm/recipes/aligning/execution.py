"""Carry out an alignment run on one process: rows, model, method, and what is kept of it.

runs/dpo/align.json        the whole tree of settings
runs/dpo/rows.txt          what became of every line of the rows
runs/dpo/metrics.jsonl     one line a step (reward, dpo, ppo)
runs/dpo/last/             the newest checkpoint, to go on from (reward, dpo, ppo)
runs/dpo/rounds/           answers that were kept, and checkpoints (rejection)
runs/dpo/model/            the model at the end: a policy, or the reward model
runs/dpo/score.json        what was measured at the end
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from minillm.align.reward import RewardModel, save_reward
from minillm.distributed.sealed import checkpoints
from minillm.finetune.score import score
from minillm.model import Decoder
from minillm.recipes.aligning.config import ON_PAIRS, AlignRun
from minillm.recipes.aligning.draw_runs import ROUNDS, run_ppo, run_rejection
from minillm.recipes.aligning.material import BadRowsError, Material, prepare_material
from minillm.recipes.aligning.opening import NOTE, describe, open_start
from minillm.recipes.aligning.pair_runs import direct_findings, reward_findings, run_on_pairs
from minillm.recipes.aligning.scorers import open_scorer
from minillm.recipes.finetuning.opening import Base
from minillm.recipes.run_notes import write_settings
from minillm.tokenizer import Tokenizer
from minillm.train import has_checkpoint, save_checkpoint
from minillm.train.disk import save_json


def execute_align(
    run: AlignRun, out: str | Path, *, resume_run: bool = False, progress: bool = True
) -> Path:
    """Align a model, or train a reward model, from the start or from the last checkpoint.

    Args:
        run: what to do.
        out: folder of the run; made if it is not there.
        resume_run: go on from what `out` holds as if nothing had happened in between.
        progress: show bars and lines.

    Returns:
        `out`.

    Raises:
        BadRowsError: if the rows hold bad ones, and the run does not skip them.
        DriftError: if ppo has gone too far from its reference.
        ValueError: if base or reward model are unknown or do not fit, there are too few rows, a
            score is not finite, `out` holds a run and resume_run is False, it holds none and
            resume_run is True, or it was made by other settings.

    Lesson: notebooks/33_reward.ipynb
    """
    out, say = Path(out), print if progress else _quiet
    claim_folder(run, out, resume_run=resume_run)
    base = open_start(run)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    scorer = open_scorer(run, base.tokenizer, device) if run.method not in ON_PAIRS else None
    material = told_material(run, base.tokenizer, out, say=say)
    base.model.to(device)
    say(f"{headline(run)} on {device}; writing {out}")
    manifest = describe(run, base)
    model: nn.Module
    if run.method in ON_PAIRS:
        model, state = run_on_pairs(
            run,
            out,
            base,
            material,
            resume_run=resume_run,
            manifest=manifest,
            progress=progress,
        )
        whole = not state.interrupted
    elif run.method == "ppo":
        model, state = run_ppo(
            run,
            out,
            base,
            scorer,
            material,
            resume_run=resume_run,
            manifest=manifest,
            say=say,
        )
        whole = not state.interrupted
    else:
        model, whole = run_rejection(run, out, base, scorer, material, say=say)
    if whole:
        finish(run, out, model, base, material, say=say)
    return out


def headline(run: AlignRun) -> str:
    """Say in a line what is done."""
    by = {"reward": "pairs", "dpo": f"pairs, by {run.direct.method}"}
    how = by.get(run.method, f"scored by {run.reward}")
    return f"{run.name}: {run.method} from {run.base}, {how}"


def told_material(run: AlignRun, tokenizer: Tokenizer, out: Path, *, say: Any) -> Material:
    """Prepare the rows; tell what became of them, on the screen and in out/rows.txt.

    Raises:
        BadRowsError: after every bad row was told.
        ValueError, FileNotFoundError: as prepare_material.
    """
    try:
        material = prepare_material(run, tokenizer)
    except BadRowsError as error:
        (out / "rows.txt").write_text(error.report + "\n", encoding="utf-8")
        say(error.report)
        raise
    (out / "rows.txt").write_text(material.report + "\n", encoding="utf-8")
    say(material.report)
    return material


def finish(
    run: AlignRun, out: Path, model: nn.Module, base: Base, material: Material, *, say: Any
) -> None:
    """Keep what the run has made, and measure it.

    Args:
        run, out, base, material: of the run.
        model: whole, at the end of training.
        say: prints a line.
    """
    told: dict[str, Any] = {}
    if isinstance(model, RewardModel):
        save_reward(out / "model", model, manifest=describe(run, base))
        told["pairs"] = reward_findings(model, base, material)
        say(f"pairs that it never saw: agrees on {told['pairs']['accuracy']:.3f}")
    elif isinstance(model, Decoder):
        save_checkpoint(out / "model", model, manifest=describe(run, base))
        if run.method == "dpo":
            first = open_start(run).model.to(next(model.parameters()).device)
            told["pairs"] = direct_findings(run, model, base, first, material)
            say(f"pairs that it never saw: prefers the chosen of {told['pairs']['accuracy']:.3f}")
    if material.held_out:
        tasks, longest = material.held_out, run.longest_answer
        found = score(model, base.tokenizer, tasks, max_tokens=longest)  # type: ignore[arg-type]
        told["tasks"] = {
            "n": len(tasks),
            "right": found.right.value,
            "interval": [found.right.low, found.right.high],
            "ended": found.ended.value,
        }
        say(f"tasks of other worlds: {found}")
    save_json(out / "score.json", told)
    say(f"the model: {out / 'model'}")


def claim_folder(run: AlignRun, out: Path, *, resume_run: bool) -> None:
    """Note the settings in the folder of a run.

    Raises:
        ValueError: if the folder holds a run and resume_run is False, none and it is True, one of
            other settings, or one of many ranks.
    """
    if checkpoints(out):
        raise ValueError(
            f"{out} holds a run of many ranks; go on with torchrun, or name another --out"
        )
    there = has_checkpoint(out / "last") or (out / ROUNDS / "run.json").is_file()
    if there and not resume_run:
        raise ValueError(f"{out} holds a run already; go on with --resume, or name another --out")
    if resume_run and not there:
        raise ValueError(f"{out} holds nothing to go on from; leave --resume out")
    write_settings(run, out / NOTE, before=resume_run)


def _quiet(_: str) -> None:
    """Say nothing."""
