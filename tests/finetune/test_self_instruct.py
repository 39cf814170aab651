"""The whole pipeline, offline: steps, a kill at any moment, reports, and our own model in it."""

import json
import random
from collections import Counter

import pytest
import torch

from minillm.evaluate.overlap import rouge_l, words_of_any_script
from minillm.finetune.instruct_answers import instance_request
from minillm.finetune.instruct_filter import RELEASED, FilterConfig
from minillm.finetune.instruct_generate import (
    Answer,
    Request,
    ask,
    cut_at_stop,
    from_model,
    one_by_one,
)
from minillm.finetune.instruct_growth import judge, list_request, show
from minillm.finetune.instruct_journal import Journal, JournalError, claim_folder
from minillm.finetune.instruct_pool import InstructionPool
from minillm.finetune.instruct_prompts import HEADS
from minillm.finetune.instruct_report import (
    count_instance_reasons,
    count_reasons,
    distinct,
    growth,
    label_entropy,
    novelty,
)
from minillm.finetune.instruct_settings import PromptConfig, SelfInstructConfig
from minillm.finetune.instruct_tasks import read_tasks, seed_tasks
from minillm.finetune.instruct_toy import SKILLS, ToyGenerator, find_skill, is_right
from minillm.finetune.self_instruct import self_instruct
from minillm.model import Decoder
from minillm.recipes.runs import decoder
from minillm.tokenizer import course_tokenizer

SEEDS = seed_tasks()
SMALL = SelfInstructConfig(n_instructions=14, n_calls=2)
TOY = ToyGenerator(unclean=0.3)
PROMPTS = PromptConfig()
FILES = ("instructions", "kinds", "instances", "tasks", "rows")


