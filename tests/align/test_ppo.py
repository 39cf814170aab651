"""PPO: one update against a written-out oracle, kill and resume, and a reward that it learns."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from minillm.align.drift import DriftError
from minillm.align.experience import RewardError, gather_experience
from minillm.align.kl import AdaptiveKL
from minillm.align.ppo import ppo, prompts_of_step, resume_ppo, update
from minillm.align.ppo_loss import LossConfig
from minillm.align.ppo_settings import PPOConfig, RewardConfig, SamplingConfig
from minillm.align.value import ActorCritic
from minillm.finetune.lora import apply_lora
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.train import CheckpointError, OptimizerConfig, checkpointer, make_optimizer

V, STOP = 12, 0
PROMPTS = [[1, 2, 3], [4], [5, 6], [7, 8]]
CONFIG = PPOConfig(
    steps=4,
    sampling=SamplingConfig(5, pad_id=11, stop_ids=(STOP,)),
    batch_size=6,
    minibatch_size=3,
    epochs=2,
    reward=RewardConfig(kl_coef=0.1, adaptive=AdaptiveKL(target=0.2, horizon=50)),
    loss=LossConfig(value_coef=0.5, entropy_coef=0.01),
    seed=2,
    save_every=2,
)


def decoder(seed=0, dtype=torch.float64):
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
    return Decoder(config, dtype=dtype)


def count_fives(drawn):
    return torch.tensor([float(a.count(5)) for a in drawn.answers()])


# --- one update


def oracle_loss(model, found, rows, loss):
    """PPO's loss over some rows, written out token by token; nothing of ours but the model."""
    policy = values = entropy = 0.0
    n = 0
    for b in rows:
        ids = found.drawn.ids[b].tolist()
        for t in found.drawn.mask[b].nonzero()[:, 0].tolist():
            x = model.policy.features(torch.tensor([ids[:t]]))[0, -1]
            logp = model.policy.logits(x).log_softmax(-1)
            ratio = (logp[ids[t]] - found.logprobs[b, t]).exp()
            A = found.advantages[b, t]
            eps, R = loss.clip_range, found.returns[b, t]
            policy -= torch.min(ratio * A, ratio.clamp(1 - eps, 1 + eps) * A)
            value, old = model.value_head(x)[0], found.values[b, t]
            near = old + (value - old).clamp(-loss.value_clip, loss.value_clip)
            values += torch.max((value - R) ** 2, (near - R) ** 2) / 2
            entropy -= (logp.exp() * logp).sum()
            n += 1
    return (policy + loss.value_coef * values - loss.entropy_coef * entropy) / n


def test_one_update_is_that_of_the_written_out_oracle():
    """Epochs, minibatches, clipping, and AdamW of torch; asked for was 1e-6."""
    torch.manual_seed(5)
    model = ActorCritic(decoder())
    with torch.no_grad():
        model.value_head.weight.normal_(std=0.3)
    config = replace(CONFIG, max_grad_norm=0.3, loss=replace(CONFIG.loss, clip_range=0.05,
                                                             value_clip=0.02))  # fmt: skip
    found = gather_experience(
        model, decoder(7), [[1, 2, 3], [4], [5, 6]] * 2, count_fives, config, kl_coef=0.1, seed=3
    )
    theirs = copy.deepcopy(model)
    settings = OptimizerConfig(lr=0.02, weight_decay=0.01)
    told = update(model, make_optimizer(model, settings), found, config, seed=8)

    matrices = [p for p in theirs.parameters() if p.ndim >= 2]
    vectors = [p for p in theirs.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, lr=0.02, betas=(0.9, 0.95), eps=1e-8)
    generator, losses, norms = torch.Generator().manual_seed(8), [], []
    for _ in range(2):
        for rows in torch.randperm(6, generator=generator).split(3):
            adam.zero_grad()
            losses.append(oracle_loss(theirs, found, rows.tolist(), config.loss))
            losses[-1].backward()
            norm = torch.cat([p.grad.flatten() for p in theirs.parameters()]).norm()
            norms.append(norm.item())
            for p in theirs.parameters():
                p.grad *= min(1.0, 0.3 / norm.item())
            adam.step()
    off = max(
        float((a - b).abs().max().detach())
        for a, b in zip(model.parameters(), theirs.parameters(), strict=True)
    )
    assert off < 1e-9
    assert told["loss"] == pytest.approx(sum(x.item() for x in losses) / 4, abs=1e-9)
    assert told["grad_norm"] == pytest.approx(sum(norms) / 4)
    assert told["clip_fraction"] > 0.05  # the clips were at work
    assert told["value_clip_fraction"] > 0.05
    assert told["grad_norm"] > 0.3
    assert all(p.grad is None for p in model.parameters())


