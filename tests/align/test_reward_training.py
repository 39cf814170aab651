"""Training reward models: against trl's loss and collator, killed and gone on with."""

import warnings
from types import SimpleNamespace

import pytest
import torch

from minillm.align.answer_logprobs import EncodedPair, encode_pair
from minillm.align.preferences import Pair
from minillm.align.ranking import margins_of, reward_loss
from minillm.align.reward import RewardModel, reward_ids
from minillm.align.reward_training import (
    RewardBatches,
    encode_pairs,
    pair_rewards,
    reward_objective,
    train_reward,
)
from minillm.finetune.talks import Example
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.tokenizer import course_tokenizer
from minillm.train import (
    NotFiniteError,
    OptimizerConfig,
    TrainConfig,
    checkpointer,
    make_optimizer,
    resume,
)

PAD = 15
CONFIG = DecoderConfig(
    vocab_size=16,
    d_model=16,
    n_layers=1,
    context=16,
    attention=AttentionConfig(n_heads=2),
    feedforward=FeedForwardConfig(kind="swiglu", width=16),
)
STEPS = TrainConfig(steps=6, log_every=0, save_every=3, precision="float32", seed=3)


def row(*answer, after=True):
    """A prompt of two tokens, the answer, and a token that is not of it."""
    last = (9,) if after else ()
    return Example(
        (7, 1, *answer, *last), (False, False, *[True] * len(answer), *[False] * len(last))
    )


def pair(chosen, rejected):
    return EncodedPair(row(*chosen), row(*rejected))


PAIRS = [pair((2, 2), (3,)), pair((2, 5), (4, 3)), pair((2,), (3, 5, 5)), pair((5, 2), (5, 3)),
         pair((4, 2), (3, 3, 3, 3)), pair((2, 2, 4), (4,)), pair((2, 4), (3, 4))]  # fmt: skip
MARGINS = torch.tensor([0.0, 1 / 3, 2 / 3, 1.0, 0.0, 3.0, 2.0])


def reward_model(seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    return RewardModel(Decoder(CONFIG, dtype=dtype))


def batches(batch_size=2, **kw):
    return RewardBatches(PAIRS, batch_size, **{"pad": PAD, "margins": MARGINS, "seed": 1, **kw})


def test_a_batch_holds_pairs_as_they_are():
    order = batches(batch_size=7)
    x, y = next(order)
    assert x.shape == (14, 6)  # the longest: 7 1 3 3 3 3
    seen = set()
    for b in range(7):
        n_chosen, n_rejected, margin = y[b].tolist()
        sides = tuple(x[b, : int(n_chosen)].tolist()), tuple(x[7 + b, : int(n_rejected)].tolist())
        assert (x[b, int(n_chosen) :] == PAD).all()
        assert (x[7 + b, int(n_rejected) :] == PAD).all()
        (n,) = [k for k, p in enumerate(PAIRS)
                if sides == (p.chosen.ids[:-1], p.rejected.ids[:-1])]  # fmt: skip
        assert margin == MARGINS[n]
        seen.add(n)
    assert seen == set(range(7))
    assert next(batches(batch_size=1))[0].shape[1] < 6  # what no row needs is cut off


def test_the_order_is_new_in_each_epoch_and_every_pair_comes_once():
    order = batches(batch_size=1)
    epochs = [[tuple(next(order)[0].ravel().tolist()) for _ in range(7)] for _ in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1])
    assert epochs[0] != epochs[1]
    assert len(set(epochs[0])) == 7
    plain = RewardBatches(PAIRS, 7, pad=PAD)
    assert (next(plain)[1][:, 2] == 0).all()


def test_the_objective_is_the_loss_of_rows_alone():
    model = reward_model(dtype=torch.float64)
    x, y = next(batches(batch_size=7))
    chosen, rejected = pair_rewards(model, PAIRS, pad=PAD)
    found = reward_objective(model, x, y)
    assert found.item() == pytest.approx(reward_loss(chosen, rejected, MARGINS).item(), rel=1e-7)
    plain = RewardBatches(PAIRS, 7, pad=PAD)
    assert reward_objective(model, *next(plain)).item() == pytest.approx(
        reward_loss(chosen, rejected).item(), rel=1e-12
    )
    one = model(torch.tensor([reward_ids(PAIRS[4].rejected)]), torch.tensor([6]))
    assert rejected[4].item() == pytest.approx(one.item(), rel=1e-12)


@pytest.fixture(scope="module")
def trl_reward():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from trl.trainer import reward_trainer

        yield reward_trainer


