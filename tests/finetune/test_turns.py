"""Many turns: weights as exact fractions and as gradients of a model, and what a split costs."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from minillm.data.storyworld import make_story
from minillm.data.storyworld.dialogue import dialogue
from minillm.finetune.chat import shift, tokenize_chat
from minillm.finetune.turn_losses import losses_by_answer, token_weights, weighted_loss
from minillm.finetune.turns import (
    SCHEMES,
    TurnCosts,
    answer_numbers,
    answer_weights,
    count_samples,
    inflation,
    learned_answers,
    turn_samples,
)
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.objectives import causal_loss
from minillm.tokenizer import course_tokenizer
from minillm.train.noise_scale import flat_gradient

F = Fraction
TOKENIZER = course_tokenizer()
BATCH = ("A", "ABC")  # the article's example: two talks that open alike


def talk(n):
    """n turns, all equally long."""
    said = ("Yes.", "No.", "Two.") if n <= 3 else n * ("Yes.",)
    return [
        {"role": role, "content": content}
        for answer in said[:n]
        for role, content in (("user", "So?"), ("assistant", answer))
    ]


THREE = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello there."},
    {"role": "user", "content": "Who?"},
    {"role": "assistant", "content": "Mia."},
    {"role": "user", "content": "Why?"},
    {"role": "assistant", "content": "She lost her key."},
]


def make_model():
    torch.manual_seed(0)
    feedforward = FeedForwardConfig("swiglu", 16)
    config = DecoderConfig(TOKENIZER.n_vocab, 8, 1, 64, AttentionConfig(2), feedforward)
    return Decoder(config, dtype=torch.float64)


def gradient(model, loss):
    model.zero_grad()
    loss.backward()
    return flat_gradient(model.parameters())


# --- the weights, exactly


@pytest.mark.parametrize(
    ("scheme", "weights"),
    [
        ("packed", (F(2, 3), F(1, 6), F(1, 6))),
        ("split_all", (F(17, 24), F(5, 24), F(1, 12))),
        ("split_last", (F(1, 2), F(1, 4), F(1, 4))),
    ],
)
def test_weights_of_the_article(scheme, weights):
    assert answer_weights(BATCH, scheme) == dict(zip("ABC", weights, strict=True))


def test_only_the_last_turn_gains_and_against_the_third_scheme_none():
    packed, split_all, split_last = (answer_weights(BATCH, scheme) for scheme in SCHEMES)
    assert packed["C"] > split_all["C"]
    assert packed["B"] < split_all["B"]
    assert all(packed[later] < split_last[later] for later in "BC")


def test_which_answers_each_sample_teaches():
    assert learned_answers("abc", "packed") == [["a", "b", "c"]]
    assert learned_answers("abc", "split_all") == [["a"], ["a", "b"], ["a", "b", "c"]]
    assert learned_answers("abc", "split_last") == [["a"], ["b"], ["c"]]


def by_counting(talks, scheme, lengths, mean):
    """The weights anew: every learned token of every sample by itself."""
    samples = [s for t in talks for s in learned_answers(t, scheme)]
    weights = {label: F(0) for t in talks for label in t}
    total = sum(lengths[label] for sample in samples for label in sample)
    for sample in samples:
        for label in sample:
            for _ in range(lengths[label]):
                weights[label] += {
                    "answer": F(1, lengths[label]) * F(1, len(sample)) * F(1, len(samples)),
                    "sample": F(1, sum(lengths[a] for a in sample)) * F(1, len(samples)),
                    "batch": F(1, total),
                }[mean]
    return weights


@given(
    st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4), min_size=1, max_size=4),
    st.fixed_dictionaries({label: st.integers(1, 9) for label in "abcdef"}),
    st.sampled_from(SCHEMES),
    st.sampled_from(("answer", "sample", "batch")),
)
@settings(max_examples=80, deadline=None)
def test_weights_sum_to_one_and_are_those_of_the_tokens(talks, lengths, scheme, mean):
    weights = answer_weights(talks, scheme, lengths=lengths, mean=mean)
    assert sum(weights.values()) == 1
    assert weights == by_counting(talks, scheme, lengths, mean)


def test_long_answers_weigh_more_where_tokens_are_averaged():
    lengths = {"short": 2, "long": 6}
    one = [["short"], ["long"]]
    assert answer_weights(one, "packed", lengths=lengths, mean="sample")["long"] == F(1, 2)
    assert answer_weights(one, "packed", lengths=lengths, mean="batch")["long"] == F(3, 4)
    both = [["short", "long"]]
    assert answer_weights(both, "packed", lengths=lengths, mean="answer")["long"] == F(1, 2)
    assert answer_weights(both, "packed", lengths=lengths, mean="sample")["long"] == F(3, 4)


def test_bad_talks_are_refused():
    with pytest.raises(ValueError, match="at least one answer"):
        answer_weights([[]], "packed")
    with pytest.raises(ValueError, match="at least one talk"):
        answer_weights([], "packed")
    with pytest.raises(ValueError, match=r"scheme must be one of packed, .*got 'session'"):
        answer_weights(["A"], "session")
    with pytest.raises(ValueError, match=r"mean must be .* got 'token'"):
        answer_weights(["A"], "packed", mean="token")
    with pytest.raises(ValueError, match="at least 1 token for 'B'"):
        answer_weights(["AB"], "packed", lengths={"A": 2})


# --- the samples and their costs


def test_samples_of_a_talk():
    first, second, third = turn_samples(THREE, TOKENIZER, "split_last")
    assert third[0] == tokenize_chat(THREE, TOKENIZER)[0]
    assert first == tokenize_chat(THREE[:3], TOKENIZER)
    assert second == tokenize_chat(THREE[:5], TOKENIZER, answers="last")
    assert turn_samples(THREE, TOKENIZER, "packed") == [tokenize_chat(THREE, TOKENIZER)]
    split_all = turn_samples(THREE, TOKENIZER, "split_all")
    assert split_all == [tokenize_chat(THREE[:stop], TOKENIZER) for stop in (3, 5, 7)]


def test_an_unanswered_question_at_the_end_is_left_out():
    asked = [*THREE, {"role": "user", "content": "Really?"}]
    for scheme in SCHEMES:
        assert turn_samples(asked, TOKENIZER, scheme) == turn_samples(THREE, TOKENIZER, scheme)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 10])
def test_a_split_computes_the_same_answers_with_more_tokens(n):
    packed = count_samples(turn_samples(talk(n), TOKENIZER, "packed"))
    split = count_samples(turn_samples(talk(n), TOKENIZER, "split_last"))
    assert (packed.n_samples, split.n_samples) == (1, n)
    assert packed.n_learned == split.n_learned
    assert F(split.n_tokens, packed.n_tokens) == inflation(n) == F(n + 1, 2)
    T = packed.n_tokens
    assert packed.n_pairs == T * (T + 1) // 2
    turn = T // n
    assert split.n_pairs == sum(k * turn * (k * turn + 1) // 2 for k in range(1, n + 1))


def test_counting_on_paper():
    samples = [([1, 2, 3], [False, True, True]), ([1, 2], [False, True])]
    assert count_samples(samples) == TurnCosts(2, 5, 3, 9)
    assert count_samples([]) == TurnCosts(0, 0, 0, 0)


def test_what_cannot_be_split_is_refused():
    with pytest.raises(ValueError, match="never speaks"):
        turn_samples(THREE[:2], TOKENIZER, "packed")
    with pytest.raises(ValueError, match="scheme must be one of"):
        turn_samples(THREE, TOKENIZER, "pack")
    with pytest.raises(ValueError, match="follows nobody"):
        turn_samples(THREE[2:], TOKENIZER, "packed")
    with pytest.raises(ValueError, match="n_turns must be at least 1, got 0"):
        inflation(0)


@pytest.mark.parametrize(
    ("mask", "numbers"),
    [("01101", [-1, 0, 0, -1, 1]), ("110", [0, 0, -1]), ("00", [-1, -1]), ("", [])],
)
def test_answers_are_numbered(mask, numbers):
    assert answer_numbers([m == "1" for m in mask]) == numbers


# --- the same on a model


def test_losses_by_answer_against_the_package():
    model = make_model()
    ids, mask = tokenize_chat(THREE, TOKENIZER)
    losses = losses_by_answer(model, ids, mask)
    numbers = answer_numbers(mask)
    for k in range(3):
        x, y = shift(ids, [n == k for n in numbers])
        torch.testing.assert_close(
            losses[k], causal_loss(model, torch.tensor([x]), torch.tensor([y])), rtol=0, atol=1e-12
        )


def test_measured_gradients_have_the_weights_of_the_article():
    """Talks A and A B C, all answers equally long, each scheme's batch loss taken as it is."""
    model = make_model()
    samples = {s: [turn_samples(talk(n), TOKENIZER, s) for n in (1, 3)] for s in SCHEMES}
    whole = turn_samples(talk(3), TOKENIZER, "packed")[0]
    each = [gradient(model, losses_by_answer(model, *whole)[k]) for k in range(3)]
    for scheme, made in samples.items():
        flat = [sample for talks in made for sample in talks]
        means = [losses_by_answer(model, *sample).mean() for sample in flat]
        measured = gradient(model, torch.stack(means).mean())
        weights = answer_weights(BATCH, scheme)
        wanted = sum(float(weights[a]) * g for a, g in zip("ABC", each, strict=True))
        torch.testing.assert_close(measured, wanted, rtol=0, atol=1e-12)
        solved = torch.linalg.lstsq(torch.stack(each, dim=1), measured[:, None]).solution[:, 0]
        torch.testing.assert_close(
            solved, torch.tensor([float(weights[a]) for a in "ABC"]).double(), rtol=0, atol=1e-6
        )


