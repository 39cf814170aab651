"""What the tests of PPO ask of two ranks; run_processes imports this file in each of them.

Everything here is tiny and in float64: what a rank does is compared with one process.
"""

from dataclasses import replace

import torch

from minillm.align.kl import AdaptiveKL
from minillm.align.ppo import ppo
from minillm.align.ppo_loss import LossConfig
from minillm.align.ppo_ranks import OpenActorCritic, share_ppo
from minillm.align.ppo_settings import PPOConfig, RewardConfig, SamplingConfig
from minillm.align.value import ActorCritic
from minillm.distributed.ready import trained_weights
from minillm.distributed.sharded_checkpoint import ShardedCheckpointer, load_sharded
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.train import OptimizerConfig, TrainState, make_optimizer

V, STOP = 12, 0
PROMPTS = [[1, 2, 3], [4], [5, 6], [7, 8]]
CONFIG = PPOConfig(
    steps=3,
    sampling=SamplingConfig(5, pad_id=11, stop_ids=(STOP, 1), temperature=0.9),
    batch_size=8,
    minibatch_size=4,
    epochs=2,
    reward=RewardConfig(kl_coef=0.1, adaptive=AdaptiveKL(target=0.05, horizon=50), whiten=True),
    loss=LossConfig(value_coef=0.5, entropy_coef=0.01),
    max_grad_norm=0.4,
    seed=2,
)
CASES = {
    "tokens": (False, CONFIG),
    "rows": (True, replace(CONFIG, loss=replace(CONFIG.loss, average="rows"))),
    "length": (True, replace(CONFIG, loss=replace(CONFIG.loss, average="length"))),
}
"""Name -> whether the critic has a body of its own, and the settings."""


def decoder(seed=0):
    torch.manual_seed(seed)
    config = DecoderConfig(
        vocab_size=V,
        d_model=16,
        n_layers=1,
        context=12,
        attention=AttentionConfig(n_heads=2),
        feedforward=FeedForwardConfig(kind="swiglu", width=16),
        init_std=0.3,
    )
    return Decoder(config, dtype=torch.float64)


def count_fives(drawn):
    return torch.tensor([float(a.count(5)) for a in drawn.answers()])


def lengths(drawn):
    return drawn.lengths.double()


def made(name, kind=ActorCritic):
    own, config = CASES[name]
    return kind(decoder(), decoder(3) if own else None), decoder(), config


def run(model, reference, config, *, optimizer=None, reward=count_fives, **more):
    """Records, state and optimizer."""
    records = []
    settings = OptimizerConfig(lr=0.02, weight_decay=0.01)
    optimizer = make_optimizer(model, settings) if optimizer is None else optimizer
    told = {"measures": {"length_again": lengths}, "log": records.append, "optimizer": optimizer}
    state = ppo(model, reference, PROMPTS, reward, config, **told, **more)
    return records, state, optimizer


def alone(name):
    """Records and weights of one process."""
    model, reference, config = made(name)
    records, _, _ = run(model, reference, config)
    return records, {n: p.detach() for n, p in model.named_parameters()}


def shared(name, ranks):
    model, reference, config = made(name, OpenActorCritic)
    temperature = config.sampling.temperature
    return (*share_ppo(model, reference, ranks, temperature=temperature), config)


def on_ranks(name, ranks):
    """The same on all ranks."""
    model, reference, crew, config = shared(name, ranks)
    records, _, _ = run(model, reference, config, crew=crew)
    return records, trained_weights(model)
