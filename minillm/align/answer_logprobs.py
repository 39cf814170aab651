"""How likely a model finds an answer: the log-probability of each of its tokens, in one pass.

- Every method of this room compares such numbers: of a chosen and a rejected answer (DPO), of a
  policy now and when it spoke (PPO, GRPO), of a policy and its reference (KL).
- A log-probability stands where its token stands: logprobs[b, t] is that of ids[b, t], given what
  is before it. So a mask that fits the ids fits the log-probabilities; nothing is shifted outside.
- The prompt is read only. What is not of the answer is 0, so that a sum over the row is the answer.

    pairs = [encode_pair(prompt, good, bad, tokenizer), ...]
    ids, mask = lay_pairs(pairs, pad=tokenizer.special_id(PAD))      # 2 B rows, the chosen first
    chosen, rejected = pair_sums(response_logprobs(model, ids, mask))  # (B,) each

Shape letters: B rows of a batch, T positions, M tokens of answers in the batch, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from minillm.finetune.chat import CHATML, IGNORED, ChatTemplate
from minillm.finetune.roles import ASSISTANT, Message
from minillm.finetune.talks import Example, encode_talk
from minillm.model import Decoder
from minillm.tokenizer import Tokenizer


@dataclass(frozen=True)
class EncodedPair:
    """Two answers to one prompt as a model reads them; only the last answer is marked.

    Attributes:
        chosen: the prompt and the answer that was preferred.
        rejected: the prompt and the other.

    Raises:
        ValueError: if both are the same, a row has no answer, or the prompts differ.
    """

    chosen: Example
    rejected: Example

    def __post_init__(self) -> None:
        for name, row in (("chosen", self.chosen), ("rejected", self.rejected)):
            if not any(row.learned):
                raise ValueError(f"the {name} answer has no token; give each pair two answers")
        if self.chosen.ids == self.rejected.ids:
            raise ValueError("chosen and rejected are equal: nobody can prefer one; drop the pair")
        if self._prompt(self.chosen) != self._prompt(self.rejected):
            raise ValueError("chosen and rejected answer different prompts; pair answers to one")

    @staticmethod
    def _prompt(row: Example) -> tuple[int, ...]:
        return row.ids[: row.learned.index(True)]

    def __len__(self) -> int:
        return max(len(self.chosen), len(self.rejected))


def encode_pair(
    prompt: Sequence[Message],
    chosen: str,
    rejected: str,
    tokenizer: Tokenizer,
    *,
    template: ChatTemplate = CHATML,
) -> EncodedPair:
    """Turn a prompt and two answers into rows; answers end with the template's end token.

    Args:
        prompt: the talk so far; the assistant is to answer.
        chosen: the answer that was preferred.
        rejected: the other.
        tokenizer, template: as in `finetune.tokenize_chat`.

    Returns:
        Both rows. Marked are the tokens of the last answer and the token that ends it.

    Raises:
        ChatError: (a ValueError) if an answer is blank or the prompt is no talk that waits for one.
        ValueError: if the answers are equal.

    Lesson: notebooks/35_beyond_ppo.ipynb
    """

    def row(answer: str) -> Example:
        talk = [*prompt, {"role": ASSISTANT, "content": answer}]
        return encode_talk(talk, tokenizer, template=template, answers="last")

    return EncodedPair(row(chosen), row(rejected))


def lay_pairs(pairs: Sequence[EncodedPair], *, pad: int) -> tuple[Tensor, Tensor]:
    """Lay pairs into one batch: the chosen rows, and below them the rejected in the same order.

    Args:
        pairs: B of them.
        pad: id that fills rows up on the right.

    Returns:
        ids, (2 B, T), int64, and mask, (2 B, T), bool: True on the tokens of the answer.

    Raises:
        ValueError: if there is no pair.

    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    if not pairs:
        raise ValueError("there is no pair to lay into a batch")
    rows = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
    T = max(len(row) for row in rows)
    ids = torch.full((len(rows), T), pad)
    mask = torch.zeros(len(rows), T, dtype=torch.bool)
    for n, row in enumerate(rows):
        ids[n, : len(row)] = torch.tensor(row.ids)
        mask[n, : len(row)] = torch.tensor(row.learned)
    return ids, mask


