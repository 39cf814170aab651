"""Study: does a small model add better if numbers are cut into single digits?

Problems a + b = c of two two-digit numbers, 8 100 in all; 1 000 of them, drawn by the seed, are
never trained on. Two arms see the same problems in the same order, the same number of steps:

    digits   3 7 + 4 5 = 8 2 end     each digit is a token
    merged   37 + 45 = 82 end        each number is a token, as BPE makes of frequent ones

The model, its number of rows and the positions it computes are the same; only answers are trained
on. A held-out problem counts as solved if all tokens of the answer and the end are the likeliest,
each given the ones before: what greedy writing would give. Two digits are all that is tried here:
the merged arm has seen every number, which it would not have for longer ones.

Rate and steps were tried on seed 101, which is not among the seeds of the study.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm.model import Decoder
from minillm.recipes.records import Job
from minillm.recipes.small import SmallConfig, train_small

PLUS, EQUALS, END = 199, 200, 201  # numbers 0 to 198 are tokens by themselves
LENGTH = 10  # tokens of the longest problem: 9 9 + 9 9 = 1 9 8 end
N_HELD_OUT = 1_000
CONFIG = SmallConfig(
    vocab_size=202, d_model=32, n_layers=2, context=LENGTH - 1, steps=600, batch_size=128, lr=5e-3
)


def write(number: int, cut: str) -> list[int]:
    """A number in tokens."""
    return [number] if cut == "merged" else [int(digit) for digit in str(number)]


def problem(a: int, b: int, cut: str) -> tuple[list[int], list[int]]:
    """The tokens of a problem, and the targets: -100 where nothing is asked.

    problem(37, 45, "digits")[1] -> [-100, -100, -100, -100, -100, 8, 2, 201, -100]
    """
    asked = [*write(a, cut), PLUS, *write(b, cut), EQUALS]
    answer = [*write(a + b, cut), END]
    fill = LENGTH - len(asked) - len(answer)
    targets = [-100] * (len(asked) - 1) + answer + [-100] * fill
    return asked + answer + [END] * fill, targets


def sequences(pairs: np.ndarray, cut: str) -> tuple[Tensor, Tensor]:
    """Inputs and targets of problems, each (n, LENGTH - 1)."""
    rows = [problem(int(a), int(b), cut) for a, b in pairs]
    return torch.tensor([x[:-1] for x, _ in rows]), torch.tensor([y for _, y in rows])


def split(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """All problems, shuffled by the seed: (those to train on, those held out)."""
    pairs = np.array([(a, b) for a in range(10, 100) for b in range(10, 100)])
    pairs = np.random.default_rng(seed).permutation(pairs)
    return pairs[N_HELD_OUT:], pairs[:N_HELD_OUT]


def batches(pairs: np.ndarray, cut: str, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches without end: every problem once, then all again in another order."""
    x, y = sequences(pairs, cut)
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(pairs))
        for start in range(0, len(order) - CONFIG.batch_size + 1, CONFIG.batch_size):
            some = order[start : start + CONFIG.batch_size]
            yield x[some], y[some]


@torch.no_grad()
def solved(model: Decoder, pairs: np.ndarray, cut: str) -> float:
    """Share of problems whose whole answer is the likeliest."""
    x, y = sequences(pairs, cut)
    right = [
        ((model(xs).argmax(dim=-1) == ys) | (ys == -100)).all(dim=1)
        for xs, ys in zip(x.split(500), y.split(500), strict=True)
    ]
    return float(torch.cat(right).float().mean())


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train on the problems of one way of cutting, and solve held-out ones."""
    cut = settings["cut"]
    known, held_out = split(seed)
    losses: list[float] = []
    model = train_small(batches(known, cut, seed), seed, config=CONFIG, losses=losses)
    return {
        "solved": solved(model, held_out, cut),
        "solved_trained_on": solved(model, known[:N_HELD_OUT], cut),
        "loss_nats": float(np.mean(losses[-20:])),
        "epochs": CONFIG.steps * CONFIG.batch_size / len(known),
        "flops": CONFIG.flops,
    }


JOB = Job(
    name="digits_addition",
    title="does a small model add better if numbers are cut into single digits?",
    lesson="07a",
    arms={"digits": {"cut": "digits"}, "merged": {"cut": "merged"}},
    run=run,
)
