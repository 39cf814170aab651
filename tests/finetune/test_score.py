"""Scores: a model that knows the answers has them all right, one that is cut off has not."""

import pytest
import torch

from minillm.evaluate.shares import share_interval
from minillm.finetune.chat import prompt_ids
from minillm.finetune.score import score
from minillm.finetune.tasks import Task
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.tokenizer import course_tokenizer

TOKENIZER = course_tokenizer()
START, END = (TOKENIZER.special_id(name) for name in ("<|endoftext|>", "<|im_end|>"))


def task(question, answer, kind="plain"):
    messages = ({"role": "user", "content": question},)
    return Task(messages, answer, kind, "nothing", lambda text: text == answer)


TASKS = [
    task("Is it red?", "yes", "yes_no"),
    task("Who has the key?", "Mia."),  # of another length, between two of one
    task("Is it green?", "no", "yes_no"),
]


class Knowing(Decoder):
    """Knows what it is to say behind each prompt; `generate` is replaced by a look at it."""

    def __init__(self, said):
        feedforward = FeedForwardConfig(kind="swiglu", width=16)
        super().__init__(DecoderConfig(6_144, 8, 1, 64, AttentionConfig(n_heads=2), feedforward))
        self.said = said


def knowing(*answers, ends=True):
    said = {}
    for one, answer in zip(TASKS, answers, strict=True):
        ids = [*TOKENIZER.encode(answer), *([END] if ends else []), *[5] * 40]
        said[START, *prompt_ids(one.messages, TOKENIZER)] = ids
    return said


@pytest.fixture
def scored(monkeypatch):
    """Score a model that says certain things, and tell with what generate was called."""

    def run(said, **kw):
        model = Knowing(said)
        seen = []

        def generate(model, rows, max_new, *, stop_ids, **settings):
            seen.append((tuple(rows.shape), settings))
            out = []
            for row in rows.tolist():
                new = model.said[tuple(row)][:max_new]
                stop = next((n for n, i in enumerate(new) if i in stop_ids), max_new)
                new = new[: stop + 1]
                out.append(new + new[-1:] * (max_new - len(new)))
            return torch.cat([rows, torch.tensor(out)], dim=1)

        monkeypatch.setattr("minillm.finetune.score.generate", generate)
        return score(model, TOKENIZER, TASKS, **{"max_tokens": 8, **kw}), seen

    return run


def test_shares_by_hand(scored):
    found, _ = scored(knowing("yes", "Mia.", "yes"))
    assert found.answers == ("yes", "Mia.", "yes")
    assert found.accepted == (True, True, False)
    assert found.right == share_interval(2, 3)
    assert found.ended == share_interval(3, 3)
    assert found.by_kind == {"yes_no": share_interval(1, 2), "plain": share_interval(1, 1)}
    assert "right 0.6667" in str(found)


def test_an_answer_that_does_not_end_is_judged_as_it_stands(scored):
    found, _ = scored(knowing("yes", "Mia.", "no", ends=False))
    assert found.ended.value == 0
    assert found.right.value == 0  # something stands behind each of them


def test_prompts_of_one_length_are_read_together(scored):
    _, seen = scored(knowing("yes", "Mia.", "no"), temperature=0.5, seed=2)
    lengths = [len(prompt_ids(one.messages, TOKENIZER)) + 1 for one in TASKS]
    assert lengths[0] == lengths[2] != lengths[1]
    assert sorted(shape for shape, _ in seen) == sorted((lengths.count(n), n) for n in set(lengths))
    assert all(settings["temperature"] == 0.5 for _, settings in seen)
    assert len({settings["seed"] for _, settings in seen}) == len(seen)


def test_a_real_model_answers_and_keeps_its_mode():
    torch.manual_seed(0)
    model = Decoder(
        DecoderConfig(
            6_144, 16, 1, 64, AttentionConfig(n_heads=2), FeedForwardConfig(kind="swiglu", width=16)
        )
    )
    model.train()
    found = score(model, TOKENIZER, TASKS, max_tokens=4)
    assert model.training
    assert len(found.answers) == 3
    assert found.right.value == 0
    assert score(model.eval(), TOKENIZER, TASKS, max_tokens=4) == found
    assert not model.training
    with pytest.raises(ValueError, match=r"task 0 has .* less than max_tokens=60 of"):
        score(model, TOKENIZER, TASKS, max_tokens=60)


@pytest.mark.parametrize(("tasks", "max_tokens"), [([], 4), (TASKS, 0)])
def test_bad_input(tasks, max_tokens):
    with pytest.raises(ValueError, match="need a task and max_tokens >= 1"):
        score(None, TOKENIZER, tasks, max_tokens=max_tokens)
