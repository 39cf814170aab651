"""A task for experiments on preferences: say a word backwards; what an answer is worth is known.

    asked        "abcf"            right       "fcba"            worth 1
                                   nearly      "fcbb"            worth 0.75
                                   too long    "fcbaa"           worth 1 - 0.25

The policy has learned from demonstrations that are often wrong, so that it knows more than it shows
and draws many different answers: there is something to choose from, to prefer and to learn. `worth`
is the gold reward, which real projects lack; a reward model, trained on noisy comparisons of the
policy's own answers, is the proxy. Words that are asked about at the end are in no training.

Shape letters: P tasks, K answers to each, B rows, T positions.
"""

import copy
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm.align import (
    Annotator,
    EncodedPair,
    RewardBatches,
    RewardModel,
    annotate,
    encode_pair,
    pair_rewards,
    rollout,
    sample_answers,
    score_texts,
    train_reward,
)
from minillm.finetune import Task, encode_talk, fine_tune
from minillm.finetune.chat import CHATML, prompt_ids, reply_text
from minillm.finetune.talks import PAD, START, ChatBatches
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.tokenizer import Tokenizer
from minillm.train import OptimizerConfig, TrainConfig

LETTERS, LENGTH = "abcdef", 4
N_TEST = 128
"""Words of 1 296 that nobody trains on."""
MAX_TOKENS = 8
"""Longest answer, its end included."""
CONTEXT = 56
"""Tokens of the longest talk: 25, and three for each token of an answer, since a byte that is no
text comes back as a sign of three bytes. It costs nothing: batches are cut to what is used."""
SIZES = {"small": (16, 1), "middle": (32, 2), "large": (64, 2)}
"""Width and layers."""
SLIP, MISCOUNT = 0.35, 0.2
"""Of demonstrations: share of letters drawn at random, and of answers with one too many or few."""
NOISE = 0.25
"""Spread of what an annotator perceives, in units of worth: that of one letter."""
TOKENIZER = Tokenizer(
    {i: bytes([i]) for i in range(256)}, [], [START, PAD, "<|im_start|>", CHATML.end]
)
START_ID, PAD_ID = TOKENIZER.special_id(START), TOKENIZER.special_id(PAD)
END_ID = TOKENIZER.special_id(CHATML.end)


def worth(word: str, text: str) -> float:
    """The gold reward: share of letters in their place, less 0.25 a letter too many or too few.

    Returns:
        At most 1, for the word backwards and nothing else; at least -1.
    """
    right = word[::-1]
    hits = sum(a == b for a, b in zip(right, text, strict=False))
    return max(-1.0, (hits - abs(len(text) - len(right))) / len(right))


def task_of(word: str) -> Task:
    """Ask for a word backwards."""
    messages = ({"role": "user", "content": word},)
    return Task(messages, word[::-1], "backwards", word, lambda text: text == word[::-1])


@lru_cache(maxsize=1)
def parts() -> tuple[tuple[Task, ...], tuple[Task, ...]]:
    """Tasks to train on and tasks to be asked at the end; the same for all seeds."""
    words = ["".join(letters) for letters in itertools.product(LETTERS, repeat=LENGTH)]
    order = np.random.default_rng(35).permutation(len(words)).tolist()
    tasks = [task_of(words[i]) for i in order]
    return tuple(tasks[N_TEST:]), tuple(tasks[:N_TEST])


def gold(tasks: Sequence[Task], texts: Sequence[str]) -> Tensor:
    """Score answers by `worth`, (N,): an `align.Score`."""
    return torch.tensor([worth(t.about, text) for t, text in zip(tasks, texts, strict=True)])


def demonstration(task: Task, dice: np.random.Generator) -> str:
    """Answer as the demonstrators do: often not quite right."""
    letters = list(task.answer)
    for n in range(len(letters)):
        if dice.random() < SLIP:
            letters[n] = LETTERS[dice.integers(len(LETTERS))]
    if dice.random() < MISCOUNT:
        if dice.random() < 0.5:
            letters.pop()
        else:
            letters.append(LETTERS[dice.integers(len(LETTERS))])
    return "".join(letters)


