"""Does it help a base model to be tuned on tasks that it generated itself?

One base model, equal steps of equally many examples; what differs is the data.

    arm     tuned on
    base    nothing: the base model as it is
    seeds   English seeds that people wrote
    own     these seeds, and what the base model made of them by Self-Instruct
    alone   what the base model made of them, without the seeds
    toy     these seeds, and the tasks of a generator that knows the skills, one answer in ten wrong

Asked as it is, the base model goes on with the lists in the style of documentation and makes no
task at all: what a list of instructions is, it has never read. So the generator of `own` is the
base model after `taught`: some steps on the pipeline's own prompts, written from the seeds. That
shows it the form, and no answer that is not in the seeds. What is tuned afterwards is the base
model again.

Two exams: the toy's skills in wordings that no arm has trained on, and every fifth seed, which no
arm trains on and no generator is shown.

What is judged was fixed before the runs, paired by seed: `nats people`, `ended people` and `right`
of own minus base (the gain), of own minus seeds (what the generated tasks add), of alone minus
base, and of toy minus seeds. An interval that holds 0 is "no
difference seen". Why, if own gains nothing: the share of its instructions that begin like one of
the seeds (`asks`), how many of its outputs are different, and how often the generator is right
where it does tasks of known truth in the very prompt in which it made its instances (`teacher`).
All are measured of the base model as it is, too (`raw asks`, `raw teacher`, `raw generated`).
"""

import random
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from minillm.finetune import PromptConfig, SelfInstructConfig, ToyGenerator, chat_rows, seed_tasks
from minillm.finetune.instruct_answers import instance_request
from minillm.finetune.instruct_exam import of_part, toy_exam
from minillm.finetune.instruct_generate import Generate, Request, ask, from_model
from minillm.finetune.instruct_prompts import (
    input_first_prompt,
    kind_prompt,
    list_prompt,
    output_first_prompt,
)
from minillm.finetune.instruct_report import growth, novelty
from minillm.finetune.instruct_tasks import InstructTask
from minillm.finetune.instruct_toy import is_right
from minillm.finetune.score import score
from minillm.finetune.self_instruct import SelfInstructRun, self_instruct
from minillm.finetune.sft import answer_loss, chat_loss, fine_tune
from minillm.finetune.talks import PAD, START, ChatBatches, Example, encode_talk
from minillm.finetune.tasks import Task
from minillm.model import Decoder
from minillm.recipes.records import Job
from minillm.recipes.shipped import base
from minillm.tokenizer import Tokenizer
from minillm.train import OptimizerConfig, TrainConfig

MODEL, BATCH, CONTEXT, ROOM = "small", 8, 96, 24
STEPS, LR = 50, 1e-3
"""LR: the best of PILOT."""
PILOT: dict[float, float] = {5e-4: 4.4635, 1e-3: 4.3229, 2e-3: 4.5717}
"""Learning rate -> nats a token of the answers of both exams, mean over the arms seeds and toy, on
seed 101, as `pilot` printed them."""
TEACH_STEPS, TEACH_BATCH, TEACH_CONTEXT, TEACH_LR, N_TEXTS = 40, 4, 320, 1e-3, 160
"""Settled on seed 101 by one look at the lists that come, before any exam."""
N_GENERATED, N_EXAM, N_TEACHER, N_SAMPLES = 60, 48, 24, 6
ROUNDS = {"raw": 1, "own": 10, "toy": 30}
"""At most: a call of the toy costs nothing, and `raw` only has to show what comes. All sizes of
this study were cut until its 25 runs fitted into ten minutes of one core."""
SHORT = PromptConfig(n_kind=(4, 6), n_examples=3)
"""What fits into a context of 512. The lists are the paper's: 6 seeds and 2 generated."""
PEOPLE = [task for place, task in enumerate(seed_tasks("en")) if place % 5 == 4]
SEEDS = [task for task in seed_tasks("en") if task not in PEOPLE]


def settings_of(kind: str, seed: int) -> SelfInstructConfig:
    """The run of the pipeline, the same for every generator but for its length."""
    return SelfInstructConfig(
        N_GENERATED, seed=seed, cut="last", prompts=SHORT, max_rounds=ROUNDS[kind],
        list_tokens=100, instance_tokens=80, temperature=1.0, top_p=0.9,
    )  # fmt: skip


