"""Who does a step of PPO: this process alone, or several that share its rows.

ppo asks its crew wherever several ranks do something together. Alone, each answer is one's own;
RankCrew, in ppo_ranks.py, is the crew of many. What is shared is the work on rows: all of them know
all rows of a step, (B, T) numbers of each, so that whitening, statistics and minibatches are those
of one process, computed by the same lines.

Shape letters: B answers, M answers of a minibatch, T positions.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from minillm.align.answer_logprobs import response_logprobs
from minillm.align.rollouts import Rollouts, rollout
from minillm.align.value import ActorCritic, Judged
from minillm.align.whiten import Average
from minillm.model import Decoder


@dataclass(frozen=True)
class Part:
    """What a process reads of a minibatch, and how much that counts.

    Attributes:
        rows: its rows.
        loss: their share of the loss, 0 to 1.
        tokens: their share of the tokens of answers, 0 to 1.
        gradient: the loss is multiplied by it before the backward pass.
    """

    rows: slice
    loss: float
    tokens: float
    gradient: float


class Crew:
    """One process, which does everything itself.

    Lesson: notebooks/34b_ppo.ipynb
    """

    def draw(
        self, policy: Decoder, prompts: Sequence[Sequence[int]], max_new_tokens: int, **how: Any
    ) -> Rollouts:
        """Answer the prompts of a step; arguments and result are those of rollout."""
        return rollout(policy, prompts, max_new_tokens, **how)

    def judge(
        self, model: ActorCritic, reference: nn.Module, drawn: Rollouts, temperature: float
    ) -> tuple[Judged, Tensor]:
        """Say what actor and critic hold of the answers, and how likely the reference finds them.

        Returns:
            Judged; and the log-probabilities of the reference, (B, T). No gradient flows.
        """
        ids, mask = drawn.ids, drawn.mask
        with torch.no_grad():
            judged = model(ids, mask, temperature=temperature)
            return judged, response_logprobs(reference, ids, mask, temperature=temperature)

    def score(self, reward: Callable[[Rollouts], Tensor], drawn: Rollouts, step: int) -> Tensor:
        """Score the answers of a step, (B,); they are checked later."""
        return reward(drawn)

    def part(self, mask: Tensor, average: Average) -> Part:
        """Say which rows of a minibatch are mine, and how much they count.

        Args:
            mask: of the whole minibatch, (M, T).
            average: of the loss; see masked_mean.
        """
        return Part(slice(None), loss=1.0, tokens=1.0, gradient=1.0)

    def total(self, numbers: dict[str, float]) -> dict[str, float]:
        """Add up the numbers of all processes, name by name."""
        return numbers

    def agree(self, wish: bool) -> bool:
        """Tell whether any process wishes it."""
        return wish

    def mark(self, reference: nn.Module) -> str:
        """Name the weights of the reference; see weights_mark."""
        return weights_mark(reference)


ALONE = Crew()
"""The crew of one process."""


def weights_mark(model: nn.Module) -> str:
    """Name the weights of a model by a hash, so that a run cannot go on with another reference."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
