"""LoRA against full fine-tuning: what does rank buy, what is forgotten, how many directions move?

DRAFT of minillm/recipes/studies/lora_ranks.py. To do before it moves there: choose RATES with
`pilot()` on seed 101 and write its table into PILOT; a test in tests/recipes/test_lora_ranks.py.

A small model learns English stories, byte by byte. Then it goes on with something else, on the same
number of steps and tokens in each arm:

    far     Python code: other words, other grammar (continual pre-training)
    near    stories with a question and its answer below: the words are known

    full          every weight
    lora_r        adapters of rank r on all matrices of the blocks, alpha 16
    qv_r          on queries and values only, with as many numbers as rank 4 on all
    dora_4, rs_16 DoRA, and rsLoRA
    last          the last block and the final norm
    matched       LoRA with as many numbers as the last block

Measured are bits per byte on unseen text of both kinds, before, at eight moments and at the end;
how many directions the updates have; and what is left of a full fine-tune when each of its updates
is cut to its r strongest directions.
"""

import copy
import statistics
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from minillm.data import load_corpus
from minillm.data.storyworld import make_corpus
from minillm.data.storyworld.quiz import make_quiz_corpus
from minillm.finetune import (
    DoRALinear,
    LoRALinear,
    apply_lora,
    count_trainable,
    train_last_blocks,
)
from minillm.finetune.merge import fold_adapters
from minillm.finetune.spectrum import (
    effective_rank,
    rank_for_share,
    spectrum,
    truncated,
    updates,
)
from minillm.model import Decoder
from minillm.recipes.records import Job
from minillm.recipes.small import SmallConfig, bits_on, stream, train_small

BASE = SmallConfig(steps=300)
TUNE_STEPS, WARMUP = 200, 10
N_POINTS = 8
TRAIN_BYTES, TEST_BYTES, GLANCE_BYTES = 400_000, 40_000, 8_000
ALPHA = 16.0
CUTS = (1, 2, 4, 8, 16, 32)
"""Ranks at which the full fine-tune is cut."""
MATCHED, QV = 20, 19
"""Ranks: of LoRA on all matrices with as many numbers as the last block (49 280 of 50 368), and on
q and v with as many as rank 4 on all (9 728 of 9 856). A test counts them."""
SETTINGS: dict[str, dict[str, Any]] = {
    "full": {"rank": 0},
    "last": {"rank": 0, "last": 1},
    "lora_1": {"rank": 1},
    "lora_4": {"rank": 4},
    "lora_16": {"rank": 16},
    "matched": {"rank": MATCHED},
    "qv": {"rank": QV, "targets": ["q", "v"]},
    "dora_4": {"rank": 4, "dora": True},
    "rs_16": {"rank": 16, "stable": True},
}
ARMS = {"far": tuple(SETTINGS), "near": ("full", "lora_1", "lora_16")}
GRID = {
    "full": (3e-4, 1e-3, 3e-3),
    "last": (1e-3, 3e-3, 1e-2),
    "lora": (3e-3, 1e-2, 3e-2),
}
PILOT: dict[str, dict[float, float]] = {}
"""Bits per byte on the target at the end, by arm and learning rate, seed 101: filled by pilot()."""


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
    """Texts to train on and to test on, by kind; none is in both."""
    code = load_corpus(
        "code", max_bytes=TRAIN_BYTES + 2 * TEST_BYTES, progress=False
    ).texts
    code = [code[i] for i in np.random.default_rng(31).permutation(len(code))]
    n_test = 0
    while sum(len(t.encode()) for t in code[:n_test]) < TEST_BYTES:
        n_test += 1
    return {
        "source": (make_corpus(310, 2_000, "en"), make_corpus(311, 60, "en")),
        "near": (
            make_quiz_corpus(312, 1_500, "en"),
            make_quiz_corpus(313, 80, "en"),
        ),
        "far": (code[n_test:], code[:n_test]),
    }


def tokens(kind: str, seed: int) -> np.ndarray:
    """The texts to train on, in an order of their own for each seed."""
    train = texts()[kind][0]
    return stream(
        [train[i] for i in np.random.default_rng(seed).permutation(len(train))]
    )


@lru_cache(maxsize=1)
def base_model(seed: int) -> Decoder:
    """The model that has read stories; kept for the arms of one seed."""
    return train_small(tokens("source", seed), seed, config=BASE)


