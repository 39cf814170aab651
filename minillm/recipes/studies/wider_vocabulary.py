"""A vocabulary for new words: does it pay, and how must its rows begin?

The shipped `tiny` has read stories and prose, and so has its tokenizer. It goes on with Python code
in the two stages of Chinese-LLaMA: first only the embedding and the output matrix learn, then LoRA
on all matrices of the blocks with the two tables still free. All arms take equally many steps of
equally many tokens:

    same      the tokenizer as it is
    wider     256 entries more, learned from the code; a new row begins as the mean of its parts
    scratch   the same entries, whose rows begin as noise

Fewer tokens for a text mean more text in a step. Bits are counted a byte, so that tokenizers can be
compared. The base is one model: seeds draw the windows, the noise and the start of the adapters.
"""

import copy
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from minillm.data.loader import BatchSampler
from minillm.finetune import apply_lora
from minillm.finetune.extend import extend as extend_model
from minillm.finetune.merge import fold_adapters
from minillm.finetune.talks import START
from minillm.model import Decoder
from minillm.recipes.records import Job
from minillm.recipes.small import bits_on, stream
from minillm.recipes.studies import lora_ranks
from minillm.tokenizer import Tokenizer
from minillm.tokenizer.extend import InitialRows
from minillm.tokenizer.extend import extend as extend_tokenizer
from minillm.train import OptimizerConfig, TrainConfig, train

STAGES = (15, 25)
"""Steps of the tables alone, and of LoRA and the tables."""
WARMUP, BATCH, CONTEXT, RANK, ALPHA = 5, 8, 64, 8, 16.0
N_NEW, MAX_BYTES = 256, 12
SETTINGS: dict[str, dict[str, Any]] = {
    "same": {"start": ""},
    "wider": {"start": "mean"},
    "scratch": {"start": "random"},
}
RATES = (1e-3, 3e-3, 1e-2)
PILOT: dict[str, dict[float, float]] = {
    "same": {0.001: 2.814, 0.003: 2.8039, 0.01: 2.8903},
    "wider": {0.001: 2.7814, 0.003: 2.6989, 0.01: 2.7927},
    "scratch": {0.001: 2.8767, 0.003: 2.7578, 0.01: 2.8186},
}
"""Bits per byte on code at the end, by arm and learning rate, seed 101, as `pilot` printed them."""


@lru_cache(maxsize=2)
def vocabulary(wider: bool) -> tuple[Tokenizer, InitialRows | None, np.ndarray]:
    """A tokenizer, the beginnings of its new rows, and the code to train on in its ids."""
    _, tokenizer = lora_ranks.opened()
    code, rows = lora_ranks.texts()["code"][0], None
    if wider:
        tokenizer, rows = extend_tokenizer(tokenizer, code, N_NEW, max_token_bytes=MAX_BYTES)
    return tokenizer, rows, stream(code, tokenizer.encode, tokenizer.special_id(START))


def bits(model: Decoder, kind: str, tokenizer: Tokenizer) -> float:
    """Bits per byte on unseen texts of a kind."""
    test = lora_ranks.cut_to(lora_ranks.texts()[kind][1], lora_ranks.TEST_BYTES)
    return bits_on(model, test, tokenizer.encode, tokenizer.special_id(START))


def tune(model: Decoder, ids: np.ndarray, steps: int, lr: float, seed: int) -> None:
    """Train what may move, in place."""
    torch.set_num_threads(1)
    train(
        model,
        BatchSampler(ids, BATCH, CONTEXT, seed=seed),
        TrainConfig(
            steps=steps, batch_size=BATCH, context=CONTEXT, warmup_steps=min(WARMUP, steps - 1),
            log_every=0, precision="float32",
        ),
        optimizer=OptimizerConfig(lr=lr, weight_decay=0.0),
        log=lambda record: None,
        progress=False,
    )  # fmt: skip
    model.eval()


def free_tables(model: Decoder) -> Decoder:
    """Let the embedding and the output matrix learn."""
    for table in (model.embedding, model.head):
        if table is not None:
            table.requires_grad_(True)
    return model


def tuned(start: str, lr: float, seed: int) -> tuple[Decoder, Tokenizer]:
    """Carry out both stages; the base stays as it is."""
    base, _ = lora_ranks.opened()
    tokenizer, rows, ids = vocabulary(bool(start))
    model = copy.deepcopy(base) if rows is None else extend_model(base, rows, start, seed=seed)
    model.requires_grad_(False)
    tune(free_tables(model), ids, STAGES[0], lr, seed)
    torch.manual_seed(seed)
    apply_lora(model, "all", rank=RANK, alpha=ALPHA)
    tune(free_tables(model), ids, STAGES[1], lr, seed + 1_000)
    return fold_adapters(model), tokenizer


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Tune one model and measure it; n_tokens is the length of the training text in its tokens."""
    model, tokenizer = tuned(settings["start"], settings["lr"], seed)
    found = {f"{kind}_end": bits(model, kind, tokenizer) for kind in ("code", "stories")}
    n_tokens = len(vocabulary(bool(settings["start"]))[2])
    return found | {"n_tokens": float(n_tokens), "vocab_size": float(model.config.vocab_size)}


def pilot(seed: int = 101) -> None:
    """Print bits per byte on code at every rate, on a seed outside the study."""
    for name, settings in SETTINGS.items():
        found: dict[float, float] = {}
        for lr in RATES:
            model, tokenizer = tuned(settings["start"], lr, seed)
            found[lr] = round(bits(model, "code", tokenizer), 4)
        print(f'"{name}": {found},', flush=True)


def best_rate(name: str) -> float:
    """The rate that seed 101 preferred; before the pilot, the middle one."""
    table = PILOT.get(name)
    return min(table, key=lambda lr: table[lr]) if table else RATES[1]


JOB = Job(
    name="wider_vocabulary",
    title="256 new entries for code, rows from their parts or from noise, or none: bits per byte",
    lesson="31",
    arms={name: {"lr": best_rate(name), **settings} for name, settings in SETTINGS.items()},
    run=run,
)
