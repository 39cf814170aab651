"""A whole training step against transformers' LLaMA of the same shape and weights.

Forward, loss, backward, clipping and AdamW, float32, one thread. The shape is that of the course's
base model `tiny`; --larger adds one five times as large. Theirs: LlamaForCausalLM with labels,
torch's clip_grad_norm_ and AdamW. The clock is that of the process (CPU seconds), as in
benchmarks/generate.py.

    python -m benchmarks.train_step
"""

import sys
import time
from collections.abc import Callable

import torch
import transformers

from benchmarks.compare import compare
from benchmarks.generate import LARGER, TINY, make_pair
from minillm.objectives import causal_loss
from minillm.train import OptimizerConfig, clip_grad_norm, make_optimizer

BATCH, CONTEXT, STEPS = 16, 128, 3


def steps_of(step: Callable[[], float]) -> Callable[[], float]:
    """A job: run a few steps, and return CPU seconds a step."""

    def job() -> float:
        start = time.process_time()
        for _ in range(STEPS):
            step()
        return (time.process_time() - start) / STEPS

    return job


def one_shape(name: str, shape: dict[str, int]) -> None:
    ours, theirs = make_pair(shape)
    theirs.train()
    ids = torch.randint(0, shape["vocab_size"], (BATCH, CONTEXT + 1))
    x, y = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    our_optimizer = make_optimizer(ours, OptimizerConfig(lr=1e-4))
    their_optimizer = torch.optim.AdamW(theirs.parameters(), lr=1e-4, betas=(0.9, 0.95))

    def our_step() -> float:
        loss = causal_loss(ours, x, y)
        loss.backward()
        clip_grad_norm(ours.named_parameters(), 1.0)
        our_optimizer.step()
        our_optimizer.zero_grad()
        return loss.item()

    def their_step() -> float:
        loss = theirs(input_ids=x, labels=y, shift_labels=y, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        their_optimizer.step()
        their_optimizer.zero_grad()
        return loss.item()

    losses = our_step(), their_step()
    compare(
        "train_step",
        f"transformers {transformers.__version__}, torch.optim.AdamW",
        steps_of(our_step),
        steps_of(their_step),
        rounds=5,
        unit="CPU-s/step",
        measured=True,
        shape=name,
        tokens=BATCH * CONTEXT,
        loss_gap=round(abs(losses[0] - losses[1]), 7),
    )


def main() -> None:
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    one_shape("tiny", TINY)
    if "--larger" in sys.argv:
        one_shape("larger", LARGER)


if __name__ == "__main__":
    main()
