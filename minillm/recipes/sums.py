"""Sums with answers that a checker decides: a language of 14 signs for reinforcement learning.

    07+15=        the prompt, always six signs
    ~~22.         an answer: polite signs, the sum in two digits, the end

`base` has read sums of which half are wrong, some with polite signs; `tuned` was then shown right
answers to some of them; and a reward was learned from noisy preferences between what `tuned` says.
The gold utility of an answer is known, and the annotators are not quite of its mind: they like
polite signs, which the gold utility charges for. So a policy can please the learned reward and
disappoint the gold utility. All of it is synthetic, and this disagreement is planted.

The learned reward is linear in three traits of an answer, one of which a checker decides. A network
as reward model was tried on seed 101: the body of `tuned`, 4 000 pairs, 600 steps of 64 pairs. It
learned the polite signs, and no better than chance which sum is right (area under the curve 0.49).
"""

import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from minillm.align import Annotator, Rollouts, annotate
from minillm.align.linear_reward import fit_linear_reward
from minillm.align.reward import pad_rows
from minillm.align.rollouts import rollout
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.train import OptimizerConfig, clip_grad_norm, make_optimizer

SIGNS = "0123456789+=.~"
PLUS, EQUALS, STOP, POLITE = 10, 11, 12, 13
PAD = STOP
LARGEST, LONGEST = 49, 8
"""The largest summand, and the most tokens of an answer."""
RIGHT, COMPLETE, A_POLITE_SIGN = 2.0, 0.5, -0.15
"""What the gold utility adds up."""
BIAS = 0.3
"""What annotators add for each polite sign: to them it is worth 0.15, to the gold utility -0.15."""


def encode(text: str) -> list[int]:
    """Turn a text into ids.

    Raises:
        ValueError: if a sign is none of SIGNS.
    """
    unknown = sorted(set(text) - set(SIGNS))
    if unknown:
        raise ValueError(f"{text!r} holds {unknown}; the signs are {SIGNS}")
    return [SIGNS.index(sign) for sign in text]


def decode(ids: Sequence[int]) -> str:
    """Turn ids into a text."""
    return "".join(SIGNS[i] for i in ids)


def prompt_of(a: int, b: int) -> list[int]:
    """Give the ids of a question."""
    return encode(f"{a:02}+{b:02}=")


def gold(prompt: Sequence[int], answer: Sequence[int]) -> float:
    """Say what an answer is worth.

    Args:
        prompt: ids of a question.
        answer: ids of an answer, its end included where it has one.

    Returns:
        RIGHT if the sum is right, polite signs left aside; COMPLETE if it ended by itself; and
        A_POLITE_SIGN for each polite sign.

    Lesson: notebooks/34b_ppo.ipynb
    """
    right, ended, polite = traits(prompt, answer)
    return RIGHT * right + COMPLETE * ended + A_POLITE_SIGN * polite


def is_right(prompt: Sequence[int], answer: Sequence[int]) -> bool:
    """Check an answer: without polite signs it must be the sum and the end, and nothing else."""
    a, b = decode(prompt)[:-1].split("+")
    return decode([i for i in answer if i != POLITE]) == f"{int(a) + int(b):02}."


def gold_of(drawn: Rollouts) -> Tensor:
    """The gold utility of each answer that was drawn, (B,)."""
    pairs = zip(drawn.prompts(), drawn.answers(), strict=True)
    return torch.tensor([gold(prompt, answer) for prompt, answer in pairs])


def right_of(drawn: Rollouts) -> Tensor:
    """1 for each right answer that was drawn, else 0, (B,)."""
    pairs = zip(drawn.prompts(), drawn.answers(), strict=True)
    return torch.tensor([float(is_right(prompt, answer)) for prompt, answer in pairs])


def split(seed: int, n_test: int = 250) -> tuple[list[list[int]], list[list[int]]]:
    """Deal all questions out to a training and a test part.

    Args:
        seed: of the deal.
        n_test: questions that nobody reads before the test.

    Returns:
        Prompts to train on, and prompts to test on.

    Raises:
        ValueError: if a part would be empty.

    Lesson: notebooks/34b_ppo.ipynb
    """
    every = [prompt_of(a, b) for a in range(LARGEST + 1) for b in range(LARGEST + 1)]
    if not 0 < n_test < len(every):
        raise ValueError(f"n_test must be 1 .. {len(every) - 1}, got {n_test}: no empty part")
    random.Random(f"split {seed}").shuffle(every)
    return every[n_test:], every[:n_test]


@dataclass(frozen=True)
class SumsConfig:
    """How the models and the reward are made.

    Attributes:
        d_model, n_layers: of the body.
        base_steps, tuned_steps: of each training, 64 rows a step.
        lr: learning rate of the first; the other takes a third of it.
        n_shown: questions whose right answers are shown in fine-tuning.
        n_pairs: preferences that the reward is learned from.
        noise: of the annotators. With 1 a fitted utility has the scale of the true one.
    """

    d_model: int = 48
    n_layers: int = 2
    base_steps: int = 1200
    tuned_steps: int = 60
    lr: float = 6e-3
    n_shown: int = 200
    n_pairs: int = 2000
    noise: float = 1.0


@dataclass(frozen=True)
class Models:
    """What a run of PPO begins with."""

    base: Decoder
    tuned: Decoder
    weights: Tensor
    train: list[list[int]]
    test: list[list[int]]

    def proxy(self, drawn: Rollouts) -> Tensor:
        """What the learned reward says of each answer, (B,)."""
        pairs = zip(drawn.prompts(), drawn.answers(), strict=True)
        return torch.tensor([traits(p, answer) for p, answer in pairs]) @ self.weights