# --- the loop


def run(steps, *, model=None, optimizer=None, state=None, reference=None, **more):
    model = model or ActorCritic(decoder())
    optimizer = optimizer or make_optimizer(model, OptimizerConfig(lr=0.01, weight_decay=0.0))
    records = []
    more = {"reward": count_fives, **more}
    config = replace(more.pop("config", CONFIG), steps=steps)
    state = ppo(
        model,
        reference or decoder(),
        PROMPTS,
        config=config,
        optimizer=optimizer,
        state=state,
        log=records.append,
        **more,
    )
    return model, optimizer, state, records


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path):
    whole, _, _, records = run(4)
    save = checkpointer(tmp_path / "run")

    def killed(drawn):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(1)
        return count_fives(drawn)

    seen = []
    with pytest.raises(KeyboardInterrupt):
        run(4, reward=killed, save=save)  # in step 4; the last checkpoint is of step 2
    torch.manual_seed(99)
    model = ActorCritic(decoder(3))
    optimizer = make_optimizer(model, OptimizerConfig(lr=0.5))
    state = resume_ppo(tmp_path / "run", model, optimizer)
    assert state.step == 2
    assert state.data["kl_coef"] == records[2]["kl_coef"] != 0.1
    _, _, state, later = run(4, model=model, optimizer=optimizer, state=state)
    assert later == records[2:]
    assert state.step == 4
    for (name, a), b in zip(whole.state_dict().items(), model.state_dict().values(), strict=True):
        assert a.equal(b), name


def test_records_say_what_happened():
    model, _, state, records = run(2, measures={"length_again": lambda d: d.lengths.double()})
    assert [r["step"] for r in records] == [1, 2]
    first = records[0]
    assert first["kl"] == pytest.approx(0, abs=1e-9)  # the policy is its reference
    assert records[1]["kl"] != 0
    assert first["length_again"] == first["length"]
    assert first["kl_coef"] == 0.1
    assert records[1]["kl_coef"] == pytest.approx(0.1 * (1 - 0.2 * 6 / 50))
    assert state.n_tokens == sum(round(r["length"] * 6) for r in records)
    assert state.loss == records[-1]["policy_loss"]
    for name in ("score", "entropy", "ended", "value_explained", "value_error", "clip_fraction",
                 "approx_kl", "grad_norm"):  # fmt: skip
        assert math.isfinite(first[name])
    assert not any(p.grad is not None for p in model.parameters())


def test_it_learns_what_is_rewarded_and_the_price_holds_it_back():
    """Say 5: the score rises; with a high price it stays nearer to the reference."""
    config = replace(CONFIG, batch_size=32, minibatch_size=32, reward=RewardConfig(kl_coef=0.0))
    _, _, _, free = run(10, config=config)
    dear = replace(config, reward=RewardConfig(kl_coef=1.0))
    _, _, _, held = run(10, config=dear)
    assert free[-1]["score"] > free[0]["score"] + 0.7
    assert held[-1]["kl"] < 0.5 * free[-1]["kl"]
    assert free[-1]["entropy"] < free[0]["entropy"]


def test_each_step_draws_anew():
    """The policy stands still, and there is one prompt."""

    def reward(drawn):
        said.append(tuple(map(tuple, drawn.answers())))
        return count_fives(drawn)

    said = []
    model = ActorCritic(decoder())
    still = make_optimizer(model, OptimizerConfig(lr=0.0))
    ppo(model, decoder(), [[4]], reward, replace(CONFIG, steps=3), optimizer=still)
    assert len(set(said)) == 3


def test_the_reference_is_not_touched():
    reference = decoder()
    before = copy.deepcopy(reference.state_dict())
    run(1, reference=reference)
    assert all(before[name].equal(x) for name, x in reference.state_dict().items())
    assert all(p.grad is None for p in reference.parameters())