def files(folder):
    return {name: (folder / f"{name}.jsonl").read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, self_instruct(TOY, SEEDS, folder, SMALL, progress=False)


# --- step 1


def test_six_and_two():
    """SIN-002: six seeds and two generated; at first, and while there are too few, more seeds."""
    seeds, new = [f"s{i}" for i in range(175)], [f"g{i}" for i in range(30)]
    for n, expected in ((0, 0), (1, 1), (2, 2), (30, 2)):
        counts = Counter()
        for k in range(40):
            shown = show(seeds, new[:n], PROMPTS, random.Random(k))
            assert len(shown) == len(set(shown)) == 8
            counts[sum(text[0] == "g" for text in shown)] += 1
        assert set(counts) == {expected}
    first = {show(seeds, new, PROMPTS, random.Random(k))[0][0] for k in range(40)}
    assert first == {"s", "g"}  # shuffled
    assert show(seeds, new, PROMPTS, random.Random(1)) == show(
        seeds, new, PROMPTS, random.Random(1)
    )


def test_a_list_request():
    request = list_request(["Name a fish."] * 8, SMALL, 5)
    assert request.prompt.endswith("\n9.")
    assert request.stop == ("\n\n", "\n16.")  # seven new ones, as in the released code
    assert request.seed == 5
    task = SelfInstructConfig(prompts=PromptConfig(numbering="task", n_new=2))
    assert list_request(["Name a fish."], task, 0).stop == ("\n\n", "\nTask 4:")


def test_judge():
    pool = InstructionPool(["Name four birds of the forest.", "甲乙丙丁戊。"])
    text = (
        " name four birds of the FOREST!\n10. Draw a map of it.\n11. 甲乙丙丁己。\n12. Too short."
    )
    found = judge([Answer(text)], pool, SMALL)
    assert [d["reason"] for d in found["dropped"]] == [
        "similar",
        "keyword: map",
        "similar",
        "short",
    ]
    assert found["dropped"][0]["nearest"] == "Name four birds of the forest."
    assert found["dropped"][0]["f1"] == 1.0
    assert found["kept"] == []
    assert found["n_cut"] == 0
    again = judge([Answer(" Count the old boats.\n10. Count the old boats.")], pool, SMALL)
    assert [k["instruction"] for k in again["kept"]] == ["Count the old boats."]
    assert [d["reason"] for d in again["dropped"]] == ["similar"]  # of its own list
    assert len(pool) == 3


def test_exactly_at_the_threshold_stays():
    """SIN-003: 2 x 7 / 20."""
    words = [f"w{i}" for i in range(13)]
    long, short = " ".join(words), " ".join(words[:7])
    assert rouge_l(long, short).f1 == 0.7
    assert len(judge([Answer(short)], InstructionPool([long]), SMALL)["kept"]) == 1
    eight = " ".join(words[:8])
    assert judge([Answer(eight)], InstructionPool([long]), SMALL)["kept"] == []


def test_a_list_that_was_cut():
    cut = Answer(" Count the old boats.\n10. Tell me when the bells ring.\n11. Sing wi", False)
    assert judge([cut], InstructionPool(), SMALL)["kept"] == []
    last = SelfInstructConfig(cut="last")
    found = judge([cut], InstructionPool(), last)
    assert [k["instruction"] for k in found["kept"]] == [
        "Count the old boats.",
        "Tell me when the bells ring.",
    ]
    assert found["n_cut"] == 1


# --- step 3


@pytest.mark.parametrize("is_class", [True, False])
def test_the_examples_are_of_the_kind_that_is_asked_for(is_class):
    request = instance_request("Name a bird.", is_class, SEEDS, SMALL)
    assert request.prompt.startswith(HEADS["output" if is_class else "input"])
    assert request.prompt.endswith("\n\nTask: Name a bird.\n")
    assert ("Class label:" in request.prompt) == is_class
    kind = {task.instruction: task.is_classification for task in SEEDS}
    blocks = request.prompt.split("\n\nTask: ")[1:-1]
    shown = [next(text for text in kind if b.startswith(text + "\n")) for b in blocks]
    assert len(set(shown)) == 8
    assert {kind[text] for text in shown} == {is_class}
    assert request.stop == ("\nTask:", "\nExample 6")


# --- the whole of it


def test_what_comes_out(whole):
    folder, run = whole
    assert len(run.instructions) >= 14
    pool = InstructionPool(task.instruction for task in SEEDS)
    for text in run.instructions:
        assert pool.nearest(text).f1 <= 0.7
        pool.add(text)
    assert {task.instruction for task in run.tasks} <= set(run.instructions)
    assert read_tasks(folder / "tasks.jsonl") == run.tasks
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text("utf-8").splitlines()]
    assert [row["messages"][1]["content"] for row in rows] == [t.output for t in run.tasks]
    assert max(Counter(t.instruction for t in run.tasks).values()) <= 5
    assert {task.is_classification for task in run.tasks} == {True, False}
    for task in run.tasks:
        known = find_skill(task.instruction)
        assert known is None or task.is_classification == bool(known[0].labels)


def test_the_first_round_shows_seeds_only(whole):
    _, run = whole
    seeds = {task.instruction for task in SEEDS}
    assert all(set(shown) <= seeds for shown in run.rounds[0]["shown"])
    assert any(set(shown) - seeds for shown in run.rounds[1]["shown"])
    for shown in run.rounds[-1]["shown"]:
        assert len(set(shown) - seeds) == 2


def test_what_the_toy_does_comes_through(whole):
    _, run = whole
    right = [is_right(t.instruction, t.input, t.output) for t in run.tasks]
    known = [r for r in right if r is not None]
    assert len(known) > 15
    assert 0.7 < sum(known) / len(known) < 1  # 0.9 was asked for
    labels = Counter(t.output for t in run.tasks if t.is_classification)
    assert label_entropy(labels.elements()) > 0.9


