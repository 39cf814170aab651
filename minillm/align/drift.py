"""What stops a run that learns from its own answers and has run away from its reference.

It comes slowly, and a run that goes on is lost: where the policy is far from its reference, the
reward that it was given means nothing any more, and no answer leads back.
"""

import math


class DriftError(RuntimeError):
    """The policy has gone further from its reference than was allowed.

    Attributes:
        step: updates that were done when it was measured.
        kl: how far, nats an answer.
        limit: what was allowed.
    """

    def __init__(self, step: int, kl: float, limit: float) -> None:
        super().__init__(
            f"after step {step} the policy is {kl:.4g} nats an answer from its reference, and "
            f"max_kl is {limit:g}. Go back to a checkpoint from before, and raise kl_coef, lower "
            "the learning rate, or take fewer epochs on the same answers"
        )
        self.step, self.kl, self.limit = step, kl, limit


def check_drift(step: int, kl: float, max_kl: float) -> None:
    """Stop if the policy is too far away.

    Args:
        step: updates done.
        kl: mean distance, nats an answer.
        max_kl: the limit; math.inf never stops, except for what is not a number.

    Raises:
        DriftError: if kl is above the limit, or NaN.

    Lesson: notebooks/34b_ppo.ipynb
    """
    if math.isnan(kl) or kl > max_kl:
        raise DriftError(step, kl, max_kl)
