"""Does a model know when it has said enough? The probability of the end token, place by place.

An answer ends because the end token is learned like any other word. Where it is left out of the
loss (because it is also the padding, and padding is left out), a model answers well and then talks
on.

Shape letters: B batch, T positions, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from minillm.finetune.chat import CHATML, ChatTemplate, prompt_ids
from minillm.finetune.roles import ASSISTANT, Message
from minillm.finetune.talks import START
from minillm.tokenizer import Tokenizer


def stop_probability(model: nn.Module, ids: Tensor, end_id: int) -> Tensor:
    """The probability, at each place, that the next token is the end.

        p[b, t] = p(end | ids[b, :t + 1])

    Args:
        model: maps ids (B, T) to logits (B, T, V).
        ids: (B, T).
        end_id: id of the end token.

    Returns:
        Probabilities, (B, T), float32 or wider, without gradient.

    Raises:
        ValueError: if ids are not (B, T), or end_id is not in the vocabulary.

    Cost: one forward pass.
    Lesson: notebooks/28_instructions.ipynb
    """
    if ids.ndim != 2:
        raise ValueError(f"ids must be (B, T), got {tuple(ids.shape)}")
    with torch.no_grad():
        logits = model(ids)
    if not 0 <= end_id < logits.shape[-1]:
        raise ValueError(f"end_id {end_id} is not in the vocabulary of {logits.shape[-1]}")
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return logits.log_softmax(dim=-1)[..., end_id].exp()


@dataclass(frozen=True)
class StopCurve:
    """Probabilities of the end token along one answer of n tokens.

    Attributes:
        p: p[k] is the probability of ending after k of its tokens, for k = 0 .. n; the answer ends
            after n of them, so that p[n] should be near 1 and all others near 0.
    """

    p: tuple[float, ...]

    @property
    def at_end(self) -> float:
        """Probability of ending where the answer ends."""
        return self.p[-1]

    @property
    def early(self) -> float:
        """Largest probability of ending before."""
        return max(self.p[:-1])

    @property
    def survival(self) -> tuple[float, ...]:
        """Probability that a sampled answer which goes this way has not ended after k tokens.

        survival[k] = (1 - p[0]) ... (1 - p[k - 1]);  survival[0] = 1
        """
        left = [1.0]
        for p in self.p:
            left.append(left[-1] * (1 - p))
        return tuple(left)


def stop_curve(
    model: nn.Module,
    messages: Sequence[Message],
    tokenizer: Tokenizer,
    *,
    template: ChatTemplate = CHATML,
    start: str | None = START,
) -> StopCurve:
    """Follow the last answer of a talk, and ask at every place whether it ends there.

    Args:
        model: maps ids (B, T) to logits.
        messages: a talk that ends with an answer.
        tokenizer, template: those of the model's training.
        start: special token in front of the talk, as in training; None for none.

    Returns:
        One probability for each place of the answer.

    Raises:
        ValueError: if the assistant does not speak last, or the messages are no talk.

    Cost: one forward pass.
    Lesson: notebooks/28_instructions.ipynb
    """
    if not messages or messages[-1].get("role") != ASSISTANT:
        raise ValueError("the talk must end with an answer of the assistant")
    prompt = [] if start is None else [tokenizer.special_id(start)]
    prompt += prompt_ids(messages[:-1], tokenizer, template=template)
    said = tokenizer.encode(messages[-1]["content"])
    device = next((p.device for p in model.parameters()), None)
    row = torch.tensor([prompt + said], device=device)
    p = stop_probability(model, row, tokenizer.special_id(template.end))[0]
    return StopCurve(tuple(p[len(prompt) - 1 :].tolist()))


def mean_by_distance(curves: Sequence[StopCurve], before: int) -> list[float]:
    """Average curves of answers of different lengths, from the end backwards.

    Args:
        curves: from `stop_curve`.
        before: how many places in front of the end.

    Returns:
        before + 1 numbers, the last of them at the end. Short answers have no say far from it.

    Raises:
        ValueError: if before is negative, or no answer is that long.

    Lesson: notebooks/28_instructions.ipynb
    """
    if before < 0:
        raise ValueError(f"before must not be negative, got {before}")
    means = []
    for distance in range(before, -1, -1):
        values = [curve.p[-1 - distance] for curve in curves if len(curve.p) > distance]
        if not values:
            raise ValueError(f"no answer is {distance} tokens long; ask for fewer places")
        means.append(sum(values) / len(values))
    return means