@pytest.mark.parametrize("with_margins", [False, True])
def test_batch_and_loss_are_those_of_trl(trl_reward, with_margins):
    model = reward_model(dtype=torch.float64)
    examples = [
        {"chosen_ids": reward_ids(p.chosen), "rejected_ids": reward_ids(p.rejected)}
        | ({"margin": m} if with_margins else {})
        for p, m in zip(PAIRS, MARGINS.tolist(), strict=True)
    ]
    batch = trl_reward.DataCollatorForPreference(pad_token_id=PAD)(examples)
    x, y = next(batches(batch_size=7) if with_margins else RewardBatches(PAIRS, 7, pad=PAD))
    rows = {tuple(r) for r in batch["input_ids"].tolist()}
    assert rows == {tuple(r) for r in x.tolist()}

    def theirs(input_ids, attention_mask, **_):
        return SimpleNamespace(logits=model(input_ids, attention_mask.sum(dim=1))[:, None])

    gather = SimpleNamespace(gather=lambda t: t, gather_for_metrics=lambda t: t)
    lists = {name: [] for name in ("min_reward", "mean_reward", "max_reward", "accuracy", "margin")}
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=False),
        args=SimpleNamespace(center_rewards_coefficient=None),
        accelerator=gather,
        _metrics={"eval": lists},
        _total_train_tokens=0,
    )
    expected = trl_reward.RewardTrainer.compute_loss(trainer, theirs, batch)
    found = reward_objective(model, x, y)
    assert found.item() == pytest.approx(expected.item(), rel=1e-7)  # float32 margins
    ours, oracle = (torch.autograd.grad(loss, model.parameters()) for loss in (found, expected))
    for a, b in zip(ours, oracle, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


def run(model=None, order=None, config=STEPS, **loop):
    seen = []
    model = reward_model() if model is None else model
    loop = {"optimizer": OptimizerConfig(lr=1e-2), "progress": False, **loop}
    train_reward(model, order or batches(), config, log=seen.append, **loop)
    return [record["loss"] for record in seen], model


def test_it_learns_the_order():
    config = TrainConfig(steps=30, log_every=0, precision="float32")
    _, model = run(config=config, order=RewardBatches(PAIRS, 7, pad=PAD))
    chosen, rejected = pair_rewards(model, PAIRS, pad=PAD)
    assert (chosen > rejected).all()


def test_a_margin_pushes_the_rewards_apart():
    config = TrainConfig(steps=40, log_every=0, precision="float32")
    gaps = []
    for margin in (0.0, 3.0):
        order = RewardBatches(PAIRS, 7, pad=PAD, margins=torch.full((7,), margin))
        _, model = run(config=config, order=order, optimizer=OptimizerConfig(lr=6e-3))
        chosen, rejected = pair_rewards(model, PAIRS, pad=PAD)
        gaps.append((chosen - rejected).mean().item())
    assert gaps[1] > gaps[0] + 0.5


def test_accumulation_is_one_big_batch():
    halves, _ = run(config=TrainConfig(steps=1, accumulate=2, log_every=0))
    whole, _ = run(config=TrainConfig(steps=1, log_every=0), order=batches(batch_size=4))
    assert whole[0] == pytest.approx(halves[0], rel=1e-6)


def test_killed_and_gone_on_with_is_the_undisturbed_run(tmp_path):
    whole, end = run()
    save, first = checkpointer(tmp_path / "last"), []

    class Kill(Exception):
        pass

    def killed(model, optimizer, state):
        save(model, optimizer, state)
        raise Kill

    with pytest.raises(Kill):
        train_reward(reward_model(), batches(), STEPS, optimizer=OptimizerConfig(lr=1e-2),
                     save=killed, log=first.append, progress=False)  # fmt: skip
    torch.manual_seed(99)  # whatever happens in between
    again, order = reward_model(seed=5), batches()
    moving = make_optimizer(again, OptimizerConfig(lr=1e-2))
    state = resume(tmp_path / "last", again, moving, order)
    rest, _ = run(again, order, optimizer=moving, state=state)
    assert [r["loss"] for r in first] + rest == whole
    assert len(first) == 3
    mine, theirs = again.state_dict(), end.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_a_state_of_other_pairs_is_refused():
    state = batches().state_dict()
    batches().load_state_dict(state)
    others = [
        RewardBatches(PAIRS[::-1], 2, pad=PAD, margins=MARGINS, seed=1),
        batches(margins=MARGINS + 1),
    ]
    for other in others:
        with pytest.raises(ValueError, match="other pairs or margins"):
            other.load_state_dict(state)


def test_a_diverged_model_stops_the_run():
    model = reward_model()
    before = [p.clone() for p in model.parameters()]
    with torch.no_grad():
        model.head.weight[0, 0] = torch.nan
    with pytest.raises(NotFiniteError, match="the loss is nan in step 1"):
        run(model)
    for old, new in zip(before[1:-1], list(model.parameters())[1:-1], strict=True):
        assert torch.equal(old, new)
    with pytest.raises(ValueError, match="the reward of answer 0 is nan"):
        pair_rewards(model, PAIRS, pad=PAD)


def test_pairs_are_encoded():
    ask = ({"role": "user", "content": "Who?"},)
    pairs = [Pair(ask, "Mia.", "Bo."), Pair(ask, "a", "b", 3)]
    tokenizer = course_tokenizer()
    found = encode_pairs(pairs, tokenizer)
    assert found == [encode_pair(ask, p.chosen, p.rejected, tokenizer) for p in pairs]
    assert margins_of(pairs, "large").tolist() == [0, 3]
    object.__setattr__(pairs[1], "chosen", "b")  # what Pair would have refused
    with pytest.raises(ValueError, match="pair 1: chosen and rejected are equal"):
        encode_pairs(pairs, tokenizer)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: RewardBatches([], 2, pad=PAD), "no pair"),
        (lambda: batches(margins=MARGINS[:2]), r"margins \(2,\) for 7 pairs"),
        (lambda: batches(longest=5), "pair 4 has 6 tokens, at most 5.*longer context"),
        (
            lambda: reward_objective(reward_model(), torch.ones(3, 2).long(), torch.ones(2, 3)),
            r"x \(2 B, T\)",
        ),
        (
            lambda: reward_objective(reward_model(), torch.ones(4, 2).long(), torch.ones(2, 2)),
            r"y \(B, 3\)",
        ),
    ],
)
def test_bad_input(action, words):
    with pytest.raises(ValueError, match=words):
        action()
    batches(longest=6)
