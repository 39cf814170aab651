"""Supervised fine-tuning: a base model learns the answers of talks, by the usual loop.

- Attention stays within a talk and positions start anew in each, so that packed rows compute the
  loss of talks that stand alone.
- Only answers are learned: see `chat.tokenize_chat`. How much each of their tokens counts is
  `normalise`; by default all tokens of a batch count alike.

    examples = [encode_talk(talk, tokenizer) for talk in talks]
    batches = ChatBatches(examples, 8, 128, start=end_id, pad=pad_id, seed=1)
    fine_tune(model, batches, TrainConfig(steps=200, batch_size=8))

Shape letters: B sequences in a batch, T positions, D model width.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from minillm.finetune.chat import IGNORED
from minillm.finetune.talks import ChatBatches, Example, lay_rows, unpack_rows
from minillm.model import Decoder
from minillm.objectives import fast_cross_entropy
from minillm.objectives.fused import linear_cross_entropy
from minillm.train import TrainConfig, TrainState, train

NORMALISE = ("tokens", "answers", "examples", "sum")
Normalise = Literal["tokens", "answers", "examples", "sum"]


def target_weights(y: Tensor, documents: Tensor, normalise: Normalise) -> Tensor:
    """Say how much each target of a batch counts.

        tokens    1 / N             N targets of the batch
        answers   1 / (A n_a)       A answers, n_a targets of the answer
        examples  1 / (E n_e)       E examples with an answer, n_e targets of the example
        sum       1

    Args:
        y: targets, (B, T); IGNORED where nothing is learned. An answer is a run of targets: between
            two answers stands at least the frame of a message.
        documents: the number of the example within its row, (B, T), from 0 to T.
        normalise: one of NORMALISE.

    Returns:
        (B, T), float32, 0 where nothing is learned. All but "sum" add up to 1, or to 0 in a batch
        without a target.

    Raises:
        ValueError: if normalise is unknown.

    Lesson: notebooks/28_instructions.ipynb
    """
    counts = y != IGNORED  # (B, T)
    if normalise not in NORMALISE:
        raise ValueError(f"normalise must be one of {', '.join(NORMALISE)}; got {normalise!r}")
    if normalise == "sum":
        return counts.float()
    if normalise == "tokens":
        return counts / counts.sum().clamp(min=1)
    part = documents
    if normalise == "answers":
        begins = counts.clone()
        begins[:, 1:] &= ~counts[:, :-1]
        part = begins.cumsum(dim=1)
    B, T = y.shape
    part = part + (T + 1) * torch.arange(B, device=y.device)[:, None]  # no two rows share one
    n = torch.bincount(part[counts], minlength=B * (T + 1))
    n_parts = (n > 0).sum().clamp(min=1)
    return (counts / (n[part] * n_parts).clamp(min=1)).float()


def chat_loss(
    model: nn.Module, x: Tensor, y: Tensor, *, start: int, normalise: Normalise = "tokens"
) -> Tensor:
    """Average the surprise at the tokens of the answers, talk by talk without cross-talk.

        loss = sum over targets of  weight -log p(y[b, t] | its own talk up to x[b, t])

    Args:
        model: a Decoder, with or without adapters; or anything that maps ids (B, T) to logits, if
            every row holds one talk.
        x: ids, (B, T), from ChatBatches.
        y: targets, (B, T).
        start: id that begins each talk.
        normalise: see target_weights.

    Returns:
        A scalar: nats a token with "tokens", a mean of means with "answers" and "examples", the
        sum of nats with "sum".

    Raises:
        ValueError: if normalise is unknown, or rows are packed and the model is no Decoder.

    Cost: as causal_loss; the normalisations other than "tokens" store all logits.
    Lesson: notebooks/28_instructions.ipynb
    """
    documents = (x == start).cumsum(dim=1)  # (B, T): 1 in the first talk of a row
    several = bool((x[:, 1:] == start).any())
    if not isinstance(model, Decoder):
        if several:
            raise ValueError(
                f"rows hold several talks, which {type(model).__name__} cannot keep apart; take "
                "packing 'pad'"
            )
        nll = fast_cross_entropy(model(x), y, reduction="none")
        return (nll * target_weights(y, documents, normalise)).sum()
    features = model.features(x, documents=documents if several else None)  # (B, T, D)
    if normalise == "tokens":
        return linear_cross_entropy(features, model.output_matrix(), y)
    nll = fast_cross_entropy(model.logits(features), y, reduction="none")
    return (nll * target_weights(y, documents, normalise)).sum()


def fine_tune(
    model: nn.Module,
    batches: ChatBatches,
    config: TrainConfig,
    *,
    normalise: Normalise = "tokens",
    **loop: Any,
) -> TrainState:
    """Train a model on talks, by the loop of every other training.

    Args:
        model: trained in place, as far as its parameters require a gradient.
        batches: the talks.
        config: steps, schedule and so on.
        normalise: see target_weights. The loop weighs several passes of a step by their targets,
            which only "tokens" allows: the others need config.accumulate 1 and no ramp.
        loop: optimizer, state, evaluate, save, log, folder, progress: as in `minillm.train.train`.

    Returns:
        The state at the end.

    Raises:
        ValueError: if normalise is unknown or does not go with the config; or as `train`.

    Lesson: notebooks/28_instructions.ipynb
    """
    check_normalise(normalise, config)
    objective = partial(chat_loss, start=batches.start, normalise=normalise)
    return train(model, batches, config, objective=objective, **loop)


def check_normalise(normalise: str, config: TrainConfig) -> None:
    """Refuse a normalisation that is unknown, or that accumulation would falsify."""
    if normalise not in NORMALISE:
        raise ValueError(f"normalise must be one of {', '.join(NORMALISE)}; got {normalise!r}")
    if normalise != "tokens" and (config.accumulate > 1 or config.ramp is not None):
        raise ValueError(
            f"normalise {normalise!r} needs the whole batch in one pass, and this config reads it "
            "in several; set train.accumulate=1 and train.ramp=None, or normalise by tokens"
        )


@torch.no_grad()
def answer_loss(
    examples: Sequence[Example],
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    pad: int,
    batch_size: int = 8,
    device: torch.device | str = "cpu",
) -> float:
    """Measure the mean surprise at the answers of examples that training does not see.

    Args:
        examples: at least one.
        loss: (x, y) -> the mean over the targets, such as partial(chat_loss, model, start=start).
        pad: id that fills rows up.
        batch_size: examples in a forward pass.
        device: where x and y go.

    Returns:
        Nats a token, over all answers together.

    Raises:
        ValueError: if there is no example, or none has an answer.

    Lesson: notebooks/28_instructions.ipynb
    """
    total, n = 0.0, 0
    by_length = sorted(examples, key=len)
    for first in range(0, len(by_length), batch_size):
        some = by_length[first : first + batch_size]
        x, y = unpack_rows(lay_rows(some, max(2, len(some[-1])), "pad", pad=pad))
        n_here = int((y != IGNORED).sum())
        total += loss(x.to(device), y.to(device)).item() * n_here
        n += n_here
    if not n:
        raise ValueError("there is no answer to measure: give examples that the assistant ends")
    return total / n
