"""Choices of instruction tuning: which tokens are learned, how turns count, and noise.

Two questions, both from the shipped model `draft`, by fine-tuning of all weights:

- which tokens: 240 tasks about short stories of the village. Only the answers are learned
  (`plain`); the prompt as well (`prompt`); all ends left out, as where padding is the end token
  and padding is ignored (`pad_end`); the embeddings shaken with alpha 5 or 15 (`noise_5`, `_15`).
- which turns: the same tasks behind a greeting, whose answer is always the same. Every learned
  token counts alike (`turns_tokens`), every answer does, so that the greeting is half of the loss
  (`turns_answers`), or the greeting is read and not learned (`turns_last`).

What is judged was fixed before the runs, paired by seed: `nats` of noise_5, noise_15 and prompt
minus plain; `stop` of pad_end minus plain; `nats` of turns_answers and turns_last minus
turns_tokens. An interval that holds 0 is "no difference seen".

On seed 101 the loss of the greeting's answer ended at 0.0006 nats a token (`turns_tokens`), 0.0013
(`turns_answers`) and 9.3 (`turns_last`).

Cut for want of time: a task held out whole, and one wording against several. On seed 101, with the
task learned in four wordings, 100 steps left the model at chance on it, so that no transfer could
have been seen. Lesson 30 compares wordings on a smaller language.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from typing import Any

import torch

from minillm.data.storyworld.planner import Dice
from minillm.finetune import CHATML, neftune, stop_curve
from minillm.finetune.chat import Answers
from minillm.finetune.sft import answer_loss, chat_loss, fine_tune
from minillm.finetune.talks import PAD, START, ChatBatches, Example, encode_talk
from minillm.finetune.tasks import Part, Task, each_story_task
from minillm.model import Decoder
from minillm.recipes.records import Job
from minillm.recipes.shipped import base
from minillm.tokenizer import Tokenizer
from minillm.train import OptimizerConfig, TrainConfig

MODEL, BATCH, CONTEXT, STEPS, LR = "draft", 4, 128, 100, 6e-3
PILOT = {1.5e-3: 1.226, 3e-3: 1.256, 6e-3: 1.220, 1.2e-2: 1.434}
"""Nats a token of the test answers of `plain` on seed 101, by learning rate; untuned: 6.643."""
N_TRAIN, N_TEST, LONGEST = 240, 60, 340
GREETINGS = ("Hello!", "Good morning!", "Hi there.", "Good evening!", "Are you there?")
WELCOME = "Hello! What can I do for you?"


@dataclass(frozen=True)
class Material:
    """The tasks of a seed: two parts without a world in common."""

    train: tuple[Task, ...]
    test: tuple[Task, ...]


@lru_cache(maxsize=1)
def material(seed: int) -> Material:
    """Draw the tasks of a seed."""
    return Material(draw_tasks("train", N_TRAIN, seed), draw_tasks("test", N_TEST, seed))


def draw_tasks(part: Part, n: int, seed: int) -> tuple[Task, ...]:
    """Draw tasks that fit into the context behind a greeting."""
    _, tokenizer = base(MODEL)
    made = each_story_task(part, longest=LONGEST, corpus=2_800 + seed)
    return tuple(islice((t for t in made if len(greeted(t, tokenizer)) <= CONTEXT), n))


def greeted(task: Task, tokenizer: Tokenizer, answers: Answers = "all") -> Example:
    """The talk of a task behind a greeting."""
    hello = Dice(f"hello {task.about}").pick(GREETINGS)
    opening = [{"role": "user", "content": hello}, {"role": "assistant", "content": WELCOME}]
    return encode_talk([*opening, *task.talk()], tokenizer, answers=answers)


def examples(settings: Mapping[str, Any], seed: int, tokenizer: Tokenizer) -> list[Example]:
    """What an arm reads."""
    tasks, learn = material(seed).train, settings["learn"]
    if settings["about"] == "turns":
        return [greeted(task, tokenizer, "last" if learn == "last" else "all") for task in tasks]
    plain = [encode_talk(task.talk(), tokenizer) for task in tasks]
    end = tokenizer.special_id(CHATML.end)
    if learn == "prompt":
        return [Example(e.ids, (False, *[True] * (len(e) - 1))) for e in plain]
    if learn == "no ends":
        return [
            Example(e.ids, tuple(m and i != end for i, m in zip(e.ids, e.learned, strict=True)))
            for e in plain
        ]
    return plain


def tuned(settings: Mapping[str, Any], seed: int, lr: float = LR) -> tuple[Decoder, Tokenizer]:
    """Fine-tune one model."""
    torch.set_num_threads(1)
    model, tokenizer = base(MODEL)
    start, pad = tokenizer.special_id(START), tokenizer.special_id(PAD)
    found = examples(settings, seed, tokenizer)
    batches = ChatBatches(found, BATCH, CONTEXT, start=start, pad=pad, seed=seed)
    config = TrainConfig(
        steps=STEPS, batch_size=BATCH, context=CONTEXT, warmup_steps=min(10, STEPS - 1),
        log_every=0, precision="float32", seed=seed,
    )  # fmt: skip
    torch.manual_seed(seed)  # for the noise
    with neftune(model, settings["alpha"], pad_id=pad):
        fine_tune(
            model, batches, config, normalise=settings["normalise"],
            optimizer=OptimizerConfig(lr=lr), progress=False,
        )  # fmt: skip
    return model.eval(), tokenizer


def loss_on(model: Decoder, tokenizer: Tokenizer, found: Sequence[Example]) -> float:
    """Nats a learned token of some examples."""
    start, pad = tokenizer.special_id(START), tokenizer.special_id(PAD)
    return answer_loss(found, partial(chat_loss, model, start=start), pad=pad)


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Carry out one run, and measure it on worlds that it has not read about.

    Measured are the loss of the answers of the tasks, with their ends, and how likely the end token
    is where they end; with a greeting in front where the arm has learned talks with one.
    """
    model, tokenizer = tuned(settings, seed)
    tasks = material(seed).test
    if settings["about"] == "turns":
        last = [greeted(task, tokenizer, "last") for task in tasks]
        return {"nats": loss_on(model, tokenizer, last)}
    stops = [stop_curve(model, task.talk(), tokenizer).at_end for task in tasks]
    plain = [encode_talk(task.talk(), tokenizer) for task in tasks]
    return {"nats": loss_on(model, tokenizer, plain), "stop": sum(stops) / len(stops)}


def arm(
    about: str, learn: str = "answers", *, alpha: float = 0.0, normalise: str = "tokens"
) -> dict[str, Any]:
    """Settings of an arm."""
    return {"about": about, "learn": learn, "alpha": alpha, "normalise": normalise}


JOB = Job(
    name="chat_choices",
    title="Instruction tuning: which tokens are learned, how turns count, and noise",
    lesson="28",
    arms={
        "plain": arm("tokens"),
        "noise_5": arm("tokens", alpha=5.0),
        "noise_15": arm("tokens", alpha=15.0),
        "prompt": arm("tokens", "prompt"),
        "pad_end": arm("tokens", "no ends"),
        "turns_tokens": arm("turns"),
        "turns_answers": arm("turns", normalise="answers"),
        "turns_last": arm("turns", "last"),
    },
    run=run,
)
