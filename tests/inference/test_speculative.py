"""Speculative decoding, the rule: by hand, and the whole distribution by enumeration."""

import math
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.inference import acceptance, expected_tokens, residual, verify

V = 5

weights = st.lists(
    st.one_of(st.just(0.0), st.floats(1e-6, 1.0)), min_size=V, max_size=V
).filter(lambda w: sum(w) > 0)  # fmt: skip


def normal(w):
    w = torch.tensor(w, dtype=torch.float64)
    return w / w.sum()


@given(weights, weights)
@settings(max_examples=300, deadline=None)
def test_accepted_and_replaced_add_up_to_p(p, q):
    p, q = normal(p), normal(q)
    a, r = acceptance(p, q), residual(p, q)
    out = torch.zeros(V, dtype=torch.float64)
    for v in range(V):  # the draft draws v; it stays with probability a(v), else r takes its place
        out[v] += q[v] * a[v]
        out += q[v] * (1 - a[v]) * r
    torch.testing.assert_close(out, p, rtol=0, atol=1e-12)
    assert (a >= 0).all()
    assert (a <= 1).all()
    torch.testing.assert_close(r.sum(), torch.ones((), dtype=torch.float64))


def test_the_rule_by_hand():
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.8, 0.0])
    torch.testing.assert_close(acceptance(p, q), torch.tensor([1, 0.375, 1]))
    torch.testing.assert_close(residual(p, q), torch.tensor([0.6, 0, 0.4]))
    assert residual(p, p).tolist() == p.tolist()
    once = residual(torch.stack([p, p]), torch.stack([q, p]))  # rows by themselves
    torch.testing.assert_close(once[0], torch.tensor([0.6, 0, 0.4]))


def test_verify_by_hand():
    p = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [1.0, 0.0, 0.0]])
    q = torch.tensor([[0.2, 0.8, 0.0], [0.0, 0.4, 0.6]])

    def judged(drafted, uniforms):
        n, rest = verify(p, q, drafted, torch.tensor(uniforms))
        return n, [round(x, 4) for x in rest.tolist()]

    assert judged([0, 1], [0.99, 0.99]) == (2, [1, 0, 0])  # p/q = 2.5 and 1.5: both stay
    assert judged([1, 1], [0.37, 0.0]) == (2, [1, 0, 0])  # 0.3 / 0.8 = 0.375
    assert judged([1, 1], [0.38, 0.0]) == (0, [0.6, 0, 0.4])
    assert judged([0, 2], [0.0, 0.51]) == (1, [0.3333, 0.6667, 0])  # 0.3 / 0.6
    p[0] = torch.tensor([0.0, 0.5, 0.5])
    assert judged([0, 1], [0.0, 0.0])[0] == 0  # p = 0 is never accepted, not even at u = 0


def sequences(p_of, q_of, n):
    """The exact probability of the first n + 1 tokens or fewer that one pass writes, by u."""
    out = {}
    for drafted in product(range(V), repeat=n):
        q = torch.stack([q_of(drafted[:i]) for i in range(n)])
        p = torch.stack([p_of(drafted[:i]) for i in range(n + 1)])
        drawn = math.prod(q[i, v].item() for i, v in enumerate(drafted))
        if drawn == 0:
            continue
        limits = [acceptance(p[i], q[i])[v].item() for i, v in enumerate(drafted)]
        for refused in range(n + 1):  # numbers below the limits before it, and above its own
            if refused < n and limits[refused] >= 1:
                continue
            if 0 in limits[:refused]:
                continue
            below, above = limits[:refused], limits[refused:]
            uniforms = torch.tensor([x / 2 for x in below] + [0.5 + x / 2 for x in above])
            k, rest = verify(p, q, drafted, uniforms)
            assert k == refused
            chance = drawn * math.prod(limits[:refused])
            chance *= 1 - limits[refused] if refused < n else 1
            for v in range(V):
                text = (*drafted[:k], v)
                out[text] = out.get(text, 0) + chance * rest[v].item()
    return out


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_joint_distribution_of_a_pass_is_the_models(n):
    def model(seed):
        def conditional(text):
            g = torch.Generator().manual_seed(seed + hash(text) % 1000)
            w = torch.rand(V, generator=g, dtype=torch.float64)
            w[int(torch.randint(0, V, (), generator=g))] = 0  # zeros, too
            return w / w.sum()

        return conditional

    p_of = model(0)
    found = sequences(p_of, model(7), n)
    # a pass writes 1 to n + 1 tokens: the first token of all of them is distributed as p, the
    # second, where there is one, as p given the first, and so on: written on with p to the end
    whole = {}
    for text, chance in found.items():
        for rest in product(range(V), repeat=n + 1 - len(text)):
            full = (*text, *rest)
            more = math.prod(p_of(full[:i])[full[i]].item() for i in range(len(text), n + 1))
            whole[full] = whole.get(full, 0) + chance * more
    for full in product(range(V), repeat=n + 1):
        expected = math.prod(p_of(full[:i])[v].item() for i, v in enumerate(full))
        assert whole.get(full, 0) == pytest.approx(expected, abs=1e-12)


def test_verify_refuses_what_does_not_fit():
    p = torch.full((2, V), 1 / V)
    q = torch.tensor([[0.5, 0.5, 0, 0, 0]])
    with pytest.raises(ValueError, match="gives token 3 no probability"):
        verify(p, q, [3], torch.tensor([0.5]))
    for args in [(p[:1], q, [0]), (p, q[:0], [0]), (p, q[:, :3], [0]), (p, q, [])]:
        with pytest.raises(ValueError, match="drafted tokens do not fit"):
            verify(*args, torch.tensor([0.5]))


@given(st.floats(0, 1), st.integers(0, 8))
@settings(max_examples=60, deadline=None)
def test_expected_tokens_by_formula_and_by_enumeration(alpha, n):
    if alpha < 1 - 1e-6:
        formula = (1 - alpha ** (n + 1)) / (1 - alpha)
        assert expected_tokens(alpha, n) == pytest.approx(formula, rel=1e-6)
    chances = [alpha**k * (1 - alpha) for k in range(n)] + [alpha**n]
    assert sum(chances) == pytest.approx(1)
    mean = sum((k + 1) * c for k, c in enumerate(chances))
    assert expected_tokens(alpha, n) == pytest.approx(mean)


@pytest.mark.parametrize(
    ("args", "words"),
    [((1.1, 2), "alpha must lie"), ((math.nan, 2), "alpha"), ((0.5, -1), "n_draft must not be")],
)
def test_expected_tokens_of_bad_input(args, words):
    with pytest.raises(ValueError, match=words):
        expected_tokens(*args)
