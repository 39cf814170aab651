"""Who guesses: the table by hand, and that a model's guesses never see what was refused."""

import pytest
import torch

from minillm.inference import ModelDraft, NgramDraft, filtered_probabilities
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig


def test_prompt_lookup_copies_what_followed_the_last_time():
    draft = NgramDraft(3)
    assert draft.propose([1, 2, 3, 9, 1, 2], 3) == ([3, 9, 1], None)
    assert draft.propose([1, 2, 3, 9, 1, 2, 4, 7, 1, 2], 2) == ([4, 7], None)  # the later one
    assert draft.propose([1, 2, 3], 4) == ([], None)  # 3 was never followed; another text
    assert draft.propose([5], 4) == ([], None)
    assert draft.propose([5, 6, 5], 3) == ([6, 5, 6], None)  # it goes on from what it gave


def test_longer_ends_come_first():
    text = [1, 2, 3, 4, 2, 5, 1, 2]  # after 2 came 5 the last time, after 1 2 came 3
    assert NgramDraft(3).propose(text, 1)[0] == [3]
    assert NgramDraft(2).propose(text, 1)[0] == [5]


def test_a_corpus_gives_what_is_most_often_and_the_text_comes_first():
    corpus = [[1, 2], [1, 3], [1, 3], [4, 6], [4, 5]]
    draft = NgramDraft(2, corpus)
    assert draft.propose([7, 1], 1)[0] == [3]
    assert draft.propose([7, 4], 1)[0] == [5]  # of equals the smaller id
    assert draft.propose([1, 9, 1], 1)[0] == [9]
    assert draft.propose([2], 1)[0] == []  # texts of the corpus do not run into one another


def test_it_stops_where_it_is_no_longer_sure():
    corpus = [[1, 2, 3], [1, 2, 4], [1, 2, 3]]  # 2 after 1: 3/4; 3 after 2: 2/4
    given = [NgramDraft(2, corpus, sure=s).propose([0, 1], 5)[0] for s in (0, 0.37, 0.38, 0.76)]
    assert given == [[2, 3], [2, 3], [2], []]


def decoder(dtype=torch.float64):
    torch.manual_seed(0)
    config = DecoderConfig(
        vocab_size=30,
        d_model=16,
        n_layers=2,
        context=40,
        attention=AttentionConfig(n_heads=2),
        feedforward=FeedForwardConfig("swiglu", 24),
        init_std=0.4,
    )
    return Decoder(config, dtype=dtype)


@torch.no_grad()
def test_a_model_draft_reads_the_text_as_it_stands_now():
    model = decoder()
    draft = ModelDraft(model, 40, {"temperature": 0.0}, None)

    def fresh(text, n):
        ids = []
        for _ in range(n):
            ids.append(int(model(torch.tensor([text + ids]))[0, -1].argmax()))
        return ids

    text = [3, 1, 4, 1, 5]
    first, q = draft.propose(text, 4)
    assert q is None
    assert first == fresh(text, 4)
    text = [*text, *first[:2], (first[2] + 1) % 30]  # the third was refused
    second, _ = draft.propose(text, 4)
    assert second == fresh(text, 4)
    text = [*text, *second, 7]  # all were accepted, and one came behind
    assert draft.propose(text, 3)[0] == fresh(text, 3)
    text = [*text, 8]  # nothing was proposed in between
    assert draft.propose(text, 2)[0] == fresh(text, 2)


@torch.no_grad()
def test_a_model_draft_tells_what_it_drew_from():
    model, text = decoder(), [3, 1, 4]
    how = {"temperature": 0.9, "top_k": 6}
    draft = ModelDraft(model, 40, how, torch.Generator().manual_seed(0))
    ids, q = draft.propose(text, 5)
    assert q.shape == (5, 30)
    for i in range(5):
        logits = model(torch.tensor([text + ids[:i]]))[0, -1]
        torch.testing.assert_close(q[i], filtered_probabilities(logits, **how))
        assert q[i, ids[i]] > 0
    assert ids != draft.propose(text, 5)[0]


def test_bad_input():
    with pytest.raises(ValueError, match="n must be at least 2, got 1"):
        NgramDraft(1)
    for sure in (-0.1, 1.1):
        with pytest.raises(ValueError, match=f"sure must lie in .0, 1., got {sure}"):
            NgramDraft(3, sure=sure)