def talks_of(tasks: Sequence[Task], texts: Sequence[str], seed: int, batch: int) -> ChatBatches:
    """Serve tasks with answers as talks to be fine-tuned on."""
    rows = [
        [*task.messages, {"role": "assistant", "content": text}]
        for task, text in zip(tasks, texts, strict=True)
    ]
    examples = [encode_talk(row, TOKENIZER, answers="last") for row in rows]
    return ChatBatches(
        examples, batch, CONTEXT, start=START_ID, pad=PAD_ID, packing="pad", seed=seed
    )


def settings(steps: int, batch_size: int, **more: Any) -> TrainConfig:
    """What all trainings here share."""
    shared = {"context": CONTEXT, "log_every": 0, "precision": "float32"}
    return TrainConfig(
        steps=steps, batch_size=batch_size, **{"warmup_steps": min(10, steps - 1), **shared, **more}
    )


FIRST_STEPS, FIRST_BATCH, FIRST_LR = 300, 32, 0.02
"""Of the demonstrations; the rate is Muon's, and AdamW, which moves the rest, takes half of it. On
seed 101 "large" says 21 % of the words right afterwards (worth 0.63), "small" 0.2 % (0.16)."""


def blank(size: str, seed: int) -> Decoder:
    """A model of one of SIZES that has learned nothing."""
    width, n_layers = SIZES[size]
    torch.manual_seed(seed)
    return Decoder(
        DecoderConfig(
            vocab_size=TOKENIZER.n_vocab,
            d_model=width,
            n_layers=n_layers,
            context=CONTEXT + MAX_TOKENS,
            attention=AttentionConfig(n_heads=max(1, width // 16)),
            feedforward=FeedForwardConfig(kind="swiglu", width=2 * width),
        )
    )


@lru_cache(maxsize=8)
def first_policy(seed: int, size: str = "large") -> Decoder:
    """The model that all methods start from; do not change it, tune a copy.

    Cost: about 9 s of one core for "large", 6 s for "middle", 3 s for "small".
    """
    torch.set_num_threads(1)
    dice = np.random.default_rng([seed, 1])
    train = [*parts()[0] * 3]
    texts = [demonstration(task, dice) for task in train]
    model = blank(size, seed)
    rates = OptimizerConfig(kind="muon", lr=FIRST_LR, adamw_lr=FIRST_LR / 2, weight_decay=0.0)
    batches = talks_of(train, texts, seed, FIRST_BATCH)
    fine_tune(model, batches, settings(FIRST_STEPS, FIRST_BATCH), optimizer=rates, progress=False)
    return model.eval()


@dataclass(frozen=True)
class Comparisons:
    """Pairs to learn from, each said by one annotator, and as many to examine a proxy with."""

    train: tuple[EncodedPair, ...]
    test: tuple[EncodedPair, ...]


N_PAIRS = 8192


@lru_cache(maxsize=2)
def comparisons(seed: int) -> Comparisons:
    """Let the first policy answer twice, and an annotator of known noise compare.

    Pairs of equal answers are passed over. The pairs to examine with are of the words at the end.
    """
    made: list[tuple[EncodedPair, ...]] = []
    for n, tasks in enumerate(parts()):
        K = 16 if n == 0 else 8  # many to learn from, fewer to examine with
        drawn = sample_answers(
            first_policy(seed), TOKENIZER, tasks, K, max_tokens=MAX_TOKENS, seed=seed + 1000 * n
        )
        pairs = [
            (t, a.text, b.text)
            for t, row in zip(tasks, drawn, strict=True)
            for a, b in zip(row[::2], row[1::2], strict=True)
            if a.text != b.text and a.text.strip() and b.text.strip()
        ][:N_PAIRS]
        both = np.array([[worth(t.about, a), worth(t.about, b)] for t, a, b in pairs])
        first = annotate(both, [Annotator("one", noise=NOISE)], seed=seed).first[:, 0]
        made.append(
            tuple(
                encode_pair(t.messages, *((a, b) if won else (b, a)), TOKENIZER)
                for (t, a, b), won in zip(pairs, first.tolist(), strict=True)
            )
        )
    return Comparisons(*made)


REWARD_STEPS, REWARD_BATCH, REWARD_LR = 256, 32, 0.005
"""One epoch; the rate is Muon's, and AdamW, which moves the rest, takes half of it. Pilot on seed
101, "large", pairs of different worth decided as gold does: 79 % (Muon at 0.02: 74 %; AdamW at
0.003: 65 %). With 512 pairs none of three sizes came above 70 %, and PPO on such a proxy lowered
gold from its first step on."""


@lru_cache(maxsize=4)
def proxy(seed: int, size: str) -> RewardModel:
    """A reward model of one of SIZES, from the comparisons; its body has read demonstrations."""
    pairs, body = comparisons(seed).train, first_policy(seed, size)
    torch.manual_seed(seed)  # of the head, so that it does not matter what was made before
    model = RewardModel(copy.deepcopy(body))
    batches = RewardBatches(pairs, REWARD_BATCH, pad=PAD_ID, seed=seed)
    rates = OptimizerConfig(kind="muon", lr=REWARD_LR, adamw_lr=REWARD_LR / 2, weight_decay=0.0)
    config = settings(REWARD_STEPS, REWARD_BATCH)
    train_reward(model, batches, config, optimizer=rates, progress=False)
    return model.eval()


def proxy_accuracy(model: RewardModel, pairs: Sequence[EncodedPair]) -> float:
    """Share of comparisons that a reward model decides as the annotator did."""
    chosen, rejected = pair_rewards(model, pairs, pad=PAD_ID, batch_size=128)
    return float((chosen > rejected).float().mean())


def proxy_score(model: RewardModel) -> Callable[[Sequence[Task], Sequence[str]], Tensor]:
    """Turn a reward model into a score of tasks and texts: an `align.Score`."""

    def score(tasks: Sequence[Task], texts: Sequence[str]) -> Tensor:
        prompts = [t.messages for t in tasks]
        return score_texts(model, TOKENIZER, prompts, texts, batch_size=128)

    return score


@dataclass(frozen=True)
class Measured:
    """What a policy does with the words at the end.

    Attributes:
        right: share of answers that are the word backwards.
        gold: mean worth.
        kl: nats an answer from the first policy, each token's taken over the whole vocabulary.
        length: mean letters of an answer.
        texts: the answers, task by task.
    """

    right: float
    gold: float
    kl: float
    length: float
    texts: tuple[str, ...]


@torch.no_grad()
def measure(model: Decoder, first: Decoder, seed: int, n_samples: int = 4) -> Measured:
    """Let a policy answer the words at the end at temperature 1.

    Args:
        model: the policy.
        first: what its distance is measured from.
        seed: of the draws.
        n_samples: answers to each word.

    Cost: N_TEST n_samples answers, and one pass of both models over them.
    """
    tasks = [task for task in parts()[1] for _ in range(n_samples)]
    drawn = rollout(
        model, prompts_of(tasks), MAX_TOKENS, pad_id=PAD_ID, stop_ids=(END_ID, START_ID), seed=seed
    )
    texts = [reply_text(ids, TOKENIZER) for ids in drawn.answers()]
    ours, theirs = (m.eval()(drawn.ids).log_softmax(-1)[:, :-1] for m in (model, first))
    apart = (ours.exp() * (ours - theirs)).sum(dim=-1)  # (B, T - 1)
    kl = torch.where(drawn.mask[:, 1:], apart, 0.0).sum(dim=1).mean()
    scores = gold(tasks, texts)
    right = sum(t.check(text) for t, text in zip(tasks, texts, strict=True)) / len(tasks)
    length = float(np.mean([len(text) for text in texts]))
    return Measured(right, float(scores.mean()), max(0.0, float(kl)), length, tuple(texts))


def prompts_of(tasks: Sequence[Task]) -> list[list[int]]:
    """The ids that are continued with an answer."""
    return [[START_ID, *prompt_ids(task.messages, TOKENIZER)] for task in tasks]
