"""Parts of the experiments on repetition: which tokens, what noise, which weights are shared."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from minillm.data.loader import BatchSampler
from minillm.model import count_parameters
from minillm.model.moe import mixtures
from minillm.recipes import repetition_parts as parts
from minillm.recipes.objective_rows import Words
from minillm.recipes.repetition_parts import Noise, Repeated, Rows, build, train_repeated
from minillm.recipes.small import BYTE_END

SMALL = Repeated(d_model=16, n_layers=1, total=2_048, epochs=4)
TEXTS = [f"Text {i}: " + " ".join(f"word{(i * 7 + j) % 11}" for j in range(9)) for i in range(60)]


def ids(n=3):
    return torch.arange(n * 8).view(n, 8) % 200


def test_equal_tokens_whatever_the_epochs():
    for epochs in (1, 2, 4, 8):
        run = dataclasses.replace(SMALL, epochs=epochs)
        assert (run.steps, run.unique * epochs) == (4, 2_048)
    assert SMALL.flops == 6 * (4 * 16 * 16 + 3 * 16 * 48 + 384 * 16) * 2_048
    twice = dataclasses.replace(SMALL, times=2)
    assert twice.flops - SMALL.flops == 6 * (4 * 16 * 16 + 3 * 16 * 48) * 2_048


def test_every_window_is_read_once_an_epoch(monkeypatch):
    seen = []

    def reads(model, x, y):
        seen.extend(map(tuple, x.tolist()))
        return model(x).mean()

    row = parts.row_of(TEXTS, 2_048, seed=3)
    train_repeated(SMALL, row, 1, objective=reads)
    windows = {tuple(row[i : i + 64].tolist()) for i in range(0, 512, 64)}
    assert len(seen) == 32
    assert set(seen) == windows
    assert all(seen.count(window) == 4 for window in windows)


def test_shorter_rows_are_the_beginning_of_longer_ones():
    long, short = parts.row_of(TEXTS, 1_500, 3), parts.row_of(TEXTS, 500, 3)
    assert len(short) == 501
    assert (long[:501] == short).all()
    assert (parts.row_of(TEXTS, 500, 4) != short).any()
    text = bytes(short[1 : list(short).index(BYTE_END, 1)].tolist()).decode()
    assert text in TEXTS
    with pytest.raises(ValueError, match="100001 different tokens are needed, the texts hold"):
        parts.row_of(TEXTS, 100_000, 3)


def test_texts_to_test_on_are_not_trained_on(tmp_path):
    for i in range(400):
        (tmp_path / f"{i:03}.txt").write_text(f"{i} " + "abc " * 100, encoding="utf-8")
    train, test = parts.prose(str(tmp_path))
    assert sum(len(text) for text in test) == parts.TEST_BYTES
    assert not {text.split()[0] for text in train} & {text.split()[0] for text in test}
    parts.prose.cache_clear()


@pytest.mark.parametrize("at_once", [False, True])
def test_noise_keeps_the_mean_and_the_share(at_once):
    model = build(SMALL, 1)
    noise = Noise(model, 0.3, seed=5, parts=at_once)
    module = model.blocks[0].attention.train()
    noise.n_passes = 1
    out = noise._on(module, None, torch.ones(4_000, 5, 4))
    kept = out != 0
    torch.testing.assert_close(out[kept], torch.full_like(out[kept], 1 / 0.7))
    shares = kept.float().mean(dim=(1, 2))  # (B,)
    assert abs(shares.mean() - 0.7) < 4 * math.sqrt(0.21 / (4_000 if at_once else 80_000))
    assert (shares.unique().numel() == 2) == at_once


def test_noise_is_off_in_evaluation_and_before_its_time():
    plain = build(SMALL, 1)
    model = build(dataclasses.replace(SMALL, dropout=0.5, late=0.5), 1)  # begins after 2 of 4 steps
    x = ids()
    assert torch.equal(plain(x), model.eval()(x))
    model.train()
    same = [torch.equal(plain(x), model(x)) for _ in range(4)]
    assert same == [True, True, False, False]
    assert torch.equal(plain(x), model.eval()(x))


def test_dropout_reaches_the_embedding_and_every_part():
    model = build(dataclasses.replace(SMALL, dropout=0.5), 1)
    seen = {}

    def note(name):
        return lambda _, __, out: seen.__setitem__(name, float((out == 0).float().mean()))

    watched = {"x": model.embedding, "a": model.blocks[0].attention}
    for name, part in (watched | {"f": model.blocks[0].feedforward}).items():
        part.register_forward_hook(note(name))  # after the noise, which came first
    model.train()(ids())
    assert all(abs(share - 0.5) < 0.2 for share in seen.values())
    assert len(seen) == 3


def test_left_out_parts_leave_x_as_it_was():
    run = dataclasses.replace(SMALL, drop_parts=0.5)
    model = build(run, 1).train()
    x = model.embedding(ids(64))
    y = model.blocks[0](x, causal=True)
    untouched = (x == y).all(dim=-1).all(dim=-1).float().mean()
    assert abs(untouched - 0.25) < 0.2  # both parts of the block are left out


def test_noise_comes_from_its_seed_alone():
    run = dataclasses.replace(SMALL, dropout=0.3)
    first, again, other = (build(run, seed).train() for seed in (1, 1, 2))
    state = torch.get_rng_state()
    assert torch.equal(first(ids()), again(ids()))
    assert torch.equal(torch.get_rng_state(), state)
    other.load_state_dict(first.state_dict())
    assert not torch.equal(build(run, 1).train()(ids()), other(ids()))


def test_shared_blocks():
    run = dataclasses.replace(SMALL, n_layers=2, times=2)
    model, once = build(run, 1), build(dataclasses.replace(run, times=1), 1)
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in once.parameters())
    assert [model.blocks[i] is model.blocks[i + 2] for i in (0, 1)] == [True, True]
    assert model.blocks[0] is not model.blocks[1]
    x = once.run(once.embedding(ids()))  # through the norm at the end, which the second time undoes
    assert not torch.equal(model(ids()), once(ids()))
    assert x.shape == (3, 8, 16)
    noisy = build(dataclasses.replace(run, dropout=0.5), 1)
    assert all(len(block.attention._forward_hooks) == 1 for block in noisy.blocks)


def test_experts_of_equal_parameters():
    dense, experts = build(SMALL, 1), build(dataclasses.replace(SMALL, n_experts=4), 1)
    router = 16 * 4
    assert count_parameters(experts.config) == count_parameters(dense.config) + router
    active = count_parameters(experts.config, active=True)
    assert active == count_parameters(dense.config) + router - 3 * 16 * 36
    assert len(mixtures(experts)) == 1


@pytest.mark.parametrize("name", ["causal", "masked", "mixture"])
def test_rows_of_an_objective(name):
    words = Words(np.empty(0), np.empty(0), 257)
    row = parts.row_of(TEXTS, 512, 1)
    source = Rows(BatchSampler(row, 4, 64, seed=1), name, words, seed=2)
    x, y = next(iter(source))
    if name == "causal":  # the last token of a window is asked for, not shown
        window = next(BatchSampler(row, 4, 64, seed=1))[0]
        assert torch.equal(x, window[:, :-1])
        assert torch.equal(y, window[:, 1:])
    assert x.shape == y.shape == (4, x.shape[1])
    assert source.now.tokens is x
    again = Rows(BatchSampler(row, 4, 64, seed=1), name, words, seed=2)
    assert torch.equal(next(iter(again))[0], x)
    other = Rows(BatchSampler(row, 4, 64, seed=1), name, words, seed=3)
    first = next(iter(other))[0]
    assert (first.shape == x.shape and torch.equal(first, x)) == (name == "causal")


def test_what_is_hidden_is_drawn_anew_each_epoch():
    words = Words(np.empty(0), np.empty(0), 257)
    sampler = BatchSampler(parts.row_of(TEXTS, 64, 1), 1, 64, seed=1)  # one window only
    batches = iter(Rows(sampler, "masked", words, seed=2))
    assert not torch.equal(next(batches)[1], next(batches)[1])


def test_spoiled_words():
    text = "one two  three\nfour " * 200
    rng = np.random.default_rng(0)
    spoiled = parts.spoil(text, 0.3, rng)
    assert [len(word) for word in spoiled.split(" ")] == [len(word) for word in text.split(" ")]
    assert [len(line) for line in spoiled.split("\n")] == [len(line) for line in text.split("\n")]
    changed = np.mean([a != b for a, b in zip(text.split(), spoiled.split(), strict=True)])
    assert abs(changed - 0.3) < 0.06
    assert parts.spoil(text, 0.0, rng) == text
    with pytest.raises(ValueError, match=r"share must lie in \[0, 1\], got 1.5"):
        parts.spoil(text, 1.5, rng)


def test_training_learns_by_heart():
    row = parts.row_of(TEXTS, 128, 1)
    losses: list[float] = []
    run = Repeated(d_model=16, n_layers=1, total=8_192, epochs=64)
    model = train_repeated(run, row, 1, losses=losses)
    assert len(losses) == 16
    assert losses[-1] < losses[0] - 1
    x = torch.from_numpy(row[:64])[None]
    loss = F.cross_entropy(model(x)[0], torch.from_numpy(row[1:65]))
    assert not model.training
    assert loss.item() < losses[0] - 1


def test_a_run_can_be_watched():
    losses: list[float] = []
    seen: list[int] = []
    how = {"evaluate": lambda model: seen.append(len(losses)) or 1.0, "eval_every": 2}
    train_repeated(SMALL, parts.row_of(TEXTS, 512, 1), 1, losses=losses, **how)
    assert len(losses) == 4
    assert len(seen) == 2


def test_weight_decay_is_handed_on():
    row = parts.row_of(TEXTS, 512, 1)
    sizes = []
    for decay in (0.0, 0.1, 20.0):
        model = train_repeated(dataclasses.replace(SMALL, weight_decay=decay), row, 1)
        sizes.append(model.blocks[0].feedforward.up.weight.detach().norm().item())
    assert sizes[0] > sizes[1] > 1.1 * sizes[2]


def test_bad_input():
    with pytest.raises(ValueError, match="total=2048 must be epochs=3 times a multiple of 64"):
        dataclasses.replace(SMALL, epochs=3)
    with pytest.raises(ValueError, match="and a multiple of 512, the tokens of a step"):
        dataclasses.replace(SMALL, total=2_112, epochs=1)
    with pytest.raises(ValueError, match=r"this run would cost .* at most 1.5e\+11 are allowed"):
        Repeated(d_model=128)
    for rate in (-0.1, 1.0):
        with pytest.raises(ValueError, match=rf"rate must lie in \[0, 1\), got {rate}"):
            Noise(build(SMALL, 1), rate, seed=1)
