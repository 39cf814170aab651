"""A bandit: one prompt, K answers of one token. RL where the optimum can be written down.

The policy is a table of K logits. What PPO aims at, E[r] - beta KL, has its maximum where

    pi(a) = ref(a) exp(r(a) / beta) / Z

so that one can see how near PPO comes, and how the entropy falls with beta.

Shape letters: K arms, B draws.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from minillm.align.optimum import kl_objective, optimal_policy
from minillm.align.ppo_loss import policy_loss
from minillm.align.whiten import whiten


@dataclass(frozen=True)
class Bandit:
    """Arms, what they pay, and a policy to stay near to.

    Attributes:
        rewards: of the arms, (K,), K >= 2.
        ref_logprobs: log-probabilities of the reference, (K,).

    Raises:
        ValueError: if the shapes differ, a number is not finite, or the reference is no
            distribution.
    """

    rewards: Tensor
    ref_logprobs: Tensor

    def __post_init__(self) -> None:
        r, ref = self.rewards, self.ref_logprobs
        if r.ndim != 1 or len(r) < 2 or ref.shape != r.shape:
            raise ValueError(
                f"need rewards and ref_logprobs of one shape (K,), K >= 2; got {tuple(r.shape)} "
                f"and {tuple(ref.shape)}"
            )
        if not (bool(torch.isfinite(r).all()) and bool(torch.isfinite(ref).all())):
            raise ValueError("rewards and ref_logprobs must be finite")
        total = float(ref.double().exp().sum())
        if abs(total - 1) > 1e-4:
            raise ValueError(f"ref_logprobs must sum to 1 as probabilities, they give {total:.6f}")

    def optimum(self, beta: float) -> Tensor:
        """Give the best policy, log-probabilities, (K,); see optimal_policy."""
        return optimal_policy(self.ref_logprobs, self.rewards, beta)

    def objective(self, logits: Tensor, beta: float) -> Tensor:
        """Compute E[r] - beta KL of the policy softmax(logits), (K,): exact, differentiable."""
        return kl_objective(logits.log_softmax(dim=-1), self.ref_logprobs, self.rewards, beta)


def random_bandit(n_arms: int = 64, *, spread: float = 1.0, seed: int = 0) -> Bandit:
    """Make a bandit with normal rewards, and a reference that is not uniform.

    Args:
        n_arms: K.
        spread: standard deviation of the rewards.
        seed: of both.

    Returns:
        The bandit, float64.

    Lesson: notebooks/34b_ppo.ipynb
    """
    generator = torch.Generator().manual_seed(seed)
    rewards = spread * torch.randn(n_arms, generator=generator, dtype=torch.float64)
    logits = torch.randn(n_arms, generator=generator, dtype=torch.float64)
    return Bandit(rewards, logits.log_softmax(dim=-1))


def entropy(logits: Tensor) -> Tensor:
    """Measure how undecided a policy is, in nats, (..., K) to (...)."""
    logp = logits.log_softmax(dim=-1)
    return -(logp.exp() * logp.masked_fill(logp == -torch.inf, 0.0)).sum(dim=-1)


@dataclass(frozen=True)
class BanditConfig:
    """How PPO plays.

    Attributes:
        steps: each draws n_draws arms from the policy, and learns from them epochs times.
        n_draws: B.
        epochs: updates a step.
        lr: of Adam. It falls to 0 in a straight line, so that the noise of the draws dies out.
        clip_range: of the ratio.
        whiten: bring the advantages of a step to variance 1.
        seed: of the draws.
    """

    steps: int = 200
    n_draws: int = 512
    epochs: int = 4
    lr: float = 0.05
    clip_range: float = 0.2
    whiten: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "n_draws", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"bandit.{name} must be at least 1, got {getattr(self, name)}")
        if not self.lr > 0:
            raise ValueError(f"bandit.lr must be positive, got {self.lr}")


@dataclass(frozen=True)
class BanditRun:
    """What came of it.

    Attributes:
        logits: of the policy at the end, (K,).
        objective: E[r] - beta KL, exact, before each step and at the end.
        entropy: of the policy, in nats, likewise.
    """

    logits: Tensor
    objective: list[float] = field(default_factory=list)
    entropy: list[float] = field(default_factory=list)


def play_bandit(bandit: Bandit, beta: float, config: BanditConfig | None = None) -> BanditRun:
    """Let PPO find the best policy from draws alone.

    The reward of a draw is r - beta (log p - log ref), its advantage that minus the mean. The price
    is paid as in kl_rewards: it is a number that was earned, and no gradient flows through it.

    Args:
        bandit: the arms. Only what is drawn is looked at; objective is for the eye.
        beta: price of a nat.
        config: how; None means BanditConfig().

    Returns:
        The policy and its way.

    Raises:
        ValueError: if beta is not positive.

    Cost: steps * epochs updates of K numbers; a second or less.
    Source: Schulman et al. 2017, arXiv:1707.06347, algorithm 1; Korbak et al. 2022,
        arXiv:2205.11275, on what the price makes of the aim.
    Lesson: notebooks/34b_ppo.ipynb
    """
    c = config or BanditConfig()
    generator = torch.Generator().manual_seed(c.seed)
    logits = bandit.ref_logprobs.clone().requires_grad_()
    adam = torch.optim.Adam([logits], lr=c.lr)
    run = BanditRun(logits)
    all_count = torch.ones(1, c.n_draws, dtype=torch.bool)
    for step in range(c.steps):
        _note(run, bandit, beta)
        adam.param_groups[0]["lr"] = c.lr * (1 - step / c.steps)
        old = logits.detach().log_softmax(dim=-1)
        arms = torch.multinomial(old.exp(), c.n_draws, replacement=True, generator=generator)
        earned = bandit.rewards[arms] - beta * (old[arms] - bandit.ref_logprobs[arms])
        advantages = (earned - earned.mean())[None]  # (1, B)
        if c.whiten:
            advantages = whiten(advantages, all_count)
        for _ in range(c.epochs):
            now = logits.log_softmax(dim=-1)[arms][None]
            loss, _stats = policy_loss(
                now, old[arms][None], advantages, all_count, clip_range=c.clip_range
            )
            adam.zero_grad()
            loss.backward()
            adam.step()
    _note(run, bandit, beta)
    return BanditRun(logits.detach(), run.objective, run.entropy)


def _note(run: BanditRun, bandit: Bandit, beta: float) -> None:
    with torch.no_grad():
        run.objective.append(float(bandit.objective(run.logits, beta)))
        run.entropy.append(float(entropy(run.logits)))
