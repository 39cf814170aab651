"""Speculative decoding: a cheap draft guesses some tokens, one pass of the model judges them all.

- What comes out is distributed exactly as without the draft, whatever the draft says: a bad draft
  costs time, never quality. At temperature 0 the ids are those of generate.
- A pass over 5 positions costs little more than one over 1 where reading the weights is what
  takes the time; that is what is won.

Shape letters: n drafted tokens, V vocabulary.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from minillm.inference.drafts import Draft, ModelDraft
from minillm.inference.prompts import check_prompt, one_prompt
from minillm.inference.readers import Reader, make_reader
from minillm.inference.sampling import check_settings, filtered_probabilities, sample_next
from minillm.model import Decoder


@dataclass
class Speculation:
    """A continuation, and what it took."""

    ids: list[int]
    """The new tokens, the stopping one included."""
    n_passes: int
    """Passes of the model, the one over the prompt included."""
    n_drafted: int
    """Tokens that were proposed."""
    n_judged: int
    """Those of them that were looked at: up to the first refused one of each pass."""
    n_accepted: int
    """Those of them that were accepted."""

    @property
    def acceptance_rate(self) -> float:
        """The share accepted of those judged; NaN if nothing was drafted."""
        return self.n_accepted / self.n_judged if self.n_judged else float("nan")


def acceptance(p: Tensor, q: Tensor) -> Tensor:
    """Say how likely each token is accepted, if it is what the draft drew.

        a(v) = min(1, p(v) / q(v))

    Args:
        p: probabilities of the model, (..., V).
        q: probabilities of the draft, (..., V).

    Returns:
        (..., V), in [0, 1]; 1 where q is 0, which the draft never draws.

    Source: Leviathan et al. 2023, arXiv:2211.17192, section 2.3; Chen et al. 2023,
        arXiv:2302.01318, algorithm 2.
    Lesson: notebooks/19_decoding.ipynb
    """
    return torch.where(q > 0, (p / q).clamp(max=1), 1.0)


def residual(p: Tensor, q: Tensor) -> Tensor:
    """Give the distribution of the token that takes the place of a refused one.

        r(v) = max(0, p(v) - q(v)) / sum_w max(0, p(w) - q(w))

    The draft draws v and it is accepted with probability q(v) a(v) = min(p(v), q(v)). What is
    missing to p(v) is max(0, p(v) - q(v)), and the sum of that is the probability of a refusal:
    so the two ways to v add up to p(v).

    Args:
        p, q: as in acceptance.

    Returns:
        (..., V), rows summing to 1; p itself where p = q, as nothing is ever refused there.

    Source: as for acceptance; the proof is appendix A.1 of Leviathan et al.
    Lesson: notebooks/19_decoding.ipynb
    """
    missing = (p - q).clamp(min=0)
    refused = missing.sum(dim=-1, keepdim=True)
    return torch.where(refused > 0, missing / refused, p)


def verify(p: Tensor, q: Tensor, drafted: Sequence[int], uniforms: Tensor) -> tuple[int, Tensor]:
    """Judge drafted tokens from left to right, until the first is refused.

    Args:
        p: of the model, for each drafted token and the one behind them, (n + 1, V).
        q: of the draft, for each drafted token, (n, V).
        drafted: n ids, the i-th drawn from q[i].
        uniforms: n independent numbers from [0, 1); the i-th token is accepted if its number is
            below a of it.

    Returns:
        How many are accepted, and the distribution of the next token, (V,): the residual at the
        refused one, or p behind the last one if all are accepted.

    Raises:
        ValueError: if the shapes do not fit together, or a drafted token has q = 0.

    Lesson: notebooks/19_decoding.ipynb
    """
    n = len(drafted)
    if len(p) != n + 1 or len(q) != n or len(uniforms) != n or p.shape[1:] != q.shape[1:]:
        raise ValueError(
            f"{n} drafted tokens do not fit p {tuple(p.shape)}, q {tuple(q.shape)} and "
            f"{len(uniforms)} uniform numbers"
        )
    for i, token in enumerate(drafted):
        if not q[i, token] > 0:
            raise ValueError(f"the draft gives token {token} no probability, so cannot draw it")
        if not uniforms[i] < acceptance(p[i, token], q[i, token]):
            return i, residual(p[i], q[i])
    return n, p[n]


def expected_tokens(alpha: float, n_draft: int) -> float:
    """Give the mean number of tokens that one pass of the model yields.

        E = 1 + alpha + ... + alpha^n = (1 - alpha^(n + 1)) / (1 - alpha)

    if each drafted token is accepted with probability alpha, whatever happened before.

    Args:
        alpha: in [0, 1].
        n_draft: drafted tokens a pass, n, not negative.

    Raises:
        ValueError: if alpha is outside [0, 1] or n_draft is negative.

    Source: Leviathan et al. 2023, arXiv:2211.17192, eq. 1.   Lesson: notebooks/19_decoding.ipynb
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie in [0, 1], got {alpha}")
    if n_draft < 0:
        raise ValueError(f"n_draft must not be negative, got {n_draft}")
    return float(sum(alpha**i for i in range(n_draft + 1)))


