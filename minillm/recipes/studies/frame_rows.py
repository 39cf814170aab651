"""Two tokens that no text ever held: can LoRA teach a base model to end its answers?

A base model has read <|endoftext|> and words, but never <|im_start|> and <|im_end|>, which frame a
talk. Its output matrix has a row for each of the two, which every softmax has pushed away from
the states. Here the shipped `tiny` learns to answer questions about short stories, and an answer
ends with <|im_end|>. Both arms read the same talks in the same order, for the same number of steps.

    lora        adapters of rank 8 on all matrices of the blocks; the table stands still
    lora_mean   beside the adapters the two rows learn, from the mean of all rows

Measured on tasks of other worlds: the loss of the right answers, the probability of <|im_end|>
behind them, and of free answers how many end and how many are right.
"""

import copy
import itertools
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

import torch

from minillm.finetune.chat import CHATML
from minillm.finetune.lora import apply_lora
from minillm.finetune.parts import count_trainable
from minillm.finetune.score import score
from minillm.finetune.sft import answer_loss, chat_loss, fine_tune
from minillm.finetune.stop import stop_curve
from minillm.finetune.talks import PAD, START, ChatBatches, Example, encode_talk
from minillm.finetune.tasks import Task, each_story_task
from minillm.finetune.token_rows import learn_rows
from minillm.model import Decoder
from minillm.recipes.records import Job
from minillm.recipes.shipped import base
from minillm.tokenizer import Tokenizer
from minillm.train import OptimizerConfig, TrainConfig

BASE = "tiny"
N_TALKS, N_TEST, LONGEST_ANSWER = 400, 30, 32
STEPS, BATCH, CONTEXT, WARMUP = 48, 8, 128, 5
RANK, ALPHA = 8, 16.0
SETTINGS: dict[str, dict[str, Any]] = {
    "lora": {"rows": ""},
    "lora_mean": {"rows": "mean"},
}
LR = 5e-3
"""That of the recipe `lora`, in both arms; not chosen anew, as two cores were shared by many. For
the same reason there is no arm for full fine-tuning; one run of it was made by hand (seed 101, 80
steps at 1e-3, with lists of people that named some whom the story did not): 0.85 nats, and every
answer ended."""


@lru_cache(maxsize=1)
def opened() -> tuple[Decoder, Tokenizer]:
    """The base model, which nobody changes, and its tokenizer."""
    return base(BASE)


@lru_cache(maxsize=1)
def tasks() -> tuple[list[Task], list[Task]]:
    """Tasks to learn from and tasks of other worlds, each short enough for the context."""
    _, tokenizer = opened()

    def short(task: Task) -> bool:
        return len(encode_talk(task.talk(), tokenizer)) < CONTEXT - LONGEST_ANSWER

    train = filter(short, each_story_task("train"))
    test = filter(short, each_story_task("test"))
    return list(itertools.islice(train, N_TALKS)), list(itertools.islice(test, N_TEST))


@lru_cache(maxsize=1)
def examples() -> list[Example]:
    """The tasks to learn from, as rows of tokens."""
    _, tokenizer = opened()
    return [encode_talk(task.talk(), tokenizer) for task in tasks()[0]]


def adapted(settings: Mapping[str, Any], seed: int) -> Decoder:
    """A copy of the base model, ready for one arm."""
    model, tokenizer = opened()
    model = copy.deepcopy(model)
    torch.manual_seed(seed)
    apply_lora(model, "all", rank=RANK, alpha=ALPHA)
    if settings["rows"]:
        frame = [tokenizer.special_id(name) for name in (CHATML.start, CHATML.end)]
        learn_rows(model, frame, start=settings["rows"])
    return model


def tuned(settings: Mapping[str, Any], lr: float, seed: int) -> Decoder:
    """Train one arm on the talks, in an order that comes from the seed."""
    _, tokenizer = opened()
    model = adapted(settings, seed)
    start, pad = tokenizer.special_id(START), tokenizer.special_id(PAD)
    batches = ChatBatches(examples(), BATCH, CONTEXT, start=start, pad=pad, seed=seed)
    config = TrainConfig(
        steps=STEPS, batch_size=BATCH, context=CONTEXT, warmup_steps=WARMUP, log_every=0,
        precision="float32", seed=seed,
    )  # fmt: skip
    torch.set_num_threads(1)
    optimizer = OptimizerConfig(lr=lr, weight_decay=0.0)
    fine_tune(model, batches, config, optimizer=optimizer, log=lambda record: None, progress=False)
    return model.eval()


def loss_of(model: Decoder) -> float:
    """Nats a token of the right answers to the tasks of other worlds, <|im_end|> among them."""
    _, tokenizer = opened()
    start, pad = tokenizer.special_id(START), tokenizer.special_id(PAD)
    test = [encode_talk(task.talk(), tokenizer) for task in tasks()[1]]
    return answer_loss(test, partial(chat_loss, model, start=start), pad=pad)


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Tune one arm, and measure what it answers and whether it ends."""
    _, tokenizer = opened()
    model, test = tuned(settings, settings["lr"], seed), tasks()[1]
    ends = [stop_curve(model, task.talk(), tokenizer).p[-1] for task in test]
    said = score(model, tokenizer, test, max_tokens=LONGEST_ANSWER)
    return {
        "n_trained": count_trainable(model),
        "nats": loss_of(model),
        "p_end": sum(ends) / len(ends),
        "ended": said.ended.value,
        "right": said.right.value,
    }


JOB = Job(
    name="frame_rows",
    title="Two tokens that no text ever held: can LoRA teach a base model to end its answers?",
    lesson="31",
    arms={name: {"lr": LR, **settings} for name, settings in SETTINGS.items()},
    run=run,
)
