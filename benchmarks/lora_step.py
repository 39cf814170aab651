"""A whole LoRA training step against peft on transformers' LLaMA, with the same weights.

Forward, loss, backward, clipping and AdamW over the adapters alone, float32, one thread; rank 8 on
every linear layer of the blocks. The shape is that of the course's base model `tiny`; --larger adds
one five times as large. The clock is that of the process (CPU seconds a step), as in train_step.

    1. lora_step: our Decoder with our adapters against LLaMA with peft's
    2. lora_step (same model): LLaMA with our adapters against LLaMA with peft's; what the
       adapter's own code costs, as all else is the same

    python -m benchmarks.lora_step
"""

import copy
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import peft
import torch
import transformers
from torch import nn

from benchmarks.compare import compare
from benchmarks.generate import LARGER, TINY, make_pair
from minillm.finetune.lora import apply_lora, lora_layers
from minillm.objectives import causal_loss
from minillm.train import OptimizerConfig, clip_grad_norm, make_optimizer

BATCH, CONTEXT, STEPS, ROUNDS = 16, 128, 3, 7
RANK, ALPHA = 8, 16
OURS = ("q", "k", "v", "out", "gate", "up", "down")
THEIRS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def timed(step: Callable[[], float]) -> Callable[[], float]:
    """A job: run a few steps, and return CPU seconds a step."""

    def job() -> float:
        start = time.process_time()
        for _ in range(STEPS):
            step()
        return (time.process_time() - start) / STEPS

    return job


def our_step(model: nn.Module, loss: Callable[[], torch.Tensor]) -> Callable[[], float]:
    """One step with our clipping and our optimizer."""
    optimizer = make_optimizer(model, OptimizerConfig(lr=1e-4))
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]

    def step() -> float:
        value = loss()
        value.backward()
        clip_grad_norm(named, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return value.item()

    return step


def their_step(model: nn.Module, loss: Callable[[], torch.Tensor]) -> Callable[[], float]:
    """One step with torch's clipping and optimizer."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, betas=(0.9, 0.95))

    def step() -> float:
        value = loss()
        value.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return value.item()

    return step


def with_peft(llama: nn.Module) -> Any:
    """LLaMA with peft's adapters."""
    config = peft.LoraConfig(
        r=RANK, lora_alpha=ALPHA, target_modules=list(THEIRS), task_type="CAUSAL_LM"
    )
    return peft.get_peft_model(llama, config).train()


@torch.no_grad()
def start_equal(ours: nn.Module, theirs: nn.Module) -> None:
    """Copy our A and B, B no longer zero, to peft's layers: they stand in the same order."""
    layers = [m for m in theirs.modules() if isinstance(m, peft.tuners.lora.Linear)]
    for mine, other in zip(lora_layers(ours).values(), layers, strict=True):
        adapter = mine.adapter("default")
        nn.init.normal_(adapter.b, std=0.02)
        other.lora_A["default"].weight.copy_(adapter.a)
        other.lora_B["default"].weight.copy_(adapter.b)


def one_shape(name: str, shape: dict[str, int]) -> None:
    """Print the two lines of one shape."""
    decoder, llama = make_pair(shape)
    ids = torch.randint(0, shape["vocab_size"], (BATCH, CONTEXT + 1))
    x, y = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

    def loss_of(model: Any) -> Callable[[], torch.Tensor]:
        return lambda: model(input_ids=x, labels=y, shift_labels=y, use_cache=False).loss

    ours = apply_lora(decoder, OURS, rank=RANK, alpha=ALPHA)
    same = apply_lora(copy.deepcopy(llama).train(), THEIRS, rank=RANK, alpha=ALPHA)
    rivals = [with_peft(copy.deepcopy(llama)) for _ in range(2)]
    start_equal(ours, rivals[0])
    start_equal(same, rivals[1])
    steps = [
        ("lora_step", our_step(ours, lambda: causal_loss(ours, x, y)), rivals[0]),
        ("lora_step (same model)", their_step(same, loss_of(same)), rivals[1]),
    ]
    for line, mine, rival in steps:
        other = their_step(rival, loss_of(rival))
        losses = mine(), other()
        compare(
            line,
            f"peft {peft.__version__}, transformers {transformers.__version__}",
            timed(mine),
            timed(other),
            rounds=ROUNDS,
            unit="CPU-s/step",
            measured=True,
            shape=name,
            tokens=BATCH * CONTEXT,
            rank=RANK,
            loss_gap=round(abs(losses[0] - losses[1]), 7),
        )


def main() -> None:
    """Print the lines."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    one_shape("tiny", TINY)
    if "--larger" in sys.argv:
        one_shape("larger", LARGER)


if __name__ == "__main__":
    main()
