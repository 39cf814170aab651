"""What the tests of `align` ask of several ranks: torchrun starts this file, FOLDER behind it.

Some runs through the verb's own function, and all of them in float64.
"""

import json
import sys
from pathlib import Path

from minillm.align.rejection_ranks import RankRounds
from minillm.distributed.leaving import leaving_at_once
from minillm.distributed.ranks import joined
from minillm.finetune.talks import PAD
from minillm.recipes.aligning.config import ON_PAIRS
from minillm.recipes.aligning.draw_runs import rejection_rounds_of, run_ppo
from minillm.recipes.aligning.material import prepare_material
from minillm.recipes.aligning.opening import open_start
from minillm.recipes.aligning.pair_runs import batches_of, loss_of, ready, reference
from minillm.recipes.aligning.scorers import open_scorer
from minillm.recipes.aligning.sharded import execute_align_sharded, train_on_ranks
from minillm.recipes.aligning.sharded_draws import ppo_on_ranks
from minillm.train import read_metrics, train
from tests.recipes.aligning_base import small

PAIRS = {
    "reward": ("margins=small",),
    "dpo": (),
    "orpo": ("direct.method=orpo",),
    "kto": ("direct.method=kto", "direct.beta=0.5"),
}
DRAWS = {
    "ppo": ("ppo.minibatch_size=2", "optimizer.lr=0.002"),
    "rejection": ("rejection.n_samples=12",),
}
RUNS = {**PAIRS, **DRAWS}
EXECUTED = ("reward", "kto", "ppo", "rejection")


def run_of(name, folder):
    method = "dpo" if name in PAIRS and name != "reward" else name
    return small(method, folder, "train.batch_size=4", *RUNS[name])


def ready64(run):
    """Base and rows, every weight in float64."""
    base = open_start(run)
    base.model.double()
    return base, prepare_material(run, base.tokenizer)


def scorer64(run, base):
    return open_scorer(run, base.tokenizer, "cpu").double()


def alone64(run, out):
    """Numbers of each step on one process, or of rejection the rounds and the weights."""
    base, material = ready64(run)
    if run.method not in ON_PAIRS:
        how = {"resume_run": False, "manifest": {}, "say": str} if run.method == "ppo" else {}
        scorer = scorer64(run, base)
        if run.method == "rejection":
            return rounds64(run, out, base, scorer, material)
        run_ppo(run, out, base, scorer, material, **how)
        return told(out)
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
    base, material = ready64(run)
    if run.method == "rejection":
        scorer = scorer64(run, base)
        return rounds64(run, out, base, scorer, material, crew=RankRounds(ranks))
    if run.method == "ppo":
        out.mkdir(exist_ok=True)
        ppo_on_ranks(run, base, scorer64(run, base), material, ranks, out=out, say=str)
    else:
        train_on_ranks(run, base, material, ranks, out=out)
    return told(out) if ranks.first else []


def rounds64(run, out, base, scorer, material, **crew):
    """Scores of what each round keeps, and some weights at the end."""
    assert rejection_rounds_of(run, out, base, scorer, material, say=str, **crew)
    rows = [(out / "rounds" / f"round-{r}.jsonl").read_text().splitlines()[1:] for r in (0, 1)]
    kept = [[json.loads(row)["score"] for row in lines] for lines in rows]
    return [*kept, base.model.blocks[1].feedforward.down.weight.flatten().tolist()]


def told(out):
    """Loss and norm of each step; of ppo also what is averaged over answers."""
    names = ("loss", "grad_norm", "score", "kl", "entropy", "value_explained", "clip_fraction")
    rows = read_metrics(out / "metrics.jsonl")
    return [[r[name] for name in names if name in r] for r in rows if "grad_norm" in r]


def main(folder):
    for name in EXECUTED:
        shown = name in ("kto", "rejection")
        execute_align_sharded(run_of(name, folder), folder / f"two_{name}", progress=shown)
    with joined() as ranks:
        found = {n: ranks64(run_of(n, folder), ranks, folder / f"wide_{n}") for n in RUNS}
        if ranks.first:
            (folder / "float64.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    with leaving_at_once():
        main(Path(sys.argv[1]))
