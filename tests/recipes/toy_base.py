"""`make_base` on a toy recipe, in a process of its own that a test may kill.

    python toy_base.py FOLDER PAUSE

FOLDER holds texts/ and gets runs/ and shipped/; PAUSE is slept after each step, in seconds.
"""

import json
import sys
import time
from pathlib import Path

from minillm.recipes import DataConfig, Run, base_models, decoder, publish
from minillm.recipes import execution as execution_module
from minillm.train import OptimizerConfig, TrainConfig

STEPS = 24


def toy(folder: Path) -> Run:
    """A run so small that a test may train it twice."""
    return Run(
        name="small",
        model=decoder(6_144, d_model=16, n_layers=1, n_heads=2, context=32),
        optimizer=OptimizerConfig(lr=1e-2),
        train=TrainConfig(
            steps=STEPS,
            batch_size=2,
            context=32,
            eval_every=8,
            save_every=4,
            log_every=0,
            precision="float32",
        ),
        data=DataConfig(
            mixture=((str(folder / "texts"), 1_000_000),), validation_share=0.1, packing="once"
        ),
    )


def use_toy(folder: Path, put=setattr) -> None:
    """Let the base models be the toy, predicted and validated on little."""
    few = publish.read_validation()
    quizzes = [row for row in few if row["kind"] == "quiz"]
    few = [r for kind in ("en", "zh") for r in [q for q in quizzes if q["language"] == kind][:2]]
    for module in (publish, base_models):
        put(module, "read_validation", lambda: few)
    put(base_models, "find_run", lambda name: toy(folder))
    put(base_models, "read_prediction", lambda name: {"predicted": 7.0, "low": 6.0, "high": 8.0})


def main() -> None:
    """Train, with a pause after each step."""
    folder, pause = Path(sys.argv[1]), float(sys.argv[2])
    use_toy(folder)

    class Slow(execution_module.MetricsFile):
        def __call__(self, record):
            super().__call__(record)
            time.sleep(pause)

    execution_module.MetricsFile = Slow
    print(json.dumps(str(base_models.make_base("small", folder / "runs", folder / "shipped"))))


if __name__ == "__main__":
    main()
