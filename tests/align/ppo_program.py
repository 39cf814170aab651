"""What the tests of PPO ask of two ranks; run_processes imports this file in each of them.

Everything here is tiny and in float64: what the ranks do is compared with one process.
"""

import contextlib
from dataclasses import replace

import torch

from minillm.align.kl import AdaptiveKL
from minillm.align.ppo import ppo
from minillm.align.ppo_loss import LossConfig
from minillm.align.ppo_ranks import OpenActorCritic, gather_rows, share_ppo
from minillm.align.ppo_settings import PPOConfig, RewardConfig, SamplingConfig
from minillm.align.value import ActorCritic
from minillm.distributed.fsdp import bytes_held
from minillm.distributed.ranks import Ranks, agree
from minillm.distributed.ready import trained_weights
from minillm.distributed.sealed import find_whole_together
from minillm.distributed.sharded_checkpoint import ShardedCheckpointer, load_sharded
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.train import OptimizerConfig, make_optimizer

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
    save_every=2,
)
CASES = {
    "tokens": (False, CONFIG),
    "rows": (True, replace(CONFIG, loss=replace(CONFIG.loss, average="rows"))),
    "length": (True, replace(CONFIG, loss=replace(CONFIG.loss, average="length"))),
}
"""Name -> whether the critic has a body of its own, and the settings."""


class Kill(Exception):
    pass


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


def made(name, kind=ActorCritic, seed=0):
    own, config = CASES[name]
    return kind(decoder(seed), decoder(3) if own else None), decoder(), config


def run(model, reference, config, *, optimizer=None, reward=count_fives, log=None, **more):
    """The records."""
    records = []
    settings = OptimizerConfig(lr=0.02, weight_decay=0.01)
    optimizer = make_optimizer(model, settings) if optimizer is None else optimizer
    told = {"measures": {"length_again": lengths}, "log": log or records.append}
    ppo(model, reference, PROMPTS, reward, config, optimizer=optimizer, **told, **more)
    return records


def alone(name):
    """Records and weights of one process."""
    model, reference, config = made(name)
    records = run(model, reference, config)
    return records, {n: p.detach() for n, p in model.named_parameters()}


def shared(name, ranks, **more):
    model, reference, config = made(name, OpenActorCritic, **more)
    temperature = config.sampling.temperature
    return (*share_ppo(model, reference, ranks, temperature=temperature), config)


def on_ranks(name, ranks):
    """The same on all ranks."""
    model, reference, crew, config = shared(name, ranks)
    records = run(model, reference, config, crew=crew)
    assert all(p.is_meta for p in crew.shell.parameters())  # the whole copy was let go
    return records, trained_weights(model), bytes_held(model)


def killed_and_resumed(name, ranks, folder):
    """A run that ends in its third step, and another that goes on from what is left of it."""

    def log(record):
        if record["step"] == 3:
            raise Kill

    model, reference, crew, config = shared(name, ranks)
    with contextlib.suppress(Kill):
        run(model, reference, config, crew=crew, log=log, save=ShardedCheckpointer(folder))
    model, reference, crew, config = shared(name, ranks, seed=9)
    optimizer = make_optimizer(model, OptimizerConfig(lr=0.5))
    state = load_sharded(find_whole_together(folder), model, optimizer)
    told = {"crew": crew, "optimizer": optimizer, "state": state}
    return run(model, reference, config, **told), trained_weights(model)


def failures(ranks):
    """What each rank is told when the scores of some answers are bad; the weights must stay."""

    def nan(drawn):  # the third answer of rank 1
        return torch.where(torch.arange(len(drawn)) + 4 * ranks.rank == 6, torch.nan, 1.0)

    def short(drawn):
        return torch.ones(len(drawn) - ranks.rank)

    def broken(drawn):
        raise ValueError(f"no scorer on rank {ranks.rank}")

    found = {}
    model, reference, crew, config = shared("tokens", ranks)
    before = trained_weights(model)
    for name, reward in {"nan": nan, "short": short, "broken": broken}.items():
        found[name] = told(lambda r=reward: run(model, reference, config, crew=crew, reward=r))
    found["untouched"] = all(before[n].equal(p) for n, p in trained_weights(model).items())
    far = replace(config, reward=replace(config.reward, max_kl=1e-3))
    found["far"] = told(lambda: run(model, reference, far, crew=crew))
    uneven = replace(config, batch_size=9, minibatch_size=9)
    found["uneven"] = told(lambda: run(model, reference, uneven, crew=crew))
    return found


def told(action):
    try:
        action()
    except (ValueError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def stopped(ranks):
    """Steps of a run that rank 1 alone is asked to stop in its first step."""
    model, reference, config = made("tokens", OpenActorCritic)
    model, reference, crew = share_ppo(
        model, reference, ranks, agree=lambda wish: agree(wish or ranks.rank == 1)
    )
    return len(run(model, reference, config, crew=crew))


def gathered(ranks):
    """Rows of unlike width and of all kinds, from all ranks."""
    x = torch.arange(2 * (ranks.rank + 2)).reshape(2, -1)
    return gather_rows(x, fill=-7), gather_rows(x[:, 0] > 0), gather_rows(x / 3)


def work(group, folder):
    """All of it."""
    ranks = Ranks(group.rank, group.size, torch.device("cpu"))
    return {
        "runs": {name: on_ranks(name, ranks) for name in CASES},
        "resumed": killed_and_resumed("rows", ranks, folder / "rows"),
        "failures": failures(ranks),
        "stopped": stopped(ranks),
        "gathered": gathered(ranks),
    }
