"""What the tests of `finetune` ask of several ranks: torchrun starts this file, FOLDER behind it.

Each method once through the verb's own function, and full and lora once more in float64.
"""

import json
import sys
from functools import partial
from pathlib import Path

from minillm.distributed.leaving import leaving_at_once
from minillm.distributed.ranks import joined
from minillm.distributed.ready import shard_ready
from minillm.distributed.trainer import train_sharded
from minillm.finetune.sft import chat_loss, fine_tune
from minillm.recipes.finetuning.material import prepare_material
from minillm.recipes.finetuning.opening import adapt, open_base
from minillm.recipes.finetuning.sharded import execute_finetune_sharded
from tests.recipes.tuning_base import small

METHODS = ("full", "lora", "qlora")
IN_FLOAT64 = METHODS[:2]  # the updates of qlora are float32, whatever the base is
FOUR = ("train.batch_size=4",)


def ready64(run):
    """Model and talks, every weight in float64."""
    base = open_base(run)
    material = prepare_material(run, base.tokenizer)
    base.model.double()
    return adapt(base, run), material.batches(run), material.start


def alone64(run):
    """Losses and gradient norms of the plain loop on one process."""
    model, batches, _ = ready64(run)
    seen = []
    fine_tune(model, batches, run.train, optimizer=run.optimizer, log=seen.append, progress=False)
    return [[r["loss"], r["grad_norm"]] for r in seen]


def ranks64(run, ranks):
    """The same on all ranks; what rank 0 has seen."""
    model, batches, start = ready64(run)
    loss = partial(chat_loss, start=start)
    seen = []
    train_sharded(
        lambda sharding, mesh: shard_ready(model, sharding, mesh, loss=loss),
        batches,
        run.train,
        ranks=ranks,
        optimizer=run.optimizer,
        make_log=lambda step: seen.append,
        progress=False,
    )
    return [[r["loss"], r["grad_norm"]] for r in seen]


def main(folder):
    for method in METHODS:
        run = small(method, folder, *FOUR)
        execute_finetune_sharded(run, folder / f"two_{method}", progress=method == "lora")
    with joined() as ranks:
        found = {method: ranks64(small(method, folder, *FOUR), ranks) for method in IN_FLOAT64}
        if ranks.first:
            (folder / "float64.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    with leaving_at_once():
        main(Path(sys.argv[1]))
