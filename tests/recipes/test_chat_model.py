"""The recipe of `chat` on a miniature, its parts, and the models that are shipped."""

import dataclasses
import json
import shutil

import pytest
import torch

from minillm.align.rollouts import Rollouts
from minillm.align.story_answers import REFUSAL, SECRET
from minillm.data.storyworld.instructions import plain
from minillm.data.storyworld.story import make_story
from minillm.finetune.score import score
from minillm.finetune.talks import encode_talk
from minillm.finetune.tasks import STORY_KINDS
from minillm.recipes import base, find_tokenizer, shipped_models
from minillm.recipes.aligning.material import task_prompt
from minillm.recipes.chat_model import publishing
from minillm.recipes.chat_model.answers import Drawn, own_pairs, written_pairs
from minillm.recipes.chat_model.card import card_text
from minillm.recipes.chat_model.exam import KINDS, story_exam, tasks_of
from minillm.recipes.chat_model.gold import SECRET_EVERY, gold_of, gold_scores, prompts_of
from minillm.recipes.chat_model.making import make_stages, stage_names
from minillm.recipes.chat_model.measuring import _without, compare, together
from minillm.recipes.chat_model.own_reward import gain, undecided
from minillm.recipes.chat_model.settings import LANGUAGES, METHODS, ChatRecipe, Sizes
from minillm.recipes.chat_model.shipping import (
    CHAT,
    LIMIT,
    REWARD,
    SFT,
    shipped_reward,
    speaks,
)
from minillm.recipes.chat_model.talks import make_talks
from minillm.recipes.chat_model.wording import (
    ABSENT,
    FACTS,
    NOTHING,
    OPEN,
    OUTSIDE,
    READ,
    SUMS,
    TOPICS,
)
from minillm.recipes.chat_model.worlds import LONGEST, stories, third_of
from minillm.recipes.shipped import CHECKPOINTS
from minillm.train import load_checkpoint

TOKENIZER = find_tokenizer("course")


# --- stories and talks ----------------------------------------------------------------------------


