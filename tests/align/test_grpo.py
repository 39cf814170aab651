"""GRPO: advantages and losses against loops; what padding holds is never read."""

import math
import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.align.grpo import clipped_share, group_advantages, grpo_loss, task_rewards
from minillm.align.ppo_loss import policy_loss
from minillm.finetune.tasks import Task

B, T = 4, 6
MASK = torch.tensor(
    [
        [0, 0, 1, 1, 1, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 1, 1, 1, 1],
        [0, 1, 1, 0, 0, 0],
    ]
).bool()


def drawn(seed, spread=0.3):
    generator = torch.Generator().manual_seed(seed)
    new, old, ref = (
        -1 + spread * torch.randn(B, T, generator=generator, dtype=torch.float64) for _ in range(3)
    )
    return new, old, ref, torch.tensor([1.0, -0.5, 0.7, -1.2], dtype=torch.float64)


def by_loops(new, old, ref, A, average, *, low=0.2, high=0.2, kl_coef=0.0, max_tokens=None):
    rows, n = [], 0
    for b in range(B):
        losses = []
        for t in range(T):
            if MASK[b, t]:
                ratio = math.exp(new[b, t] - old[b, t])
                bound = min(max(ratio, 1 - low), 1 + high)
                gap = float(ref[b, t] - new[b, t])
                kl = math.exp(gap) - gap - 1
                losses.append(-min(ratio * float(A[b]), bound * float(A[b])) + kl_coef * kl)
        rows.append(losses)
        n += len(losses)
    total = sum(map(sum, rows))
    if average == "rows":
        return sum(sum(r) / len(r) for r in rows) / B
    return total / (n if average == "tokens" else B * max_tokens)


@pytest.mark.parametrize("average", ["rows", "tokens", "length"])
@pytest.mark.parametrize(("high", "kl_coef"), [(None, 0.0), (0.4, 0.0), (None, 0.3)])
def test_the_loss_by_loops(average, high, kl_coef):
    new, old, ref, A = drawn(1, spread=0.5)
    found = grpo_loss(
        new,
        old,
        A,
        MASK,
        clip_range_high=high,
        ref_logprobs=ref if kl_coef else None,
        kl_coef=kl_coef,
        average=average,
        max_tokens=8,
    )
    told = {"high": 0.2 if high is None else high, "kl_coef": kl_coef, "max_tokens": 8}
    assert float(found) == pytest.approx(by_loops(new, old, ref, A, average, **told), abs=1e-12)
    a_token = grpo_loss(new, old, A[:, None].expand(B, T), MASK)
    assert a_token == grpo_loss(new, old, A, MASK)


def test_it_is_ppo_without_a_value_model():
    new, old, _, A = drawn(2, spread=0.5)
    ours = grpo_loss(new, old, A, MASK, average="tokens")
    theirs, _ = policy_loss(new, old, A[:, None].expand(B, T), MASK, clip_range=0.2)
    torch.testing.assert_close(ours, theirs)


def test_padding_is_never_read():
    new, old, ref, A = drawn(3)
    clean = grpo_loss(new, old, A, MASK, ref_logprobs=ref, kl_coef=0.1)
    for bad in (math.nan, math.inf, -math.inf):
        dirty = [x.masked_fill(~MASK, bad).requires_grad_() for x in (new, old, ref)]
        loss = grpo_loss(dirty[0], dirty[1], A, MASK, ref_logprobs=dirty[2], kl_coef=0.1)
        assert loss == clean
        (gradient,) = torch.autograd.grad(loss, dirty[0])
        assert gradient.isfinite().all()
        assert not gradient[~MASK].any()


def test_gradients_flow_to_the_policy_alone():
    new, old, ref, A = (x.requires_grad_() for x in drawn(4))
    grpo_loss(new, old, A, MASK, ref_logprobs=ref, kl_coef=0.1).backward()
    assert new.grad is not None
    assert old.grad is None
    assert ref.grad is None
    assert A.grad is None


def test_the_first_gradient_is_that_of_reinforce():
    new, _, _, A = drawn(5)
    new.requires_grad_()
    (ours,) = torch.autograd.grad(grpo_loss(new, new.detach(), A, MASK, average="tokens"), new)
    torch.testing.assert_close(ours, -A[:, None] * MASK / MASK.sum())


def test_the_clip_holds_back_what_went_far_enough():
    old = torch.zeros(B, T, dtype=torch.float64)
    A = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
    far = torch.tensor([0.5, 0.5, -0.5, -0.5], dtype=torch.float64)[:, None].expand(B, T).clone()
    far.requires_grad_()
    (gradient,) = torch.autograd.grad(grpo_loss(far, old, A, MASK), far)
    assert not gradient[0].any()
    assert not gradient[3].any()
    assert gradient[1].any()
    assert gradient[2].any()
    wanted = (3 + 2) / MASK.sum().item()
    assert clipped_share(far.detach(), old, A, MASK) == pytest.approx(wanted)
    assert clipped_share(far.detach(), old, A, MASK, clip_range_high=1.0) == pytest.approx(2 / 10)


