"""Checkpoints that all ranks write together, and that any number of ranks can read.

torch.distributed.checkpoint writes and reads the parts, and cuts them anew for another number of
ranks; its safetensors form is used, because its own form contains pickles. The folder is written as
`step-00000200.new` and renamed by rank 0 when everything in it is on the disk: a checkpoint is
whole, or it is not there. A newer one never overwrites an older one; the oldest are removed.

Each rank syncs and hashes the file that it wrote itself, and verifies its share of the files at a
resume: one rank alone would take longer over a large model than the others wait.
"""

import json
import shutil
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn

from minillm.distributed.fsdp import let_go
from minillm.distributed.ranks import AllRanksError, all_succeed, first_decides
from minillm.distributed.sealed import checkpoints, mark_of, seal
from minillm.train.checkpoint import CheckpointError
from minillm.train.disk import sync
from minillm.train.rng import rng_states, set_rng_states
from minillm.train.settings import TrainState


class ShardedCheckpointer:
    """What a run on many ranks gives the loop as save=.

    Args:
        out: folder of the run; the checkpoints are made in it.
        manifest: what made the run, as JSON.
        keep: newest checkpoints that stay.
        in_background: let the loop go on once the parts are copied; writing, hashing and renaming
            happen in a thread. finish() waits for it, and so does the next save.

    Raises:
        AllRanksError: on every rank, if any of them cannot write. One message for all.

    Cost: 12 bytes a weight with AdamW, over all ranks; in the background a copy of them as well, in
        the memory of the device.
    Lesson: notebooks/24_fsdp.ipynb
    """

    def __init__(
        self,
        out: str | Path,
        *,
        manifest: dict[str, Any] | None = None,
        keep: int = 2,
        in_background: bool = False,
    ) -> None:
        if keep < 1:
            raise ValueError(f"keep must be at least 1, got {keep}")
        self.out, self.manifest, self.keep = Path(out), manifest or {}, keep
        self.in_background = in_background
        self.group = dist.new_group(backend="gloo")  # apart: the loop's collectives must not mix
        self._thread: threading.Thread | None = None
        self._failure = ""

    def __call__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, state: TrainState
    ) -> None:
        """Save; called by all ranks at the same step."""
        place = self.out / f"step-{state.step:08d}"
        self.write(place, model, optimizer, state, in_background=self.in_background)

    def write(
        self,
        final: Path,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        state: TrainState,
        *,
        in_background: bool = False,
    ) -> None:
        """Save in a folder of any name, once the save before is done; called by all ranks."""
        self.finish()
        new = final.with_name(final.name + ".new")
        first_decides(lambda: _fresh(new))
        tensors, plain = split_state(model, optimizer)
        rng: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(rng, rng_states())
        told = {"train": asdict(state), "optimizer": plain, "rng": rng}
        if in_background:
            tensors = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        arguments = (tensors, new, final, told)
        if not in_background:
            self._write(*arguments)
            self.finish()
            return
        self._thread = threading.Thread(target=self._write, args=arguments)
        self._thread.start()

    def finish(self) -> None:
        """Wait until the last save is on the disk, and learn on every rank whether it succeeded."""
        self.wait()
        words, self._failure = self._failure, ""
        told: list[str] = [""] * dist.get_world_size()
        dist.all_gather_object(told, words)
        if any(told):
            first = next(filter(None, told))
            raise AllRanksError(f"saving a checkpoint in {self.out} failed: {first}")

    def wait(self) -> None:
        """Wait for the thread of this rank, and ask nobody: for the end of a run that failed."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _write(
        self, tensors: dict[str, Tensor], new: Path, final: Path, told: dict[str, Any]
    ) -> None:
        """Write the parts, then seal and rename; a failure is kept for finish."""
        try:
            writer = dcp.HuggingFaceStorageWriter(str(new), save_distributed=True)
            dcp.save(tensors, storage_writer=writer, process_group=self.group)
            files = self._share_hashes(new)
            if dist.get_rank() == 0:
                about = {**self.manifest, "step": told["train"]["step"]}
                seal(new, final, told, about, files)
                for old in checkpoints(self.out)[: -self.keep]:
                    shutil.rmtree(old, ignore_errors=True)
        except (OSError, ValueError, RuntimeError) as error:
            self._failure = str(error) or type(error).__name__
        except dcp.api.CheckpointException as error:
            causes = (f"rank {r}: {pair[0]}" for r, pair in sorted(error.failures.items()))
            self._failure = "; ".join(causes) + "; the older checkpoints are untouched"

    def _share_hashes(self, new: Path) -> dict[str, Any]:
        """Sync and hash the files of this rank; give those of all ranks."""
        found: dict[str, Any] = {}
        words = ""
        try:
            for path in sorted(new.glob(f"shard-{dist.get_rank() + 1:05d}-*")):
                sync(path)
                found[path.name] = mark_of(path)
        except OSError as error:
            words = str(error)
        everyone: list[Any] = [None] * dist.get_world_size(self.group)
        dist.all_gather_object(everyone, (found, words), group=self.group)
        for rank, (_, trouble) in enumerate(everyone):
            if trouble:
                raise ValueError(f"rank {rank}: {trouble}")
        return {name: mark for files, _ in everyone for name, mark in files.items()}


def load_sharded(place: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> TrainState:
    """Put a model and its optimizer back; the number of ranks may be another.

    Args:
        place: from find_whole, the same on all ranks.
        model: from shard_decoder, of the same config.
        optimizer: with the same groups.

    Returns:
        The state of the run. On as many ranks as before, the random generators of each stand
        where they stood; on another number they are left as they are.

    Raises:
        AllRanksError: on every rank, if the checkpoint does not fit.

    Lesson: notebooks/24_fsdp.ipynb
    """

    def read() -> dict[str, Any]:
        told: dict[str, Any] = json.loads((place / "state.json").read_text(encoding="utf-8"))
        prepare_state(model, optimizer, told["optimizer"], place)
        return told

    told = all_succeed(read, f"reading {place}")
    tensors, _ = split_state(model, optimizer)
    try:
        dcp.load(tensors, storage_reader=dcp.HuggingFaceStorageReader(str(place)))
    except dcp.api.CheckpointException as error:
        rank, pair = sorted(error.failures.items())[0]
        raise AllRanksError(f"{place} does not fit this model: rank {rank}: {pair[0]}") from None
    if len(told["rng"]) == dist.get_world_size():
        set_rng_states(told["rng"][dist.get_rank()])
    return TrainState(**told["train"])


def split_state(
    model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Sort weights and optimizer into tensors by name, and the rest, which JSON can hold.

    Returns:
        "model/embedding.weight", "m/embedding.weight" and so on, sharded as they are; and
        settings of the groups and plain numbers of the state.

    Raises:
        ValueError: if the optimizer keeps tensors that have not the shape of their parameter.
    """
    let_go(model)  # an evaluation may have come before
    names = {id(p): name for name, p in model.named_parameters()}
    tensors: dict[str, Tensor] = {f"model/{names[id(p)]}": p for p in model.parameters()}
    plain: dict[str, Any] = {}
    kinds: dict[str, list[str]] = {}
    for param, entries in optimizer.state.items():
        name = names[id(param)]
        kinds[name] = [key for key, value in entries.items() if isinstance(value, Tensor)]
        plain[name] = {key: v for key, v in entries.items() if not isinstance(v, Tensor)}
        for key in kinds[name]:
            if entries[key].shape != param.shape:
                raise ValueError(
                    f"the optimizer's {key} of {name} is {tuple(entries[key].shape)}, the weight "
                    f"{tuple(param.shape)}: sharded runs save optimizers such as AdamW and Lion"
                )
            tensors[f"{key}/{name}"] = entries[key]
    groups = []
    for group in optimizer.param_groups:
        settings = {key: value for key, value in group.items() if key != "params"}
        groups.append({**settings, "names": [names[id(p)] for p in group["params"]]})
    return tensors, {"state": plain, "tensors": kinds, "groups": groups}


def prepare_state(
    model: nn.Module, optimizer: torch.optim.Optimizer, plain: dict[str, Any], place: Path
) -> None:
    """Give the optimizer the settings of a checkpoint, and room for its tensors."""
    by_name = dict(model.named_parameters())
    names = {id(p): name for name, p in by_name.items()}
    ours = [[names[id(p)] for p in g["params"]] for g in optimizer.param_groups]
    if ours != [g["names"] for g in plain["groups"]]:
        raise CheckpointError(f"{place} was made by another model or optimizer: names differ")
    for group, saved in zip(optimizer.param_groups, plain["groups"], strict=True):
        settings = {k: v for k, v in saved.items() if k != "names"}
        group.update({k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})
    optimizer.state.clear()
    for name, entries in plain["state"].items():
        param = by_name[name]
        room = {key: torch.zeros_like(param.detach()) for key in plain["tensors"][name]}
        optimizer.state[param] = {**entries, **room}


def _fresh(new: Path) -> None:
    """Make an empty folder; what a kill has left there goes."""
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
