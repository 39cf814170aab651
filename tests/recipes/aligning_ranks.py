"""What the tests of `align` ask of several ranks: torchrun starts this file, FOLDER behind it.

Each run once through the verb's own function, and once more in float64.
"""

import json
import sys
from pathlib import Path

from minillm.distributed.ranks import joined
from minillm.finetune.talks import PAD
from minillm.recipes.aligning.material import prepare_material
from minillm.recipes.aligning.opening import open_start
from minillm.recipes.aligning.pair_runs import batches_of, loss_of, ready, reference
from minillm.recipes.aligning.sharded import execute_align_sharded, train_on_ranks
from minillm.train import read_metrics, train
from tests.recipes.aligning_base import small

RUNS = {"reward": ("margins=small",), "dpo": (), "orpo": ("direct.method=orpo",)}


def run_of(name, folder):
    method = "reward" if name == "reward" else "dpo"
    return small(method, folder, "train.batch_size=4", *RUNS[name])


def ready64(run):
    """Base and rows, every weight in float64."""
    base = open_start(run)
    base.model.double()
    return base, prepare_material(run, base.tokenizer)


def alone64(run):
    """Losses and gradient norms of the plain loop on one process."""
    base, material = ready64(run)
    model = ready(run, base)
    loss = loss_of(run, reference(run, model), base.tokenizer.special_id(PAD))
    batches = batches_of(run, material.train, base.tokenizer, run.train.batch_size)
    seen = []
    train(
        model,
        batches,
        run.train,
        objective=loss,
        optimizer=run.optimizer,
        log=seen.append,
        progress=False,
    )
    return [[r["loss"], r["grad_norm"]] for r in seen]


def ranks64(run, ranks, out):
    """The same on all ranks; what rank 0 has written."""
    train_on_ranks(run, *ready64(run), ranks, out=out)
    rows = read_metrics(out / "metrics.jsonl") if ranks.first else []
    return [[r["loss"], r["grad_norm"]] for r in rows if "grad_norm" in r]


def main(folder):
    for name in RUNS:
        execute_align_sharded(run_of(name, folder), folder / f"two_{name}", progress=name == "dpo")
    with joined() as ranks:
        found = {n: ranks64(run_of(n, folder), ranks, folder / f"wide_{n}") for n in RUNS}
        if ranks.first:
            (folder / "float64.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
