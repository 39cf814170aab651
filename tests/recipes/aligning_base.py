"""Rows so few that a test may align on them, beside the base of tuning_base."""

import json

from minillm.align import Pair, write_pairs
from minillm.recipes import override
from minillm.recipes.aligning import find_align
from minillm.recipes.finetuning import execute_finetune
from tests.recipes.tuning_base import ANSWERS, write_talks
from tests.recipes.tuning_base import small as tuning

METHODS = ("reward", "dpo", "ppo", "rejection")
SMALL = (
    "train.steps=4",
    "train.batch_size=2",
    "train.warmup_steps=0",
    "train.context=48",
    "train.save_every=2",
    "train.eval_every=0",
    "train.log_every=0",
    "train.precision=float32",
    "ppo.max_new_tokens=12",
    "ppo.minibatch_size=1",
    "rejection.max_tokens=12",
    "rejection.n_samples=3",
)


def pairs(n=20):
    """Pairs whose chosen answer is red; lengths differ, so that ranks have unlike numbers."""
    made = []
    for i in range(n):
        prompt = ({"role": "user", "content": f"Question {i}?"},)
        worse = ANSWERS[1 + i % 3] + " So it is." * (i % 4 == 0)
        made.append(Pair(prompt, ANSWERS[0], worse, i % 4))
    return made


def write_bad_pairs(path):
    """Eight lines, of which four are no preferences."""
    lines = [json.dumps(pair.row()) for pair in pairs(4)]
    row = pairs(1)[0].row()
    bad = [
        '{"prompt": [',
        json.dumps({**row, "rejected": row["chosen"]}),
        json.dumps({key: row[key] for key in ("prompt", "chosen")}),
        json.dumps({**row, "chosen": " ", "rejected": ""}),
    ]
    for place, line in zip((1, 3, 5, 7), bad, strict=True):
        lines.insert(place, line)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_tuned(folder):
    """A base that has learned to end its answers, as `finetune full` leaves it."""
    told = ("train.steps=60", "train.save_every=0", "optimizer.lr=0.02", "data.packing=pad")
    execute_finetune(tuning("full", folder, *told), folder / "tuned", progress=False)


def small(method, folder, *changes):
    """A run of a recipe on the rows and the base in a folder; they are written if need be."""
    base, talks, prefs = folder / "tuned", folder / "talks.jsonl", folder / "pairs.jsonl"
    if not prefs.is_file():
        write_talks(talks)
        write_pairs(prefs, pairs())
        write_tuned(folder)
    on_pairs = method in ("reward", "dpo")
    told = [f"base={base}", f"data.rows={prefs if on_pairs else talks}"]
    if not on_pairs:
        told.append(f"reward={folder / 'reward'}")
    return override(find_align(method), [*SMALL, *told, *changes])