@pytest.mark.parametrize("share", [0.0, 0.45, 0.7, 0.97])
def test_a_run_that_was_killed_goes_on(whole, tmp_path, share):
    """Cut all files of a run at a moment, in the middle of a line, and start it again."""
    folder, _ = whole
    written = files(folder)
    journals = FILES[:3]
    left = int(share * sum(len(written[name]) for name in journals))
    (tmp_path / "settings.json").write_bytes((folder / "settings.json").read_bytes())
    for name in journals:
        piece = written[name][: max(left, 0)]
        left -= len(written[name])
        if piece:
            (tmp_path / f"{name}.jsonl").write_bytes(piece)
    asked = []

    def counting(requests):
        asked.extend(requests)
        return TOY(requests)

    again = self_instruct(counting, SEEDS, tmp_path, SMALL, progress=False)
    assert files(tmp_path) == written
    assert again.tasks == whole[1].tasks
    n = len(whole[1].instructions)
    n_everything = 2 * len(whole[1].rounds) + 2 * n
    assert len(asked) == n_everything if share == 0 else len(asked) < n_everything


def test_a_finished_run_asks_nothing(whole):
    folder, run = whole

    def silent(requests):
        raise AssertionError("asked again")

    assert self_instruct(silent, SEEDS, folder, SMALL, progress=False) == run


def test_a_killed_generator_loses_one_round_at_most(tmp_path):
    calls = []

    def dying(requests):
        calls.append(len(requests))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return TOY(requests)

    with pytest.raises(KeyboardInterrupt):
        self_instruct(dying, SEEDS, tmp_path, SMALL, progress=False)
    assert len((tmp_path / "instructions.jsonl").read_text("utf-8").splitlines()) == 1
    assert not (tmp_path / "tasks.jsonl").exists()


def test_other_settings_need_another_folder(whole):
    folder, _ = whole
    toy = ToyGenerator()
    calls = SelfInstructConfig(n_instructions=14, n_calls=4)
    rules = SelfInstructConfig(n_instructions=14, n_calls=2, filter=RELEASED)
    with pytest.raises(JournalError, match="n_calls=2, not 4"):
        self_instruct(toy, SEEDS, folder, calls, progress=False)
    with pytest.raises(JournalError, match="filter"):
        self_instruct(toy, SEEDS, folder, rules, progress=False)
    with pytest.raises(JournalError, match="seeds_sha256"):
        self_instruct(toy, SEEDS[1:], folder, SMALL, progress=False)
    with pytest.raises(JournalError, match="generator"):
        self_instruct(toy, SEEDS, folder, SMALL, generator="tiny", progress=False)


def test_it_ends_when_nothing_new_comes(tmp_path):
    config = SelfInstructConfig(n_calls=2, max_rounds=3)
    run = self_instruct(
        lambda rs: [Answer("") for _ in rs], SEEDS, tmp_path, config, progress=False
    )
    assert len(run.rounds) == 3
    shown = [tuple(texts) for record in run.rounds for texts in record["shown"]]
    assert len(set(shown)) == len(shown) == 6  # other dice for each
    assert run.tasks == []


def test_progress_is_shown(tmp_path, capsys):
    config = SelfInstructConfig(n_instructions=1, n_calls=1)
    self_instruct(ToyGenerator(), SEEDS, tmp_path, config)
    shown = capsys.readouterr().err
    assert all(word in shown for word in ("instructions", "kinds", "instances"))


def test_bad_seeds_and_settings(tmp_path):
    toy, other = ToyGenerator(), [task for task in SEEDS if not task.is_classification]
    with pytest.raises(ValueError, match="8 instructions and there are 3 seeds"):
        self_instruct(toy, SEEDS[:3], tmp_path, SMALL)
    with pytest.raises(ValueError, match="0 of 149 seeds are classification"):
        self_instruct(toy, other, tmp_path, SMALL)
    for change, match in (
        ({"n_calls": 0}, "n_calls must be at least 1"),
        ({"temperature": -1.0}, "temperature >= 0"),
        ({"top_p": 0.0}, "top_p <= 1"),
        ({"cut": "some"}, "'all' or 'last'"),
    ):
        with pytest.raises(ValueError, match=match):
            SelfInstructConfig(**change)
    for change, match in (
        ({"n_seeds": 0}, "n_seeds >= 1"),
        ({"n_kind": (0, 3)}, "must be at least 1"),
        ({"numbering": "roman"}, "numbering must be"),
    ):
        with pytest.raises(ValueError, match=match):
            PromptConfig(**change)
    with pytest.raises(ValueError, match="bias must lie in 0 to 1"):
        ToyGenerator(bias=1.5)


