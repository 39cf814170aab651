"""Two hidden tokens that belong together: guessed one by one, or written one after the other.

A text is six filler words, a word that names a country, and a town of that country, two tokens
long, in random places. Each country has four towns, and the shares are such that the likeliest
first token and the likeliest second token never come together:

    a1 b1  with probability 0.37
    a2 b2  with probability 0.21     likeliest first token   a1, 0.37
    a3 b2  with probability 0.21     likeliest second token  b2, 0.63
    a4 b2  with probability 0.21     so each for itself they guess `a1 b2`, which does not exist

The town is hidden; the country is in sight. `masked` is BERT's objective: two [MASK], each
answered for itself (in half of the texts only one token is hidden, as chance would have it in
BERT). `infilling` is GLM's: one [MASK], and the span is written behind it. Both are one decoder
of one size under two masks, and both get the same number of operations.

What the best possible model of each kind would reach is known, see `IDEAL`: the loss differs by
the mutual information of the two tokens.

Shape letters: B texts, L tokens of a text, T tokens of a row with part B.
"""

from collections.abc import Iterator, Mapping
from math import log
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm.model import (
    AttentionConfig,
    Decoder,
    DecoderConfig,
    FeedForwardConfig,
    PositionConfig,
    flops_per_token,
)
from minillm.objectives import fast_cross_entropy
from minillm.objectives.infilling import blank_out, hybrid_mask, stack
from minillm.recipes.records import Job
from minillm.train import OptimizerConfig, TrainConfig, train

MASK, START, END = range(3)
COUNTRIES, FILLERS, N_FILLERS = 8, 20, 6
"""How many there are of each, and fillers in a text."""
COUNTRY = 3
FILLER = COUNTRY + COUNTRIES
FIRST = FILLER + FILLERS
SECOND = FIRST + 4 * COUNTRIES
V = SECOND + 2 * COUNTRIES
TOWNS = ((0, 0), (1, 1), (2, 1), (3, 1))
SHARES = (0.37, 0.21, 0.21, 0.21)
L = N_FILLERS + 3
A, T = L - 1, L + 2
"""Tokens of part A (the town is one [MASK]), and of the row with [START] and the town."""
STEPS, BATCH, LR = 800, 32, 4e-3
"""Steps of `infilling`; `masked` reads shorter rows, and gets more of them."""
PILOT = {
    "masked": {0.002: 2.0478, 0.004: 2.0367, 0.008: 2.0425},
    "infilling": {0.002: 1.3656, 0.004: 1.3612, 0.008: 1.3642},
}
"""Nats a town at three learning rates on seed 101, before the study; 0.004 is best for both."""
N_TEST = 1_000
ENTROPY = -sum(p * log(p) for p in SHARES)
MUTUAL = -0.37 * log(0.37) - 0.63 * log(0.63)
"""Nats of a town, and nats that its two tokens tell about each other: all of the second's."""
IDEAL = {
    "masked": {
        "nats": ENTROPY + MUTUAL,
        "inconsistent": 1 - 0.37 * 0.37 - 3 * 0.21 * 0.63,
        "exact": 0.0,
    },
    "infilling": {"nats": ENTROPY, "inconsistent": 0.0, "exact": 0.37},
}
"""What the best possible model of each kind reaches."""


def texts(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw texts, (n, L), and where the town of each begins, (n,)."""
    ids, starts = np.zeros((n, L), dtype=np.int64), np.zeros(n, dtype=np.int64)
    for i in range(n):
        country = int(rng.integers(COUNTRIES))
        a, b = TOWNS[int(rng.choice(4, p=SHARES))]
        pieces = [[FILLER + int(w)] for w in rng.integers(FILLERS, size=N_FILLERS)]
        pieces += [[COUNTRY + country], [FIRST + 4 * country + a, SECOND + 2 * country + b]]
        order = rng.permutation(len(pieces)).tolist()
        ids[i] = [token for j in order for token in pieces[j]]
        starts[i] = sum(len(pieces[j]) for j in order[: order.index(len(pieces) - 1)])
    return ids, starts


def make(seed: int) -> Decoder:
    """Build the model, the same for both arms."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    config = DecoderConfig(
        V, 32, 2, 4 * L, AttentionConfig(4), FeedForwardConfig("swiglu", 64),
        position=PositionConfig("learned"), tie_embeddings=False,
    )  # fmt: skip
    return Decoder(config)


