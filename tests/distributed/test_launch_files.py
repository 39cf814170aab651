"""docs/launch: what torchrun and the command line are told there, they understand."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from torch.distributed.run import get_args_parser

from minillm.recipes import find_run

PLACE = Path(__file__).parents[2] / "docs" / "launch"


def slurm_words():
    """The words after srun in the script, its variables filled in."""
    text = (PLACE / "slurm.sh").read_text(encoding="utf-8").replace("\\\n", " ")
    (line,) = (line for line in text.splitlines() if line.startswith("srun"))
    known = {"$SLURM_JOB_NUM_NODES": "4", "$SLURM_GPUS_ON_NODE": "8", "$SLURM_JOB_ID": "7"}
    known |= {"$first": "host", "$recipe": "llama_7b", '"$@"': "train.steps=9"}
    for name, value in known.items():
        line = line.replace(name, value)
    words = shlex.split(line)
    return words[words.index("torchrun") + 1 :]


def kubernetes_words():
    """The list under `command:`."""
    text = (PLACE / "kubernetes.yaml").read_text(encoding="utf-8")
    block = re.search(r"command:\n((?: +- .*\n)+)", text).group(1)
    words = [line.strip().removeprefix("- ") for line in block.splitlines()]
    assert words[0] == "torchrun"
    return words[1:]


def readme_words():
    text = (PLACE / "README.md").read_text(encoding="utf-8")
    return [shlex.split(found) for found in re.findall(r"`torchrun (-.*?)`", text)]


@pytest.mark.parametrize("words", [slurm_words(), kubernetes_words(), *readme_words()])
def test_torchrun_understands_the_command(words):
    told = get_args_parser().parse_args(words)
    assert told.module
    assert told.training_script == "minillm"
    verb, recipe, *rest = told.training_script_args
    assert verb == "train"
    assert find_run(recipe).name == recipe
    assert int(told.max_restarts) == 3
    assert told.standalone or (told.rdzv_backend, told.nproc_per_node) == ("c10d", "8")
    assert told.standalone or any(word.startswith("--out") for word in rest)


def test_both_files_ask_for_as_many_machines_as_they_name():
    slurm = (PLACE / "slurm.sh").read_text(encoding="utf-8")
    assert "#SBATCH --nodes=4" in slurm
    assert "#SBATCH --ntasks-per-node=1" in slurm  # one torchrun a machine
    job = (PLACE / "kubernetes.yaml").read_text(encoding="utf-8")
    assert {"completions: 4", "parallelism: 4", "completionMode: Indexed"} <= {
        line.strip() for line in job.splitlines()
    }
    assert get_args_parser().parse_args(kubernetes_words()).nnodes == "4"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_script_is_bash():
    subprocess.run(["bash", "-n", str(PLACE / "slurm.sh")], check=True)
