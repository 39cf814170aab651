"""A program that reads batches and notes what it read, and may kill itself with SIGKILL.

    python killed_loader.py FOLDER N_WORKERS N_BATCHES KILL_AT [BATCH RANK WORLD]

FOLDER holds a.bin, b.bin (token shards). Each batch becomes a line of FOLDER/read-RANK.txt; every
third batch the state is written beside and renamed, and the place in the note with it.
"""

import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

from minillm.data.mixture import MixtureSampler
from minillm.data.shard import TokenShard
from minillm.data.workers import WorkerLoader


def make_sampler(folder, batch=6, rank=0, world_size=1):
    shards = {name: TokenShard(Path(folder) / f"{name}.bin", verify=False) for name in "ab"}
    return MixtureSampler(
        shards, batch, 8, temperature=2.0, seed=5, rank=rank, world_size=world_size
    )


def broken_sampler(folder):
    """A sampler whose fourth batch cannot be read."""
    sampler = make_sampler(folder)
    whole, made = sampler.take, []

    def take():
        made.append(1)
        if len(made) > 3:
            raise OSError("the disk is gone")
        return whole()

    sampler.take = take
    return sampler


def main(folder, n_workers, n_batches, kill_at, *where):
    note, saved = folder / f"read-{where[1] if where else 0}.txt", folder / "state.json"
    with WorkerLoader(partial(make_sampler, folder, *where), n_workers) as loader:
        done = 0
        if saved.is_file():
            found = json.loads(saved.read_text())
            done = found["done"]
            loader.load_state_dict(found["state"])
            lines = note.read_text().splitlines(keepends=True)[:done]
            note.write_text("".join(lines))
        with note.open("a") as file:
            while done < n_batches:
                if done == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                file.write(" ".join(map(str, loader.take().ravel().tolist())) + "\n")
                file.flush()
                done += 1
                if done % 3 == 0:
                    part = folder / "state.part"
                    part.write_text(json.dumps({"done": done, "state": loader.state_dict()}))
                    os.replace(part, saved)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