def test_a_packed_row_is_its_split_where_weights_are_made_equal():
    model = make_model()
    ids, mask = tokenize_chat(THREE, TOKENIZER)
    x, y = (torch.tensor([row]) for row in shift(ids, mask))
    for scheme in SCHEMES:
        weights = answer_weights(["ABC"], scheme)
        w = torch.tensor([token_weights(mask, list(weights.values()))[1:]], dtype=torch.float64)
        packed = gradient(model, weighted_loss(model, x, y, w))
        samples = turn_samples(THREE, TOKENIZER, scheme)
        means = [losses_by_answer(model, *sample).mean() for sample in samples]
        split = gradient(model, torch.stack(means).mean())
        torch.testing.assert_close(packed, split, rtol=0, atol=1e-12)
    other = gradient(model, losses_by_answer(model, ids, mask).mean())
    assert (other - gradient(model, causal_loss(model, x, y))).abs().max() > 1e-4  # one can differ


class QuestionsSeeQuestions(nn.Module):
    """A prefix model: whatever is not learned is seen from everywhere in the row."""

    def __init__(self, decoder, mask):
        super().__init__()
        self.decoder, self.seen = decoder, ~torch.tensor(mask)

    def forward(self, x):
        T = x.shape[1]
        allowed = torch.ones(T, T, dtype=torch.bool).tril() | self.seen[:T]
        return self.decoder(x, mask=allowed, causal=False)


