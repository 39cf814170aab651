"""Train a base model on a GPU: `python -m benchmarks.gpu.base --name medium`, or small.

The token rows of the recipe are looked for in $MINILLM_DATA (or ~/.cache/minillm) and made where
they are missing, which takes some minutes of one core and the harvest of the course's packages. To
spare a GPU machine that, copy the folder rows/<key> that `--rows` prints; it has 51 MB.

The run goes on from its last checkpoint, like `make base NAME=medium`. It stops itself politely
after --minutes (9), with a checkpoint in --out; the same command goes on from there. When it is
finished the model is published into --out/checkpoints, and base_<name>_gpu.json beside it says how
it went: tokens a second, the loss, and what was predicted. `--toy` does all this in a minute on a
CPU.

Besides torch and numpy it needs safetensors, regex, tqdm, psutil, filelock and cattrs.
"""

import argparse
import dataclasses
import json
import os
import signal
import threading
import time
from pathlib import Path

import torch

from benchmarks.compare import commit
from minillm.recipes import base_models
from minillm.recipes.base_prediction import read_prediction
from minillm.recipes.execution import execute
from minillm.recipes.run import Run
from minillm.recipes.runs import decoder, find_run
from minillm.recipes.tokens import find_tokenizer, prepare_rows
from minillm.train import has_checkpoint, load_checkpoint, read_metrics


def toy(name: str, texts: Path) -> Run:
    """The recipe at the size of a test: a narrow model, few steps, the texts of a folder."""
    run = find_run(name)
    train = dataclasses.replace(
        run.train, steps=20, batch_size=4, context=64, warmup_steps=2, eval_every=10, save_every=10
    )
    model = decoder(6_144, d_model=32, n_layers=2, n_heads=2, context=64, n_kv_heads=1)
    data = dataclasses.replace(run.data, mixture=((str(texts), 1_000_000),), validation_share=0.1)
    return dataclasses.replace(run, model=model, train=train, data=data)


def stop_after(minutes: float) -> threading.Timer:
    """Ask for a stop, as Ctrl-C does, when the time is over: the step is finished and saved."""
    timer = threading.Timer(60 * minutes, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.daemon = True
    timer.start()
    return timer


def parsed() -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train a base model on a GPU.")
    parser.add_argument("--name", choices=base_models.BASE, default="medium")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "runs/base_gpu")))
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--rows", action="store_true", help="only make the rows and say where")
    parser.add_argument("--toy", type=Path, help="a folder of texts: a run of seconds, on a CPU")
    return parser, parser.parse_args()


def main() -> None:
    """Train, publish, and write down how it went."""
    parser, options = parsed()
    if not torch.cuda.is_available() and options.toy is None and not options.rows:
        parser.exit(1, "there is no GPU here; --toy FOLDER runs a toy on the CPU\n")
    name = options.name
    run = find_run(name) if options.toy is None else toy(name, options.toy)
    rows = prepare_rows(run.data, find_tokenizer(run.data.tokenizer), run.train.context)
    if options.rows:
        print(rows.train.path.parent)
        return
    said = None if options.toy else read_prediction(name)  # before the run, not after it
    out, began = options.out / name, time.perf_counter()
    timer = stop_after(options.minutes)
    last = execute(run, out, resume_run=has_checkpoint(out / "last"))
    timer.cancel()
    records = read_metrics(out / "metrics.jsonl")
    speeds = sorted(r["tokens_per_second"] for r in records if "tokens_per_second" in r)
    losses = [r["evaluate"]["validation_loss"] for r in records if "evaluate" in r]
    note = {
        "run": name,
        "toy": options.toy is not None,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "torch": torch.__version__,
        "commit": commit(),
        "step": load_checkpoint(last).manifest["step"],
        "steps": run.train.steps,
        "tokens_per_second": speeds[len(speeds) // 2],
        "seconds": round(time.perf_counter() - began, 1),
        "validation_loss": losses[-1] if losses else None,
        "predicted": said,
    }
    if note["step"] == run.train.steps:
        base_models.publish_base(out, name, options.out / "checkpoints")
    path = options.out / f"base_{name}_gpu.json"
    path.write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
    print(path.read_text("utf-8"))


if __name__ == "__main__":
    main()
