"""LoRA against full fine-tuning: what does rank buy, what is forgotten, how many directions move?

The shipped `tiny` has read stories and prose. It goes on with Python code (other words, another
grammar: continued pre-training), on the same windows in the same order and for the same number of
steps in each arm:

    full          every weight
    last          the last block and the final norm
    lora_r        adapters of rank r on all matrices of the blocks, alpha 16
    gentle_16     rank 16 at a fifth of the learning rate that is best for code
    gentle_full   every weight, at a fifth of the rate of full
    qv            on queries and values only, with as many numbers as rank 4 on all
    tables_16     rank 16, and beside it every row of the embedding and of the output matrix

Measured are bits per byte on unseen code and on unseen stories, before, at five moments and at the
end; how many directions the updates have; and what is left of a full fine-tune when each of its
updates is cut to its r strongest directions. The base is one model: seeds draw the windows and the
start of the adapters.

What was cut, as two cores were shared by many: the draft made a base of its own for each seed (125
thousand weights, 300 steps), which knew so little of stories that there was little to forget; it
had 200 steps, arms for DoRA, rsLoRA, rank 64 and for LoRA with exactly as many numbers as the last
block (rank 16 has 5 % more), and a second target nearer to the stories. The pilot chose one rate
for all ranks, as alpha / r keeps the first step of Adam equal. Afterwards two ranks were tried by
hand on seed 101, at 0.002, 0.005, 0.01 and 0.02: rank 16 ended at 2.909, 2.871, 2.863 and 2.886
bits on code, rank 1 at 2.941, 2.938, 2.955 and 2.984. The arms gentle_16 and gentle_full
were added after the first runs had shown how much is forgotten at the rate that is best for code;
the pilot's rates and the rules of the claims stayed as they were.
"""

import copy
import statistics
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import nn

from minillm.data.corpora import load_corpus
from minillm.data.loader import BatchSampler
from minillm.data.storyworld import make_corpus
from minillm.finetune import apply_lora, count_trainable, train_last_blocks
from minillm.finetune.merge import fold_adapters
from minillm.finetune.spectrum import (
    effective_rank,
    rank_for_share,
    spectrum,
    truncated,
    updates,
)
from minillm.finetune.talks import START
from minillm.model import Decoder
from minillm.recipes.records import Job
from minillm.recipes.shipped import base
from minillm.recipes.small import bits_on, stream
from minillm.tokenizer import Tokenizer
from minillm.train import OptimizerConfig, TrainConfig, train

BASE = "tiny"
STEPS, WARMUP, BATCH, CONTEXT = 40, 5, 8, 64
N_POINTS = 5
TRAIN_BYTES, TEST_BYTES, GLANCE_BYTES, PIECE = 300_000, 12_000, 4_500, 1_500
"""PIECE: of each file of the code that is tested on, its beginning."""
ALPHA = 16.0
CUTS = (1, 4, 16, 64)
"""Ranks at which the full fine-tune is cut."""
QV = 19
"""Rank on q and v with as many numbers as rank 4 on all (29 184). A test counts them."""
SETTINGS: dict[str, dict[str, Any]] = {
    "full": {"rank": 0},
    "last": {"rank": 0, "last": 1},
    "lora_1": {"rank": 1},
    "lora_4": {"rank": 4},
    "lora_16": {"rank": 16},
    "gentle_16": {"rank": 16, "lr": 2e-3},
    "gentle_full": {"rank": 0, "lr": 4e-4},
    "qv": {"rank": QV, "targets": ["q", "v"]},
    "tables_16": {"rank": 16, "tables": True},
}
GRID = {
    "full": (1e-3, 2e-3, 4e-3),
    "last": (2e-3, 5e-3, 1e-2),
    "lora": (2e-3, 5e-3, 1e-2),
    "tables": (2e-3, 5e-3),
}
PILOTS = {"full": "full", "last": "last", "lora_4": "lora", "tables_16": "tables"}
"""The arms that the pilot runs, and the arms that take their rate from it: all whose name does not
begin with full, last or tables take that of lora_4."""
PILOT: dict[str, dict[float, float]] = {
    "full": {0.001: 3.1502, 0.002: 3.1421, 0.004: 3.1433},
    "last": {0.002: 3.5006, 0.005: 3.5047, 0.01: 3.5021},
    "lora": {0.002: 3.5053, 0.005: 3.4841, 0.01: 3.4784},
    "tables": {0.002: 3.1539, 0.005: 3.223},
}
"""Bits per byte on code at the end, by kind of arm and learning rate, seed 101, as `pilot` printed
them. It was run before the test was spread over eight files in the place of three."""


def cut_to(texts: list[str], n_bytes: int) -> list[str]:
    """As many whole texts as fit, and the last one cut."""
    kept: list[str] = []
    left = n_bytes
    for text in texts:
        if left <= 0:
            break
        kept.append(text.encode()[:left].decode("utf-8", "ignore"))
        left -= len(text.encode())
    return kept


@lru_cache(maxsize=1)
def texts() -> dict[str, tuple[list[str], list[str]]]:
    """Texts to train on and to test on, by kind; none is in both. Of stories only a test."""
    code = load_corpus("code", max_bytes=TRAIN_BYTES + 2 * TEST_BYTES, progress=False).texts
    code = [code[i] for i in np.random.default_rng(31).permutation(len(code))]
    n_test = 0
    while sum(len(t.encode()[:PIECE]) for t in code[:n_test]) < TEST_BYTES:
        n_test += 1
    return {
        "stories": ([], make_corpus(311, 60, "en")),
        "code": (code[n_test:], [text[:PIECE] for text in code[:n_test]]),
    }


