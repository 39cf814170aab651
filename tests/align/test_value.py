"""Policy and critic: each number against a pass over the row alone, and where gradients go."""

import copy

import pytest
import torch

from minillm.align.answer_logprobs import response_logprobs
from minillm.align.value import ActorCritic
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig

V = 11


def decoder(seed=0, vocab_size=V):
    torch.manual_seed(seed)
    config = DecoderConfig(
        vocab_size=vocab_size,
        d_model=16,
        n_layers=1,
        context=12,
        attention=AttentionConfig(n_heads=2),
        feedforward=FeedForwardConfig(kind="swiglu", width=16),
        init_std=0.3,
    )
    return Decoder(config, dtype=torch.float64)


IDS = torch.tensor([[1, 2, 3, 4, 5], [1, 7, 8, 0, 0]])
MASK = torch.tensor([[False, False, True, True, True], [False, True, True, False, False]])


def with_head(model):
    with torch.no_grad():
        for param in model.value_head.parameters():
            param.normal_(generator=torch.Generator().manual_seed(3))
    return model


@pytest.mark.parametrize("own", [False, True])
def test_each_number_stands_at_its_token(own):
    policy = decoder()
    model = with_head(ActorCritic(policy, decoder(4) if own else None))
    body = model.critic if own else policy
    found = model(IDS, MASK, temperature=0.7)
    for b, t in MASK.nonzero().tolist():
        before = IDS[b : b + 1, :t]
        logp = (policy(before)[0, -1] / 0.7).log_softmax(-1)
        assert found.logprobs[b, t].item() == pytest.approx(logp[IDS[b, t]].item())
        assert found.entropy[b, t].item() == pytest.approx(-(logp.exp() * logp).sum().item())
        value = model.value_head(body.features(before)[0, -1])
        assert found.values[b, t].item() == pytest.approx(value.item())
    for x in (found.logprobs, found.entropy, found.values):
        assert x.shape == IDS.shape
        assert not x[~MASK].any()
    torch.testing.assert_close(
        found.logprobs, response_logprobs(policy, IDS, MASK, temperature=0.7)
    )


def test_nothing_is_expected_at_first():
    found = ActorCritic(decoder())(IDS, MASK)
    assert not found.values.any()
    assert found.logprobs.any()


@pytest.mark.parametrize(
    ("own", "detach", "policy_moves"),
    [(False, False, True), (False, True, False), (True, False, False)],
)
def test_whom_the_value_loss_moves(own, detach, policy_moves):
    model = with_head(ActorCritic(decoder(), decoder(4) if own else None, detach=detach))
    model(IDS, MASK).values.square().sum().backward()
    moved = any(p.grad is not None and p.grad.any() for p in model.policy.parameters())
    assert moved == policy_moves
    assert model.value_head.weight.grad.any()
    if own:
        assert any(p.grad is not None and p.grad.any() for p in model.critic.parameters())


def test_a_token_that_is_never_drawn_does_not_make_the_entropy_nan():
    class Never(Decoder):
        def logits(self, x):
            z = super().logits(x)
            return torch.cat([z[..., :-1], torch.full_like(z[..., -1:], -torch.inf)], dim=-1)

    policy = Never(decoder().config, dtype=torch.float64)
    found = ActorCritic(policy)(IDS, MASK)
    assert torch.isfinite(found.entropy).all()
    found.entropy.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in policy.parameters() if p.grad is not None)


def test_it_can_be_saved_and_copied():
    model = with_head(ActorCritic(decoder(), decoder(4)))
    other = ActorCritic(decoder(9), decoder(8))
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    a, b = model(IDS, MASK), other(IDS, MASK)
    assert a.values.equal(b.values)
    assert a.logprobs.equal(b.logprobs)


def test_bad_input():
    policy = decoder()
    with pytest.raises(ValueError, match="pass None to share"):
        ActorCritic(policy, policy)
    with pytest.raises(ValueError, match="critic reads 7 ids and the policy 11"):
        ActorCritic(policy, decoder(vocab_size=7))
    model = ActorCritic(policy)
    first = MASK.clone()
    first[0, 0] = True
    for wrong in (first, MASK[:1], MASK.long()):
        with pytest.raises(ValueError, match="False in column 0"):
            model(IDS, wrong)