def bits(model: Decoder, kind: str, n_bytes: int = TEST_BYTES) -> float:
    """Bits per byte on unseen texts of a kind."""
    return bits_on(model, cut_to(texts()[kind][1], n_bytes))


def adapted(model: Decoder, settings: Mapping[str, Any], seed: int) -> Decoder:
    """A copy of the model, ready for one arm."""
    model = copy.deepcopy(model)
    torch.manual_seed(seed)
    if settings["rank"]:
        targets = settings.get("targets", "all")
        kind = DoRALinear if settings.get("dora") else LoRALinear
        stable = settings.get("stable", False)
        apply_lora(
            model,
            targets,
            rank=settings["rank"],
            alpha=ALPHA,
            stable=stable,
            layer=kind,
        )
    elif settings.get("last"):
        train_last_blocks(model, settings["last"])
    return model


def tune(
    model: Decoder, kind: str, lr: float, seed: int
) -> list[tuple[float, float]]:
    """Train in place; return bits on the target and on the stories at N_POINTS moments."""
    found: list[tuple[float, float]] = []

    def note(at: Decoder) -> float:
        found.append(
            (bits(at, kind, GLANCE_BYTES), bits(at, "source", GLANCE_BYTES))
        )
        return found[-1][0]

    config = SmallConfig(steps=TUNE_STEPS, lr=lr, warmup_steps=WARMUP)
    every = -(-TUNE_STEPS // N_POINTS)
    train_small(
        tokens(kind, seed + 1000),
        seed,
        config=config,
        model=model,
        evaluate=note,
        eval_every=every,
    )
    return found


def directions(before: Decoder, after: Decoder) -> dict[str, float]:
    """How many directions the updates of the blocks' matrices have, on average."""
    moved = updates(before.state_dict(), after.state_dict())
    values = [
        spectrum(m)
        for name, m in moved.items()
        if name.startswith("blocks.") and m.any()
    ]
    return {
        "rank_90": statistics.fmean(rank_for_share(s, 0.9) for s in values),
        "rank_effective": statistics.fmean(effective_rank(s) for s in values),
        "size": statistics.fmean(s.square().sum().sqrt().item() for s in values),
    }


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Tune a copy of the base model in one of the ways, and measure both kinds of text."""
    base, kind = base_model(seed), settings["kind"]
    model = adapted(base, settings, seed)
    measured: dict[str, float] = {"n_trained": count_trainable(model)}
    measured |= {
        "before_target": bits(base, kind),
        "before_source": bits(base, "source"),
    }
    curve = tune(model, kind, settings["lr"], seed)
    for i, (target, source) in enumerate(curve, start=1):
        measured |= {f"target_{i}": target, f"source_{i}": source}
    if settings["rank"]:
        model = fold_adapters(model)
    measured |= {
        "end_target": bits(model, kind),
        "end_source": bits(model, "source"),
    }
    measured |= directions(base, model)
    if not settings["rank"] and not settings.get("last"):
        cut = copy.deepcopy(model)
        for rank in CUTS:
            cut.load_state_dict(
                truncated(base.state_dict(), model.state_dict(), rank)
            )
            measured |= {
                f"cut_{rank}": bits(cut, kind),
                f"cut_source_{rank}": bits(cut, "source"),
            }
    return measured


def rates_of(name: str) -> tuple[float, ...]:
    """The learning rates that the pilot tries for an arm."""
    return GRID.get(name, GRID["lora"])


def pilot(seed: int = 101) -> None:
    """Print bits per byte on the target at some learning rates, on a seed outside the study."""
    for kind, names in ARMS.items():
        for name in names:
            found = {}
            for lr in rates_of(name):
                model = adapted(base_model(seed), SETTINGS[name], seed)
                tune(model, kind, lr, seed)
                found[lr] = round(bits(model, kind), 4)
            print(f'"{kind}_{name}": {found},', flush=True)


def best_rate(kind: str, name: str) -> float:
    """The rate that seed 101 preferred; before the pilot, the middle one."""
    table = PILOT.get(f"{kind}_{name}")
    return min(table, key=lambda lr: table[lr]) if table else rates_of(name)[1]


JOB = Job(
    name="lora_ranks",
    title="LoRA of several ranks against full fine-tuning: what is learned, what is forgotten?",
    lesson="31",
    arms={
        f"{kind}_{name}": {
            "kind": kind,
            "lr": best_rate(kind, name),
            **SETTINGS[name],
        }
        for kind, names in ARMS.items()
        for name in names
    },
    run=run,
)
