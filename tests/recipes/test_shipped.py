"""The base models that come with the course: whole, small, and worth what their manifests say."""

import pytest
import torch

from minillm.data.storyworld.quiz import make_quiz_corpus
from minillm.recipes import base, from_dict, shipped_models
from minillm.recipes.publish import (
    VALIDATION,
    VALIDATION_SEED,
    answer,
    measure,
    read_validation,
    text_nats,
)
from minillm.recipes.run import Run
from minillm.recipes.shipped import CHECKPOINTS
from minillm.train import load_checkpoint

NAMES = ("draft", "tiny")
LIMIT = 4_000_000  # bytes, both together


def test_both_are_there_and_small():
    assert set(NAMES) <= set(shipped_models())
    sizes = [p.stat().st_size for name in NAMES for p in (CHECKPOINTS / name).rglob("*")]
    assert sum(sizes) < LIMIT
    assert VALIDATION.stat().st_size < 400_000


@pytest.mark.parametrize("name", NAMES)
def test_the_manifest_tells_how_it_was_made(name):
    manifest = load_checkpoint(CHECKPOINTS / name).manifest
    run = from_dict(manifest["run"], Run)
    assert run.name == name
    assert manifest["step"] == run.train.steps
    assert manifest["n_tokens"] == run.train.steps * run.train.batch_size * run.train.context
    assert set(manifest["files"]) == {"model.safetensors", "state.json"}
    stories = sum(n for corpus, n in run.data.mixture if corpus != "prose")
    assert stories >= 0.6 * sum(n for _, n in run.data.mixture)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_worth_what_the_manifest_says(name):
    model, tokenizer = base(name)
    assert not model.training
    assert next(model.parameters()).dtype == torch.float32
    told = load_checkpoint(CHECKPOINTS / name).manifest["measured"]
    rows = [row for row in read_validation() if row["kind"] == "quiz"]
    few = {k: [r for r in rows if r["language"] == k][:15] for k in ("en", "zh")}
    for language, texts in few.items():  # a sample is enough to see another model or tokenizer
        found = measure(model, tokenizer, [*few["en"], *few["zh"]])[language]
        assert found["bits_per_byte"] == pytest.approx(told[language]["bits_per_byte"], abs=0.25)
        assert len(texts) == 15


def test_the_larger_one_is_the_better_one():
    rows = read_validation()[:20]
    nats = {}
    for name in NAMES:
        model, tokenizer = base(name)
        nats[name] = sum(text_nats(model, tokenizer, row["text"]) for row in rows)
    assert nats["tiny"] < nats["draft"]


def test_the_two_are_different_files():
    hashes = [
        load_checkpoint(CHECKPOINTS / name).manifest["files"]["model.safetensors"]["sha256"]
        for name in NAMES
    ]
    assert len(set(hashes)) == 2


def test_it_knows_that_a_shuffled_story_is_none():
    model, tokenizer = base("tiny")
    text = read_validation()[0]["text"]
    words = text.split(" ")
    order = torch.randperm(len(words), generator=torch.Generator().manual_seed(0)).tolist()
    shuffled = " ".join(words[i] for i in order)
    assert text_nats(model, tokenizer, text) < 0.6 * text_nats(model, tokenizer, shuffled)


def test_the_validation_file_is_what_the_simulator_tells():
    rows = [r for r in read_validation() if r["language"] == "en" and r["kind"] == "quiz"]
    assert [r["text"] for r in rows[:10]] == make_quiz_corpus(VALIDATION_SEED, 10, "en")


def test_training_never_read_the_validation_questions():
    training = set(make_quiz_corpus(0, 300, "en"))
    assert not training & {r["text"] for r in read_validation()}


def test_an_answer_to_a_new_question_is_words():
    model, tokenizer = base("tiny")
    text = make_quiz_corpus(VALIDATION_SEED, 1, "en")[0]
    said = answer(model, tokenizer, text.rsplit("Answer:", 1)[0] + "Answer:")
    assert said.replace(" ", "").strip(".").isalpha()


def test_an_unknown_name_lists_those_that_there_are():
    with pytest.raises(ValueError, match=r"no shipped model 'huge'; there are .*draft, .*tiny"):
        base("huge")