def test_each_prompt_once_a_round_in_a_new_order():
    config = replace(CONFIG, batch_size=6, minibatch_size=6)
    places = [i for step in range(4) for i in prompts_of_step(4, config, step)]
    rounds = [places[n : n + 4] for n in range(0, 24, 4)]
    assert all(sorted(r) == [0, 1, 2, 3] for r in rounds)
    assert len({tuple(r) for r in rounds}) > 2
    assert prompts_of_step(4, config, 3) == places[18:24]
    assert prompts_of_step(4, replace(config, seed=5), 3) != places[18:24]


@pytest.mark.parametrize("kind", ["nan", "far"])
def test_what_stops_a_run_leaves_the_weights_of_the_step_before(kind):
    after_one, _, _, _ = run(1)

    def reward(drawn):
        seen.append(1)
        return count_fives(drawn) / (0.0 if kind == "nan" and len(seen) == 2 else 1.0)

    seen = []
    model = ActorCritic(decoder())
    config = replace(CONFIG, reward=replace(CONFIG.reward, max_kl=1e-4 if kind == "far" else 50.0))
    error = RewardError if kind == "nan" else DriftError
    with pytest.raises(error, match="step 1"):
        run(3, model=model, reward=reward, config=config)
    for a, b in zip(after_one.state_dict().values(), model.state_dict().values(), strict=True):
        assert a.equal(b)


def test_a_wrong_measure_stops_before_the_update():
    model = ActorCritic(decoder())
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(RewardError):
        run(1, model=model, measures={"gold": lambda d: torch.full((6,), math.nan)})
    assert all(before[name].equal(x) for name, x in model.state_dict().items())


def test_ctrl_c_ends_a_step_and_saves(tmp_path):
    import signal

    def reward(drawn):
        signal.raise_signal(signal.SIGINT)
        return count_fives(drawn)

    config = replace(CONFIG, save_every=0)
    _, _, state, records = run(3, reward=reward, config=config, save=checkpointer(tmp_path / "r"))
    assert state.interrupted
    assert state.step == len(records) == 1
    model = ActorCritic(decoder(3))
    found = resume_ppo(tmp_path / "r", model, make_optimizer(model, OptimizerConfig()))
    assert found.step == 1
    _, _, state, _ = run(3, model=model, state=found)
    assert state.step == 3


def test_dropout_is_off_so_that_the_ratio_begins_at_1():
    """LoRA with dropout; one update reads the answers once."""
    policy = apply_lora(decoder(), rank=2, alpha=8.0, dropout=0.5)
    with torch.no_grad():
        for name, param in policy.named_parameters():
            if name.endswith(".b"):
                param.normal_(std=0.5, generator=torch.Generator().manual_seed(1))
    model = ActorCritic(policy).train()
    config = replace(CONFIG, epochs=1, minibatch_size=6, steps=2)
    _, _, _, records = run(2, model=model, config=config)
    for record in records:
        assert record["ratio"] == pytest.approx(1, abs=1e-9)
        assert record["approx_kl"] == pytest.approx(0, abs=1e-9)
        assert record["clip_fraction"] == 0


def test_frozen_parts_stay_and_the_default_optimizer_does_not_decay():
    model = ActorCritic(decoder())
    model.policy.embedding.requires_grad_(False)
    before = model.policy.embedding.weight.detach().clone()
    ppo(model, decoder(), PROMPTS, count_fives, replace(CONFIG, steps=1))
    assert model.policy.embedding.weight.equal(before)
    assert model.value_head.weight.any()


def test_bad_input(tmp_path):
    with pytest.raises(ValueError, match="no prompt to answer"):
        ppo(ActorCritic(decoder()), decoder(), [], count_fives, CONFIG)
    model = ActorCritic(decoder())
    for shared in (model.policy, ActorCritic(model.policy).policy):
        with pytest.raises(ValueError, match="shares weights with the model"):
            run(1, model=model, reference=shared)
    _, _, state, _ = run(1)
    with pytest.raises(ValueError, match=r"began with the reference .* load the weights"):
        run(2, state=state, reference=decoder(5))
    with pytest.raises(ValueError, match=r"began with the prompts .* give the prompts, in the ord"):
        ppo(ActorCritic(decoder()), decoder(), PROMPTS[::-1], count_fives, CONFIG, state=state)
    model = ActorCritic(decoder())
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        resume_ppo(tmp_path / "none", model, make_optimizer(model, OptimizerConfig()))
