"""A step's experience, number by number against loops; and what stops a run before it learns."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from minillm.align.drift import DriftError
from minillm.align.experience import RewardError, explained, gather_experience
from minillm.align.gae import gae_of_row
from minillm.align.ppo_settings import PPOConfig, RewardConfig, SamplingConfig
from minillm.align.value import ActorCritic
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig

V, STOP = 12, 0
PROMPTS = [[1, 2, 3], [4], [5, 6]] * 2
CONFIG = PPOConfig(
    steps=2,
    sampling=SamplingConfig(6, pad_id=11, stop_ids=(STOP, 1), temperature=0.8),
    batch_size=6,
    minibatch_size=3,
    reward=RewardConfig(kl_coef=0.3, unfinished_score=-2.0),
    gamma=0.9,
    lam=0.8,
)


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


def actor_critic(seed=0):
    model = ActorCritic(decoder(seed))
    with torch.no_grad():
        model.value_head.weight.normal_(generator=torch.Generator().manual_seed(1))
    return model


def count_fives(drawn):
    return torch.tensor([float(a.count(5)) for a in drawn.answers()])


def gathered(config=CONFIG, reward=count_fives, model=None, **more):
    more = {"kl_coef": config.reward.kl_coef, "seed": 4, **more}
    return gather_experience(model or actor_critic(), decoder(7), PROMPTS, reward, config, **more)


def test_every_number_against_loops():
    model, reference = actor_critic(), decoder(7)
    found = gathered()
    drawn, all_advantages = found.drawn, []
    kl, k3 = [], []
    for b, answer in enumerate(drawn.answers()):
        start = len(PROMPTS[b])
        rewards, values = [], []
        for i, token in enumerate(answer):
            before = torch.tensor([PROMPTS[b] + answer[:i]])
            p = (model.policy(before)[0, -1] / 0.8).log_softmax(-1)[token].item()
            q = (reference(before)[0, -1] / 0.8).log_softmax(-1)[token].item()
            value = model.value_head(model.policy.features(before)[0, -1]).item()
            assert found.logprobs[b, start + i].item() == pytest.approx(p)
            assert found.ref_logprobs[b, start + i].item() == pytest.approx(q)
            assert found.values[b, start + i].item() == pytest.approx(value)
            rewards.append(-0.3 * (p - q))
            values.append(value)
            kl.append(p - q)
            k3.append(math.exp(q - p) - 1 - (q - p))
        ended = answer[-1] in (STOP, 1)
        score = answer.count(5) if ended else -2.0
        assert found.scores[b] == score
        rewards[-1] += score
        advantages = gae_of_row(rewards, values, gamma=0.9, lam=0.8)
        all_advantages += advantages
        mask = drawn.mask[b]
        for name, expected in (
            ("rewards", rewards),
            ("returns", [a + v for a, v in zip(advantages, values, strict=True)]),
        ):
            row = getattr(found, name)[b]
            torch.testing.assert_close(row[mask], torch.tensor(expected, dtype=torch.float64))
            assert not row[~mask].any()
    raw = torch.tensor(all_advantages, dtype=torch.float64)
    white = (raw - raw.mean()) / raw.std()
    torch.testing.assert_close(found.advantages[drawn.mask], white, rtol=1e-6, atol=1e-6)
    assert found.stats["kl"] == pytest.approx(sum(kl) / 6)
    assert found.stats["kl_k3"] == pytest.approx(sum(k3) / 6)
    assert found.stats["score"] == pytest.approx(found.scores.mean().item())
    assert found.stats["length"] == pytest.approx(sum(map(len, drawn.answers())) / 6)
    assert 0 < found.stats["ended"] < 1


def test_nothing_has_a_gradient_and_no_weight_has_moved():
    model = actor_critic()
    before = copy.deepcopy(model.state_dict())
    found = gathered(model=model)
    for name in ("logprobs", "ref_logprobs", "values", "rewards", "advantages", "returns"):
        assert not getattr(found, name).requires_grad
    assert all(before[name].equal(x) for name, x in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_whitened_rewards_keep_their_mean():
    plain = gathered()
    white = gathered(replace(CONFIG, reward=replace(CONFIG.reward, whiten=True)))
    mask = plain.drawn.mask
    mean, spread = plain.rewards[mask].mean(), plain.rewards[mask].std()
    expected = (plain.rewards[mask] - mean) / spread + mean
    torch.testing.assert_close(white.rewards[mask], expected, rtol=1e-6, atol=1e-6)


def test_rows_are_cut_to_what_they_need():
    found = gathered()
    shortest = int(found.drawn.ids.shape[1] - 1)
    ends = [len(p) + len(a) for p, a in zip(PROMPTS, found.drawn.answers(), strict=True)]
    b = ends.index(min(ends))
    rows = found.rows(torch.tensor([b]))
    assert min(ends) <= shortest
    assert {x.shape for x in rows.values()} == {(1, min(ends))}
    for name, x in rows.items():
        whole = getattr(found.drawn, name) if name in ("ids", "mask") else getattr(found, name)
        assert x[0].equal(whole[b, : min(ends)])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_stops_with_the_row(bad):
    def reward(drawn):
        scores = torch.zeros(len(drawn))
        scores[2] = bad
        return scores

    start = gathered().drawn.answers()[2][:8]
    with pytest.raises(RewardError) as error:
        gathered(reward=reward, step=17)
    for part in ("step 17", "answer 2", str(start), "1 of 6", "Mend the reward function"):
        assert part in str(error.value)


def test_one_score_for_each_answer():
    with pytest.raises(RewardError, match=r"step 3: .* gave \(6, 1\) for 6 answers"):
        gathered(reward=lambda drawn: torch.zeros(6, 1), step=3)
    assert gathered(reward=lambda drawn: [1] * 6).scores.tolist().count(1.0) > 0


def test_a_policy_that_has_gone_too_far_stops_the_run():
    tight = replace(CONFIG, reward=RewardConfig(max_kl=1e-3))
    with pytest.raises(DriftError, match=r"after step 9 .* max_kl is 0.001") as error:
        gathered(tight, step=9)
    assert "raise kl_coef" in str(error.value)
    gathered(replace(CONFIG, reward=RewardConfig(max_kl=math.inf)))


def test_explained_by_hand():
    mask = torch.tensor([[True, True, False]])
    returns = torch.tensor([[1.0, 3.0, math.nan]])
    assert explained(returns, returns, mask) == 1
    assert explained(torch.zeros(1, 3), returns, mask) == 0
    assert explained(torch.tensor([[3.0, 1.0, 0.0]]), returns, mask) == -3
    assert explained(returns, torch.ones(1, 3), mask) == 0
