"""`align` on one process: four methods, bad rows told, stopped, gone on with, opened again."""

import json
from functools import cache

import pytest
import torch
from typer.testing import CliRunner

from minillm.__main__ import app
from minillm.align import Pair, RewardError, RewardModel, reward_objective, score_texts
from minillm.finetune import tasks as finetune_tasks
from minillm.finetune.rows import read_rows
from minillm.model import Decoder
from minillm.recipes import from_dict, open_model, override, tokens
from minillm.recipes.aligning import (
    ALIGNS,
    AlignRun,
    MaterialConfig,
    draw_runs,
    execute_align,
    execution,
    find_align,
    open_aligned,
    open_reward,
    pair_runs,
)
from minillm.recipes.aligning.material import BadRowsError, prepare_material
from minillm.recipes.aligning.opening import open_start
from minillm.recipes.aligning.scorers import gold_scores, make_reward, make_score, on_rollouts
from minillm.recipes.finetuning.talk import talk
from minillm.tokenizer import Tokenizer
from minillm.train import NotFiniteError, has_checkpoint, load_checkpoint, read_metrics
from tests.recipes.aligning_base import METHODS, SMALL, small, write_bad_pairs
from tests.recipes.tuning_base import write_bad_talks

WITH_STEPS = ("reward", "dpo", "ppo")
STORY = ("data.rows=storyworld", "data.n_rows=8", "data.n_held_out=3", "train.context=128")


