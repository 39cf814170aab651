"""The study of decoding rules: its prompts, its rules, and what it counts."""

import math
from functools import cache

import pytest
import torch

from minillm.data.storyworld.quiz import make_quiz_corpus
from minillm.inference.continuation import generate
from minillm.recipes.studies import decoding_rules as study

prompts = cache(study.prompts)


def test_repetition_counts_what_came_before_in_the_same_text():
    assert study.repeated([1, 2, 3, 4, 5, 6]) == 0
    assert study.repeated([1, 2, 3, 4] * 2) == pytest.approx(1 / 5)  # 1234 comes twice, of 5
    assert study.repeated([7] * 10) == pytest.approx(6 / 7)
    assert study.repeated([1, 2, 1, 2], n=2) == pytest.approx(1 / 3)


def test_distinct_counts_over_all_texts_and_not_across_their_ends():
    assert study.distinct([[1, 2, 3], [1, 2, 4]]) == 3 / 4
    assert study.distinct([[1, 1, 1]]) == 1 / 2
    assert study.distinct([[1, 2], [2, 1]]) == 1  # 2 2 at the seam is no pair


def test_overlap_looks_at_other_texts_only():
    texts = [[1, 2, 3, 4, 5], [9, 1, 2, 3, 4], [6] * 5]
    assert study.overlaps(texts) == [1 / 2, 1 / 2, 0.0]


def test_familiar_names_were_named_in_the_prompt_or_earlier_in_the_text():
    before, after = ["Lily saw Ben."], ["Ben ran. Mia cried. Then Mia and Annabel went to Lily."]
    assert study.familiar_names(before, after) == 3 / 4  # Ben, (Mia), Mia, Lily; Annabel is nobody
    assert study.familiar_names(["Lily"], ["nobody"]) == 0


def test_prompts_of_a_seed_are_its_own_and_new_to_the_model():
    ids, real = prompts("stories", 1)
    assert ids.shape == (study.N_PROMPTS, study.PROMPT)
    assert real.shape == (study.N_PROMPTS, study.NEW)
    assert not torch.equal(ids, study.prompts("stories", 2)[0])
    decode = study.tiny()[1].decode
    trained = "\n".join(make_quiz_corpus(0, 50, "en"))
    assert sum(decode(row.tolist()) in trained for row in torch.cat([ids, real], dim=1)) == 0


def test_surprise_is_what_the_model_says_token_by_token():
    model, _ = study.tiny()
    ids, real = prompts("stories", 1)
    got = study.surprise(ids[:2], real[:2])
    text = torch.cat([ids[1], real[1]])
    for i in (0, 1, study.NEW - 1):
        with torch.no_grad():
            z = model(text[None, : study.PROMPT + i])[0, -1].double()
        wanted = -z.log_softmax(-1)[real[1, i]].item()
        assert math.isclose(got[1, i].item(), wanted, rel_tol=1e-4, abs_tol=1e-5)


def test_no_rule_may_end_a_text():
    model, tokenizer = study.tiny()
    end = tokenizer.special_id("<|endoftext|>")
    ids = torch.tensor([tokenizer.encode("He sang.\n\nQuestion: Who sang?\nAnswer: Tom.")])
    assert int(generate(model, ids, 1)[0, -1]) == end  # the model would end it here
    for arm in ("greedy", "beam_4", "contrastive", "t_1", "repetition_1.2"):
        rules = study._rules(study.RULES[arm])
        z = rules[-1](ids, torch.zeros(1, tokenizer.n_vocab))
        assert z[0, end] == -torch.inf
        assert z.isfinite().sum() == tokenizer.n_vocab - 1


@pytest.mark.parametrize("arm", ["greedy", "beam_4", "contrastive", "frequency_0.5", "p_0.9"])
def test_every_kind_of_rule_writes_so_many_tokens(arm, monkeypatch):
    monkeypatch.setattr(study, "NEW", 6)
    ids, _ = prompts("stories", 1)
    new = study.continue_prompts(ids[:2], study.RULES[arm], seed=1)
    assert new.shape == (2, 6)
    again = study.continue_prompts(ids[:2], study.RULES[arm], seed=1)
    assert torch.equal(new, again)


def test_a_penalty_for_frequency_counts_the_continuation_only():
    rules = study._rules({"frequency": 100.0})
    text = torch.tensor([[5] * study.PROMPT + [6]])
    z = rules[0](text, torch.zeros(1, 10))
    assert z[0, 5] == 0
    assert z[0, 6] == -100


def test_a_larger_length_penalty_puts_off_the_full_stop():
    ids, real = prompts("stories", 1)
    lengths = [
        sum(study.first_sentence(ids[:3], real[:3], {"beams": 2, "length_penalty": a})["length"])
        for a in (0.0, 2.0)
    ]
    assert lengths[0] < lengths[1]
    found = study.first_sentence(ids[:3], real[:3], {"beams": 2, "length_penalty": "real"})
    assert all(1 <= n <= study.NEW for n in found["length"])
