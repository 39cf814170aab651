"""What a PPO run is told: how to draw, what to pay, how to learn.

Each setting is refused here, by name, before anything is drawn.
"""

from dataclasses import dataclass, field

from minillm.align.gae import check_discounts
from minillm.align.kl import AdaptiveKL
from minillm.align.ppo_loss import LossConfig


@dataclass(frozen=True)
class SamplingConfig:
    """How answers are drawn.

    Attributes:
        max_new_tokens: the longest answer.
        pad_id: fills rows up; never read.
        stop_ids: an answer ends with the first of these.
        temperature: divides the logits, when drawing and when learning.
    """

    max_new_tokens: int
    pad_id: int
    stop_ids: tuple[int, ...] = ()
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ValueError(
                f"sampling.max_new_tokens must be at least 1, got {self.max_new_tokens}"
            )
        if not 0 < self.temperature < float("inf"):
            raise ValueError(
                f"sampling.temperature must be positive and finite, got {self.temperature}"
            )


@dataclass(frozen=True)
class RewardConfig:
    """What is earned, and what leaving the reference costs.

    Attributes:
        kl_coef: price of a nat of distance from the reference, at the start.
        adaptive: a rule that changes it; None keeps it.
        max_kl: a step that finds the policy further away, in nats an answer, stops the run.
        unfinished_score: what an answer gets that did not end by itself; None leaves the reward
            function's score.
        whiten: bring rewards to variance 1 within each step, their mean kept.
    """

    kl_coef: float = 0.05
    adaptive: AdaptiveKL | None = None
    max_kl: float = 100.0
    unfinished_score: float | None = None
    whiten: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.kl_coef < float("inf"):
            raise ValueError(f"reward.kl_coef must be finite and not negative, got {self.kl_coef}")
        if not self.max_kl > 0:
            raise ValueError(
                f"reward.max_kl must be positive, got {self.max_kl}; math.inf never stops"
            )


@dataclass(frozen=True)
class PPOConfig:
    """One PPO run.

    Attributes:
        steps: each draws batch_size answers, and learns from them.
        sampling: how they are drawn.
        batch_size: answers a step.
        minibatch_size: answers an update; must divide batch_size.
        epochs: how often a step reads its answers.
        reward: what they earn.
        loss: how the policy and its values learn.
        gamma: how much a reward one token later counts.
        lam: see gae.
        max_grad_norm: gradients are clipped to it.
        seed: of prompts, draws and minibatches.
        save_every: steps between two checkpoints; 0 saves at the end only.
    """

    steps: int
    sampling: SamplingConfig
    batch_size: int = 32
    minibatch_size: int = 32
    epochs: int = 4
    reward: RewardConfig = field(default_factory=RewardConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    gamma: float = 1.0
    lam: float = 0.95
    max_grad_norm: float = 1.0
    seed: int = 0
    save_every: int = 0

    def __post_init__(self) -> None:
        for name in ("batch_size", "minibatch_size", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"ppo.{name} must be at least 1, got {getattr(self, name)}")
        for name in ("steps", "save_every", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"ppo.{name} must not be negative, got {getattr(self, name)}")
        if self.batch_size % self.minibatch_size:
            raise ValueError(
                f"ppo.minibatch_size={self.minibatch_size} must divide ppo.batch_size="
                f"{self.batch_size}, so that every answer is read"
            )
        if not self.max_grad_norm > 0:
            raise ValueError(f"ppo.max_grad_norm must be positive, got {self.max_grad_norm}")
        check_discounts(self.gamma, self.lam)
