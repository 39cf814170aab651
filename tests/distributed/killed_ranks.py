"""A run that kills ranks of itself, started by torchrun; torchrun starts it again.

    torchrun --nproc-per-node 2 --max-restarts 3 killed_ranks.py FOLDER MOMENT RANK NUMBER ...

Each start takes the next (MOMENT, RANK, NUMBER): step (inside the NUMBERth forward pass of this
start), save (while the parts are written: one file half there) or rename (before the checkpoint
gets its name). Starts beyond the list are not disturbed.
"""

import os
import signal
import sys
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from fsdp_program import FAST, MODEL, OFTEN, Counting

import minillm.distributed.exact as exact
import minillm.distributed.trainer as trainer
from minillm.distributed.leaving import leaving_at_once
from minillm.distributed.ranks import joined
from minillm.train import MetricsFile


def fuse(function, number, before=lambda: None):
    left = [number]

    def called(*args, **kwargs):
        left[0] -= 1
        if left[0] == 0:
            before()
            print("kills itself", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)

    return called


def arm(moment, number, folder):
    if moment == "step":
        trainer.loss_across_ranks = fuse(exact.loss_across_ranks, number)
    if moment == "rename":
        os.rename = fuse(os.rename, number)
    if moment == "save":
        real = dcp.save

        def halve():
            for path in folder.glob("step-*.new/*"):
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            (newest,) = folder.glob("step-*.new")
            (newest / "shard-00001-model-00001-of-00001.safetensors").write_bytes(b"half")

        dcp.save = fuse(real, number, halve)


def main(folder, plan):
    torch.set_num_threads(1)
    with joined(timeout_s=300) as ranks:
        if ranks.restart < len(plan):
            moment, victim, number = plan[ranks.restart]
            if int(victim) == ranks.rank:
                arm(moment, int(number), folder)
        trainer.train_sharded(
            MODEL,
            Counting(),
            OFTEN,
            ranks=ranks,
            optimizer=FAST,
            out=folder,
            make_log=lambda step: MetricsFile(folder / "metrics.jsonl", resume_at=step),
            progress=True,
        )


if __name__ == "__main__":
    words = sys.argv[2:]
    with leaving_at_once():
        main(Path(sys.argv[1]), [tuple(words[i : i + 3]) for i in range(0, len(words), 3)])