# --- the journal


def test_a_torn_line_is_taken_off(tmp_path):
    path = tmp_path / "j.jsonl"
    Journal(path).append({"a": "中"})
    path.write_bytes(path.read_bytes() + b'{"b": 1}')  # whole, but its newline is missing
    journal = Journal(path)
    assert journal.records == [{"a": "中"}]
    journal.append({"c": 2})
    assert [json.loads(line) for line in path.read_text("utf-8").splitlines()] == journal.records


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "j.jsonl"
    path.write_text('{"a": 1}\nxx\n')
    with pytest.raises(JournalError, match="line 2: not a record"):
        Journal(path)


def test_a_folder_is_claimed_once(tmp_path):
    folder = claim_folder(tmp_path / "run", {"a": (1, 2)})
    assert claim_folder(folder, {"a": (1, 2)}) == folder
    with pytest.raises(JournalError, match="b=None, not 1"):
        claim_folder(folder, {"a": (1, 2), "b": 1})


# --- generators


def test_stops():
    assert cut_at_stop("a\nb\n\nc", ("\n\n", "\n")) == ("a", True)
    assert cut_at_stop("abc", ("x", "")) == ("abc", False)
    request = Request("kind", "p", ("\n",))
    assert ask(lambda rs: [Answer("Yes\nNo", False)], [request]) == [Answer("Yes", True)]
    assert ask(lambda rs: [Answer("Yes", False)], [request]) == [Answer("Yes", False)]
    with pytest.raises(ValueError, match="1 requests got 0 answers"):
        ask(lambda rs: [], [request])
    assert one_by_one(lambda prompt: prompt + "\nmore")([request]) == [Answer("p", True)]


def test_our_own_model_can_be_the_generator():
    tokenizer = course_tokenizer()
    torch.manual_seed(0)
    model = Decoder(decoder(6_144, d_model=16, n_layers=1, n_heads=2, context=24)).eval()
    generate = from_model(model, tokenizer)
    request = Request("instructions", "Name a", max_tokens=6, temperature=1.0, seed=3)
    (answer,) = generate([request])
    assert [answer] == generate([request]) != generate([Request(**vars(request) | {"seed": 4})])
    assert not answer.finished
    assert 0 < len(tokenizer.encode(answer.text)) <= 20
    stop = answer.text[2:4]
    (short,) = generate([Request(**vars(request) | {"stop": (stop,)})])
    assert short == Answer(answer.text.partition(stop)[0], True)
    (full,) = generate([Request("kind", "Name a", max_tokens=500, temperature=0.0)])
    assert not full.finished  # the context ended it
    with pytest.raises(ValueError, match="fills the context of 24"):
        generate([Request("kind", "word " * 40)])


# --- the toy, and the reports


def test_the_toy_knows_its_own_instructions():
    dice = random.Random(0)
    for skill in SKILLS:
        for _ in range(20):
            slots = {name: dice.choice(values) for name, values in skill.slots.items()}
            text = skill.wording.format(**slots)
            assert find_skill(text) == (skill, slots)
            for label in skill.labels or ("",):
                given = skill.make(dice, slots, label)
                assert is_right(text, given, skill.solve(given, slots)) is True
                assert is_right(text, given, "nonsense") is False
                assert not label or skill.solve(given, slots) == label
    assert find_skill("Name a fish.") is None
    assert is_right("Name a fish.", "", "trout") is None