@pytest.fixture(scope="module", autouse=True)
def remembered():
    """The tokenizer is read and each story made once for this file, not anew by every run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "course_tokenizer", cache(tokens.course_tokenizer))
        patch.setattr(finetune_tasks, "make_story", cache(finetune_tasks.make_story))
        patch.setattr(Tokenizer, "hash", property(cache(Tokenizer.hash.fget)))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("aligning")


@pytest.fixture(scope="module")
def done(folder):
    """Each method once, to its end; ppo and rejection by the reward model of the first."""
    for method in METHODS:
        execute_align(small(method, folder), folder / method, progress=False)
    return folder


def records(out):
    """The numbers of each step that do not tell of time."""
    names = ("loss", "grad_norm", "score", "kl", "value_loss")
    rows = read_metrics(out / "metrics.jsonl")
    return [[r[name] for name in names if name in r] for r in rows if "grad_norm" in r]


def weights(out):
    place = load_checkpoint(out / "model").folder / "model.safetensors"
    return place.read_bytes()


@pytest.mark.parametrize("method", METHODS)
def test_a_run_writes_what_it_says(done, method):
    out = done / method
    run = from_dict(json.loads((out / "align.json").read_text()), AlignRun)
    assert run == small(method, done)
    manifest = load_checkpoint(out / "model").manifest
    assert from_dict(manifest["align"], AlignRun) == run
    assert (out / "rounds").is_dir() == (method == "rejection")
    assert has_checkpoint(out / "last") == (method != "rejection")
    report = (out / "rows.txt").read_text()
    if method in ("reward", "dpo"):
        assert "pairs.jsonl: 20 of 20 lines are preferences, 0 are not" in report
        assert "18 pairs to learn from, 2 for validation" in report
    else:
        assert "talks.jsonl: 24 of 24 lines are talks" in report
        assert "16 prompts to answer" in report
        assert "8 prompts leave no room for an answer and are passed over" in report
    if method in WITH_STEPS:
        assert len(records(out)) == 4


def test_the_first_loss_of_dpo_is_ln_2(done):
    assert records(done / "dpo")[0][0] == pytest.approx(0.6931472, abs=1e-6)


def test_what_is_opened_is_what_was_trained(done):
    start = open_start(small("dpo", done)).model
    ids = torch.arange(20)[None] * 50
    for method in ("dpo", "ppo", "rejection"):
        model, tokenizer = open_aligned(done / method)
        assert isinstance(model, Decoder)
        assert not model.training
        assert tokenizer.hash == open_start(small("dpo", done)).tokenizer.hash
        assert not torch.equal(model(ids), start(ids))
        again, _ = open_model(str(done / method / "model"))
        assert torch.equal(again(ids), model(ids))
    scorer, tokenizer = open_reward(done / "reward")
    assert isinstance(scorer, RewardModel)
    found = json.loads((done / "reward" / "score.json").read_text())["pairs"]
    pairs = prepare_material(small("reward", done), tokenizer).validation
    sides = [[getattr(p, side) for p in pairs] for side in ("chosen", "rejected")]
    good, bad = (score_texts(scorer, tokenizer, [p.prompt for p in pairs], s) for s in sides)
    assert found["accuracy"] == float((good > bad).double().mean())
    assert found["n"] == 2
    assert set(found["by_rating"]) == {str(p.rating) for p in pairs}


def test_one_run_starts_from_another(done):
    base = open_start(small("dpo", done, f"base={done / 'rejection'}"))
    assert base.tuned
    assert torch.equal(
        base.model.embedding.weight, open_aligned(done / "rejection")[0].embedding.weight
    )
    with pytest.raises(ValueError, match="is a reward model, which scores answers"):
        open_start(small("dpo", done, f"base={done / 'reward'}"))


class Kill(Exception):
    pass


@pytest.mark.parametrize("method", WITH_STEPS)
def test_killed_and_gone_on_with_is_the_undisturbed_run(done, method, tmp_path, monkeypatch):
    run = small(method, done)
    module = draw_runs if method == "ppo" else pair_runs
    real = module.checkpointer

    def killing(where, **kw):
        save = real(where, **kw)

        def save_and_die(model, optimizer, state):
            save(model, optimizer, state)
            raise Kill

        return save_and_die

    monkeypatch.setattr(module, "checkpointer", killing)
    with pytest.raises(Kill):
        execute_align(run, tmp_path / "out", progress=False)
    with pytest.raises(ValueError, match=r"has not come to its end; go on.*--resume"):
        (open_reward if method == "reward" else open_aligned)(tmp_path / "out")
    monkeypatch.setattr(module, "checkpointer", real)
    torch.manual_seed(99)  # whatever happens in between
    execute_align(run, tmp_path / "out", resume_run=True, progress=False)
    assert records(tmp_path / "out") == records(done / method)
    assert weights(tmp_path / "out") == weights(done / method)


def test_rejection_goes_on_too(done, tmp_path, monkeypatch):
    run = small("rejection", done)
    real, drawn = draw_runs.make_score, []

    def killing(*told):
        score = real(*told)

        def die_in_round_1(tasks, texts):
            drawn.append(len(texts))
            if len(drawn) == 2:
                raise Kill
            return score(tasks, texts)

        return die_in_round_1

    monkeypatch.setattr(draw_runs, "make_score", killing)
    with pytest.raises(Kill):
        execute_align(run, tmp_path / "out", progress=False)
    assert (tmp_path / "out" / "rounds" / "round-0.jsonl").is_file()
    torch.manual_seed(99)
    execute_align(run, tmp_path / "out", resume_run=True, progress=False)
    assert drawn == [48, 48, 48]  # the first round was not drawn again
    assert weights(tmp_path / "out") == weights(done / "rejection")


def test_what_rejection_kept_is_a_file_of_talks(done):
    tokenizer = open_start(small("rejection", done)).tokenizer
    found = read_rows(done / "rejection" / "rounds" / "round-0.jsonl", tokenizer)
    assert [bad.line for bad in found.bad] == [1]  # the report
    assert len(found.rows) > 8


def test_bad_rows_are_told_by_line_and_not_passed_over(done, tmp_path, capsys):
    run = small("dpo", done, f"data.rows={write_bad_pairs(tmp_path / 'bad.jsonl')}")
    with pytest.raises(BadRowsError, match=r"4 bad rows in 8 lines .*data.bad_rows=skip") as told:
        execute_align(run, tmp_path / "out")
    printed = capsys.readouterr().out
    assert "\n" not in str(told.value)
    for line, reason in ((2, "not JSON"), (4, "equal"), (6, "a side is missing"), (8, "both")):
        (row,) = [row for row in printed.splitlines() if row.startswith(f"  line {line}: ")]
        assert reason in row
        assert row in (tmp_path / "out" / "rows.txt").read_text()
    assert not has_checkpoint(tmp_path / "out" / "last")
    execute_align(override(run, ["data.bad_rows=skip", "train.steps=1"]), tmp_path / "out")
    printed = capsys.readouterr().out
    assert "4 of 8 lines are preferences, 4 are not" in printed
    assert "  line 4: " in printed  # skipped on purpose, and told all the same
    talks = write_bad_talks(tmp_path / "talks.jsonl")
    with pytest.raises(BadRowsError, match="3 bad rows in 12 lines"):
        execute_align(small("ppo", done, f"data.rows={talks}"), tmp_path / "p", progress=False)


def test_pairs_are_parted_by_their_seed(done):
    run = small("dpo", done, "data.validation_share=0.25")
    tokenizer = open_start(run).tokenizer
    found = prepare_material(run, tokenizer)
    assert (len(found.train), len(found.validation), found.prompts) == (15, 5, ())
    assert not {p.prompt[0]["content"] for p in found.train} & {
        p.prompt[0]["content"] for p in found.validation
    }
    assert prepare_material(run, tokenizer) == found
    other = prepare_material(override(run, ["data.seed=1"]), tokenizer)
    assert other.validation != found.validation


def test_storyworld_gives_pairs_prompts_and_a_score(done, tmp_path, capsys):
    run = small("dpo", done, *STORY, "train.steps=1")
    material = prepare_material(run, open_start(run).tokenizer)
    assert len(material.train) + len(material.validation) == 8
    assert all(isinstance(p, Pair) and p.rating is not None for p in material.train)
    execute_align(run, tmp_path / "dpo")
    told = json.loads((tmp_path / "dpo" / "score.json").read_text())
    assert told["tasks"]["n"] == 3
    assert told["tasks"]["interval"][0] == 0 < told["tasks"]["interval"][1] < 1
    assert "storyworld: 8 pairs made" in capsys.readouterr().out
    exact = prepare_material(override(run, ["data.noise=0.0"]), open_start(run).tokenizer)
    assert len(exact.train) == 7
    ppo = small("ppo", done, *STORY, "reward=checker", "train.steps=1", "train.log_every=1")
    execute_align(ppo, tmp_path / "ppo")
    printed = capsys.readouterr().out
    assert "step 1: score " in printed
    assert "gold " in printed  # the utility beside the reward that is learned from
    (row,) = read_metrics(tmp_path / "ppo" / "metrics.jsonl")
    assert {"score", "gold", "kl", "entropy", "length"} <= set(row)


def test_rewards_by_name(done):
    run = small("ppo", done, *STORY, "reward=gold")
    tokenizer = open_start(run).tokenizer
    task = prepare_material(run, tokenizer).prompts[0]
    right, wrong = gold_scores([task, task], [task.answer, "zzz"]).tolist()
    assert right > 3 > wrong
    checker = make_score(override(run, ["reward=checker"]), tokenizer, None)
    assert checker([task, task], [task.answer, "zzz"]).tolist() == [1.0, 0.0]
    model, _ = open_reward(done / "reward")
    by_model = make_score(small("rejection", done), tokenizer, model)
    expected = score_texts(model, tokenizer, [task.messages], ["It is red."])
    assert torch.equal(by_model([task], ["It is red."]), expected)
    assert by_model([task], ["red " * 300]).isfinite().all()  # cut, since it can read no more


def test_rollouts_are_scored_by_their_own_task(done):
    run = small("ppo", done, *STORY, "reward=gold")
    tokenizer = open_start(run).tokenizer
    tasks = prepare_material(run, tokenizer).prompts[:3]
    drawn = laid(tasks[::-1], [t.answer for t in tasks[::-1]], tokenizer)
    reward = on_rollouts(gold_scores, tokenizer, tasks)
    assert torch.equal(reward(drawn), gold_scores(tasks, [t.answer for t in tasks]))
    model, _ = open_reward(done / "reward")
    scores = make_reward(run, tokenizer, model, tasks)(drawn)
    asked = [t.messages for t in tasks[::-1]]
    texts = [t.answer for t in tasks[::-1]]
    torch.testing.assert_close(scores, score_texts(model, tokenizer, asked, texts))


def laid(tasks, texts, tokenizer):
    from minillm.align import Rollouts
    from minillm.recipes.aligning.material import task_prompt

    end = tokenizer.special_id("<|im_end|>")
    prompts = [task_prompt(t, tokenizer) for t in tasks]
    answers = [[*tokenizer.encode(text), end] for text in texts]
    T = max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True))
    ids = torch.zeros(len(tasks), T, dtype=torch.int64)
    mask = torch.zeros(len(tasks), T, dtype=torch.bool)
    for n, (p, a) in enumerate(zip(prompts, answers, strict=True)):
        ids[n, : len(p) + len(a)] = torch.tensor([*p, *a])
        mask[n, len(p) : len(p) + len(a)] = True
    lengths = torch.tensor([len(p) for p in prompts])
    return Rollouts(ids, mask, torch.zeros(ids.shape), lengths, torch.ones(len(tasks)) > 0)


@pytest.mark.parametrize("kind", ["ipo", "kto", "orpo", "simpo"])
def test_the_relatives_of_dpo(done, tmp_path, kind):
    run = small("dpo", done, f"direct.method={kind}", "train.steps=1")
    execute_align(run, tmp_path / "out", progress=False)
    assert records(tmp_path / "out")[0][0] != records(done / "dpo")[0][0]


def test_settings_reach_their_reader(done, tmp_path, monkeypatch):
    seen = []

    def spy(model, x, y):
        seen.append(y[:, 2].max().item())
        return reward_objective(model, x, y)

    monkeypatch.setattr(pair_runs, "reward_objective", spy)
    run = small("reward", done, "margins=large", "train.steps=4")
    execute_align(run, tmp_path / "out", progress=False)
    assert max(seen) == 3.0
    config = small("ppo", done, "train.clip=0.5", "ppo.reward.kl_coef=0.3", "train.seed=7")
    whole = config.ppo.whole(config.train, pad_id=1, stop_ids=(2,))
    assert (whole.max_grad_norm, whole.reward.kl_coef, whole.seed) == (0.5, 0.3, 7)
    assert (whole.steps, whole.batch_size, whole.sampling.max_new_tokens) == (4, 2, 12)
    assert small("rejection", done, "train.seed=7").rounds().seed == 7


def test_what_is_no_number_stops_the_run(done, tmp_path, monkeypatch):
    def broken(model):
        with torch.no_grad():
            model.head.weight.fill_(torch.nan)
        return model

    real = execution.open_scorer
    monkeypatch.setattr(execution, "open_scorer", lambda *told: broken(real(*told)))
    with pytest.raises(RewardError, match=r"step 0: the score of answer 0 is nan"):
        execute_align(small("ppo", done), tmp_path / "ppo", progress=False)
    with pytest.raises(ValueError, match=r"the reward of answer 0 is nan .*not finite"):
        execute_align(small("rejection", done), tmp_path / "rejection", progress=False)
    monkeypatch.undo()
    ready = pair_runs.ready
    monkeypatch.setattr(pair_runs, "ready", lambda *told: broken(ready(*told)))
    with pytest.raises(NotFiniteError, match="the loss is nan in step 1"):
        execute_align(small("reward", done), tmp_path / "reward", progress=False)


def test_the_verb(done, tmp_path, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    told = [*SMALL, f"base={done / 'tuned'}", f"data.rows={done / 'pairs.jsonl'}"]
    words = ["align", "dpo", *told, "--out", str(tmp_path / "out")]
    first = CliRunner().invoke(app, words)
    assert first.exit_code == 0, first.output
    assert "dpo: dpo from" in first.output
    assert records(tmp_path / "out") == records(done / "dpo")
    assert isinstance(CliRunner().invoke(app, words).exception, ValueError)
    assert CliRunner().invoke(app, [*words, "--resume"]).exit_code == 0
    heard = CliRunner().invoke(app, ["chat", str(tmp_path / "out")], input="")
    assert "Say something." in heard.output
    heard = CliRunner().invoke(app, ["chat", str(done / "reward")], input="")
    assert "holds a reward model, which scores answers" in str(heard.exception)


def test_a_policy_that_ran_away_is_one_line(done, tmp_path, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    told = [*SMALL, f"base={done / 'tuned'}", f"data.rows={done / 'talks.jsonl'}"]
    told += [f"reward={done / 'reward'}", "optimizer.lr=3.0", "ppo.reward.max_kl=0.01"]
    end = CliRunner().invoke(app, ["align", "ppo", *told, "--out", str(tmp_path / "out")])
    assert isinstance(end.exception, ValueError)
    assert "nats an answer from its reference, and max_kl is 0.01" in str(end.exception)


def test_a_conversation(done, monkeypatch, capsys):
    monkeypatch.setattr("builtins.input", lambda prompt: "")
    talk(done / "dpo", temperature=0.0, seed=0, opened=open_aligned)
    assert "Say something." in capsys.readouterr().out


def test_nothing_is_overwritten_and_nothing_mixed_up(done, tmp_path):
    for method in ("dpo", "rejection"):
        run = small(method, done)
        with pytest.raises(ValueError, match="holds a run already; go on with --resume"):
            execute_align(run, done / method, progress=False)
        other = override(run, ["optimizer.lr=0.5"])
        with pytest.raises(ValueError, match="was made with other settings"):
            execute_align(other, done / method, resume_run=True, progress=False)
    with pytest.raises(ValueError, match="holds nothing to go on from; leave --resume out"):
        execute_align(run, tmp_path / "new", resume_run=True, progress=False)
    with pytest.raises(ValueError, match="a run of another kind"):
        execute_align(run, done / "tuned", resume_run=True, progress=False)


def test_every_recipe_is_whole():
    for name in ALIGNS:
        run = find_align(name)
        assert (run.name, run.method, run.data.rows) == (name, name, "storyworld")
        assert run.train.warmup_steps < run.train.steps


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda p: find_align("dppo"), "no alignment recipe 'dppo'; there are reward, ppo, dpo"),
        (lambda p: override(find_align("dpo"), ["method=half"]), "one of reward, ppo, dpo, reject"),
        (lambda p: override(find_align("reward"), ["margins=huge"]), "one of none, small, large"),
        (lambda p: override(find_align("dpo"), ["train.accumulate=2"]), "whole batch in one pass"),
        (
            lambda p: override(find_align("dpo"), ["direct.method=kto", "train.batch_size=1"]),
            "train.batch_size to at least 2",
        ),
        (lambda p: override(find_align("ppo"), ["data.rows=x.jsonl"]), "the folder of a run of"),
        (lambda p: override(find_align("ppo"), ["ppo.minibatch_size=5"]), "must divide"),
        (lambda p: override(find_align("ppo"), ["train.warmup_steps=3"]), "loop of its own; leave"),
        (
            lambda p: execute_align(
                small("dpo", p, "direct.method=kto", "data.validation_share=0.05"),
                p / "x4",
                progress=False,
            ),
            "kto compares pairs, and 1 is kept",
        ),
        (lambda p: override(find_align("ppo"), ["ppo.temperature=0.0"]), "must be positive"),
        (lambda p: MaterialConfig(n_rows=1), "n_rows must be at least 2"),
        (lambda p: MaterialConfig(noise=-1.0), "noise must be finite and not negative"),
        (lambda p: MaterialConfig(validation_share=1.0), "validation_share must lie between"),
        (lambda p: MaterialConfig(bad_rows="drop"), "refuse or skip"),
        (lambda p: MaterialConfig(language="fr"), "language must be 'en' or 'zh'"),
        (lambda p: open_start(small("dpo", p, "base=nowhere")), "no model 'nowhere'; take"),
        (lambda p: open_start(small("dpo", p, "train.context=256")), "longer than the context of"),
        (lambda p: open_aligned(p), "holds no alignment run"),
        (lambda p: open_aligned(p / "reward"), "holds a reward model"),
        (lambda p: open_reward(p / "dpo"), "holds a policy"),
        (
            lambda p: execute_align(small("ppo", p, f"reward={p}"), p / "x1", progress=False),
            "holds no alignment run; make one",
        ),
        (
            lambda p: execute_align(
                small("dpo", p, "data.rows=storyworld"), p / "x2", progress=False
            ),
            "need train.context of at least 128, got 48",
        ),
        (
            lambda p: execute_align(small("dpo", p, "data.rows=no.jsonl"), p / "x3"),
            "No such file",
        ),
    ],
)
def test_wrong_settings_name_value_and_remedy(done, action, words):
    with pytest.raises((ValueError, FileNotFoundError)) as told:
        action(done)
    assert words in str(told.value)


def test_the_default_base_says_how_to_make_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="make it with `python -m minillm finetune full`"):
        open_start(find_align("dpo"))