def test_with_a_prefix_mask_packing_leaks():
    model = make_model()
    ids, mask = tokenize_chat(THREE, TOKENIZER)
    first, first_mask = turn_samples(THREE, TOKENIZER, "split_last")[0]
    causal = losses_by_answer(model, ids, mask)[0] - losses_by_answer(model, first, first_mask)[0]
    assert causal.abs() < 1e-12
    packed = losses_by_answer(QuestionsSeeQuestions(model, mask), ids, mask)[0]
    alone = losses_by_answer(QuestionsSeeQuestions(model, first_mask), first, first_mask)[0]
    assert (packed - alone).abs() > 1e-6


def test_nothing_reaches_the_questions():
    """The slope of the loss by the logits is exactly 0 wherever no answer is predicted."""
    model = make_model()
    ids, mask = tokenize_chat(THREE, TOKENIZER)
    x, y = (torch.tensor([row]) for row in shift(ids, mask))
    logits = model(x)
    logits.retain_grad()
    losses = losses_by_answer(lambda_of(logits), ids, mask)
    losses.mean().backward()
    reached = logits.grad[0].abs().amax(dim=-1) > 0
    assert torch.equal(reached, y[0] != -100)


def lambda_of(logits):
    """A model that has said its logits already."""
    model = nn.Module()
    model.forward = lambda x: logits
    return model


def test_token_weights_by_hand():
    mask = [False, True, True, False, True]
    assert token_weights(mask, [F(1, 2), 3.0]) == [0.0, 0.25, 0.25, 0.0, 3.0]
    assert token_weights([False], []) == [0.0]


def test_documents_keep_talks_apart():
    model = make_model()
    ids, mask = tokenize_chat(talk(1), TOKENIZER)
    x, y = shift(ids, mask)
    w = token_weights(mask, [1.0])[1:]
    alone = weighted_loss(model, *(torch.tensor([row]) for row in (x, y)), torch.tensor([w]))
    two = [torch.tensor([row + row]) for row in (x, y, w)]
    documents = torch.tensor([[0] * len(x) + [1] * len(x)])
    torch.testing.assert_close(weighted_loss(model, *two, documents=documents), 2 * alone)
    assert (weighted_loss(model, *two) - 2 * alone).abs() > 1e-6  # without them they meet


def test_bad_rows_are_refused():
    model = make_model()
    with pytest.raises(ValueError, match="no token of the row is learned"):
        losses_by_answer(model, [1, 2, 3], [False] * 3)
    with pytest.raises(ValueError, match="no token of the row is learned"):
        losses_by_answer(model, [1], [True])  # nothing stands in front of it
    with pytest.raises(ValueError, match="3 ids and a loss mask of 2"):
        losses_by_answer(model, [1, 2, 3], [True] * 2)
    with pytest.raises(ValueError, match="2 weights for 1 answers"):
        token_weights([False, True], [1.0, 2.0])
    row = torch.ones(1, 3, dtype=torch.int64)
    with pytest.raises(ValueError, match="must have one shape"):
        weighted_loss(model, row, row, torch.ones(1, 2))


def test_storyworld_talks_have_many_turns():
    talks = [dialogue(make_story(seed), "en") for seed in range(8)]
    packed = count_samples([s for t in talks for s in turn_samples(t, TOKENIZER, "packed")])
    split = count_samples([s for t in talks for s in turn_samples(t, TOKENIZER, "split_last")])
    assert packed.n_samples == 8 < split.n_samples
    assert packed.n_learned == split.n_learned
    assert split.n_tokens > 2 * packed.n_tokens