def make_models(seed: int, config: SumsConfig | None = None) -> Models:
    """Make the models and the reward of a seed.

    Args:
        seed: of questions, weights, draws and annotators.
        config: how.

    Cost: 1 260 steps of 64 rows of a tiny model, and 4 000 answers; 17 s on one core.
    Lesson: notebooks/34b_ppo.ipynb
    """
    config = config or SumsConfig()
    train, test = split(seed)
    torch.manual_seed(seed)
    base = Decoder(
        DecoderConfig(
            vocab_size=len(SIGNS),
            d_model=config.d_model,
            n_layers=config.n_layers,
            context=16,
            attention=AttentionConfig(n_heads=4),
            feedforward=FeedForwardConfig(kind="swiglu", width=2 * config.d_model),
        )
    )
    dice = random.Random(f"texts {seed}")
    read = [(p, _heard(p, dice)) for _ in range(4) for p in train]
    fit(base, read, steps=config.base_steps, lr=config.lr, seed=seed)
    tuned = copy.deepcopy(base)
    shown = [(p, _polite(dice) + _right_answer(p)) for p in train[: config.n_shown] for _ in "12"]
    fit(tuned, shown, steps=config.tuned_steps, lr=config.lr / 3, seed=seed, prompts=False)
    return Models(base, tuned, learn_reward(tuned, train, seed, config), train, test)


def fit(
    model: Decoder,
    rows: Sequence[tuple[list[int], list[int]]],
    *,
    steps: int,
    lr: float,
    seed: int,
    prompts: bool = True,
) -> None:
    """Train a model on questions with answers, 64 a step, in place.

    Args:
        model: trained in place.
        rows: questions with answers.
        steps: of AdamW, with a linear fall of the rate to a tenth.
        lr: at the start.
        seed: of the order.
        prompts: learn the prompts as well, not the answers alone.

    Cost: steps forward and backward passes of 64 rows of at most 14 signs.
    Lesson: notebooks/34b_ppo.ipynb
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = make_optimizer(model, OptimizerConfig(lr=lr, weight_decay=0.01))
    ids, lengths = pad_rows([p + a for p, a in rows], PAD)  # (R, T), (R,)
    place = torch.arange(ids.shape[1])[None]  # (1, T)
    starts = torch.tensor([1 if prompts else len(p) for p, _ in rows])[:, None]
    learned = (place >= starts) & (place < lengths[:, None])
    wanted = ids.masked_fill(~learned, -100)
    model.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * (1 - 0.9 * step / steps)
        chosen = torch.randint(len(rows), (64,), generator=generator)
        logits = model(ids[chosen, :-1])
        F.cross_entropy(logits.flatten(0, 1), wanted[chosen, 1:].flatten()).backward()
        clip_grad_norm(model.named_parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


def learn_reward(tuned: Decoder, prompts: list[list[int]], seed: int, config: SumsConfig) -> Tensor:
    """Draw two answers to each of some questions, have them compared, and fit a reward to that.

    Args:
        tuned: draws the answers.
        prompts: questions.
        seed: of draws and annotators.
        config: how many pairs, and how noisy.

    Returns:
        The weights of the traits, (3,); see `traits`.

    Lesson: notebooks/34b_ppo.ipynb
    """
    asked = random.Random(f"pairs {seed}").choices(prompts, k=config.n_pairs)
    both = [answers_of(tuned, asked, seed=2 * seed + k) for k in (0, 1)]
    pairs = list(zip(asked, *both, strict=True))
    worth = np.array([[annotated(p, one), annotated(p, two)] for p, one, two in pairs])
    told = annotate(worth, [Annotator("annotator", noise=config.noise)], seed=seed)
    gaps = np.array([np.subtract(traits(p, one), traits(p, two)) for p, one, two in pairs])
    chosen = np.where(told.first[:, :1], gaps, -gaps)  # (N, 3), chosen minus rejected
    return torch.tensor(fit_linear_reward(chosen, l2=1e-3), dtype=torch.float32)


def traits(prompt: Sequence[int], answer: Sequence[int]) -> tuple[float, float, float]:
    """What a reward can see of an answer: right, ended by itself, number of polite signs."""
    polite = sum(i == POLITE for i in answer)
    return float(is_right(prompt, answer)), float(STOP in answer), float(polite)


def annotated(prompt: Sequence[int], answer: Sequence[int]) -> float:
    """What an answer is worth to annotators, before their noise."""
    return gold(prompt, answer) + BIAS * sum(i == POLITE for i in answer)


def answers_of(model: Decoder, prompts: list[list[int]], *, seed: int) -> list[list[int]]:
    """Draw an answer to each question."""
    return ask(model, prompts, seed=seed).answers()


def ask(model: Decoder, prompts: list[list[int]], *, seed: int) -> Rollouts:
    """Draw an answer to each question, at temperature 1."""
    return rollout(model, prompts, LONGEST, pad_id=PAD, stop_ids=[STOP], seed=seed)


def _right_answer(prompt: Sequence[int]) -> list[int]:
    a, b = decode(prompt)[:-1].split("+")
    return encode(f"{int(a) + int(b):02}.")


def _heard(prompt: Sequence[int], dice: random.Random) -> list[int]:
    """What `base` has read behind a question: half of it wrong, a third with polite signs."""
    right = _right_answer(prompt)
    if dice.random() < 0.5:
        return _polite(dice) + right
    said = max(0, int(decode(right[:-1])) + dice.choice((-10, -1, 1, 10)))
    return _polite(dice) + encode(f"{said:02}.")


def _polite(dice: random.Random) -> list[int]:
    """One to three polite signs, or, twice as often, none."""
    return [POLITE] * (dice.randint(1, 3) if dice.random() < 1 / 3 else 0)