def prompts_written_out(n: int, seed: int) -> list[str]:
    """The prompts of the pipeline with their answers, each from seeds drawn by chance."""
    labelled = [task for task in SEEDS if task.is_classification]
    others = [task for task in SEEDS if not task.is_classification]
    texts = []
    for k in range(n):
        dice = random.Random(f"prompts {seed} {k}")
        if k % 4 == 0:
            texts.append(list_prompt([t.instruction for t in dice.sample(SEEDS, 16)]))
        elif k % 4 == 1:
            shown = dice.sample(labelled, SHORT.n_kind[0]) + dice.sample(others, SHORT.n_kind[1])
            dice.shuffle(shown)
            *shown, last = shown
            answer = "Yes" if last.is_classification else "No"
            texts.append(f"{kind_prompt(last.instruction, shown)} {answer}\n")
        else:
            first = k % 4 == 2
            write = input_first_prompt if first else output_first_prompt
            shown = dice.sample(others if first else labelled, SHORT.n_examples + 2)
            texts.append(write(shown[-1].instruction, shown))
    return texts


def taught(seed: int) -> tuple[Decoder, Tokenizer]:
    """The base model after some steps on the pipeline's prompts: it learns their form."""
    torch.set_num_threads(1)
    model, tokenizer = base(MODEL)
    start = tokenizer.special_id(START)
    texts = []
    for text in prompts_written_out(N_TEXTS, seed):
        ids = (start, *tokenizer.encode(text))[:TEACH_CONTEXT]
        texts.append(Example(ids, (False, *[True] * (len(ids) - 1))))
    train_on(model, tokenizer, texts, seed, TEACH_STEPS, TEACH_BATCH, TEACH_CONTEXT, TEACH_LR)
    return model.eval(), tokenizer


@lru_cache(maxsize=4)
def generator(kind: str, seed: int) -> Generate:
    """Make the generator of an arm; `raw` is the base model as it is."""
    if kind in ("raw", "own"):
        return from_model(*(base(MODEL) if kind == "raw" else taught(seed)))
    return ToyGenerator(seed=seed)  # one answer in ten is wrong


@lru_cache(maxsize=4)
def generated(kind: str, seed: int) -> SelfInstructRun:
    """Run the pipeline once for the arms of a seed that share it."""
    with tempfile.TemporaryDirectory() as folder:
        config = settings_of(kind, seed)
        return self_instruct(generator(kind, seed), SEEDS, Path(folder), config, progress=False)


def tasks_of(arm: str, seed: int) -> list[InstructTask]:
    """What an arm trains on; no wording of the exam, and no more than N_GENERATED new tasks."""
    if arm in ("base", "seeds"):
        return SEEDS if arm == "seeds" else []
    kind = "own" if arm == "alone" else arm
    new = of_part(generated(kind, seed).tasks, "train")[:N_GENERATED]
    return new if arm == "alone" else [*SEEDS, *new]


def encoded(tasks: Sequence[InstructTask], tokenizer: Tokenizer) -> list[Example]:
    """Tasks as the model reads them; those that do not fit are left out."""
    talks = [encode_talk(row["messages"], tokenizer) for row in chat_rows(tasks)]
    return [talk for talk in talks if len(talk) <= CONTEXT]


def tuned(tasks: Sequence[InstructTask], seed: int, lr: float = LR) -> tuple[Decoder, Tokenizer]:
    """Tune all weights of the base model; without tasks it stays as it is."""
    torch.set_num_threads(1)
    model, tokenizer = base(MODEL)
    if not tasks:
        return model, tokenizer
    train_on(model, tokenizer, encoded(tasks, tokenizer), seed, STEPS, BATCH, CONTEXT, lr)
    return model.eval(), tokenizer


def train_on(
    model: Decoder, tokenizer: Tokenizer, examples: Sequence[Example], seed: int,
    steps: int, batch_size: int, context: int, lr: float,
) -> None:  # fmt: skip
    """Tune all weights; an example is a row, so that every step reads equally many of them."""
    batches = ChatBatches(
        examples, batch_size, context, packing="pad", seed=seed,
        start=tokenizer.special_id(START), pad=tokenizer.special_id(PAD),
    )  # fmt: skip
    config = TrainConfig(
        steps=steps, batch_size=batch_size, context=context, warmup_steps=min(8, steps - 1),
        log_every=0, precision="float32", seed=seed,
    )  # fmt: skip
    fine_tune(model, batches, config, optimizer=OptimizerConfig(lr=lr), progress=False)


def as_exam(task: InstructTask) -> Task:
    """A seed as a task of an exam; right is the very answer that people wrote."""
    message = {"role": "user", "content": task.request}
    accepts = partial(_same, task.output)
    return Task((message,), task.output, "people", task.id, accepts)


