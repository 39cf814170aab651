"""The studies of lesson 10: their data, what each shape may see, and what it costs."""

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from minillm.recipes.studies import architectures as A
from minillm.recipes.studies import induction as I
from minillm.recipes.studies import pretrained_shapes as P

SHAPES = ("encoder", "causal", "prefix", "encdec", "encdec_deep")


def test_a_run_stands_twice_in_a_row():
    x, y, runs = I.rows(np.random.default_rng(0), 50)
    assert (x[:, 0] == I.START).all()
    assert torch.equal(x[:, 1:][y[:, :-1] >= 0], y[:, :-1][y[:, :-1] >= 0])
    for row, r in zip(y, runs.tolist(), strict=True):
        assert torch.equal(row[:r], row[r : 2 * r])
        assert (row[2 * r :] == -100).all()
        assert (row[: 2 * r] >= 0).all()


def test_wide_and_deep_have_equal_parameters():
    wide, deep = (
        I.count_parameters(I.shape(s["n_layers"], s["width"]))
        for s in (I.JOB.arms["one_wide_layer"], I.JOB.arms["two_layers"])
    )
    assert abs(wide / deep - 1) < 0.003


def test_sentences_follow_their_grammar():
    rng = np.random.default_rng(0)
    for _ in range(200):
        source, target, same = A.sentence(rng)
        nouns = [w - A.NOUN for w in source if A.NOUN <= w < A.ADJECTIVE]
        polite = source[-1] - A.MARK
        assert polite in (0, 1)
        assert len(nouns) == 2
        assert len(target) == len(source) - 1
        assert same == (A.noun_class(nouns[0]) == A.noun_class(nouns[1]))
        assert target[0] == A.TO_NOUN + 2 * nouns[0] + polite
        assert (target[-1] - A.TO_VERB) % A.CLASSES == A.noun_class(nouns[0])
        assert len(source) <= A.S
        assert len(target) < A.T
    assert sorted(A.noun_class(n) for n in range(A.NOUNS)) == sorted([0, 1, 2] * (A.NOUNS // 3))


def test_the_test_sentences_are_never_trained_on():
    trained, _ = A.rows(np.random.default_rng(1), 300, "translate")
    tested, _ = A.rows(np.random.default_rng(1), 300, "translate", test=True)
    words = {tuple(row[: A.S].tolist()) for row in trained}
    assert not any(tuple(row[: A.S].tolist()) in words for row in tested)


@pytest.mark.parametrize("name", SHAPES)
@torch.no_grad()
def test_no_shape_sees_the_word_it_must_write(name):
    torch.manual_seed(0)
    model = A.build(name).double()
    x, _ = A.rows(np.random.default_rng(0), 4, "translate")
    before = A.predict(model, name, x)
    for t in range(1, A.T):
        other = x.clone()
        other[:, A.S + t] = A.TO_ADVERB
        moved = (A.predict(model, name, other) - before).abs().amax(dim=(0, 2)) > 1e-9
        assert not moved[:t].any()
        assert bool(moved[t]) == (name != "encoder")
    other = x.clone()
    other[:, 0] = A.VERB  # ... and all see the source
    assert ((A.predict(model, name, other) - before).abs().amax(dim=2) > 1e-9).all()


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("places", [1, A.T])
def test_the_count_of_operations_is_torchs(name, places):
    model, x = A.build(name), torch.full((1, A.S + places), A.NOUN)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        A.predict(model, name, x).sum().backward()
    assert counter.get_total_flops() == A.flops_of(model, places)


@pytest.mark.parametrize("shape", ["causal", "prefix", "encdec", "masked"])
@torch.no_grad()
def test_nothing_leaks_behind_the_source(shape):
    torch.manual_seed(0)
    model = P.build(shape).double()
    x = torch.randint(0, P.V - 2, (2, P.CONTEXT))
    before, t = P.behind_source(model, shape, x), 5
    assert before.shape == (2, P.TARGET, P.V)
    other = x.clone()
    other[:, P.SOURCE + t] = (other[:, P.SOURCE + t] + 1) % (P.V - 2)
    moved = (P.behind_source(model, shape, other) - before).abs().amax(dim=(0, 2)) > 1e-9
    assert not moved[: t + 1].any()
    assert moved[t + 1 :].all()


@pytest.mark.parametrize("shape", ["causal", "encdec"])
def test_the_operations_of_pretraining_are_torchs(shape):
    model, x = P.build(shape), torch.randint(0, P.V, (1, P.CONTEXT))
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        P.logits_of(model, x).sum().backward()
    assert counter.get_total_flops() == P.flops_of(shape)