def test_label_first_balances_what_input_first_does_not():
    """SIN-009, of the toy: what its bias says is what is seen."""
    text = "Tell me whether the number is odd or even."
    counts = {}
    for head in ("input", "output"):
        labels = []
        for seed in range(60):
            request = Request("instances", f"{HEADS[head]}\n\nTask: {text}\n", seed=seed)
            (answer,) = ToyGenerator(wrong=0.0)([request])
            name = "Output: " if head == "input" else "Class label: "
            labels += [x[len(name) :] for x in answer.text.split("\n") if x.startswith(name)]
        counts[head] = Counter(labels)
        assert set(labels) == {"even", "odd"}
    assert counts["output"]["even"] == counts["output"]["odd"] == 60
    share = counts["input"]["even"] / counts["input"].total()
    assert 0.8 < share < 0.98


def test_the_toy_can_be_spotless():
    clean = ToyGenerator(copies=0.0, unclean=0.0, wrong=0.0)
    (answer,) = clean([list_request([t.instruction for t in SEEDS[:8]], SMALL, 1)])
    lines = answer.text.strip().split("\n")
    assert [line.partition(" ")[0] for line in lines[1:]] == [f"{n}." for n in range(10, 16)]
    assert find_skill(lines[0]) is not None
    task = SelfInstructConfig(prompts=PromptConfig(numbering="task"))
    (other,) = clean([list_request([t.instruction for t in SEEDS[:8]], task, 1)])
    assert other.text.split("\n")[1].startswith("Task 10: ")


def test_reports(whole):
    _, run = whole
    grown = growth(run.rounds)
    assert [g.calls for g in grown] == [2 * (k + 1) for k in range(len(grown))]
    assert grown[-1].size == len(run.instructions)
    assert all(g.rate == g.kept / g.candidates for g in grown)
    reasons = count_reasons(run.rounds)
    assert reasons.total() == sum(g.candidates - g.kept for g in grown)
    assert reasons["similar"]
    assert reasons["keyword"]
    assert "keyword: map" not in reasons
    scores = novelty(run.instructions, [task.instruction for task in SEEDS])
    assert len(scores) == len(run.instructions)
    assert 0 < max(scores) <= 0.7
    instances = count_instance_reasons(run.instances)
    assert all(n > 0 for n in instances.values())
    nothing = [{"tasks": [{"instances": [], "dropped": {}}, {"instances": [1], "dropped": {}}]}]
    assert count_instance_reasons(nothing) == {"none": 1}


def test_distinct_and_entropy():
    assert distinct(["a b a b"], 2) == pytest.approx(2 / 3)
    assert distinct(["a b", "a b"], 2) == 0.5
    assert distinct(["a", ""], 2) == 0.0
    assert distinct(["a A"], 1, split=words_of_any_script) == 0.5
    with pytest.raises(ValueError, match="n must be at least 1"):
        distinct(["a"], 0)
    assert label_entropy("aabb") == 1.0
    assert label_entropy("aaaa") == label_entropy("") == 0.0
    assert label_entropy("aab") == pytest.approx(0.9182958)


def test_a_lower_threshold_keeps_more_varied_instructions(tmp_path):
    """What the filter is for: of equally many instructions, more word pairs are different."""
    varied = {}
    for threshold in (0.5, 1.0):
        config = SelfInstructConfig(
            n_instructions=12, n_calls=1, filter=FilterConfig(threshold=threshold)
        )
        run = self_instruct(
            ToyGenerator(unclean=0.0), SEEDS, tmp_path / str(threshold), config, progress=False
        )
        varied[threshold] = distinct(run.instructions[:12])
        calls = growth(run.rounds)[-1].calls
        varied["calls", threshold] = calls
    assert varied[0.5] > varied[1.0]
    assert varied["calls", 0.5] > varied["calls", 1.0]
