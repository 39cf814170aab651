"""Train a small model on any objective at a given number of operations, and question it.

All are asked the same, and answer in one unit, nats a token of the text (marks such as the end of
a span are not asked for):

    continue   the second half of a piece, given the first: left to right, token by token
    fill       some tokens in the middle of a piece, given both sides, where the objective can see
               both; causal, multi_token and prefix see the left side only

A masked language model fills its gap at once, as it was trained ("fill"), and from left to right
("fill one by one"). To continue it has to be shown the text anew for each token, with one mask at
its end.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from minillm.evaluate import fill_in
from minillm.evaluate.fill_in import Answers, Question
from minillm.model import Decoder, EncoderDecoder, EncoderDecoderConfig
from minillm.model.two_dimensional import TwoDimensionalDecoder
from minillm.objectives import fast_cross_entropy
from minillm.objectives.masking import IGNORED
from minillm.objectives.multi_token import MultiTokenDecoder, multi_token_loss
from minillm.objectives.prefix import prefix_loss
from minillm.recipes.objective_rows import (
    GMASK_SHARE,
    Pair,
    Setup,
    collate,
    draw,
    make_pair,
    make_row,
    row_flops,
)
from minillm.train import OptimizerConfig, TrainConfig, train

WARMUP = 30


def build(name: str, setup: Setup) -> nn.Module:
    """Build the model of an objective, with weights drawn from torch's generator."""
    if name == "multi_token":
        return MultiTokenDecoder(setup.config, n_ahead=2)
    if name == "span_encdec":
        return EncoderDecoder(EncoderDecoderConfig(setup.config, setup.n_layers))
    pairs = name in GMASK_SHARE and name != "glm_one_position"
    return (TwoDimensionalDecoder if pairs else Decoder)(setup.config)


def loss(name: str, model: Any, batch: Any) -> Tensor:
    """What is made small."""
    if name == "multi_token":
        return multi_token_loss(model, batch.tokens, batch.targets)
    if name == "span_encdec":
        logits = model(batch.source, batch.tokens, source_mask=batch.seen)
        return fast_cross_entropy(logits, batch.targets)
    return prefix_loss(model, batch)


