"""A policy and what it expects: one number more at each place, the value.

Values stand at the token that is about to be drawn: values[b, t] is what is expected, given
ids[b, :t], so it comes from the features at place t - 1, like the logits that ids[b, t] is drawn
from.

Shape letters: B rows, T positions, M answer tokens in the batch, D model width, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from minillm.model import Decoder
from minillm.model.layers import Linear


@dataclass(frozen=True)
class Judged:
    """What an actor and critic say of rows that are given; all (B, T), 0 outside the mask.

    Attributes:
        logprobs: of the tokens of the answers.
        entropy: of the distributions they were drawn from, nats.
        values: what was expected before them.
    """

    logprobs: Tensor
    entropy: Tensor
    values: Tensor


class ActorCritic(nn.Module):
    """A policy with a critic: on the same body, or on one of its own.

        logits = policy(ids)        values = features w + b      features of policy or critic

    The head starts at 0, so that nothing is expected at first.

    Args:
        policy: the Decoder that answers; trained in place.
        critic: the Decoder whose features the values are read from, for example a copy of the
            reward model's or of the policy; None reads the policy's own, at half the cost.
        detach: with no critic of its own: the value loss does not move the body.

    Raises:
        ValueError: if critic is the policy itself (pass None), or has another vocabulary.

    Cost: one forward pass of the policy, and one of the critic if there is one.
    Source: Ouyang et al. 2022, arXiv:2203.02155, appendix C.4 (the values come from a model of
        their own, which starts as the reward model).
    Lesson: notebooks/34b_ppo.ipynb
    """

    def __init__(
        self, policy: Decoder, critic: Decoder | None = None, *, detach: bool = False
    ) -> None:
        super().__init__()
        if critic is policy:
            raise ValueError("critic is the policy itself; pass None to share its body")
        if critic is not None and critic.config.vocab_size != policy.config.vocab_size:
            raise ValueError(
                f"critic reads {critic.config.vocab_size} ids and the policy "
                f"{policy.config.vocab_size}: they must share a tokenizer"
            )
        body = policy if critic is None else critic
        weight = body.embedding.weight
        self.policy, self.critic, self.detach = policy, critic, detach
        self.value_head = Linear(
            body.config.d_model, 1, bias=True, device=weight.device, dtype=weight.dtype
        )
        with torch.no_grad():
            for param in self.value_head.parameters():
                param.zero_()

    def forward(self, ids: Tensor, mask: Tensor, *, temperature: float = 1.0) -> Judged:
        """Judge the tokens of answers.

        Args:
            ids: prompt, answer, padding on the right, (B, T).
            mask: True at the tokens of the answers, (B, T); never in column 0.
            temperature: that of the draw.

        Returns:
            Log-probabilities, entropies and values. Gradients flow.

        Raises:
            ValueError: if the mask does not fit the ids, or marks the first column.
        """
        if mask.shape != ids.shape or mask.dtype != torch.bool or mask[:, 0].any():
            raise ValueError(
                f"mask must be boolean, {tuple(ids.shape)}, and False in column 0, before which "
                f"nothing stands; got {tuple(mask.shape)} {mask.dtype}"
            )
        before, x = mask[:, 1:], ids[:, :-1]  # the place before each token of an answer
        seen = self.policy.features(x)[before]  # (M, D)
        logits = self.policy.logits(seen)  # (M, V)
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature
        logp = wide.log_softmax(dim=-1)
        said = logp.gather(-1, ids[mask][:, None])[:, 0]  # (M,)
        entropy = -(logp.exp() * logp.masked_fill(logp == -torch.inf, 0.0)).sum(dim=-1)
        body = self.critic.features(x)[before] if self.critic is not None else seen
        value = self.value_head(body.detach() if self.detach and self.critic is None else body)
        return Judged(_lay(said, mask), _lay(entropy, mask), _lay(value[:, 0], mask))


def _lay(found: Tensor, mask: Tensor) -> Tensor:
    """Put M numbers where the mask is True, (B, T), and 0 elsewhere."""
    return torch.zeros_like(mask, dtype=found.dtype).masked_scatter(mask, found)
