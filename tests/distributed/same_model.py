"""A small model and rows for the tests of this room; functions that other processes can find."""

import torch

from minillm.distributed.same_run import SameRun
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.train import OptimizerConfig

CONFIG = DecoderConfig(
    vocab_size=40,
    d_model=16,
    n_layers=3,
    context=12,
    attention=AttentionConfig(2),
    feedforward=FeedForwardConfig("swiglu", 24),
    init_std=0.1,
)
N_PARAMS = sum(p.numel() for p in Decoder(CONFIG, device="meta").parameters())


def run_of(**changes):
    settings = {"config": CONFIG, "steps": 20, "optimizer": OptimizerConfig(lr=3e-3)}
    return SameRun(**{**settings, **changes})


def rows(n=160, T=8):
    """Ids that can be learned (each follows from the last), and targets of which some are hidden.

    Rank 0 of 2 has far fewer targets than rank 1, so that averages of averages would be wrong.
    """
    generator = torch.Generator().manual_seed(0)
    start = torch.randint(0, 40, (n, 1), generator=generator)
    ids = (start + 7 * torch.arange(T + 1)) % 40
    x, y = ids[:, :-1].contiguous(), ids[:, 1:].clone()
    y[::2, :6] = -100
    return x, y