@dataclass
class Feed:
    """Batches of an objective without end, counted; `now` is the one that was given out last."""

    name: str
    setup: Setup
    seed: int
    now: Any = None
    flops: int = 0
    n_text: int = 0
    """Tokens of text read."""
    n_asked: int = 0
    """Tokens asked for."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        rng, s = np.random.default_rng(self.seed), self.setup
        while True:
            pieces = [draw(s, s.words.train, rng) for _ in range(s.batch_size)]
            rows = [make_row(self.name, ids, rng, s.words) for ids in pieces]
            self.flops += sum(row_flops(self.name, row, s.config) for row in rows)
            self.n_text += sum(map(len, pieces))
            self.n_asked += sum(int((row.targets != IGNORED).sum()) for row in rows)
            self.now = collate(self.name, rows)
            yield self.now.tokens, self.now.targets


def n_steps(name: str, setup: Setup) -> int:
    """Say how many steps cost setup.flops, from the mean cost of 400 rows."""
    rng, w = np.random.default_rng(0), setup.words
    rows = [make_row(name, draw(setup, w.train, rng), rng, w) for _ in range(400)]
    cost = float(np.mean([row_flops(name, row, setup.config) for row in rows]))
    return round(setup.flops / setup.batch_size / cost)


def train_objective(
    name: str,
    setup: Setup,
    seed: int,
    *,
    losses: list[float] | None = None,
    feed: Feed | None = None,
) -> nn.Module:
    """Train one model, on one thread.

    Args:
        name: one of OBJECTIVES.
        setup: text, shape, operations, learning rate.
        seed: of the weights, and of the rows.
        losses: a list to which the loss of every step is added.
        feed: counts what is read; None makes one.

    Returns:
        The model, in evaluation mode.

    Lesson: notebooks/18_objectives.ipynb
    """
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    model, source = build(name, setup), feed or Feed(name, setup, seed)
    steps = n_steps(name, setup)
    settings = TrainConfig(
        steps, setup.batch_size, setup.length, warmup_steps=min(WARMUP, steps // 2), log_every=0,
        precision="float32",
    )  # fmt: skip
    train(
        model,
        source,
        settings,
        optimizer=OptimizerConfig(lr=setup.lr, weight_decay=0.1),
        objective=lambda model, x, y: loss(name, model, source.now),
        log=lambda record: losses.append(record["loss"]) if losses is not None else None,
        progress=False,
    )
    return model.eval()


def questions(
    setup: Setup, n_fill: int = 400, n_continue: int = 200
) -> tuple[list[Question], list[Question]]:
    """Draw gaps to fill, and pieces to continue, from unseen text; always the same."""
    rng, L, k = np.random.default_rng(18), setup.length, setup.gap
    text = setup.words.test
    starts = rng.integers(0, len(text) - L + 1, n_fill + n_continue)
    pieces = [text[i : i + L] for i in starts]
    places = rng.integers(L // 4, 3 * L // 4 - k + 1, n_fill).tolist()
    gaps = [Question(p, i, i + k) for p, i in zip(pieces, places, strict=False)]
    return gaps, [Question(piece, L // 2, L) for piece in pieces[n_fill:]]


def ask(name: str, question: Question, setup: Setup) -> Any:
    """Put a question in the form that an objective knows."""
    w, on = setup.words, question.end == len(question.text)
    if name == "causal_fim" and not on:
        return fill_in.rearranged(question, **w.marks)
    if name in ("causal", "causal_fim", "multi_token", "prefix"):
        return fill_in.left_only(question, both_ways=name == "prefix")
    if name == "masked":
        return fill_in.masked(question, mask_id=w["mask"])
    if name in GMASK_SHARE:
        kind = "gmask" if on and GMASK_SHARE[name] else "mask"
        return fill_in.blank(question, mask_id=w[kind], **w.blanks)
    if name == "span_encdec":
        pair = make_pair(*fill_in.sentinel(question, sentinel_id=w.sentinels[0]), w)
        return Pair(pair.source, pair.tokens, np.append(IGNORED, pair.targets[1:]))
    mode = [w["S" if on else "R"]] if name == "mixture" else []
    return fill_in.sentinel_row(question, sentinel_id=w.sentinels[0], before=mode)


@torch.no_grad()
def answers(name: str, model: Any, rows: Sequence[Any], size: int = 200) -> Answers:
    """Let a model answer rows, some at a time."""
    found = []
    for i in range(0, len(rows), size):
        batch: Any = collate(name, rows[i : i + size])
        if name == "multi_token":
            found.append(fill_in.compare(model(batch.tokens), batch.targets))
        elif name == "span_encdec":
            logits = model(batch.source, batch.tokens, source_mask=batch.seen)
            found.append(fill_in.compare(logits, batch.targets))
        else:
            found.append(fill_in.answer(model, batch))
    return fill_in.joined(found)


def measure(name: str, model: nn.Module, setup: Setup) -> dict[str, float]:
    """Question a model; see the top of the file.

    Returns:
        "fill" and "continue", each with "nats" (a token), "right" (share of tokens), "exact"
        (share of questions), and "own loss", that of the objective on unseen rows. For masked
        also "fill one by one ..." and "continue at once ...".
    """
    gaps, ahead = questions(setup)
    found = {"fill": answers(name, model, [ask(name, q, setup) for q in gaps])}
    on = answers(name, model, [ask(name, q, setup) for q in ahead])
    if name == "masked":
        mask, places = setup.words["mask"], range(0, setup.length // 2, 4)
        rows = [row for q in gaps for row in fill_in.one_by_one(q, mask_id=mask)]
        found["fill one by one"] = answers(name, model, rows).grouped(setup.gap)
        found["continue at once"] = on
        rows = [r for q in ahead for r in fill_in.one_by_one(q, mask_id=mask, at=places, last=True)]
        on = answers(name, model, rows).grouped(len(places))
    found["continue"] = on
    named = {f"{k} {x}": y for k, a in found.items() for x, y in a.summary().items()}
    return named | {"own loss": own_loss(name, model, setup)}


@torch.no_grad()
def own_loss(name: str, model: nn.Module, setup: Setup, *, as_rows: str | None = None) -> float:
    """Measure the loss of an objective on 300 unseen rows.

    Args:
        name: the objective that the model has learned.
        model, setup: as in measure.
        as_rows: the objective that makes the rows, if it is another: "glm" and "glm_mixed" have
            blanks of different kinds.
    """
    rng, w = np.random.default_rng(0), setup.words
    kind = as_rows or name
    rows = [make_row(kind, draw(setup, w.test, rng), rng, w) for _ in range(300)]
    return loss(name, model, collate(name, rows)).item()
