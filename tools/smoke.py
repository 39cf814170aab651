"""The command line, once through, in a throw-away folder: each verb ends well and says something.

    python -m tools.smoke

Bad input must give one line that names the value and the remedy, and no traceback.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

QUICK = ("train.steps=2", "train.warmup_steps=1", "data.n_rows=8", "data.n_held_out=4")
PAIRS = ("train.steps=2", "train.warmup_steps=1", "data.n_rows=12")
GOOD = (
    ("--help",),
    ("plan", "laptop"),
    ("train", "laptop", "train.steps=3", "train.warmup_steps=1", "--out", "run"),
    ("train", "laptop", "train.steps=3", "train.warmup_steps=1", "--out", "run", "--resume"),
    ("chat",),  # standard input is empty, which ends it
    ("chat", "chat", "--language", "zh"),
    ("chat", "run"),
    ("finetune", "lora", *QUICK, "--out", "tuned"),
    ("chat", "tuned"),
    ("align", "reward", *PAIRS, "--out", "scores"),
    ("align", "dpo", *PAIRS, "base=small", "data.n_held_out=4", "--out", "preferred"),
    ("chat", "preferred"),
    ("bench",),
    ("clean", "texts", "--out", "cleaned"),
    ("clean", "texts", "--out", "cleaned"),  # nothing changed: no file is read again
)
BAD = (
    ("train", "laptop", "optimizer.learning_rate=1"),
    ("train", "laptop", "train.steps=-3"),
    ("plan", "no-such-recipe"),
    ("train", "no-such-recipe"),
    ("finetune", "no-such-recipe"),
    ("finetune", "full", "data.rows=no-such-file.jsonl", "--out", "other"),
    ("align", "no-such-recipe"),
    ("align", "dpo", "--out", "other"),  # there is no runs/full here
    ("align", "reward", "data.rows=no-such-file.jsonl", "--out", "other"),
    ("chat", "scores"),  # a reward model does not talk
    ("chat", "no-such-folder"),
    ("bench", "no-such-benchmark"),
    ("clean", "no-such-folder", "--out", "other"),
    ("clean", "texts", "--out", "other", "--rules", "gofer"),
)


def call(arguments: tuple[str, ...], folder: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m minillm ...` in a folder and return what it printed."""
    command = [sys.executable, "-m", "minillm", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
    )


def judge(arguments: tuple[str, ...], wanted_good: bool, folder: str) -> bool:
    """Run one command, print one line about it, and tell whether it did what it should."""
    start = time.time()
    done = call(arguments, folder)
    if wanted_good:
        passed = done.returncode == 0 and bool(done.stdout.strip())
    else:
        lines = done.stderr.strip().splitlines()
        passed = done.returncode != 0 and len(lines) == 1
    words = "ok  " if passed else "FAIL"
    print(
        f"{words} {time.time() - start:5.1f} s  python -m minillm {' '.join(arguments)}", flush=True
    )
    if not passed:
        print(done.stdout + done.stderr)
    elif not wanted_good:
        print(f"       {lines[-1]}")
    return passed


def main() -> int:
    """Try the good and the bad commands; the exit status is the number of surprises."""
    with tempfile.TemporaryDirectory() as folder:
        texts = Path(folder, "texts")
        texts.mkdir()
        (texts / "a.txt").write_text("The cat sat on the mat, and the dog looked at it. " * 9)
        results = [judge(arguments, True, folder) for arguments in GOOD]
        results += [judge(arguments, False, folder) for arguments in BAD]
    print(f"smoke: {sum(results)} of {len(results)} as they should be")
    return results.count(False)


if __name__ == "__main__":
    sys.exit(main())