@lru_cache(maxsize=1)
def opened() -> tuple[Decoder, Tokenizer]:
    """The base model, which nobody changes, and its tokenizer."""
    return base(BASE)


@lru_cache(maxsize=1)
def tokens() -> np.ndarray:
    """The code to train on, in one row."""
    _, tokenizer = opened()
    return stream(texts()["code"][0], tokenizer.encode, tokenizer.special_id(START))


def bits(model: Decoder, kind: str, n_bytes: int = TEST_BYTES) -> float:
    """Bits per byte on unseen texts of a kind."""
    _, tokenizer = opened()
    test = cut_to(texts()[kind][1], n_bytes)
    return bits_on(model, test, tokenizer.encode, tokenizer.special_id(START))


def adapted(model: Decoder, settings: Mapping[str, Any], seed: int) -> Decoder:
    """A copy of the model, ready for one arm."""
    model = copy.deepcopy(model)
    torch.manual_seed(seed)
    if settings["rank"]:
        targets = settings.get("targets", "all")
        apply_lora(model, targets, rank=settings["rank"], alpha=ALPHA)
        for table in (model.embedding, model.head):
            if settings.get("tables") and table is not None:
                table.requires_grad_(True)
    elif settings.get("last"):
        train_last_blocks(model, settings["last"])
    return model


def tune(model: Decoder, lr: float, seed: int, *, look: bool = True) -> list[dict[str, float]]:
    """Train in place; return what a glance shows at N_POINTS moments."""
    found: list[dict[str, float]] = []

    def note(_: nn.Module) -> float:
        found.append(glance(model))
        return found[-1]["code"]

    torch.set_num_threads(1)
    train(
        model,
        BatchSampler(tokens(), BATCH, CONTEXT, seed=seed),
        TrainConfig(
            steps=STEPS, batch_size=BATCH, context=CONTEXT, warmup_steps=WARMUP, log_every=0,
            eval_every=-(-STEPS // N_POINTS) if look else 0, precision="float32",
        ),
        optimizer=OptimizerConfig(lr=lr, weight_decay=0.0),
        evaluate=note if look else None,
        log=lambda record: None,
        progress=False,
    )  # fmt: skip
    model.eval()
    return found


def glance(model: Decoder, n_bytes: int = GLANCE_BYTES) -> dict[str, float]:
    """Bits per byte on the first bytes of both tests."""
    return {kind: bits(model, kind, n_bytes) for kind in ("code", "stories")}


@lru_cache(maxsize=1)
def before() -> dict[str, float]:
    """What the base model measures, the same for all arms."""
    model, _ = opened()
    return named(glance(model, TEST_BYTES), "before") | named(glance(model), "0")


def named(found: Mapping[str, float], when: str) -> dict[str, float]:
    """Put the moment behind each name."""
    return {f"{kind}_{when}": value for kind, value in found.items()}


def directions(old: Decoder, new: Decoder) -> dict[str, float]:
    """How many directions the updates of the blocks' matrices have, on average."""
    moved = updates(old.state_dict(), new.state_dict())
    values = [spectrum(m) for name, m in moved.items() if name.startswith("blocks.") and m.any()]
    return {
        "rank_90": statistics.fmean(rank_for_share(s, 0.9) for s in values),
        "rank_effective": statistics.fmean(effective_rank(s) for s in values),
        "size": statistics.fmean(s.square().sum().sqrt().item() for s in values),
    }


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Tune a copy of the base model in one of the ways, and measure both kinds of text."""
    old, _ = opened()
    model = adapted(old, settings, seed)
    measured = {"n_trained": float(count_trainable(model)), **before()}
    for i, found in enumerate(tune(model, settings["lr"], seed), start=1):
        measured |= named(found, str(i))
    if settings["rank"]:
        model = fold_adapters(model)
    measured |= named(glance(model, TEST_BYTES), "end")
    measured |= directions(old, model)
    if not settings["rank"] and not settings.get("last"):
        cut = copy.deepcopy(model)
        for rank in CUTS:
            cut.load_state_dict(truncated(old.state_dict(), model.state_dict(), rank))
            measured |= named(glance(cut, TEST_BYTES), f"cut_{rank}")
    return measured


def pilot(seed: int = 101) -> None:
    """Print bits per byte on code at some learning rates, on a seed outside the study."""
    for name, kind in PILOTS.items():
        found: dict[float, float] = {}
        for lr in GRID[kind]:
            model = adapted(opened()[0], SETTINGS[name], seed)
            tune(model, lr, seed, look=False)
            found[lr] = round(bits(model, "code"), 4)
        print(f'"{kind}": {found},', flush=True)


def best_rate(name: str) -> float:
    """The rate that seed 101 preferred; before the pilot, the second one."""
    kind = next((kind for kind in GRID if name.startswith(kind)), "lora")
    table = PILOT.get(kind)
    return min(table, key=lambda lr: table[lr]) if table else GRID[kind][1]


JOB = Job(
    name="lora_ranks",
    title="LoRA of several ranks against full fine-tuning: what is learned, what is forgotten?",
    lesson="31",
    arms={name: {"lr": best_rate(name), **settings} for name, settings in SETTINGS.items()},
    run=run,
)
