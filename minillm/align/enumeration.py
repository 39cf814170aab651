"""The policy gradient without sampling: every answer that can come is written down.

With a vocabulary of V tokens and answers of at most n tokens there are less than V^n + ... + V
of them. For a tiny vocabulary all can be listed, and what RL estimates from samples is a sum:

    J = sum over answers y of  p(y) R(y)            grad J = sum over y of  grad p(y) R(y)

Shape letters: M answers, T positions.
"""

from collections.abc import Collection, Iterator, Sequence

import torch
from torch import Tensor, nn

from minillm.align.answer_logprobs import response_logprobs

MOST = 200_000  # answers: a model with T positions reads a few million tokens for them


def every_answer(
    vocab_size: int, max_new_tokens: int, stop_ids: Collection[int] = ()
) -> list[tuple[int, ...]]:
    """List every answer that rollout can draw.

    An answer ends with its first stop id, or with max_new_tokens tokens.

    Args:
        vocab_size: V.
        max_new_tokens: n, at least 1.
        stop_ids: ids that end an answer.

    Returns:
        Answers as tuples of ids, in alphabetical order. With S stop ids there are
        (V - S)^n + S ((V - S)^0 + ... + (V - S)^(n - 1)) of them.

    Raises:
        ValueError: if V or n is smaller than 1, a stop id is no id, or there are too many answers.

    Lesson: notebooks/34a_policy_gradient.ipynb
    """
    if vocab_size < 1 or max_new_tokens < 1:
        raise ValueError(
            "vocab_size and max_new_tokens must be at least 1, got "
            f"vocab_size={vocab_size}, max_new_tokens={max_new_tokens}"
        )
    stops = set(stop_ids)
    if not stops <= set(range(vocab_size)):
        raise ValueError(f"stop ids {sorted(stops)} must lie in 0 to {vocab_size - 1}")
    going = vocab_size - len(stops)
    n = going**max_new_tokens + sum(len(stops) * going**t for t in range(max_new_tokens))
    if n > MOST:
        raise ValueError(
            f"there are {n:,} answers, more than {MOST:,}: take a smaller vocabulary "
            f"(vocab_size={vocab_size}) or shorter answers (max_new_tokens={max_new_tokens})"
        )
    return list(_longer((), vocab_size, max_new_tokens, stops))


def _longer(
    start: tuple[int, ...], vocab_size: int, n: int, stops: set[int]
) -> Iterator[tuple[int, ...]]:
    """Give every answer that begins with `start`."""
    if len(start) == n or (start and start[-1] in stops):
        yield start
        return
    for token in range(vocab_size):
        yield from _longer((*start, token), vocab_size, n, stops)


def lay_answers(
    prompt: Sequence[int], answers: Sequence[Sequence[int]], *, pad_id: int = 0
) -> tuple[Tensor, Tensor]:
    """Lay answers to one prompt into a batch.

    Args:
        prompt: ids, at least one.
        answers: M lists of ids, at least one each.
        pad_id: fills rows up on the right.

    Returns:
        ids, (M, T), int64; and mask, (M, T), True at the tokens of the answers.

    Raises:
        ValueError: if the prompt, the list or an answer is empty.

    Lesson: notebooks/34a_policy_gradient.ipynb
    """
    if not prompt or not answers or not all(len(a) for a in answers):
        raise ValueError("the prompt, the list of answers and each answer must not be empty")
    P, T = len(prompt), len(prompt) + max(len(a) for a in answers)
    ids = torch.full((len(answers), T), pad_id)
    mask = torch.zeros(len(answers), T, dtype=torch.bool)
    for row, keep, answer in zip(ids, mask, answers, strict=True):
        end = P + len(answer)
        row[:end] = torch.tensor([*prompt, *answer])
        keep[P:end] = True
    return ids, mask


def answer_probabilities(model: nn.Module, ids: Tensor, mask: Tensor) -> Tensor:
    """Compute how likely each answer is, as a whole.

        p(y) = exp(sum over its tokens of  log p(y_t | prompt, y_<t))

    Args:
        model: maps ids (M, T) to logits (M, T, V).
        ids, mask: from lay_answers.

    Returns:
        (M,); over every answer they sum to 1. Gradients flow.

    Cost: one pass over M rows.
    Lesson: notebooks/34a_policy_gradient.ipynb
    """
    return response_logprobs(model, ids, mask).sum(dim=1).exp()


def exact_objective(
    logprobs: Tensor,
    rewards: Tensor,
    *,
    ref_logprobs: Tensor | None = None,
    kl_coef: float = 0.0,
) -> Tensor:
    """Compute what RL maximises, by its definition.

        J = sum over y of  p(y) (R(y) - kl_coef (log p(y) - log q(y)))

    Args:
        logprobs: log p(y) of every answer, (M,).
        rewards: R(y), (M,).
        ref_logprobs: log q(y), (M,); needed if kl_coef is not 0.
        kl_coef: price of a nat of distance from q.

    Returns:
        A scalar. Differentiating it gives the exact gradient.

    Raises:
        ValueError: if the shapes differ, a reference is missing, or the probabilities do not sum to
            1: then the list of answers is not complete.

    Lesson: notebooks/34a_policy_gradient.ipynb
    """
    if logprobs.ndim != 1 or rewards.shape != logprobs.shape:
        raise ValueError(
            f"logprobs and rewards must both be (M,), got {tuple(logprobs.shape)} and "
            f"{tuple(rewards.shape)}"
        )
    p = logprobs.exp()
    total = float(p.detach().sum())
    if abs(total - 1) > 1e-3:
        raise ValueError(
            f"the probabilities sum to {total:.6f}, not to 1: list every answer once (every_answer)"
        )
    worth = rewards.to(logprobs.dtype)
    if kl_coef:
        if ref_logprobs is None or ref_logprobs.shape != logprobs.shape:
            raise ValueError(f"kl_coef={kl_coef} needs ref_logprobs, ({len(logprobs)},)")
        worth = worth - kl_coef * (logprobs - ref_logprobs.detach())
    return (p * worth).sum()


def flat_gradient(value: Tensor, model: nn.Module, *, keep_graph: bool = False) -> Tensor:
    """Differentiate a scalar by all trained numbers of a model, as one long vector.

    Args:
        value: a scalar that depends on the model.
        model: its parameters that require a gradient count; .grad is not touched.
        keep_graph: so that it can be done again.

    Returns:
        (P,), in the order of model.parameters(); 0 where value does not depend on a number.

    Lesson: notebooks/34a_policy_gradient.ipynb
    """
    params = [p for p in model.parameters() if p.requires_grad]
    grads = torch.autograd.grad(value, params, retain_graph=keep_graph, allow_unused=True)
    return torch.cat(
        [
            (torch.zeros_like(p) if g is None else g).reshape(-1)
            for p, g in zip(params, grads, strict=True)
        ]
    )
