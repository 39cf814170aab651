"""A step whose blocks are recomputed, by hand and by torch.utils.checkpoint: time, and the price.

The shape of the base model `small` (about 3 M), 8 sequences of 256 tokens, float32, one thread;
forward and backward pass. The first line compares the two ways of recomputing, the second the
recomputed step with the plain one: there a ratio of 0.75 would be a third more time, which is what
FLOPs say (the line has their exact ratio).

    python -m benchmarks.recompute
"""

from functools import partial

import torch
from torch.utils.checkpoint import checkpoint as torch_checkpoint

from benchmarks.compare import compare
from minillm.distributed.recompute import recomputing
from minillm.distributed.recompute_cost import time_share
from minillm.model import Decoder
from minillm.objectives import causal_loss
from minillm.recipes.runs import find_run

BATCH, CONTEXT, SEED = 8, 256, 22


def torch_way(model: Decoder, ids: torch.Tensor) -> None:
    """The same with torch's function around each block."""
    plain = [block.forward for block in model.blocks]
    for block, forward in zip(model.blocks, plain, strict=True):
        block.forward = partial(torch_checkpoint, forward, use_reentrant=False)
    try:
        causal_loss(model, ids, ids).backward()
    finally:
        for block in model.blocks:
            del block.forward


def by_hand(model: Decoder, ids: torch.Tensor) -> None:
    """The package's way."""
    with recomputing(model, "block"):
        causal_loss(model, ids, ids).backward()


def main() -> None:
    """Print two lines."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    config = find_run("small").model
    model = Decoder(config)
    ids = torch.randint(0, config.vocab_size, (BATCH, CONTEXT))
    extra: dict[str, object] = {"batch_size": BATCH, "context": CONTEXT}
    extra["flops_share"] = round(time_share(config, CONTEXT), 4)
    ours = partial(by_hand, model, ids)
    compare(
        "recompute",
        f"torch.utils.checkpoint {torch.__version__}",
        ours,
        partial(torch_way, model, ids),
        **extra,
    )  # type: ignore[arg-type]
    compare(
        "recompute", "a plain step", ours, lambda: causal_loss(model, ids, ids).backward(), **extra
    )  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