def response_logprobs(
    model: nn.Module,
    ids: Tensor,
    mask: Tensor,
    *,
    documents: Tensor | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """Compute the log-probability of every token of the answers.

        logprobs[b, t] = log softmax(z[b, t - 1] / temperature)[ids[b, t]]  where mask[b, t], else 0

    Args:
        model: a Decoder, or anything that maps ids (B, T) to logits (B, T, V).
        ids: prompts and answers, (B, T), int64; padded on the right, or anyhow with documents.
        mask: True on the tokens of the answers, (B, T), bool.
        documents: as in `Decoder.forward`, (B, T): with left padding numbered 0 and the text 1,
            the text does not see the padding and its positions start at 0.
        temperature: with which the answers were sampled; their log-probability depends on it.

    Returns:
        (B, T), float32 (float64 for float64 weights), 0 outside the mask. Gradients flow.

    Raises:
        ValueError: if mask and ids do not fit, the mask holds the first place (nothing stands
            before it), the temperature is not positive, or documents are given to no Decoder.

    Cost: one forward pass; of a Decoder only the M rows of logits that are asked for.
    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    return response_logprobs_and_entropy(
        model, ids, mask, documents=documents, temperature=temperature, entropy=False
    )[0]


def response_logprobs_and_entropy(
    model: nn.Module,
    ids: Tensor,
    mask: Tensor,
    *,
    documents: Tensor | None = None,
    temperature: float = 1.0,
    entropy: bool = True,
) -> tuple[Tensor, Tensor]:
    """Compute `response_logprobs` and, of the same distributions, the entropy.

        entropy[b, t] = -sum_v p_v log p_v    of the distribution that ids[b, t] was drawn from

    Args and Raises are those of `response_logprobs`; entropy=False gives zeros for it.

    Returns:
        Both (B, T), 0 outside the mask; nats.

    Lesson: notebooks/34b_ppo.ipynb
    """
    _check(ids, mask, temperature)
    places = mask[:, 1:]  # (B, T - 1): the token after place t is to be predicted there
    z = _logits_at(model, ids[:, :-1], places, documents)  # (M, V)
    logp = (z.to(torch.promote_types(z.dtype, torch.float32)) / temperature).log_softmax(dim=-1)
    said = logp.gather(-1, ids[:, 1:][places][:, None])[:, 0]  # (M,)
    spread = -(logp.exp() * logp).sum(dim=-1) if entropy else torch.zeros_like(said)
    return _put_back(said, mask), _put_back(spread, mask)


def target_logprobs(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Compute the log-probability of every target of a batch as training reads it.

        out[b, t] = log p(y[b, t] | x[b, : t + 1])    where y[b, t] is a target, else 0

    Args:
        model: as in `response_logprobs`.
        x: ids, (B, T), one talk a row.
        y: the same one place later, (B, T); IGNORED (-100) where nothing is learned.

    Returns:
        (B, T), as `response_logprobs`.

    Raises:
        ValueError: if x and y do not fit.

    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    if x.shape != y.shape:
        raise ValueError(f"x and y must have one shape, got {tuple(x.shape)} and {tuple(y.shape)}")
    learned = y != IGNORED
    last = torch.where(learned[:, -1:], y[:, -1:], x[:, -1:])  # the row, one place longer than x
    ids = torch.cat([x, last], dim=1)
    mask = torch.cat([torch.zeros_like(learned[:, :1]), learned], dim=1)
    return response_logprobs(model, ids, mask)[:, 1:]


def pair_sums(logprobs: Tensor) -> tuple[Tensor, Tensor]:
    """Sum each row, and part the chosen from the rejected: what DPO reads.

    Args:
        logprobs: (2 B, T), rows as `lay_pairs` lays them, 0 outside the answers.

    Returns:
        log p of the chosen answers and of the rejected ones, (B,) each.

    Raises:
        ValueError: if the number of rows is odd.

    Lesson: notebooks/35_beyond_ppo.ipynb
    """
    if logprobs.ndim != 2 or logprobs.shape[0] % 2:
        raise ValueError(
            f"need (2 B, T), the chosen rows and then the rejected; got {tuple(logprobs.shape)}"
        )
    chosen, rejected = logprobs.sum(dim=1).chunk(2)
    return chosen, rejected


def _check(ids: Tensor, mask: Tensor, temperature: float) -> None:
    if ids.ndim != 2 or mask.shape != ids.shape or mask.dtype != torch.bool:
        raise ValueError(
            f"mask must be bool of the shape (B, T) of the ids; got {mask.dtype} "
            f"{tuple(mask.shape)} and ids {tuple(ids.shape)}"
        )
    if ids.shape[1] < 2 or mask[:, 0].any():
        raise ValueError(
            "the first token of a row has nothing before it, so it cannot belong to an answer; "
            "begin each row with <|endoftext|> or the prompt"
        )
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature must be positive and finite, got {temperature}")


def _logits_at(model: nn.Module, x: Tensor, places: Tensor, documents: Tensor | None) -> Tensor:
    """Give the logits at some places, (M, V)."""
    if isinstance(model, Decoder):
        cut = None if documents is None else documents[:, :-1]
        return model.logits(model.features(x, documents=cut)[places])
    if documents is not None:
        raise ValueError(f"documents need a Decoder, got {type(model).__name__}; pad on the right")
    logits: Tensor = model(x)
    return logits[places]


def _put_back(found: Tensor, mask: Tensor) -> Tensor:
    """Lay M numbers where the mask is True, (B, T), 0 elsewhere."""
    return torch.zeros(mask.shape, dtype=found.dtype, device=found.device).masked_scatter(
        mask, found
    )
