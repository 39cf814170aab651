"""A base model so small that a test may fine-tune it, and a file of talks; see test_finetuning."""

import json

import torch

from minillm.finetune.rows import write_rows
from minillm.model import Decoder
from minillm.recipes import Run, decoder, override, to_dict
from minillm.recipes.finetuning import find_finetune
from minillm.tokenizer import course_tokenizer
from minillm.train import OptimizerConfig, TrainConfig, save_checkpoint

ANSWERS = ("It is red.", "It is green.", "Mia has it.", "In the garden.")


def write_base(folder):
    """A run's folder with a checkpoint, as `execute` leaves it."""
    run = Run(
        name="base",
        model=decoder(6_144, d_model=16, n_layers=2, n_heads=2, context=128),
        train=TrainConfig(context=128),
    )
    torch.manual_seed(0)
    manifest = {"run": to_dict(run), "tokenizer": course_tokenizer().hash}
    save_checkpoint(folder / "last", Decoder(run.model), manifest=manifest)
    return folder


def talks(n=24):
    return [
        [
            {"role": "user", "content": f"Question {i}?"},
            {"role": "assistant", "content": ANSWERS[i % 4]},
            *[{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
            * (i % 3 == 0),
        ]
        for i in range(n)
    ]


def write_talks(path):
    write_rows(path, talks())
    return path


def write_bad_talks(path):
    """Twelve lines, of which four are no talks."""
    lines = [json.dumps({"messages": talk}) for talk in talks(8)]
    user, assistant = talks(1)[0][:2]
    bad = [
        '{"messages": [',
        json.dumps({"messages": [{**user, "role": "boss"}, assistant]}),
        json.dumps({"messages": [user, {**assistant, "content": " "}]}),
        json.dumps({"messages": [{**user, "content": "word " * 300}, assistant]}),
    ]
    for place, line in zip((1, 4, 6, 11), bad, strict=True):
        lines.insert(place, line)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


SMALL = (
    "train.steps=6",
    "train.batch_size=2",
    "train.warmup_steps=0",
    "train.context=48",
    "train.save_every=3",
    "train.eval_every=0",
    "train.log_every=0",
    "train.precision=float32",
)


def small(method, folder, *changes):
    """A run of a recipe on the talks and the base in a folder; both are written if need be."""
    base, rows = folder / "base", folder / "talks.jsonl"
    if not base.is_dir():
        write_base(base)
    if not rows.is_file():
        write_talks(rows)
    run = override(find_finetune(method), [*SMALL, f"base={base}", f"data.rows={rows}", *changes])
    assert run.optimizer != OptimizerConfig()
    return run
