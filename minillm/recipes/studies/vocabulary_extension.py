"""Giving a trained model Chinese pieces: how should their rows begin, and what comes of it?

A small model learns from English stories with one Chinese one in ten, with a vocabulary learned
from English alone: it reads Chinese byte by byte, badly, as LLaMA did. Then it goes on with Chinese
stories only, on the same budget of FLOPs in each arm:

    none        the old vocabulary
    random      512 new Chinese pieces, rows drawn at random
    average     ... rows that are the mean of all old ones
    mean        ... rows that are the mean of the pieces' old parts
    two_stage   as mean; during the first third of the budget only the embedding is trained

Measured are bits per byte, Chinese and English: before, right after the new rows are in, at eight
moments on the way (a share of the budget each), and at the end.
"""

import copy
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from minillm.data.storyworld import make_corpus
from minillm.model import Decoder, DecoderConfig
from minillm.model.config import count_matrix_parameters, flops_per_token
from minillm.recipes.records import Job
from minillm.recipes.runs import decoder
from minillm.recipes.small import SmallConfig, bits_on, stream, train_small
from minillm.tokenizer import Tokenizer, train_bpe
from minillm.tokenizer.extend import KINDS, InitialRows, extend

VOCABULARY, N_NEW = 1024, 512
BUDGET = 7e10
"""FLOPs of the second training, of every arm."""
FIRST_STAGE = 1 / 3
N_POINTS = 8
BASE = SmallConfig(vocab_size=VOCABULARY, steps=250)
LR = 3e-3
END = "<|endoftext|>"


@lru_cache(maxsize=1)
def tests() -> dict[str, list[str]]:
    """Stories that no model and no vocabulary has seen."""
    return {language: make_corpus(80, 40, language) for language in ("zh", "en")}


@lru_cache(maxsize=1)
def tokenizers() -> tuple[Tokenizer, Tokenizer, InitialRows]:
    """The English vocabulary, the one extended by Chinese pieces, and the new rows."""
    old = Tokenizer(*train_bpe(make_corpus(81, 400, "en"), VOCABULARY, [END]), [END])
    return old, *extend(old, make_corpus(82, 400, "zh"), N_NEW, max_token_bytes=15)


@lru_cache(maxsize=1)
def stories() -> dict[str, list[str]]:
    """Stories to train on."""
    return {"en": make_corpus(83, 1_000, "en"), "zh": make_corpus(84, 1_500, "zh")}


def shuffled(texts: list[str], seed: int) -> list[str]:
    """Texts in an order of their own for each seed."""
    return [texts[i] for i in np.random.default_rng(seed).permutation(len(texts))]


@lru_cache(maxsize=1)
def base_model(seed: int) -> Decoder:
    """The model before it gets new pieces; kept for the arms of one seed."""
    old = tokenizers()[0]
    told = shuffled(stories()["en"][:900] + stories()["zh"][:100], seed)
    return train_small(stream(told, old.encode, old.special_id(END)), seed, config=BASE)


def with_new_rows(model: Decoder, rows: InitialRows, kind: str, seed: int) -> Decoder:
    """A copy of a tied model with more rows; the old ones are as they were."""
    old = model.config
    larger = Decoder(shape(old.vocab_size + len(rows)))
    weights = copy.deepcopy(model.state_dict())
    table = weights["embedding.weight"].numpy()
    added = torch.from_numpy(rows.of(table, kind, seed=seed))
    whole = larger.state_dict()["embedding.weight"]
    whole[: rows.n_old] = weights["embedding.weight"][: rows.n_old]
    whole[rows.n_old : rows.n_old + len(rows)] = added
    larger.load_state_dict(weights | {"embedding.weight": whole})
    return larger.eval()


def shape(vocab_size: int) -> DecoderConfig:
    """The shape of every model here."""
    return decoder(vocab_size, d_model=BASE.d_model, n_layers=BASE.n_layers, n_heads=BASE.n_heads,
                   context=BASE.context)  # fmt: skip


def embedding_flops(config: DecoderConfig) -> int:
    """FLOPs a token when only the tied table is trained: no gradients of the blocks' weights,
    which are a third of their cost. Those of their inputs are needed to reach the table."""
    return flops_per_token(config) - 2 * count_matrix_parameters(config)


def go_on(
    model: Decoder, tokens: np.ndarray, seed: int, *, flops: float, a_token: int, n_points: int,
    evaluate: Any,
) -> list[float]:  # fmt: skip
    """Train on with a budget, and return what evaluate gave at n_points moments."""
    steps = round(flops / (a_token * BASE.batch_size * BASE.context))
    config = SmallConfig(vocab_size=model.config.vocab_size, steps=steps, lr=LR, warmup_steps=10)
    found: list[float] = []

    def note(at: Decoder) -> float:
        found.append(evaluate(at))
        return found[-1]

    train_small(tokens, seed, config=config, model=model, evaluate=note,
                eval_every=-(-steps // n_points))  # fmt: skip
    return found


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Go on from the base model in one of the ways, and measure along the way."""
    old, new, rows = tokenizers()
    base, kind = base_model(seed), settings["rows"]
    tokenizer = new if kind else old
    end = tokenizer.special_id(END)
    model = with_new_rows(base, rows, kind, seed) if kind else copy.deepcopy(base)

    def bits(at: Decoder, language: str, cut: Tokenizer = tokenizer) -> float:
        return bits_on(at, tests()[language], cut.encode, end)

    measured = {f"before_{x}": bits(base, x, old) for x in tests()}
    measured |= {f"start_{x}": bits(model, x) for x in tests()}
    if not kind:  # the first arm also looks at every way to begin, without training
        for way in KINDS:
            at = with_new_rows(base, rows, way, seed)
            measured |= {f"start_{x}_{way}": bits(at, x, new) for x in tests()}
    tokens = stream(shuffled(stories()["zh"][100:], seed), tokenizer.encode, end)
    curve, stage, left = [], settings["first_stage"], N_POINTS
    if stage:
        for name, parameter in model.named_parameters():
            parameter.requires_grad = name == "embedding.weight"
        n = round(N_POINTS * stage)
        curve += go_on(model, tokens, seed + 100, flops=stage * BUDGET,
                       a_token=embedding_flops(model.config), n_points=n,
                       evaluate=lambda at: bits(at, "zh"))  # fmt: skip
        model.requires_grad_(True)
        left -= n
    curve += go_on(model, tokens, seed, flops=(1 - stage) * BUDGET,
                   a_token=flops_per_token(model.config), n_points=left,
                   evaluate=lambda at: bits(at, "zh"))  # fmt: skip
    measured |= {f"curve_{i}": x for i, x in enumerate(curve, start=1)}
    return measured | {f"end_{x}": bits(model, x) for x in tests()}


JOB = Job(
    name="vocabulary_extension",
    title="How should the rows of new Chinese pieces begin, and what is gained?",
    lesson="07b",
    arms={
        "none": {"rows": "", "first_stage": 0},
        **{kind: {"rows": kind, "first_stage": 0} for kind in ("random", "average", "mean")},
        "two_stage": {"rows": "mean", "first_stage": FIRST_STAGE},
    },
    run=run,
)
