"""`python -m minillm`: every verb works, every mistake is one line with exit status 2."""

import subprocess
import sys

import pytest

from minillm.recipes import find_plan, find_run
from minillm.recipes.runs import RUNS


def minillm(*arguments, stdin=""):
    return subprocess.run(
        [sys.executable, "-m", "minillm", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        input=stdin,
        timeout=600,
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "laptopp"), "no run 'laptopp'; there are laptop"),
        (("train", "laptop", "optimizer.lrr=1"), "did you mean 'lr'?"),
        (("plan", "laptop", "model.d_model=-3"), "d_model must be at least 1, got -3"),
        (("plan", "nothing"), "no run and no model 'nothing'"),
        (("plan", "llama2_70b", "--n-gpus", "8"), "does not fit on 8 x A100 SXM 80 GB"),
        (("tokenize", "x", "--tokenizer", "missing_folder"), "no tokenizer 'missing_folder'"),
        (("chat", "missing_model"), "no model 'missing_model'"),
        (("finetune", "lorra"), "no fine-tuning recipe 'lorra'; there are full, lora, qlora"),
        (("align", "dppo"), "no alignment recipe 'dppo'; there are reward, ppo, dpo, rejection"),
        (("bench", "missing_bench"), "no benchmark 'missing_bench'"),
    ],
)
def test_a_mistake_is_one_line(arguments, words):
    done = minillm(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.startswith("minillm: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_help_lists_the_verbs_that_exist():
    out = minillm("--help").stdout
    for verb in ("train", "finetune", "align", "tokenize", "plan", "chat", "bench"):
        assert verb in out
    for later in ("serve", "convert"):
        assert later not in out


def test_tokenize_shows_pieces_of_characters():
    done = minillm("tokenize", "a 🙂")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].endswith("tokens, 3 characters, 6 bytes")


def test_plan_prints_the_exact_count():
    assert "6,738,415,616 parameters" in minillm("plan", "llama_7b").stdout


def test_plan_by_hand():
    plan = find_plan("laptop", memory_gb=1.0)
    run = find_run("laptop")
    assert plan.n_tokens == run.train.steps * run.train.batch_size * run.train.context
    assert find_plan("laptop", ["train.accumulate=3"]).n_tokens == 3 * plan.n_tokens
    assert plan.fits
    tight = find_plan("laptop", memory_gb=plan.memory.total / 1e9)
    assert not tight.fits  # a tenth must stay free
    assert "does not fit" in tight.report()
    assert "smaller train.batch_size" in tight.report()
    assert "shard it" in find_plan("llama_7b", memory_gb=24).report()
    assert find_plan("gpt2_124m", memory_gb=24).n_tokens == 20 * 124_439_808


@pytest.mark.parametrize("kw", [{"memory_gb": -1}, {"n_tokens": 0}])
def test_plan_refuses_sizes_that_are_not_positive(kw):
    with pytest.raises(ValueError, match="must be positive"):
        find_plan("laptop", **kw)


def test_every_run_of_the_course_is_whole():
    for name in RUNS:
        run = find_run(name)
        assert run.name == name
        assert run.train.warmup_steps < run.train.steps
