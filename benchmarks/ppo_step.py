"""A whole step of reinforcement learning: draw, score, learn; against trl's GRPOTrainer.

The release of trl that we compare with has no PPO trainer any more, so the line compared is GRPO on
both sides: 4 prompts with 8 answers each, advantages by group, the clipped loss without a
reference, AdamW. Their side is the steps of `trainer.train()` after the first, from the end of one
to the end of the next, so that what it sets up once is not counted; its data loader and what it
writes down each step are: that is what its user waits for. A second line, without a peer, is our
PPO step on the same answers: value head, reference and four reads of the answers come on top.

One thread, float32; CPU seconds a step.

    python -m benchmarks.ppo_step
"""

import contextlib
import copy
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
import transformers
import trl

from benchmarks.compare import compare
from benchmarks.generate import LARGER, TINY, make_pair
from benchmarks.rollouts import (
    GROUP,
    NEW,
    PROMPTS,
    cpu_seconds,
    end_id,
    even_share,
    make_prompts,
    make_trainer,
    quiet,
)
from minillm.align import ActorCritic, PPOConfig, SamplingConfig, ppo
from minillm.align.answer_logprobs import response_logprobs
from minillm.align.grpo import group_advantages, grpo_loss
from minillm.align.rollouts import Rollouts, rollout
from minillm.model import Decoder
from minillm.train import OptimizerConfig, clip_grad_norm, make_optimizer

STEPS, ROUNDS = 3, 5


def score(drawn: Rollouts) -> torch.Tensor:
    """The share of even ids in each answer."""
    return torch.tensor([even_share(answer) for answer in drawn.answers()])


def our_steps(model: Decoder, prompts: list[list[int]]) -> Callable[[], float]:
    """A job: STEPS steps of GRPO; CPU seconds a step."""
    optimizer = make_optimizer(model, OptimizerConfig(lr=1e-5, weight_decay=0.0))
    seeds, ends = iter(range(100_000)), [end_id(model.config.vocab_size)]

    def step() -> None:
        drawn = rollout(model, prompts, NEW, pad_id=0, stop_ids=ends, seed=next(seeds))
        advantages = group_advantages(score(drawn), GROUP)
        logprobs = response_logprobs(model, drawn.ids, drawn.mask)
        loss = grpo_loss(logprobs, logprobs.detach(), advantages, drawn.mask)
        loss.backward()
        clip_grad_norm(model.named_parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return lambda: cpu_seconds(lambda: [step() for _ in range(STEPS)]) / STEPS


class Clock(transformers.TrainerCallback):
    """Notes the CPU time at the end of each step."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Note it."""
        self.ends.append(time.process_time())


def their_steps(trainer: Any, clock: Clock) -> float:
    """CPU seconds a step of theirs, without the first and what is set up before it."""
    clock.ends.clear()
    with contextlib.redirect_stdout(io.StringIO()):  # it prints a record at the end
        trainer.train()
    assert len(clock.ends) == STEPS + 1
    return (clock.ends[-1] - clock.ends[0]) / STEPS


def our_ppo(model: Decoder, prompts: list[list[int]]) -> float:
    """CPU seconds of a step of PPO, four reads of the answers."""
    config = PPOConfig(
        steps=STEPS,
        sampling=SamplingConfig(NEW, 0, (end_id(model.config.vocab_size),)),
        batch_size=PROMPTS,
        minibatch_size=PROMPTS,
    )
    actor, reference = ActorCritic(copy.deepcopy(model)), copy.deepcopy(model)
    return cpu_seconds(lambda: ppo(actor, reference, prompts, score, config)) / STEPS


def one_shape(name: str, shape: dict[str, int]) -> None:
    """Print the two lines of one shape."""
    decoder, llama = make_pair(shape)
    prompts = make_prompts(shape["vocab_size"])
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(llama, shape["vocab_size"], folder, steps=STEPS + 1)
        clock = Clock()
        trainer.add_callback(clock)
        compare(
            "ppo_step",
            f"trl {trl.__version__} GRPOTrainer, transformers {transformers.__version__}",
            our_steps(copy.deepcopy(decoder), prompts),
            lambda: their_steps(trainer, clock),
            rounds=ROUNDS,
            unit="CPU-s/step",
            measured=True,
            shape=name,
            answers=PROMPTS,
            new_tokens=NEW,
        )
    alone = {"name": "ppo_step (PPO, no peer)", "ours": round(our_ppo(decoder, prompts), 4)}
    print(json.dumps({**alone, "unit": "CPU-s/step", "shape": name}), flush=True)


def main() -> None:
    """Print the lines."""
    quiet()
    one_shape("tiny", TINY)
    if "--larger" in sys.argv:
        one_shape("larger", LARGER)


if __name__ == "__main__":
    main()