@torch.no_grad()
def speculative_generate(
    model: nn.Module,
    draft: Decoder | Draft,
    ids: Tensor | Sequence[int],
    max_new_tokens: int,
    *,
    n_draft: int = 4,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    typical_p: float | None = None,
    stop_ids: Collection[int] = (),
    seed: int | None = None,
    use_cache: bool = True,
) -> Speculation:
    """Continue one prompt as generate does, with fewer passes of the model.

    Args:
        model: the target, as in generate.
        draft: a smaller Decoder with the same vocabulary; or an NgramDraft; or any Draft.
        ids: one prompt, a list of ids, (T,) or (1, T).
        max_new_tokens: at most so many are appended.
        n_draft: how many tokens are drafted for a pass, at least 1.
        temperature, top_k, top_p, min_p, typical_p, stop_ids, seed, use_cache: as in generate.
            The settings hold for the draft model, too. With a seed the text is another one than
            generate's of the same seed, but just as likely.

    Returns:
        The new ids and the counts.

    Raises:
        ValueError: as generate; or if n_draft < 1, or the draft model has another vocabulary.

    Cost: each pass reads n_draft + 1 positions, and yields expected_tokens; besides it the draft.
    Source: Leviathan et al. 2023, arXiv:2211.17192, algorithm 1; Chen et al. 2023,
        arXiv:2302.01318, algorithm 2.
    Lesson: notebooks/19_decoding.ipynb
    """
    prompt = one_prompt(model, ids)
    check_prompt(model, prompt, max_new_tokens)
    settings = {
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "typical_p": typical_p,
    }
    check_settings(**settings)  # type: ignore[arg-type]
    if n_draft < 1:
        raise ValueError(f"n_draft must be at least 1, got {n_draft}; generate drafts nothing")
    generator = None if seed is None else torch.Generator(prompt.device).manual_seed(seed)
    length = prompt.shape[1] + max(max_new_tokens - 1, 0)  # the last token is never read
    if isinstance(draft, nn.Module):
        check_prompt(draft, prompt, max_new_tokens)
        _check_vocabulary(model, draft)
        draft = ModelDraft(draft, length, settings, generator)
    target = make_reader(model, 1, length, use_cache=use_cache)
    writer = _Writer(target, draft, settings, generator, prompt, frozenset(stop_ids))
    return writer.write(max_new_tokens, n_draft)


@dataclass
class _Writer:
    """A text that grows by what one pass accepts."""

    target: Reader
    draft: Draft
    settings: dict[str, Any]
    generator: torch.Generator | None
    prompt: Tensor
    stops: frozenset[int]

    def write(self, max_new_tokens: int, n_draft: int) -> Speculation:
        done = Speculation([], 0, 0, 0, 0)
        text = self.prompt[0].tolist()
        while len(done.ids) < max_new_tokens and not self.stops.intersection(done.ids[-1:]):
            room = min(n_draft, max_new_tokens - len(done.ids) - 1) if done.ids else 0
            drafted, q = self.draft.propose(text, room) if room else ([], None)
            unread = torch.tensor([text[self.target.length :] + drafted], device=self.prompt.device)
            logits = self.target.each(unread)[0] if drafted else self.target(unread)  # (n + 1, V)
            n, last = self._judge(logits, drafted, q)
            self.target.truncate(len(text) + n)
            new = [*drafted[:n], last]
            ends = [at for at, token in enumerate(new) if token in self.stops]
            new = new[: ends[0] + 1] if ends else new
            text += new
            done.ids += new
            done.n_passes += 1
            done.n_drafted += len(drafted)
            done.n_judged += min(n + 1, len(drafted))
            done.n_accepted += n
        return done

    def _judge(self, logits: Tensor, drafted: list[int], q: Tensor | None) -> tuple[int, int]:
        """How many are accepted, and the token behind them."""
        if self.settings["temperature"] == 0:
            best = sample_next(logits, temperature=0).tolist()
            n = next((i for i, v in enumerate(drafted) if best[i] != v), len(drafted))
            return n, best[n]
        p = filtered_probabilities(logits, **self.settings)  # (n + 1, V)
        if q is None:
            q = torch.zeros_like(p[1:])
            q[range(len(drafted)), drafted] = 1.0
        uniforms = torch.rand(
            len(drafted), dtype=p.dtype, device=p.device, generator=self.generator
        )
        n, rest = verify(p, q, drafted, uniforms)
        return n, int(torch.multinomial(rest, 1, generator=self.generator))


def _check_vocabulary(model: nn.Module, draft: nn.Module) -> None:
    sizes = [getattr(getattr(m, "config", None), "vocab_size", None) for m in (model, draft)]
    if None not in sizes and sizes[0] != sizes[1]:
        raise ValueError(
            f"the model has a vocabulary of {sizes[0]}, the draft of {sizes[1]}; the draft must "
            "share the tokenizer"
        )
