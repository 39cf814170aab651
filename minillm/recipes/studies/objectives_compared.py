"""Eight objectives at equal compute on one text: who fills a gap, who continues?

The text is a walk: 16 words, each of which is followed by one of four others, with chances of 55,
25, 15 and 5 %. So the best answer to every question can be computed (`best`): from the left alone
nobody can do better in a gap than the chances say, and with both sides everybody can.

What is equal: the text, the width, RoPE, the learning rate, and the operations of training
(`setup().flops`), counted row by row without padding; the output matrix is paid for only where
something is asked. So an objective with longer rows takes fewer steps, and one that asks for few
tokens takes a little more. All are one decoder of two blocks; they differ in what is shown and what
is asked, not in their shape.

Why not stories? At such a budget they are too hard for those who are asked for few tokens: see
`STORIES_PILOT`.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from minillm.evaluate.fill_in import Question
from minillm.recipes.objective_rows import Setup, Words
from minillm.recipes.objective_runs import (
    Feed,
    build,
    measure,
    n_steps,
    own_loss,
    questions,
    train_objective,
)
from minillm.recipes.records import Job

N_WORDS, CHANCES = 16, (0.55, 0.25, 0.15, 0.05)
ARMS = ("causal", "causal_fim", "prefix", "masked", "span", "mixture", "glm", "glm_mixed")
PILOT = {
    "4 heads, batch 16, 1.2e11, rate 0.01": {
        "causal": 1.092, "masked": 0.923, "span": 1.542, "glm": 1.512,
    },
    "2 heads, batch 8, 1.2e11, rate 0.01": {"span": 1.547, "glm": 1.156},
    "2 heads, batch 8, 1.5e11, rate 0.01": {"glm": 1.123},
    "2 heads, batch 8, 1.5e11, rate 0.02": {"masked": 1.987, "span": 1.773, "glm": 1.175},
}  # fmt: skip
"""Nats a token in the gap (masked: one by one) on seed 101, made before the study. Hence rate 0.01
for all, and two heads: ChatGLM's two positions share the pairs of a head, and of four heads of
width 12 each position gets three pairs, of which one alone turns fast enough to be of use."""
STORIES_PILOT = {
    "causal": (1.895, 1.896), "causal_fim": (3.554, 2.106), "multi_token": (3.232, 3.269),
    "prefix": (2.632, 2.629), "masked": (5.451, 5.453), "span": (5.251, 6.082),
    "span_encdec": (5.474, 6.965), "mixture": (4.715, 3.533), "glm_mixed": (3.799, 2.929),
    "glm_mixed, one position": (4.086, 2.898),
}  # fmt: skip
"""On stories (64 tokens a row, width 64, three blocks, 3e11 operations, learning rate 0.005, seed
101): nats a token in the gap and in the continuation; masked one by one. About 200 000 tokens were
read. Whoever is asked for every token has learned the most, and nobody who sees both sides fills
better than the causal decoder, which sees one."""


@lru_cache(maxsize=1)
def chances() -> np.ndarray:
    """Say how likely each word follows each, (16, 16): rows sum to 1."""
    rng = np.random.default_rng(7)
    follows = np.zeros((N_WORDS, N_WORDS))
    for chance in CHANCES:
        follows[np.arange(N_WORDS), rng.permutation(N_WORDS)] += chance
    return follows


def walk(n: int, seed: int) -> np.ndarray:
    """Draw a text of n words, (n,)."""
    sums, u = chances().cumsum(axis=1), np.random.default_rng(seed).random(n)
    words, here = np.empty(n, dtype=np.int64), 0
    for i in range(n):
        here = min(int(np.searchsorted(sums[here], u[i], side="right")), N_WORDS - 1)
        words[i] = here
    return words


@lru_cache(maxsize=1)
def setup() -> Setup:
    """Text, shape and cost of all runs."""
    words = Words(walk(600_000, seed=0), walk(60_000, seed=1), N_WORDS)
    return Setup(
        words, length=32, d_model=48, n_layers=2, n_heads=2, flops=1.5e11, batch_size=8, lr=1e-2,
        gap=4,
    )  # fmt: skip


def best(question: Question, *, both: bool) -> tuple[float, bool]:
    """Answer a question as well as anybody can.

    Args:
        question: of a gap of four words.
        both: the word on its right may be seen.

    Returns:
        Nats, summed over the gap, and whether the likeliest filling is the right one.
    """
    follows, text = chances(), question.text
    p = follows[text[question.start - 1]]  # over fillings, one more word each time
    for _ in range(len(question.middle) - 1):
        p = p[..., None] * follows
    if both:
        p = p * follows[:, text[question.end]]
    p = p / p.sum()
    here = tuple(question.middle.tolist())
    return -float(np.log(p[here])), bool(p[here] == p.max())


def best_possible() -> dict[str, float]:
    """Give what nobody can do better than on the study's own questions.

    Returns:
        "fill left nats", "fill left exact", "fill both nats", "fill both exact", "continue nats".
    """
    gaps, ahead = questions(setup())
    found = {}
    for side in ("left", "both"):
        each = [best(question, both=side == "both") for question in gaps]
        found[f"fill {side} nats"] = float(np.mean([nats for nats, _ in each])) / setup().gap
        found[f"fill {side} exact"] = float(np.mean([right for _, right in each]))
    log_p = [
        np.log(chances()[q.text[q.start - 1 : q.end - 1], q.text[q.start : q.end]]) for q in ahead
    ]
    return found | {"continue nats": -float(np.mean(log_p))}


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train one model, and question it on text that it has not read."""
    name, s = settings["objective"], setup()
    feed = Feed(name, s, seed)
    found: dict[str, float] = {}
    if name == "glm_mixed":  # its two kinds of blanks apart, before and after
        torch.manual_seed(seed)
        found |= _blank_losses(build(name, s), "start")
    model = train_objective(name, s, seed, feed=feed)
    if name == "glm_mixed":
        found |= _blank_losses(model, "end")
    return {
        **measure(name, model, s),
        **found,
        "steps": n_steps(name, s),
        "flops": feed.flops,
        "text tokens": feed.n_text,
        "targets": feed.n_asked,
    }


def _blank_losses(model: torch.nn.Module, when: str) -> dict[str, float]:
    kinds = {"mask": "glm", "gmask": "glm_ends"}
    return {
        f"{name} loss {when}": own_loss("glm_mixed", model, setup(), as_rows=rows)
        for name, rows in kinds.items()
    }


JOB = Job(
    name="objectives_compared",
    title="Eight objectives at equal compute: who fills a gap, who continues a text?",
    lesson="18",
    arms={name: {"objective": name} for name in ARMS},
    run=run,
)