def guess_each(model: Decoder, x: Tensor) -> Tensor:
    """Give the logits at every place of a text with [MASK] in it, (B, L, V), read both ways."""
    return model(x, positions=4 * torch.arange(L), causal=False)


def write(model: Decoder, x: Tensor) -> Tensor:
    """Give the logits of rows of parts A and B, (B, T, V).

    The two positions of GLM, place and place in the span, become one number 4 place + within.
    """
    hole = (x[:, :A] == MASK).int().argmax(dim=1)[:, None]  # (B, 1)
    n_b = x.shape[1] - A
    part_a = 4 * torch.arange(A).expand(len(x), A)
    positions = torch.cat([part_a, 4 * hole + torch.arange(1, n_b + 1)], dim=1)
    mask = hybrid_mask(A, x.shape[1])
    return model(x, positions=positions, mask=mask, causal=False)


def hide(ids: np.ndarray, starts: np.ndarray, first: np.ndarray, second: np.ndarray) -> Tensor:
    """Put [MASK] on the first token of the town where `first`, on the second where `second`."""
    x, rows = ids.copy(), np.arange(len(ids))
    x[rows[first], starts[first]] = MASK
    x[rows[second], starts[second] + 1] = MASK
    return torch.from_numpy(x)


def batches(arm: str, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Give rows and targets without end."""
    rng = np.random.default_rng(seed)
    while True:
        ids, starts = texts(rng, BATCH)
        if arm == "infilling":
            spans = np.stack([starts, starts + 2], axis=1)
            special = {"mask_id": MASK, "start_id": START, "end_id": END}
            rows = [blank_out(i, [s], None, **special) for i, s in zip(ids, spans, strict=True)]
            batch = stack(rows, T, pad_id=END)
            yield batch.tokens, batch.targets
        else:
            which = rng.choice(3, BATCH, p=(0.5, 0.25, 0.25))  # both, the first, the second
            x = hide(ids, starts, which != 2, which != 1)
            yield x, torch.from_numpy(ids).masked_fill(x != MASK, -100)


def train_arm(arm: str, seed: int, *, lr: float = LR) -> Decoder:
    """Train one model."""
    model = make(seed)
    logits = write if arm == "infilling" else guess_each
    settings = TrainConfig(
        steps=STEPS if arm == "infilling" else round(STEPS * T / L),
        batch_size=BATCH, context=T, warmup_steps=20, log_every=0, precision="float32",
    )  # fmt: skip
    train(
        model,
        batches(arm, seed),
        settings,
        optimizer=OptimizerConfig(lr=lr, weight_decay=0.1),
        objective=lambda net, x, y: fast_cross_entropy(logits(net, x), y),  # type: ignore[arg-type]
        progress=False,
    )
    return model.eval()


def chances(model: Decoder, arm: str, ids: np.ndarray, starts: np.ndarray) -> tuple[Tensor, Tensor]:
    """Give log p(first token), (B, V), and log p(second | first), (B, V, V), as an arm says it.

    For `masked` the second does not depend on the first. Only tokens that can be first are asked.
    """
    B, rows, all_of = len(ids), torch.arange(len(ids)), np.ones(len(ids), dtype=bool)
    if arm == "masked":
        at = torch.from_numpy(starts)
        found = guess_each(model, hide(ids, starts, all_of, all_of)).log_softmax(dim=-1)
        return found[rows, at], found[rows, at + 1][:, None].expand(B, V, V)
    spans = np.stack([starts, starts + 2], axis=1)
    special = {"mask_id": MASK, "start_id": START, "end_id": END}
    laid = [blank_out(i, [s], None, **special) for i, s in zip(ids, spans, strict=True)]
    x = stack(laid, T, pad_id=END).tokens[:, : A + 2]  # part A, [START], the first token
    second = torch.full((B, V, V), 1 / V).log()
    first = torch.empty(B, V)
    for token in range(FIRST, SECOND):
        x[:, A + 1] = token
        found = write(model, x).log_softmax(dim=-1)
        first, second[:, token] = found[:, A], found[:, A + 1]
    return first, second


def two_passes(model: Decoder, ids: np.ndarray, starts: np.ndarray) -> tuple[Tensor, float]:
    """Let `masked` answer in two passes: the first token, put in, then the second.

    Returns:
        What it wrote, (B, 2), and the mean nats of the true towns, p(first) p(second | first).
    """
    B, rows, all_of = len(ids), torch.arange(len(ids)), np.ones(len(ids), dtype=bool)
    at, truth = torch.from_numpy(starts), torch.from_numpy(ids)
    logits = guess_each(model, hide(ids, starts, all_of, all_of)).log_softmax(dim=-1)[rows, at]
    own = ids.copy()
    own[np.arange(B), starts] = logits.argmax(dim=-1).numpy()
    seconds = []
    for given in (own, ids):
        x = hide(given, starts, ~all_of, all_of)
        seconds.append(guess_each(model, x).log_softmax(dim=-1)[rows, at + 1])
    wrote = torch.stack([torch.from_numpy(own)[rows, at], seconds[0].argmax(dim=-1)], dim=1)
    nats = -logits[rows, truth[rows, at]] - seconds[1][rows, truth[rows, at + 1]]
    return wrote, nats.mean().item()


@torch.no_grad()
def measure(model: Decoder, arm: str) -> dict[str, float]:
    """Measure on new texts: nats a town, mass on towns that do not exist, exact matches."""
    ids, starts = texts(np.random.default_rng(0), N_TEST)
    rows, at, truth = torch.arange(N_TEST), torch.from_numpy(starts), torch.from_numpy(ids)
    first, second = chances(model, arm, ids, starts)
    town = torch.stack([truth[rows, at], truth[rows, at + 1]], dim=1)  # (B, 2)
    country = (town[:, 0] - FIRST) // 4
    mass = torch.zeros(N_TEST)
    for a, b in TOWNS:
        one, two = FIRST + 4 * country + a, SECOND + 2 * country + b
        mass += (first[rows, one] + second[rows, one, two]).exp()
    nats = -first[rows, town[:, 0]] - second[rows, town[:, 0], town[:, 1]]
    best = first.argmax(dim=1)
    wrote = torch.stack([best, second[rows, best].argmax(dim=-1)], dim=1)
    found = {
        "nats": nats.mean().item(),
        "inconsistent": 1 - mass.mean().item(),
        "exact": (wrote == town).all(dim=1).float().mean().item(),
    }
    if arm == "masked":
        wrote, found["nats two passes"] = two_passes(model, ids, starts)
        found["exact two passes"] = (wrote == town).all(dim=1).float().mean().item()
    return found


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train one model, and measure it on texts that it has not seen."""
    arm = settings["arm"]
    model = train_arm(arm, seed)
    n_tokens = STEPS * BATCH * T  # L STEPS T / L for masked
    return {
        **measure(model, arm),
        "parameters": model.n_parameters(),
        "flops": flops_per_token(model.config, context=T) * n_tokens,
    }


JOB = Job(
    name="inconsistent_pairs",
    title="Two hidden tokens that belong together: guessed each for itself, or written in turn?",
    lesson="18",
    arms={arm: {"arm": arm} for arm in IDEAL},
    run=run,
)
