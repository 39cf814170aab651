"""The Triton kernel in its interpreter on the CPU, against float64 attention; and what it refuses.

Without triton (it has wheels for Linux only, and is not in the locks, since a CUDA build of torch
pins its own version) the comparisons skip; the refusals are tested everywhere.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from minillm.model import attention, flash_triton
from minillm.model.flash_triton import flash_attention_triton

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SHARED_BYTES = {80: 163 * 1024, 90: 227 * 1024}  # a block's share on an A100, on an H100
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None,
    reason="triton is not installed; `pip install triton` (Linux) brings it",
)
BASE = {"B": 1, "N": 2, "K": 2, "T": 40, "S": 40, "H": 16, "causal": False, "block_q": 16}
BASE |= {"block_k": 16, "dtype": "float32", "layout": "heads first"}
CASES = {
    "plain": {},
    "causal": {"causal": True},
    "one tile": {"T": 5, "S": 5, "causal": True},
    "blocks unlike": {"block_q": 32, "block_k": 16, "causal": True},
    "blocks unlike, keys longer": {"block_k": 64, "causal": True},
    "fewer queries than keys": {"T": 7, "S": 40, "causal": True},
    "one query": {"T": 1, "S": 33, "causal": True},
    "more queries than keys": {"T": 40, "S": 9},
    "width no power of two": {"H": 20, "causal": True},
    "narrow": {"H": 3},
    "grouped heads, two sequences": {"B": 2, "N": 4, "K": 2, "T": 20, "S": 20, "causal": True},
    "one key head": {"N": 4, "K": 1, "T": 20, "S": 20},
    "not contiguous": {"layout": "time first", "causal": True},
    "no keys": {"S": 0},
    "no queries": {"T": 0},
    "half precision": {"dtype": "float16", "causal": True},
}


def in_process(script, cases, environment):
    """What a script of this folder prints, as JSON."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    done = subprocess.run(
        [sys.executable, HERE / script],
        input=json.dumps(cases),
        env=environment | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def interpreted():
    """What the interpreter gave, by name of the case: one process for all of them."""
    cases = [BASE | case for case in CASES.values()]
    said = in_process("flash_in_interpreter.py", cases, {"TRITON_INTERPRET": "1"})
    return dict(zip(CASES, said["differences"], strict=True)) | {"refused": said["refused"]}


@needs_triton
@pytest.mark.parametrize("case", CASES)
def test_the_kernel_equals_attention(interpreted, case):
    close = 5e-3 if CASES[case].get("dtype") == "float16" else 1e-5
    assert max(interpreted[case]) < close


@needs_triton
def test_the_interpreter_cannot_do_bfloat16(interpreted):
    assert interpreted["refused"]


@needs_triton
@pytest.mark.slow
def test_it_compiles_for_gpus_that_are_not_here(tmp_path):
    cases = [
        {"dtype": dtype, "capability": capability, "width": 128, "causal": causal}
        for dtype in ("float16", "bfloat16", "float32")
        for capability in SHARED_BYTES
        for causal in (False, True)
    ]
    off = {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    asked = in_process("flash_compiled.py", cases, off)
    for case, n_bytes in zip(cases, asked, strict=True):
        assert 0 < n_bytes <= SHARED_BYTES[case["capability"]], case


@pytest.mark.gpu
@needs_triton
@pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize(
    ("dtype", "close"), [("bfloat16", 2e-2), ("float16", 3e-3), ("float32", 1e-4)]
)
@pytest.mark.parametrize(("T", "S"), [(300, 300), (1, 257), (100, 300)])
def test_compiled_for_a_gpu(dtype, close, T, S):
    g = torch.Generator().manual_seed(0)
    shapes = ((2, 8, T, 64), (2, 2, S, 64), (2, 2, S, 64))
    q, k, v = (torch.randn(x, generator=g).to("cuda", getattr(torch, dtype)) for x in shapes)
    out = flash_attention_triton(q, k, v, causal=True)
    wanted = attention(q.double(), k.double(), v.double(), causal=True)
    assert (out.double() - wanted).abs().max() < close


def qkv(dtype=torch.float32, T=8, S=8):
    return [torch.zeros(1, 2, length, 16, dtype=dtype) for length in (T, S, S)]


def test_without_triton_it_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(flash_triton, "triton", None)
    with pytest.raises(RuntimeError, match=r"needs triton.*flash_attention computes the same"):
        flash_attention_triton(*qkv())


def test_on_a_cpu_it_says_where_to_go(monkeypatch):
    monkeypatch.setattr(flash_triton, "triton", object())
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(RuntimeError, match="on a CPU: move them to a GPU, use flash_attention"):
        flash_attention_triton(*qkv())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"block_q": 8}, "block_q must be a power of two, at least 16, got 8"),
        ({"block_k": 48}, "block_k must be a power of two, at least 16, got 48"),
        ({"block_k": 0}, "got 0"),
    ],
)
def test_wrong_blocks(settings, words):
    with pytest.raises(ValueError, match=words):
        flash_attention_triton(*qkv(), **settings)


def test_wrong_inputs():
    with pytest.raises(ValueError, match=r"float64, torch.float64.*flash_attention takes any"):
        flash_attention_triton(*qkv(torch.float64))
    q, k, v = qkv()
    with pytest.raises(ValueError, match="must all be"):
        flash_attention_triton(q, k.half(), v)
    with pytest.raises(ValueError, match="T <= S, got T=9, S=8"):
        flash_attention_triton(*qkv(T=9), causal=True)
    with pytest.raises(ValueError, match="shapes do not fit"):
        flash_attention_triton(q, k[..., :8], v[..., :8])
