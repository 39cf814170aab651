"""Reward models: against transformers' classifier, each row alone, in and out of files."""

import dataclasses

import pytest
import torch

from minillm.align.answer_logprobs import encode_pair, lay_pairs
from minillm.align.reward import (
    RewardModel,
    check_rewards,
    lengths_of,
    load_reward,
    pad_rows,
    reward_ids,
    save_reward,
    score_rows,
    score_texts,
)
from minillm.finetune.talks import Example
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.model.hf import to_transformers
from minillm.tokenizer import course_tokenizer
from minillm.train import CheckpointError, save_checkpoint

CONFIG = DecoderConfig(
    vocab_size=20,
    d_model=16,
    n_layers=2,
    context=32,
    attention=AttentionConfig(n_heads=2),
    feedforward=FeedForwardConfig(kind="swiglu", width=16),
    init_std=0.3,
)
PAD = 19
ROWS = [[1, 2, 3], [4], [5, 6, 7, 8, 9], [1, 2, 3, 3]]
TOKENIZER = course_tokenizer()
ASK = [{"role": "user", "content": "Who?"}]


def model(seed=0, dtype=torch.float64, config=CONFIG):
    torch.manual_seed(seed)
    return RewardModel(Decoder(config, dtype=dtype))


def alone(one, row):
    """The definition: the features of the row alone, at its end, times the head."""
    features = one.decoder.features(torch.tensor([row]))[0, -1]
    return (features @ one.head.weight[0] + one.offset).item()


def test_a_row_has_the_reward_it_has_alone():
    one = model()
    ids, lengths = pad_rows(ROWS, PAD)
    assert ids.tolist()[1] == [4, PAD, PAD, PAD, PAD]
    found = one(ids, lengths)
    assert found.tolist() == pytest.approx([alone(one, row) for row in ROWS], rel=1e-12)
    other, _ = pad_rows(ROWS, 0)
    assert torch.equal(one(other, lengths), found)  # what stands behind the end is not seen
    assert not torch.allclose(one(ids, lengths.clamp(max=3)), found)  # ... the end is


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_it_is_transformers_classifier():
    from transformers import LlamaForSequenceClassification

    one = model(dtype=torch.float32)
    whole = to_transformers(one.decoder)
    config = whole.config
    config.num_labels, config.pad_token_id = 1, PAD
    theirs = LlamaForSequenceClassification(config).eval()
    theirs.model.load_state_dict(whole.model.state_dict())
    with torch.no_grad():
        theirs.score.weight.copy_(one.head.weight)
        ids, lengths = pad_rows(ROWS, PAD)
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        expected = theirs(input_ids=ids, attention_mask=mask).logits[:, 0]
        torch.testing.assert_close(one(ids, lengths), expected, rtol=1e-5, atol=1e-6)


def test_the_head_starts_small_and_learns():
    torch.manual_seed(1)
    big = RewardModel(Decoder(dataclasses.replace(CONFIG, d_model=512, n_layers=1)))
    assert big.head.weight.std().item() == pytest.approx(513**-0.5, rel=0.15)
    one = model()
    one(*pad_rows(ROWS, PAD)).sum().backward()
    assert one.head.weight.grad.abs().sum() > 0
    assert one.decoder.embedding.weight.grad.abs().sum() > 0
    assert one.config is one.decoder.config


def test_a_half_precision_body_gives_float32():
    assert model(dtype=torch.bfloat16)(*pad_rows(ROWS, PAD)).dtype == torch.float32
    assert model()(*pad_rows(ROWS, PAD)).dtype == torch.float64


def test_centred_rewards_have_a_mean_of_zero():
    one = model()
    before = score_rows(one, ROWS, pad=PAD)
    one.centre(before)
    after = score_rows(one, ROWS, pad=PAD)
    assert after.mean().item() == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(after, before - before.mean())
    one.centre(after[:1])  # a second time moves on from the first
    assert score_rows(one, ROWS[:1], pad=PAD).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("batch_size", [1, 2, 9])
@pytest.mark.parametrize("training", [False, True])
def test_rows_are_scored_in_their_order(batch_size, training):
    one = model().train(training)
    found = score_rows(one, ROWS, pad=PAD, batch_size=batch_size)
    assert found.tolist() == pytest.approx([alone(one, row) for row in ROWS], rel=1e-12)
    assert not found.requires_grad
    assert one.training is training