def _same(right: str, said: str) -> bool:
    return said.split() == right.split()


def examine(model: Decoder, tokenizer: Tokenizer) -> dict[str, float]:
    """Both exams: shares right and ended, and the loss of the right answers."""
    start, pad = tokenizer.special_id(START), tokenizer.special_id(PAD)
    loss = partial(chat_loss, model, start=start)
    found: dict[str, float] = {}
    for name, tasks in (("", toy_exam(N_EXAM)), (" people", [as_exam(t) for t in PEOPLE])):
        marks = score(model, tokenizer, tasks, max_tokens=ROOM)
        talks = [encode_talk(task.talk(), tokenizer) for task in tasks]
        found[f"right{name}"] = marks.right.value
        found[f"ended{name}"] = marks.ended.value
        found[f"nats{name}"] = answer_loss(talks, loss, pad=pad)
        if not name:
            found |= {f"right {kind}": share.value for kind, share in marks.by_kind.items()}
    return found


def quality(kind: str, seed: int) -> dict[str, Any]:
    """What a generator wrote: how much, how new, and how much of it is any good."""
    run = generated(kind, seed)
    grown = growth(run.rounds)
    tasks = of_part(run.tasks, "train")[:N_GENERATED]
    openings = {task.instruction.split()[0].lower() for task in seed_tasks("en")}
    asks = [text.split()[0].lower() in openings for text in run.instructions]
    truth = [is_right(task.instruction, task.input, task.output) for task in tasks]
    n = max(len(tasks), 1)
    return {
        "candidates": float(sum(g.candidates for g in grown)),
        "instructions": float(len(run.instructions)),
        "generated": float(len(tasks)),
        "asks": sum(asks) / max(len(asks), 1),
        "different outputs": len({task.output for task in tasks}) / n,
        "known right": truth.count(True) / n,
        "known wrong": truth.count(False) / n,
        "sizes": [[g.calls, g.size] for g in grown],
        "novelty": novelty(run.instructions, [task.instruction for task in SEEDS]),
        "samples": [[t.instruction, t.input, t.output] for t in tasks[:N_SAMPLES]],
        "lines": run.instructions[:N_SAMPLES],
    }


def teacher(kind: str, seed: int) -> float:
    """How often a generator solves tasks of known truth in the prompt of step 3.

    The prompt is that in which it makes its instances, input first, with an input written for it.
    """
    tasks = toy_exam(N_TEACHER, part="train", seed=seed)
    config, requests = settings_of(kind, seed), []
    for task in tasks:
        instruction, _, given = task.messages[0]["content"].partition("\n\n")
        before = instance_request(instruction, False, SEEDS, config).prompt
        prompt = f"{before}Example 1\nInput: {given}\nOutput:"
        requests.append(Request("instances", prompt, ("\n",), ROOM, temperature=0.0))
    answers = ask(generator(kind, seed), requests)
    right = [task.check(answer.text) for task, answer in zip(tasks, answers, strict=True)]
    return sum(right) / len(right)


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Tune a base model on the tasks of an arm, and examine it."""
    arm = settings["arm"]
    tasks = tasks_of(arm, seed)
    model, tokenizer = tuned(tasks, seed)
    found: dict[str, Any] = {"tasks": float(len(tasks)), **examine(model, tokenizer)}
    if arm in ("own", "toy"):
        found |= quality(arm, seed)
    if arm == "own":
        found["teacher"] = teacher("own", seed)
    if arm == "base":
        raw = quality("raw", seed) | {"teacher": teacher("raw", seed)}
        found |= {f"raw {name}": value for name, value in raw.items()}
    return found


def pilot(rates: tuple[float, ...] = (5e-4, 1e-3, 2e-3), seed: int = 101) -> None:
    """Print the loss of both exams at some learning rates, on a seed outside the study."""
    for lr in rates:
        nats = []
        for arm in ("seeds", "toy"):
            found = examine(*tuned(tasks_of(arm, seed), seed, lr))
            nats += [found["nats"], found["nats people"]]
            print(arm, lr, {k: round(v, 3) for k, v in found.items()}, flush=True)
        print(f"{lr}: {sum(nats) / len(nats):.4f},", flush=True)


JOB = Job(
    name="self_instruct_gain",
    title="Tuned on seeds, on tasks of its own, on a teacher's: does Self-Instruct help?",
    lesson="29",
    arms={arm: {"arm": arm} for arm in ("base", "seeds", "own", "alone", "toy")},
    run=run,
)
