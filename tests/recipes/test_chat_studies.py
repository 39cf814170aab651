"""The studies of lesson 28: what each arm learns, what is held out, and that each run runs."""

import pytest
import torch

from minillm.finetune import CHATML, losses_by_answer, tokenize_chat
from minillm.recipes.shipped import base
from minillm.recipes.studies import chat_choices as choices
from minillm.recipes.studies import turn_worth as worth

ARMS = choices.JOB.arms


LITTLE = {
    "MODEL": "draft",
    "STEPS": 2,
    "BATCH": 2,
    "N_TRAIN": 12,
    "N_TEST": 4,
    "LONGEST": 340,
}


@pytest.fixture(scope="module")
def small():
    """The tokenizer; all studies take two steps of the smallest model on little material."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in LITTLE.items():
            patch.setattr(choices, name, value)
        choices.material.cache_clear()
        yield base("draft")[1]
    choices.material.cache_clear()


def test_no_world_is_in_both_parts(small):
    found = choices.material(3)
    assert [len(part) for part in (found.train, found.test)] == [12, 4]
    assert not {t.about for t in found.train} & {t.about for t in found.test}
    others = choices.draw_tasks("train", 3, 4)
    assert others[0] != found.train[0]  # another seed, other tasks


def test_which_tokens_are_learned(small):
    plain, prompt, no_ends = (
        choices.examples(ARMS[arm], 3, small) for arm in ("plain", "prompt", "pad_end")
    )
    end = small.special_id(CHATML.end)
    for a, b, c in zip(plain, prompt, no_ends, strict=True):
        assert a.ids == b.ids == c.ids
        assert b.learned == (False, *[True] * (len(b) - 1))
        lost = [i for i, m, n in zip(a.ids, a.learned, c.learned, strict=True) if m != n]
        assert lost == [end]
    assert choices.examples(ARMS["noise_5"], 3, small) == plain


def test_which_turns_are_learned(small):
    every, last = (choices.examples(ARMS[a], 3, small) for a in ("turns_tokens", "turns_last"))
    assert every == choices.examples(ARMS["turns_answers"], 3, small)
    opening = len(small.encode(choices.WELCOME)) + 1  # and its end
    for a, b in zip(every, last, strict=True):
        assert a.ids == b.ids
        assert sum(a.learned) - sum(b.learned) == opening
        assert len(a) <= choices.CONTEXT


def test_arms_run_and_learn(small):
    before = {k: v.clone() for k, v in base("draft")[0].state_dict().items()}
    for name in ("noise_15", "pad_end", "turns_answers"):
        model, _ = choices.tuned(ARMS[name], 3)
        assert not all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
        assert not model.training
    assert set(choices.run(ARMS["turns_last"], 3)) == {"nats"}
    found = choices.run(ARMS["plain"], 3)
    assert set(found) == {"nats", "stop"}
    assert 0 < found["stop"] < 1 < found["nats"]


def test_noise_changes_the_training_and_nothing_else(small):
    plain, again, noisy = (
        choices.tuned(ARMS[name], 3)[0].embedding.weight for name in ("plain", "plain", "noise_5")
    )
    assert torch.equal(plain, again)
    assert not torch.equal(plain, noisy)
    assert ARMS["noise_5"] == ARMS["plain"] | {"alpha": 5.0}


def test_runs_of_the_studies():
    assert len(ARMS) * 5 == 40
    assert len(worth.JOB.arms) * 5 == 10
    assert choices.JOB.lesson == worth.JOB.lesson == "28"


def test_a_row_of_strangers_is_worth_three(monkeypatch):
    dice = torch.Generator().manual_seed(5)
    own = torch.randn(400, 3, 20, generator=dice)
    common = torch.randn(400, 1, 20, generator=dice)
    monkeypatch.setattr(worth, "gradients", lambda seed: own + 2 * common)
    of_talks = worth.run({"rows": "talks"}, 1)
    assert of_talks["correlation"] == pytest.approx(0.8, abs=0.03)
    assert of_talks["effective"] == pytest.approx(3 / (1 + 2 * 0.8), abs=0.04)
    of_strangers = worth.run({"rows": "strangers"}, 1)
    assert of_strangers["effective"] == pytest.approx(3, abs=0.25)


def test_answers_are_dealt_to_other_rows():
    rows = torch.arange(12.0).reshape(4, 3, 1)
    found = worth.dealt(rows)[..., 0].tolist()
    assert found == [[0, 10, 8], [3, 1, 11], [6, 4, 2], [9, 7, 5]]


def test_gradients_are_those_of_three_answers(monkeypatch):
    story = next(s for s, _ in worth.short_stories(0, "en"))
    talk = [{"role": r, "content": "Yes."} for r in ("user", "assistant")] * 4
    monkeypatch.setattr(worth, "dialogue", lambda story, language: talk)
    monkeypatch.setattr(worth, "short_stories", lambda seed, language: iter([(story, "")] * 2))
    rows = worth.gradients(1, 2)
    model, tokenizer = base(worth.MODEL)
    assert rows.shape == (2, 3, sum(p.numel() for p in model.parameters()))
    assert torch.equal(rows[0], rows[1])
    ids, mask = tokenize_chat(talk[:6], tokenizer)
    loss = losses_by_answer(model, ids, mask)[2]
    (slope,) = torch.autograd.grad(loss, model.embedding.weight)
    assert torch.equal(rows[0, 2, : slope.numel()], slope.flatten())
    worth.gradients.cache_clear()