def test_texts_are_scored_as_pairs_are():
    one = model(config=dataclasses.replace(CONFIG, vocab_size=TOKENIZER.n_vocab))
    pair = encode_pair(ASK, "Mia.", "谁知道？", TOKENIZER)
    rows = [reward_ids(pair.chosen), reward_ids(pair.rejected)]
    end = TOKENIZER.special_id("<|im_end|>")
    assert [row[-1] for row in rows] == [end, end]
    assert rows[0] == list(pair.chosen.ids[: len(rows[0])])
    pad = TOKENIZER.special_id("<|pad|>")
    expected = score_rows(one, rows, pad=pad)
    assert torch.equal(score_texts(one, TOKENIZER, [ASK, ASK], ["Mia.", "谁知道？"]), expected)
    ids, mask = lay_pairs([pair], pad=pad)
    assert lengths_of(mask).tolist() == [len(row) for row in rows]
    torch.testing.assert_close(one(ids, lengths_of(mask)).detach(), expected)
    assert score_texts(one, TOKENIZER, [ASK], [""]).isfinite().all()  # a policy may say nothing


def test_the_last_marked_token_counts():
    mask = torch.tensor([[0, 1, 0, 1, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1]]).bool()
    assert lengths_of(mask).tolist() == [4, 1, 5]
    assert reward_ids(Example((1, 2, 3, 4), (False, True, False, False))) == [1, 2]


def test_it_goes_into_a_file_and_back(tmp_path):
    one = model(dtype=torch.float32)
    one.centre(score_rows(one, ROWS, pad=PAD))
    save_reward(tmp_path / "reward", one, manifest={"seed": 3})
    again = load_reward(tmp_path / "reward", CONFIG)
    assert not again.training
    assert torch.equal(score_rows(again, ROWS, pad=PAD), score_rows(one, ROWS, pad=PAD))
    with pytest.raises(CheckpointError, match="another config: d_model, n_layers differ"):
        load_reward(tmp_path / "reward", dataclasses.replace(CONFIG, n_layers=1, d_model=32))
    save_checkpoint(tmp_path / "other", one.decoder)
    with pytest.raises(CheckpointError, match="holds no reward model"):
        load_reward(tmp_path / "other", CONFIG)


def test_a_model_that_gives_nan_is_stopped():
    one = model()
    with torch.no_grad():
        one.decoder.embedding.weight[7] = torch.nan
    with pytest.raises(ValueError, match=r"answer 2 is nan \(1 of 4 are.*lower learning rate"):
        score_rows(one, ROWS, pad=PAD)
    with pytest.raises(ValueError, match="answer 1 is inf"):
        check_rewards(torch.tensor([0.0, torch.inf]))
    check_rewards(torch.zeros(0))


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda one: one(torch.ones(2, 3).long(), torch.tensor([1])), r"integers \(2,\).*\(1,\)"),
        (lambda one: one(torch.ones(1, 3).long(), torch.tensor([1.0])), "float32"),
        (lambda one: one(torch.ones(1, 3).long(), torch.tensor([4])), r"in 1 \.\. 3, got \[4\]"),
        (lambda one: one(torch.ones(1, 3).long(), torch.tensor([0])), r"got \[0\]"),
        (lambda one: one.centre(torch.zeros(0)), "no reward"),
        (lambda one: one.centre(torch.tensor([torch.nan])), "answer 0 is nan"),
        (lambda one: lengths_of(torch.tensor([[True], [False]])), "row 1 has no answer"),
        (lambda one: lengths_of(torch.ones(1, 2)), r"\(B, T\) bool"),
        (lambda one: reward_ids(Example((1,), (False,))), "no answer"),
        (lambda one: score_rows(one, [[1], []], pad=0), "rows with tokens"),
        (lambda one: score_rows(one, ROWS, pad=0, batch_size=0), "batch_size >= 1, got 0"),
        (lambda one: score_texts(one, TOKENIZER, [ASK], []), "shorter"),
    ],
)
def test_bad_input(action, words):
    with pytest.raises(ValueError, match=words):
        action(model())