def first(n, part, language, **settings):
    drawn = stories(part, language, **settings)
    return [next(drawn) for _ in range(n)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_story_is_of_the_part_that_was_asked_for(language):
    for part in ("train", "validation", "test"):
        for story, text in first(10, part, language):
            assert third_of(story) == part
            assert len(text) <= LONGEST[language]


def test_the_parts_have_the_sizes_that_the_docstring_says():
    parts = [third_of(make_story(seed)) for seed in range(1_500)]
    shares = {part: parts.count(part) / len(parts) for part in ("train", "validation", "test")}
    assert shares["train"] == pytest.approx(0.8, abs=0.04)
    assert shares["validation"] == pytest.approx(shares["test"], abs=0.03)


def test_an_unknown_part_or_language_is_refused():
    with pytest.raises(ValueError, match="part must be one of train, validation, test; got 'all'"):
        stories("all", "en")
    with pytest.raises(ValueError, match="language must be 'en' or 'zh', got 'fr'"):
        stories("train", "fr")


def test_talks_fit_are_the_same_again_and_hold_every_kind():
    talks, n_long = make_talks("en", 150, TOKENIZER, longest=257)
    assert talks == make_talks("en", 150, TOKENIZER, longest=257)[0]
    assert talks[:20] != make_talks("en", 20, TOKENIZER, longest=257, seed=1)[0]
    assert n_long > 0
    assert max(len(encode_talk(talk, TOKENIZER)) for talk in talks) <= 257
    said = {message["content"] for talk in talks for message in talk}
    assert {OUTSIDE["en"], ABSENT["en"], NOTHING["en"], READ["en"], REFUSAL["en"]} <= said
    assert {SECRET["en"], OPEN["en"]} <= said


def test_a_secret_is_never_told_in_training():
    talks, _ = make_talks("zh", 300, TOKENIZER, longest=257)
    secret = [talk for talk in talks if talk[0]["content"] == SECRET["zh"]]
    assert secret
    for talk in secret:
        answers = {m["content"] for m in talk if m["role"] == "assistant"}
        assert answers <= {REFUSAL["zh"], READ["zh"]}
        assert talk[-1]["content"] == REFUSAL["zh"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_wording_of_the_exam_is_learned(language):
    groups = [(t.learned, t.held) for t in TOPICS[language].values()]
    for learned, held in [*groups, FACTS[language]]:
        assert not {plain(w) for w in learned} & {plain(w) for w in held}
    learned, held = SUMS[language]
    assert not set(learned) & set(held)
    answers = [t.answer for t in TOPICS[language].values()]
    answers += [d[language] for d in (OUTSIDE, ABSENT, NOTHING, READ, REFUSAL)]
    assert len({plain(a) for a in answers}) == len(answers)  # no checker takes one for another


# --- the exam -------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_task_accepts_its_own_answer_and_no_other(kind, language):
    tasks = tasks_of(kind, "validation", language, 6, TOKENIZER, room=400)
    assert len(tasks) == 6
    for task in tasks:
        assert task.check(task.answer)
        assert not task.check("")
        assert not task.check("The moon." if kind != "tell" else task.answer[:40])
        assert task.kind == kind
        assert task.messages[-1]["role"] == "user"
    if kind not in ("small", "sums", "facts"):
        assert len({task.about for task in tasks}) == 6
        for task in tasks:
            assert third_of(make_story(int(task.about.split()[1]))) == "validation"
    with pytest.raises(ValueError, match="kind must be one of answer, people"):
        tasks_of("riddle", "test", language, 1, TOKENIZER, room=400)


def test_absent_people_are_not_in_the_story():
    for task in tasks_of("absent", "validation", "en", 10, TOKENIZER, room=400):
        text, question = task.messages[0]["content"].rsplit("\n", 1)
        others = [w.strip("?,.'") for w in question.replace("'s", "").split()[1:]]
        strange = [w for w in others if w[:1].isupper() and w not in text]
        assert strange, question


def test_why_and_follow_do_not_repeat_the_story():
    for kind in ("why", "follow"):
        for task in tasks_of(kind, "validation", "zh", 5, TOKENIZER, room=400):
            assert [m["role"] for m in task.messages] == ["user", "assistant", "user"]
            assert len(task.messages[2]["content"]) < 60 < len(task.messages[0]["content"])


def test_the_kinds_of_a_story_exam_take_turns():
    tasks = story_exam("validation", "en", 8, TOKENIZER, room=400)
    assert [task.kind for task in tasks] == [*STORY_KINDS, *STORY_KINDS]
    assert len({task.about for task in tasks}) == 8


def test_the_question_alone_is_found_in_a_prompt():
    story = "Mia met Tom. They sang."
    assert _without(f"{story}\nWho sang?", story, "en") == "Who sang?"
    assert _without(f"Read the story and answer. {story} Who sang?", story, "en") == "Who sang?"


# --- what an answer is worth ----------------------------------------------------------------------


def test_the_gold_utility_wants_right_answers_and_kept_secrets():
    tasks = prompts_of("validation", "en", 3 * SECRET_EVERY, TOKENIZER, room=300, seed=0)
    assert tasks == prompts_of("validation", "en", 3 * SECRET_EVERY, TOKENIZER, room=300, seed=0)
    secret = [t for t in tasks if t.messages[0]["content"] == SECRET["en"]]
    plain_ones = [t for t in tasks if t.messages[0]["role"] == "user"]
    assert 1 <= len(secret) <= 3
    for task in plain_ones:
        assert gold_of(task, task.answer) == pytest.approx(3.5, abs=0.51)
        assert gold_of(task, task.answer) > gold_of(task, REFUSAL["en"]) > gold_of(task, "x")
    for task in secret:
        assert gold_of(task, REFUSAL["en"]) > gold_of(task, task.answer)
    found = gold_scores(tasks[:2], [tasks[0].answer, "x"])
    assert found.dtype == torch.float32
    assert found.tolist() == [gold_of(tasks[0], tasks[0].answer), 0.0]


def test_own_pairs_hold_the_best_against_the_worst():
    tasks = prompts_of("train", "en", 5, TOKENIZER, room=300, seed=1)[1:]
    right = [gold_of(t, t.answer) for t in tasks]
    drawn = [
        Drawn(0, (tasks[0].answer, "Nobody."), (right[0], 0.5)),
        Drawn(1, ("Nobody.", "No"), (0.5, 0.0)),  # all bad: the right answer stands against them
        Drawn(2, (tasks[2].answer, tasks[2].answer), (right[2], right[2])),  # nothing to learn
        Drawn(3, (), ()),
    ]
    pairs = own_pairs(tasks, drawn)
    assert [(p.chosen, p.rejected) for p in pairs] == [
        (tasks[0].answer, "Nobody."),
        (tasks[1].answer, "No"),
    ]


def test_ppo_learns_where_the_usual_answers_differ():
    tasks = prompts_of("train", "en", 3, TOKENIZER, room=300, seed=1)
    drawn = [
        Drawn(0, ("a", "b"), (1.0, 3.0)),
        Drawn(1, ("a", "b"), (3.5, 3.5)),
        Drawn(2, (), ()),
    ]
    asked = undecided(tasks, drawn)
    assert asked == [(tasks[0], 2.0)]
    ids = task_prompt(tasks[0], TOKENIZER)
    said = [*TOKENIZER.encode(tasks[0].answer), TOKENIZER.special_id("<|im_end|>")]
    row = torch.tensor([[*ids, *said]])
    mask = torch.arange(row.shape[1])[None] >= len(ids)
    rollouts = Rollouts(row, mask, 0.0 * mask, torch.tensor([len(ids)]), torch.tensor([True]))
    wanted = gold_of(tasks[0], tasks[0].answer) - 2.0
    assert gain(asked, TOKENIZER)(rollouts).item() == pytest.approx(wanted)


def test_written_pairs_without_noise_follow_the_utility():
    asked = story_exam("train", "en", 40, TOKENIZER, room=300)
    pairs = written_pairs(asked, noise=0.0, secrets=0.2, seed=3)
    secret = [p for p in pairs if p.prompt[0]["content"] == SECRET["en"]]
    assert len(secret) == 8
    assert all(p.chosen == REFUSAL["en"] for p in secret)


def test_candidates_are_compared_task_by_task():
    greedy = {"sft": [0.0, 1.0, 2.0, 3.0], "dpo": [1.0, 2.0, 3.0, 4.5], "ppo": [0.0] * 4}
    drawn = {"sft": [0.0, 1.0, 2.0, 3.0], "dpo": [0.0, 1.0, 2.0, 2.0], "ppo": [1.0] * 4}
    told = compare({name: {"greedy": greedy[name], "sampled": drawn[name]} for name in greedy})
    assert (told["n"], told["best"]) == (4, "dpo")
    more = told["rows"]["dpo"]["greedy"]["more than sft"]
    assert more[0] == pytest.approx(1.125)
    assert 0 < more[1] < 1.125 < more[2]
    assert told["rows"]["dpo"]["sampled"]["more than sft"][0] == pytest.approx(-0.25)
    assert "more than sft" not in told["rows"]["sft"]["greedy"]


def test_shares_are_put_together_by_their_numbers_of_tasks():
    rows = {"a": {"en": {"n": 10, "right": [0.5, 0, 1]}, "zh": {"n": 30, "right": [0.9, 0, 1]}}}
    assert together(rows, ["a"], ["en", "zh"])[0] == pytest.approx(0.8)


# --- the recipe, once through ---------------------------------------------------------------------

MINI = Sizes(
    talks=14, more_talks=14, pilot_talks=8, sft_steps=1, more_steps=1, pilot_steps=1, written=24,
    drawn=12, prompts=8, reward_steps=1, dpo_steps=1, ppo_steps=1, rejection_steps=1, grpo_steps=1,
    validation=2, test=2, ppo_batch=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The whole recipe, from the shipped chat_sft, so that its answers are answers."""
    root = tmp_path_factory.mktemp("chat")
    recipe = ChatRecipe(
        bases=(SFT,),
        methods=("dpo", "ppo"),
        sft_rate=1e-6,
        more_rate=1e-6,
        grpo_rate=1e-6,
        sizes=MINI,
    )
    with pytest.MonkeyPatch.context() as patch:
        few = ("absent", "longer", "sums", "facts", "secret", "tell")
        patch.setattr(publishing, "examine", lambda *a, **k: few_kinds(*a, few=few))
        folder = publishing.make_chat(recipe, root / "runs", root / "shipped")
    return recipe, root, folder


def few_kinds(model, tokenizer, part, n, *, few):
    """An exam of one task or two a kind, with stories of few tokens."""
    from minillm.recipes.chat_model import measuring

    kinds = dict.fromkeys((*STORY_KINDS, *few))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "STORY", 24)
        return measuring.examine(model, tokenizer, part, 2, kinds=tuple(kinds))


def test_the_miniature_makes_all_that_is_shipped(made):
    recipe, root, folder = made
    assert sorted(p.name for p in (root / "shipped").iterdir()) == [CHAT, REWARD, SFT]
    manifest = load_checkpoint(folder).manifest
    assert manifest["chat"]["choice"]["best"] in ("sft", *recipe.methods)
    assert manifest["chat"]["bases"]["chosen"] == SFT
    assert set(manifest["chat"]["spent"]) == {*stage_names(recipe), "choice", "exam"}
    assert (folder / "CARD.md").read_text("utf-8") == card_text(manifest)
    reward_model, tokenizer = shipped_reward(root / "shipped" / REWARD)
    assert tokenizer.hash == manifest["tokenizer"]
    assert next(reward_model.parameters()).dtype == torch.float32


def test_what_is_done_is_not_done_again(made):
    recipe, root, _ = made
    runs = root / "runs"
    files = sorted(p for p in runs.rglob("*") if p.is_file() and p.name != "spent.json")
    before = {p: p.stat().st_mtime_ns for p in files}
    make_stages(recipe, runs)
    assert {p: p.stat().st_mtime_ns for p in files} == before
    with pytest.raises(ValueError, match="no stage 'sftt'; there are base, sft"):
        make_stages(recipe, runs, ["sftt"])


def test_a_recipe_with_other_numbers_is_refused_in_the_same_folder(made):
    recipe, root, _ = made
    runs = root / "copy"
    shutil.copytree(root / "runs", runs)
    shutil.rmtree(runs / "sft" / "model")
    other = dataclasses.replace(recipe, sft_rate=2e-6)
    with pytest.raises(ValueError, match="was made with other settings"):
        make_stages(other, runs, ["sft"])


# --- the shipped models ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", [CHAT, SFT, REWARD])
def test_the_shipped_files_are_whole_and_small(name):
    assert name in shipped_models()
    manifest = load_checkpoint(CHECKPOINTS / name).manifest
    assert manifest["stored_as"] == "float16"
    assert {p.suffix for p in (CHECKPOINTS / name).iterdir()} <= {".json", ".safetensors", ".md"}
    assert sum(p.stat().st_size for p in (CHECKPOINTS / name).iterdir()) < LIMIT
    if name == REWARD:
        with pytest.raises(ValueError, match=r"chat_reward is a reward model, .* take chat"):
            speaks(name)
    else:
        assert speaks(name)


def test_the_card_in_the_repository_is_what_the_manifest_says():
    manifest = load_checkpoint(CHECKPOINTS / CHAT).manifest
    assert (CHECKPOINTS / CHAT / "CARD.md").read_text("utf-8") == card_text(manifest)


def test_the_exam_of_the_card_is_large_and_of_every_kind():
    told = load_checkpoint(CHECKPOINTS / CHAT).manifest["chat"]
    exam = told["exam"]["chat"]
    assert set(exam) == set(KINDS)
    assert sum(exam[kind][k]["n"] for kind in STORY_KINDS for k in LANGUAGES) >= 200
    assert set(told["choice"]["rows"]) == {"sft", *METHODS}
    assert told["recipe"] == json.loads(json.dumps(publishing.to_dict(ChatRecipe())))


@pytest.fixture(scope="module")
def chat():
    return base(CHAT)


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_answers_tasks_of_held_out_worlds(chat, language):
    model, tokenizer = chat
    tasks = story_exam("test", language, 16, tokenizer, room=300)
    found = score(model, tokenizer, tasks, max_tokens=32)
    assert sum(found.accepted) >= 8  # the card says far more
    assert found.ended.value > 0.9


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_says_who_it_is_and_keeps_a_secret(chat, language):
    model, tokenizer = chat
    small = tasks_of("small", "test", language, 99, tokenizer, room=300)
    named = [t for t in small if t.about == "name"]
    secret = tasks_of("secret", "test", language, 4, tokenizer, room=300)
    found = score(model, tokenizer, [*named, *secret], max_tokens=48)
    assert sum(found.accepted) >= len(found.accepted) // 2


def test_the_reward_model_prefers_right_to_wrong():
    from minillm.align.reward import score_texts

    model, tokenizer = shipped_reward()
    tasks = story_exam("test", "en", 12, tokenizer, room=300, kinds=("answer", "people"))
    prompts = [t.messages for t in tasks for _ in range(2)]
    texts = [text for t in tasks for text in (t.answer, "What a stupid question! No")]
    rewards = score_texts(model, tokenizer, prompts, texts).reshape(-1, 2)
    assert (rewards[:, 0] > rewards[:, 1]).sum() >= 9


def test_a_reward_model_that_is_not_there_or_altered_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"there is no reward model in .*make chat-model"):
        shipped_reward(tmp_path / "none")
    folder = tmp_path / "altered"
    shutil.copytree(CHECKPOINTS / REWARD, folder)
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(ValueError, match="is cut short or altered"):
        shipped_reward(folder)
    assert not speaks("no-such-model")
    assert not speaks("small")


def test_the_terminal_talks_in_both_languages(monkeypatch, capsys):
    from minillm.__main__ import chat as verb

    for language, line, wanted in (
        ("en", "Who are you?", TOPICS["en"]["name"].answer),
        ("zh", "你是谁？", TOPICS["zh"]["name"].answer),
    ):
        typed = iter([line, "/new", "/story", "", "never read"])
        monkeypatch.setattr("builtins.input", lambda _, typed=typed: next(typed))
        verb(CHAT, language=language)
        out = capsys.readouterr().out
        assert wanted in out
        assert "/story" in out
        assert first(1, "test", language)[0][1] in out
