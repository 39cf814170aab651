"""Checkpoints that all ranks write together, and that any number of ranks can read.

    out/step-00000200/shard-00001-model-00001-of-00001.safetensors    the parts of rank 0 ...
    out/step-00000200/state.json      step, data position, optimizer settings, random generators
    out/step-00000200/manifest.json   size and sha256 of each file; written last

torch.distributed.checkpoint writes and reads the parts, and cuts them anew for another number of
ranks; its safetensors form is used, because its own form contains pickles. The folder is written as
`step-00000200.new` and renamed by rank 0 when everything in it is on the disk: a checkpoint is
whole, or it is not there. A newer one never overwrites an older one; the oldest are removed.
"""

import json
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn

from minillm.distributed.ranks import AllRanksError, all_succeed, first_decides
from minillm.train.checkpoint import CheckpointError
from minillm.train.disk import fingerprint, save_json, sha256, sync, sync_folder
from minillm.train.rng import rng_states, set_rng_states
from minillm.train.settings import TrainState

FORMAT = 1


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
        self.finish()
        final = self.out / f"step-{state.step:08d}"
        new = final.with_name(final.name + ".new")
        first_decides(lambda: _fresh(new))
        tensors, plain = split_state(model, optimizer)
        rng: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(rng, rng_states())
        told = {"train": asdict(state), "optimizer": plain, "rng": rng}
        if self.in_background:
            tensors = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        arguments = (tensors, new, final, told)
        if not self.in_background:
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
            if dist.get_rank() == 0:
                seal(new, final, told, {**self.manifest, "step": told["train"]["step"]})
                for old in checkpoints(self.out)[: -self.keep]:
                    shutil.rmtree(old, ignore_errors=True)
        except (OSError, ValueError) as error:
            self._failure = str(error)
        except dcp.api.CheckpointException as error:
            causes = (f"rank {r}: {pair[0]}" for r, pair in sorted(error.failures.items()))
            self._failure = "; ".join(causes) + "; the older checkpoints are untouched"


def seal(new: Path, final: Path, told: dict[str, Any], manifest: dict[str, Any]) -> None:
    """Add state and manifest to the written parts, and give the folder its name."""
    for path in sorted(new.iterdir()):
        sync(path)
    save_json(new / "state.json", told)
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(new.iterdir())
    }
    whole = {**manifest, "format": FORMAT, "ranks": dist.get_world_size(), "files": files}
    save_json(new / "manifest.json", {**whole, "sha256": fingerprint(whole)})
    sync_folder(new)
    if final.exists():  # of a run that is being repeated: the same step, the same numbers
        shutil.rmtree(final)
    os.rename(new, final)
    sync_folder(final.parent)


def checkpoints(out: str | Path) -> list[Path]:
    """List the checkpoints of a run that were completed, the oldest first."""
    found = Path(out).glob("step-" + "[0-9]" * 8)
    return sorted(path for path in found if path.is_dir())


def find_whole(out: str | Path, *, say: Callable[[str], object] = lambda line: None) -> Path | None:
    """Find the newest checkpoint every byte of which is what was written.

    Args:
        out: folder of the run.
        say: told in a sentence of each checkpoint that is passed over.

    Returns:
        Its folder, or None if there is none.

    Lesson: notebooks/24_fsdp.ipynb
    """
    for place in reversed(checkpoints(out)):
        trouble = _trouble(place)
        if trouble is None:
            return place
        say(f"passing over {place}: {trouble}")
    return None


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


def _trouble(place: Path) -> str | None:
    """Say what is wrong with a checkpoint; None if nothing is."""
    try:
        manifest = json.loads((place / "manifest.json").read_text(encoding="utf-8"))
        told = {k: v for k, v in manifest.items() if k != "sha256"}
        if manifest["sha256"] != fingerprint(told):
            return "manifest.json was altered"
        for name, expected in manifest["files"].items():
            if not (place / name).is_file():
                return f"{name} is missing"
            if sha256(place / name) != expected["sha256"]:
                return f"{name} is cut short or altered"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "manifest.json is missing or cut short"
    return None
