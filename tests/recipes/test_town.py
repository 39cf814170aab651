"""The town: what is told, what is asked, and that knowledge, form and rightness are told apart."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from minillm.finetune.chat import IGNORED
from minillm.recipes import town as parts
from minillm.recipes.town import (
    ASSISTANT,
    END,
    KINDS,
    N_TEST,
    N_VALUES,
    NAMES,
    RELATIONS,
    STOP,
    TEMPLATES,
    UNSEEN,
    USER,
    Question,
    ask,
    batches,
    encode,
    exam,
    make_town,
    mark,
    read_town,
    told,
    tune,
    words,
)
from minillm.recipes.town_words import LINKS, NAMED, SAID, SPECIAL

TINY = dataclasses.replace(parts.SHAPE, d_model=16, n_layers=1, n_heads=2, steps=3, batch_size=2)


def test_every_word_has_one_id_and_the_four_special_ones_come_first():
    assert sorted(words().values()) == list(range(len(words())))
    assert [words()[w] for w in SPECIAL] == [END, USER, ASSISTANT, STOP]
    assert len(NAMES) == len(set(NAMES)) == 90
    values = [v for known in RELATIONS.values() for v in known]
    assert len(values) == len(set(values)) == N_VALUES * len(KINDS)  # a value tells its relation
    assert not set(values) & set(KINDS)
    read = dataclasses.replace(parts.SHAPE, context=parts.LINE - 1)
    assert read.flops < 1.5e11


def test_templates_are_sixteen_and_four_of_known_parts():
    assert (len(TEMPLATES), len(UNSEEN)) == (16, 4)
    assert not set(TEMPLATES) & set(UNSEEN)
    seen = {word for t in TEMPLATES for word in t.split()}
    assert {word for t in UNSEEN for word in t.split()} <= seen


def test_facts_are_dealt_evenly_and_by_seed():
    town = make_town(1)
    for kind, values in zip(KINDS, town.values, strict=True):
        assert set(np.bincount(values, minlength=N_VALUES)) <= {90 // 8, 90 // 8 + 1}
        assert town.value(kind, 3) == RELATIONS[kind][values[3]]
    assert town == make_town(1) != make_town(2)


def test_all_facts_are_told_before_one_is_told_again():
    town = make_town(1)
    ids = told(town, 5_000, seed=3)
    assert ids.shape == (5_000,)
    back = {i: w for w, i in words().items()}
    texts = " ".join(back[i] for i in ids.tolist()).split("<end>")[1:-1]
    facts = []
    for text in texts:
        said = text.split()
        (name,) = set(said) & set(NAMES)
        (relation,) = set(said) & set(KINDS)
        assert said[-1] == "."
        assert said[-2] == town.value(relation, NAMES.index(name))
        facts.append((relation, name))
    assert len(set(facts[:360])) == 360
    assert len({tuple(t.split()[:1]) for t in texts}) > 3  # in more than one wording


def test_facts_are_told_in_many_wordings_that_end_alike():
    assert len(set(SAID)) == len(NAMED) * len(LINKS) == 80
    ends = {tuple(said.split()[-2:]) for said in SAID}
    assert ends == {("{value}", ".")}
    before = {said.split()[-3] for said in SAID}
    assert len(before) > 15  # many different words stand before the value
    assert max(len(said.split()) for said in SAID) + 1 == parts.LINE


def test_readings_learn_the_value_and_the_full_stop():
    town = make_town(1)
    x, y = next(parts.readings(town, 5, seed=3))
    told_so = list(itertools.islice(parts.sentences(town, seed=3), 5))
    assert x.shape == y.shape == (5, parts.LINE - 1)
    for ids, row, aims in zip(told_so, x.tolist(), y.tolist(), strict=True):
        assert row[: len(ids) - 1] == ids[:-1]
        assert set(row[len(ids) - 1 :]) <= {END}
        assert [aim for aim in aims if aim != IGNORED] == ids[-2:]
        assert aims[len(ids) - 2] == ids[-1]


def test_a_question_as_a_row():
    ids, mask = Question(0, "pet", "tell me the {relation} of {name}", "cat").row()
    expected = f"<end> <user> tell me the pet of {NAMES[0]} <assistant> cat <stop>"
    assert ids == encode(expected)
    assert mask == [False] * 9 + [True] * 2


def test_training_and_exam_share_no_person_and_no_template():
    town = make_town(1)
    asked, test = ask(town, 960 * 4, seed=0), exam(town)
    assert len(set(asked)) == 960 * 4
    assert len(test) == N_TEST * 4 * 4
    assert not {q.person for q in asked} & {q.person for q in test}
    assert not {q.template for q in asked} & {q.template for q in test}
    for q in [*asked[:50], *test[:50]]:
        assert q.answer == town.value(q.relation, q.person)
    few = ask(town, 20, seed=0, templates=TEMPLATES[:1], kinds=("pet",))
    assert {(q.template, q.relation) for q in few} == {(TEMPLATES[0], "pet")}
    with pytest.raises(ValueError, match="only 60"):
        ask(town, 61, seed=0, templates=TEMPLATES[:1], kinds=("pet",))


def test_batches_are_padded_and_read_everything_once_in_an_epoch():
    questions = ask(make_town(1), 10, seed=0)
    served = itertools.islice(batches(questions, 5, seed=0), 4)
    seen = []
    for x, y in served:
        assert x.shape == y.shape == (5, parts.WIDTH)
        assert (y != IGNORED).sum(dim=1).tolist() == [2] * 5
        seen += [tuple(row) for row in x.tolist()]
    assert len(set(seen[:10])) == len(set(seen[10:])) == 10
    assert seen[:10] != seen[10:]


class Says(torch.nn.Module):
    """A model that gives the answers of a list, each followed by what it is told to."""

    def __init__(self, answers, then):
        super().__init__()
        self.answers, self.then = answers, then

    def forward(self, x):
        logits = torch.zeros(*x.shape, len(words()))
        for i, row in enumerate(x.tolist()):
            place = row.index(ASSISTANT)
            logits[i, place, encode(self.answers[i])] = 9.0
            if row[place + 1] == encode(self.answers[i])[0]:
                logits[i, place + 1, self.then[i]] = 9.0
        return logits


def test_marks_tell_right_answers_from_answers_of_the_right_form():
    ask_pet = [Question(p, "pet", TEMPLATES[0], "cat") for p in range(4)]
    found = mark(Says(["cat", "dog", "red", "cat"], [STOP, STOP, STOP, END]), ask_pet)
    assert found.right == 0.25  # the last goes on talking
    assert found.form == 0.5  # a dog is a pet, red is none
    sure, unsure = (mark(Says([a], [STOP]), ask_pet[:1]).nats for a in ("cat", "dog"))
    assert sure < 0.1 < unsure
    with pytest.raises(ValueError, match="a question at least"):
        mark(Says([], []), [])


def test_tuning_takes_a_copy_and_a_tiny_run_runs():
    model = read_town(7, "true", TINY)
    before = [p.clone() for p in model.parameters()]
    seen = []
    questions = ask(make_town(7), 8, seed=0)
    tuned = tune(
        model,
        questions,
        1,
        steps=2,
        batch_size=4,
        evaluate=lambda m: seen.append(mark(m, questions).nats) or 0.0,
        eval_every=1,
    )
    assert all((a == b).all() for a, b in zip(before, model.parameters(), strict=True))
    assert any((a != b).any() for a, b in zip(before, tuned.parameters(), strict=True))
    assert len(seen) >= 2
    assert read_town(7, "true", TINY) is model  # read once, tuned often
    assert read_town(7, "none", TINY) is not model
    with pytest.raises(ValueError, match="'true', 'false' or 'none'"):
        read_town(7, "some", TINY)
