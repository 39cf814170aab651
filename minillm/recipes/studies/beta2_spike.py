"""One gradient a hundred times too large: how long does AdamW remember it, and what does it cost?

Each run trains two twins, equal but for one step, SPIKE_STEP, whose loss is multiplied by SIZE, as
a broken batch might do. The rate is constant, so that a step's length tells of the optimizer
alone. The length of a step is that of the corrected update, m_hat / (sqrt(v_hat) + eps): the root
of its mean square over all weights.

What to expect (s = SIZE, gradients of equal size before and after, no clipping):

    at the spike    0.1 s / sqrt(1 + (1 - beta2) s^2)       times the usual length of one gradient
    k steps later   v is 1 + (1 - beta2) s^2 beta2^k times what it was, a step 1 / sqrt of that
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from minillm.objectives import causal_loss
from minillm.recipes.records import Job
from minillm.recipes.small import bits_on
from minillm.recipes.studies.rate_sensitivity import WARMUP, fresh, texts, train_with
from minillm.train import AdamW

STEPS, SPIKE_STEP, SIZE = 400, 120, 100.0
"""The spike comes at update 120; 280 more follow."""
LR = 0.005
"""Half of the best rate of rate_sensitivity.py, since nothing decays here."""
NEAR = 0.9
"""A step has recovered when it is again this share of its twin's, on the mean of WINDOW steps."""
WINDOW = 10
PILOT: dict[str, dict[str, float]] = {
    "0.95_free": {
        "bits": 3.18,
        "bits of the twin": 3.098,
        "steps to recover": 138.0,
        "spike over twin": 1.943,
        "least over twin": 0.552,
        "loss rise": 0.309,
    },
    "0.95_1.0": {
        "bits": 3.084,
        "bits of the twin": 3.081,
        "steps to recover": 0.0,
        "spike over twin": 1.055,
        "least over twin": 0.918,
        "loss rise": 0.0,
    },
    "0.95_0.5": {
        "bits": 3.101,
        "bits of the twin": 3.098,
        "steps to recover": 0.0,
        "spike over twin": 1.0,
        "least over twin": 0.985,
        "loss rise": 0.0,
    },
    "0.999_free": {
        "bits": 3.352,
        "bits of the twin": 3.108,
        "steps to recover": 280.0,
        "spike over twin": 4.486,
        "least over twin": 0.483,
        "loss rise": 0.803,
    },
    "0.999_1.0": {
        "bits": 3.099,
        "bits of the twin": 3.122,
        "steps to recover": 0.0,
        "spike over twin": 1.068,
        "least over twin": 0.909,
        "loss rise": 0.0,
    },
    "0.999_0.5": {
        "bits": 3.084,
        "bits of the twin": 3.092,
        "steps to recover": 0.0,
        "spike over twin": 1.0,
        "least over twin": 0.959,
        "loss rise": -0.0,
    },
}
"""What `pilot` printed on seed 101 before the study."""


class Spiked:
    """The causal loss, multiplied by SIZE once.

    Args:
        at: which call is multiplied, counted from 1; 0 means none.
    """

    def __init__(self, at: int) -> None:
        self.at = at
        self.n_calls = 0

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """See loop.train's objective."""
        self.n_calls += 1
        loss = causal_loss(model, x, y)
        return SIZE * loss if self.n_calls == self.at else loss


@torch.no_grad()
def update_length(optimizer: AdamW) -> float:
    """Root mean square, over all weights, of the update that AdamW has just made, over its rate."""
    total, n = 0.0, 0
    for group in optimizer.param_groups:
        beta1, beta2 = group["betas"]
        for p in group["params"]:
            state = optimizer.state[p]
            m_hat = state["m"] / (1 - beta1 ** state["step"])
            v_hat = state["v"] / (1 - beta2 ** state["step"])
            total += float((m_hat / (v_hat.sqrt() + group["eps"])).square().sum())
            n += p.numel()
    return math.sqrt(total / n)


def train_twin(
    beta2: float, clip: float, seed: int, *, spike_step: int
) -> tuple[list[float], list[float], float]:
    """Train one of the two.

    Returns:
        Of each step the loss, nats a token (that of the spike as it would be without it), and the
        length of the update; and at the end the bits per byte of unseen text.
    """
    tokens, test = texts()
    model = fresh(seed)
    optimizer = AdamW(model.parameters(), LR, (0.9, beta2), weight_decay=0.0)
    losses: list[float] = []
    lengths: list[float] = []

    def note(record: dict[str, Any]) -> None:
        spiked = len(losses) + 1 == spike_step
        losses.append(record["loss"] / SIZE if spiked else record["loss"])
        lengths.append(update_length(optimizer))

    train_with(
        optimizer,
        model,
        tokens,
        seed,
        steps=STEPS,
        clip=clip,
        schedule="constant",
        objective=Spiked(spike_step),
        log=note,
        warmup_steps=WARMUP,
    )
    return losses, lengths, bits_on(model, test)


def steps_to_recover(spiked: list[float], calm: list[float]) -> int:
    """Count the steps after the spike until the updates are as long again as the twin's.

    Args:
        spiked: lengths of all updates of the run with the spike.
        calm: those of its twin.

    Returns:
        k such that the mean of WINDOW ratios that begins k steps after the spike is at least NEAR,
        and stays so to the end: 0 if no window is below. If the last one still is, the number of
        steps that are left, which is a lower bound.
    """
    ratio = np.array(spiked[SPIKE_STEP:]) / np.array(calm[SPIKE_STEP:])
    means = np.convolve(ratio, np.ones(WINDOW) / WINDOW, mode="valid")
    below = np.flatnonzero(means < NEAR)
    if len(below) == 0:
        return 0
    return len(ratio) if below[-1] == len(means) - 1 else int(below[-1]) + 1


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train the two twins of an arm, and compare them."""
    beta2, clip = settings["beta2"], settings["clip"] or math.inf
    losses, lengths, bits = train_twin(beta2, clip, seed, spike_step=SPIKE_STEP)
    calm_losses, calm, calm_bits = train_twin(beta2, clip, seed, spike_step=0)
    ratio = np.array(lengths) / np.array(calm)
    after = slice(SPIKE_STEP, SPIKE_STEP + 20)
    found = {
        "bits": bits,
        "bits of the twin": calm_bits,
        "steps to recover": steps_to_recover(lengths, calm),
        "spike over twin": ratio[SPIKE_STEP - 1],
        "least over twin": ratio[SPIKE_STEP:].min(),
        "loss rise": float(np.mean(losses[after]) - np.mean(calm_losses[after])),
    }
    steps = (1, 3, 10, 30, 100, 270)
    return found | {f"ratio {k} later": float(ratio[SPIKE_STEP - 1 + k]) for k in steps}


ARMS: dict[str, dict[str, float]] = {
    f"{beta2}_{'free' if clip == 0 else clip}": {"beta2": beta2, "clip": clip}
    for beta2 in (0.95, 0.999)
    for clip in (0.0, 1.0, 0.5)
}
"""A clip of 0 stands for none: infinity is no number in JSON."""


def pilot(seed: int = 101) -> None:
    """Print what every arm measures on a seed outside the study."""
    for arm, settings in ARMS.items():
        found = {k: round(float(v), 3) for k, v in run(settings, seed).items()}
        print(f'"{arm}": {found},', flush=True)


JOB = Job(
    name="beta2_spike",
    title="One gradient a hundred times too large: beta2 of 0.95 or 0.999, clipped or not",
    lesson="20a",
    arms=ARMS,
    run=run,
)