rewards = st.integers(1, 3).flatmap(
    lambda n: st.lists(st.lists(st.floats(-5, 5), min_size=4, max_size=4), min_size=n, max_size=n)
)


@given(rewards)
@settings(deadline=None, max_examples=12)
def test_advantages_by_loops(groups):
    flat = torch.tensor(groups, dtype=torch.float64).reshape(-1)
    spreads = {
        "std": statistics.stdev,
        "population_std": statistics.pstdev,
        "none": lambda group: None,
    }
    for normalizer, spread in spreads.items():
        for baseline in ("mean", "leave_one_out", "none"):
            found = group_advantages(flat, 4, baseline, normalizer, 1e-4).reshape(-1, 4)
            for g, group in enumerate(groups):
                for k, r in enumerate(group):
                    others = sum(group) - r
                    base = {"mean": sum(group) / 4, "leave_one_out": others / 3, "none": 0}
                    wanted = r - base[baseline]
                    if normalizer != "none":
                        wanted /= spread(group) + 1e-4
                    assert found[g, k].item() == pytest.approx(wanted, rel=1e-6, abs=1e-6)


def test_a_group_of_one_mind_teaches_nothing():
    flat = torch.tensor([1.0, 1.0, 0.0, 1.0])
    found = group_advantages(flat, 2, eps=0)
    assert found[:2].tolist() == [0, 0]
    assert found.isfinite().all()
    assert found[2:].tolist() == pytest.approx([-math.sqrt(0.5), math.sqrt(0.5)])


def test_by_hand():
    found = group_advantages(torch.tensor([1.0, 0.0, 0.0, 0.0]), 4)
    assert found.tolist() == pytest.approx([1.4997, -0.4999, -0.4999, -0.4999], abs=1e-4)


def test_a_checker_decides():
    yes = Task(({"role": "user", "content": "?"},), "yes", "x", "x", lambda text: text == "yes")
    assert task_rewards([yes, yes], ["yes", "no"]).tolist() == [1, 0]
    with pytest.raises(ValueError, match="1 tasks and 2 answers"):
        task_rewards([yes], ["a", "b"])


NEW, OLD, REF, ADV = drawn(6)
R = torch.tensor([1.0, 0.0, 1.0, 0.0])


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: group_advantages(R, 3), r"multiple of group_size=3, got \(4,\)"),
        (lambda: group_advantages(R[:0], 2), "multiple"),
        (lambda: group_advantages(R[None], 2), "multiple"),
        (lambda: group_advantages(R, 1), "group_size must be at least 2 here, got 1"),
        (lambda: group_advantages(R, 2, "median"), "baseline must be one of.*'median'"),
        (lambda: group_advantages(R, 2, "mean", "iqr"), "normalizer must be one of.*'iqr'"),
        (lambda: group_advantages(R, 2, eps=-1), "eps must not be negative"),
        (lambda: group_advantages(R / torch.tensor([1, 1, 0, 1]), 2), "answer 2 is inf"),
        (lambda: group_advantages(R * math.nan, 2), "answer 0 is nan"),
        (lambda: grpo_loss(NEW, OLD, ADV[:2], MASK), r"advantages must be \(4,\)"),
        (lambda: grpo_loss(NEW, OLD[:2], ADV, MASK), "old_logprobs"),
        (lambda: grpo_loss(NEW, OLD, ADV, MASK.int()), "boolean"),
        (lambda: grpo_loss(NEW, OLD, ADV, MASK & False), "all False"),
        (lambda: grpo_loss(NEW, OLD, ADV, MASK, kl_coef=0.1), "kl_coef=0.1 needs ref_logprobs"),
        (lambda: grpo_loss(NEW, OLD, ADV, MASK, kl_coef=1, ref_logprobs=REF[:1]), "ref_logprobs"),
        (lambda: grpo_loss(NEW, OLD, ADV, MASK, clip_range=1.0), "clip_range < 1"),
        (lambda: grpo_loss(NEW, OLD, ADV, MASK, clip_range_high=-0.1), "clip_range_high >= 0"),
        (lambda: grpo_loss(NEW, OLD, ADV, MASK, average="all"), "average must be one of"),
        (lambda: grpo_loss(NEW, OLD, ADV, MASK, average="length"), "max_tokens.*got None"),
        (
            lambda: grpo_loss(NEW, OLD, ADV, MASK, average="length", max_tokens=3),
            "at least the longest answer; got 3",
        ),
    ],
)
def test_bad_input(action, words):
    with pytest.raises(ValueError, match=words):
        action()


def test_a_group_of_one_without_a_baseline():
    assert group_advantages(R, 1, "none", "none").tolist() == R.tolist()
