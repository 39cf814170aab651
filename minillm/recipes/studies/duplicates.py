"""What do duplicated documents do to a model? Three corpora that are the same after deduplication.

    once    documents that are all different, read about twice
    twice   the same documents, each standing in the corpus two times, read once
    few     the same documents, and as many bytes again of copies of a handful of them, read once

In `twice` and `few` half of the corpus is copies; remove them, and `once` is left. Steps, weights
at the start and bytes read are equal with the same seed. Measured are the loss on text that
was never trained on, and how much the model recites of its training text, byte by byte.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import pstdev
from typing import Any

import torch

from minillm.data.corpora import load_corpus
from minillm.data.exact import dedup_texts
from minillm.model import Decoder
from minillm.recipes.records import Job
from minillm.recipes.small import BYTE_END, SmallConfig, bits_on, stream, train_small

CONFIG = SmallConfig(context=128, batch_size=4, steps=300)
N_BYTES = CONFIG.steps * CONFIG.batch_size * CONFIG.context
"""Read by a run."""
N_FEW = 4
"""Documents that `few` repeats until they are half of the corpus."""
PROMPT, RECITED = 64, 50
"""Bytes given to the model, and bytes that it must go on with, all of them right."""
EVERY = 60
"""A prompt is taken at every so many bytes of a document."""
N_REST, N_SAMPLES, SAMPLE = 40, 24, 120

_DOCUMENTS: list[str] = []


def documents(seed: int) -> tuple[list[str], list[str]]:
    """Documents of 250 to 1 200 characters: half a run's bytes to train on, 40 to test on."""
    if not _DOCUMENTS:
        texts = load_corpus("prose", max_bytes=4_000_000, progress=False).texts
        _DOCUMENTS.extend(t for t in dedup_texts(texts).texts if 250 <= len(t) <= 1200)
    drawn = list(_DOCUMENTS)
    random.Random(f"duplicates {seed}").shuffle(drawn)
    chosen, size = [], 0
    while size < N_BYTES // 2:
        chosen.append(drawn.pop())
        size += len(chosen[-1].encode()) + 1
    return chosen, drawn[:N_REST]


def n_bytes(texts: Iterable[str]) -> int:
    """Length of texts in bytes."""
    return sum(len(text.encode()) for text in texts)


def make_corpus(arm: str, unique: Sequence[str], seed: int) -> list[str]:
    """The corpus of an arm, in random order.

    Raises:
        ValueError: if there is no such arm.
    """
    if arm == "once":
        copies: list[str] = []
    elif arm == "twice":
        copies = list(unique)
    elif arm == "few":
        few = list(unique[:N_FEW])
        copies = few * round(n_bytes(unique) / n_bytes(few))
    else:
        raise ValueError(f"arm must be once, twice or few, got {arm!r}")
    texts = [*unique, *copies]
    random.Random(f"order {seed}").shuffle(texts)
    return texts


@torch.no_grad()
def go_on(
    model: Decoder, start: torch.Tensor, n: int, generator: torch.Generator | None
) -> torch.Tensor:
    """Let the model continue rows of bytes: greedily, or drawn where a generator is given.

    Args:
        start: (B, T) ids.
        n: bytes to add; T + n fits the context.

    Returns:
        (B, n) ids.
    """
    ids = start
    for _ in range(n):
        logits = model(ids)[:, -1]  # (B, V)
        if generator is None:
            chosen = logits.argmax(dim=-1, keepdim=True)
        else:
            chosen = torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)
        ids = torch.cat([ids, chosen], dim=1)
    return ids[:, start.shape[1] :]


def recited(model: Decoder, texts: Sequence[str]) -> float:
    """Share of prompts of 64 bytes, taken all over the texts, whose next 50 bytes are recited."""
    raw = [text.encode() for text in texts]
    size = PROMPT + RECITED
    cut = [data[i : i + size] for data in raw for i in range(0, len(data) - size + 1, EVERY)]
    rows = torch.tensor([list(data[:PROMPT]) for data in cut])
    said = go_on(model, rows, RECITED, None)
    right = said == torch.tensor([list(data[PROMPT:]) for data in cut])
    return float(right.all(dim=1).float().mean())


def copied_unprompted(model: Decoder, texts: Sequence[str], seed: int) -> float:
    """Share of free samples that hold 50 bytes in a row of the training text."""
    data = b"\xff".join(text.encode() for text in texts)
    known = {data[i : i + RECITED] for i in range(len(data) - RECITED + 1)}
    start = torch.full((N_SAMPLES, 1), BYTE_END)
    rows = go_on(model, start, SAMPLE, torch.Generator().manual_seed(seed)).tolist()
    said = [bytes(b if b < 256 else 0xFF for b in row) for row in rows]
    holds = [any(s[i : i + RECITED] in known for i in range(SAMPLE - RECITED + 1)) for s in said]
    return sum(holds) / len(holds)


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train on one corpus; return losses in bits per byte, and what is recited."""
    unique, test = documents(seed)
    texts = make_corpus(settings["corpus"], unique, seed)
    losses: list[float] = []
    model = train_small(stream(texts), seed, config=CONFIG, losses=losses)
    late = losses[len(losses) // 2 :]
    jumps = [b - a for a, b in pairwise(late)]
    return {
        "bits_test": bits_on(model, test),
        "bits_few": bits_on(model, unique[:N_FEW]),
        "bits_rest": bits_on(model, unique[N_FEW : N_FEW + N_REST]),
        "recited_few": recited(model, unique[:N_FEW]),
        "recited_rest": recited(model, unique[N_FEW : N_FEW + N_FEW]),
        "copied_unprompted": copied_unprompted(model, unique, seed),
        "roughness": pstdev(jumps),
        "share_copies": 1 - n_bytes(set(texts)) / n_bytes(texts),
    }


JOB = Job(
    name="duplicates",
    title="half of the corpus is copies: every document twice, or a few very often",
    lesson="04",
    arms={arm: {"corpus": arm} for arm in ("once", "twice", "few")},
    run=run,
)
