"""Was it what the tasks say, or only that the seeds were read less often?

In self_instruct_gain the arm `own` had a lower loss than `seeds`, though not one of its generated
tasks is right. In equal steps it also reads each seed less often (2.5 times and not 3.5), which
alone can lower the loss on unseen tasks. These two controls were asked for after that was seen.

    arm        tuned on
    fewer      the seeds alone, in so many steps that each is read as often as in `own`
    shuffled   the seeds, and 45 seeds whose answers have changed places: wrong, but people's words

What is judged, paired by seed: `nats people` and `nats` of own minus fewer, and own minus shuffled.
"""

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from minillm.finetune.instruct_tasks import InstructTask
from minillm.recipes.records import Job
from minillm.recipes.shipped import base
from minillm.recipes.studies import self_instruct_gain as gain

N_MORE = 45
"""About as many as `own` has."""
FEWER = round(gain.STEPS * len(gain.SEEDS) / (len(gain.SEEDS) + N_MORE))


def shuffled(seed: int) -> list[InstructTask]:
    """Draw seeds and pass their answers on by one place."""
    drawn = random.Random(f"shuffled {seed}").sample(gain.SEEDS, N_MORE)
    others = [*drawn[1:], drawn[0]]
    return [replace(a, output=b.output) for a, b in zip(drawn, others, strict=True)]


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Tune a base model on the tasks of an arm, and examine it."""
    torch.set_num_threads(1)
    model, tokenizer = base(gain.MODEL)
    tasks = gain.SEEDS if settings["arm"] == "fewer" else [*gain.SEEDS, *shuffled(seed)]
    examples = gain.encoded(tasks, tokenizer)
    gain.train_on(
        model, tokenizer, examples, seed, settings["steps"], gain.BATCH, gain.CONTEXT, gain.LR
    )
    return {"tasks": float(len(tasks)), **gain.examine(model.eval(), tokenizer)}


JOB = Job(
    name="self_instruct_control",
    title="Seeds read less often, and seeds with wrong answers: what did the generated tasks do?",
    lesson="29",
    arms={
        "fewer": {"arm": "fewer", "steps": FEWER},
        "shuffled": {"arm": "shuffled", "steps": gain.STEPS},
    },
    run=run,
)
