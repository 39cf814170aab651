"""A small training run in a process of its own, which kills itself with SIGKILL at a set moment.

    python killed_run.py FOLDER MOMENT NUMBER

MOMENT is one of none, step (inside a forward pass), save (inside the writing of a file), rename
(before a rename), and NUMBER says at the how-manieth of these. The run goes on from its checkpoint
if there is one, and writes FOLDER/metrics.jsonl.
"""

import os
import signal
import sys
from pathlib import Path

import torch
from conftest import Counting, make_model

import minillm.train.checkpoint as checkpoint
from minillm.objectives import causal_loss
from minillm.train import (
    MetricsFile,
    OptimizerConfig,
    TrainConfig,
    TrainState,
    checkpointer,
    has_checkpoint,
    make_optimizer,
    resume,
    train,
)

STEPS, SAVE_EVERY = 12, 2


class Fuse:
    """Calls through, and ends the process without a word before the given call."""

    def __init__(self, function, number):
        self.function, self.left = function, number

    def __call__(self, *args, **kwargs):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.function(*args, **kwargs)


def main(folder, moment, number):
    torch.set_num_threads(1)
    objective = Fuse(causal_loss, number) if moment == "step" else causal_loss
    if moment == "save":
        real = checkpoint.sync
        fuse = Fuse(real, number)

        def cut_then_sync(path):
            if fuse.left == 1:  # the file is half there when the process ends
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            fuse(path)

        checkpoint.sync = cut_then_sync
    if moment == "rename":
        os.rename = Fuse(os.rename, number)
    model, batches = make_model(), Counting()
    optimizer = make_optimizer(model, OptimizerConfig(lr=1e-2))
    last = folder / "last"
    going_on = has_checkpoint(last)
    state = resume(last, model, optimizer, batches) if going_on else TrainState()
    train(
        model,
        batches,
        TrainConfig(
            steps=STEPS, batch_size=4, context=8, save_every=SAVE_EVERY, precision="float32"
        ),
        optimizer=optimizer,
        state=state,
        save=checkpointer(last),
        log=MetricsFile(folder / "metrics.jsonl", resume_at=state.step),
        objective=objective,
        progress=False,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
