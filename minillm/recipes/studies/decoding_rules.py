"""One model, the same prompts, every rule of decoding: how likely, how varied, how repetitive?

Nothing is trained. The shipped model `tiny` continues 40 prompts of 32 tokens with 64 tokens each,
under every rule, and the texts are compared with how the prompts really go on. Each seed has
prompts of its own, which nobody has trained on, and draws of its own.

- The end-of-text token is forbidden to every rule, so that all texts have one length. Without that
  beam search ends a piece of prose at once and goes over to a favourite story (lesson 19).
- Likelihood is the model's own, without the rule: nats for each token of the continuation.
- Prompts: short stories of storyworld, the model's home, and running prose (docstrings) that was
  left out of its training, where it is weak.

Shape letters: B prompts, T = 32, N = 64 new tokens, V vocabulary.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm.data.corpora import load_corpus
from minillm.data.storyworld.lexicon import BOYS, GIRLS
from minillm.data.storyworld.quiz import make_quiz_corpus
from minillm.inference.beam import beam_search
from minillm.inference.continuation import generate
from minillm.inference.contrastive import contrastive_search
from minillm.inference.penalties import (
    no_repeat_ngram,
    presence_frequency_penalty,
    repetition_penalty,
)
from minillm.inference.rules import Rule
from minillm.model import Decoder
from minillm.recipes.records import Job
from minillm.recipes.runs import BASE_MIXTURE
from minillm.recipes.shipped import base
from minillm.tokenizer import Tokenizer

N_PROMPTS, PROMPT, NEW = 40, 32, 64
FIRST_SEED = 1900
"""Stories of seed 1900 + s; the course trains on seed 0 and validates on seed 1."""
NAMES = {english for english, _ in (*GIRLS, *BOYS)}


@lru_cache(maxsize=1)
def tiny() -> tuple[Decoder, Tokenizer]:
    """The shipped model and its tokenizer."""
    return base("tiny")


@lru_cache(maxsize=1)
def unread_prose() -> list[str]:
    """Prose that the shipped model has not been trained on, in a fixed order."""
    n_bytes = dict(BASE_MIXTURE)["prose"]
    read = set(load_corpus("prose", max_bytes=n_bytes, progress=False).texts)
    return [t for t in load_corpus("prose", progress=False).texts if t not in read]


def texts(kind: str, seed: int) -> Iterable[str]:
    """Texts of a kind, "stories" or "prose", that belong to a seed alone."""
    if kind == "stories":
        return make_quiz_corpus(FIRST_SEED + seed, 2 * N_PROMPTS, "en")
    found = unread_prose()
    return (found[i] for i in np.random.default_rng(seed).permutation(len(found)))


def prompts(kind: str, seed: int) -> tuple[Tensor, Tensor]:
    """Prompts, (B, T), and how they really go on, (B, N)."""
    tokenizer = tiny()[1]
    rows: list[list[int]] = []
    for text in texts(kind, seed):
        ids = tokenizer.encode(text)
        if len(ids) >= PROMPT + NEW:
            rows.append(ids[: PROMPT + NEW])
        if len(rows) == N_PROMPTS:
            break
    both = torch.tensor(rows)
    return both[:, :PROMPT], both[:, PROMPT:]


def _rules(settings: Mapping[str, Any]) -> list[Rule]:
    """The rules of an arm; the last forbids the end of the text."""
    found: list[Rule] = []
    if penalty := settings.get("repetition"):
        found.append(lambda text, z: repetition_penalty(z, text, penalty))
    if frequency := settings.get("frequency"):  # counts the continuation only, as APIs do
        found.append(
            lambda text, z: presence_frequency_penalty(z, text[:, PROMPT:], frequency=frequency)
        )
    if n := settings.get("no_repeat"):
        found.append(lambda text, z: no_repeat_ngram(z, text, n))
    end = tiny()[1].special_id("<|endoftext|>")
    forbidden = torch.tensor([end])
    return [*found, lambda text, z: z.index_fill(-1, forbidden, -torch.inf)]


def continue_prompts(ids: Tensor, settings: Mapping[str, Any], seed: int) -> Tensor:
    """Continue prompts, (B, T), by the rule of an arm; returns the new ids, (B, N)."""
    model, rules = tiny()[0], _rules(settings)
    if width := settings.get("beams"):
        found = [beam_search(model, row, NEW, n_beams=width, rules=rules)[0].ids for row in ids]
        return torch.tensor(found)
    if alpha := settings.get("contrastive"):
        return torch.tensor(
            [contrastive_search(model, row, NEW, top_k=4, alpha=alpha, rules=rules) for row in ids]
        )
    return generate(model, ids, NEW, rules=rules, seed=seed, **settings.get("draw", {}))[:, PROMPT:]


@torch.no_grad()
def surprise(ids: Tensor, new: Tensor) -> Tensor:
    """Nats of each new token under the model, (B, N)."""
    text = torch.cat([ids, new], dim=1)  # (B, T + N)
    log_p = tiny()[0](text[:, :-1]).double().log_softmax(dim=-1)  # (B, T + N - 1, V)
    return -log_p.gather(-1, text[:, 1:, None])[:, PROMPT - 1 :, 0]


def grams(ids: Sequence[int], n: int) -> list[tuple[int, ...]]:
    """All n-grams of a text."""
    return [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]


def repeated(ids: Sequence[int], n: int = 4) -> float:
    """Share of the n-grams of a text that came before in it (rep-4 for n = 4).

    Source: Welleck et al. 2019, arXiv:1908.04319, seq-rep-n.
    """
    found = grams(ids, n)
    return 1 - len(set(found)) / len(found)


def distinct(rows: Sequence[Sequence[int]], n: int = 2) -> float:
    """Different n-grams of a set of texts, as a share of all its n-grams (distinct-2 for n = 2).

    Source: Li et al. 2016, arXiv:1510.03055, section 5.2 (there with n = 1 and 2).
    """
    found = [gram for row in rows for gram in grams(row, n)]
    return len(set(found)) / len(found)


def overlaps(rows: Sequence[Sequence[int]], n: int = 4) -> list[float]:
    """For each text, the share of its n-grams that stand in a text of another prompt, too."""
    holders = Counter(gram for row in rows for gram in set(grams(row, n)))
    return [float(np.mean([holders[gram] > 1 for gram in grams(row, n)])) for row in rows]


def familiar_names(before: Sequence[str], after: Sequence[str]) -> float:
    """Of all people named in continuations, the share that was named before in the same text."""
    known = total = 0
    for prompt, text in zip(before, after, strict=True):
        met = set(re.findall(r"[A-Z]\w+", prompt)) & NAMES
        for name in re.findall(r"[A-Z]\w+", text):
            if name in NAMES:
                known, total = known + (name in met), total + 1
                met.add(name)
    return known / max(total, 1)


def measure(ids: Tensor, new: Tensor) -> dict[str, Any]:
    """Likelihood, diversity and repetition of continuations, (B, N), of prompts, (B, T)."""
    nats, rows = surprise(ids, new), new.tolist()
    decode = tiny()[1].decode
    before, after = [decode(row) for row in ids.tolist()], [decode(row) for row in rows]
    return {
        "nats": [round(x, 4) for x in nats.mean(dim=1).tolist()],
        "by position": [round(x, 3) for x in nats.mean(dim=0).tolist()],
        "rep-4": [round(repeated(row), 4) for row in rows],
        "overlap": [round(x, 4) for x in overlaps(rows)],
        "distinct-2": distinct(rows),
        "familiar": familiar_names(before, after),
    }


def first_sentence(ids: Tensor, real: Tensor, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Let beam search finish the sentence that the prompt breaks off; how many tokens is that?"""
    model, tokenizer = tiny()
    full_stop = [i for i in range(tokenizer.n_vocab) if tokenizer.decode([i]).strip() in (".", "!")]
    found = []
    for row, after in zip(ids, real.tolist(), strict=True):
        if settings["length_penalty"] == "real":
            ends = [i for i, token in enumerate(after) if token in full_stop]
            found.append(ends[0] + 1 if ends else NEW)
            continue
        best = beam_search(
            model,
            row,
            NEW,
            n_beams=settings["beams"],
            length_penalty=settings["length_penalty"],
            stop_ids=full_stop,
        )[0]
        found.append(len(best.ids))
    return {"length": found}


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Continue the prompts of a seed by one rule, and measure the texts."""
    torch.set_num_threads(1)
    ids, real = prompts(settings["texts"], seed)
    if "length_penalty" in settings:
        return first_sentence(ids, real, settings)
    new = real if settings.get("real") else continue_prompts(ids, settings, seed)
    return measure(ids, new)


RULES: dict[str, dict[str, Any]] = {
    "real": {"real": True},
    "greedy": {},
    "beam_4": {"beams": 4},
    "beam_8": {"beams": 8},
    "beam_16": {"beams": 16},
    "contrastive": {"contrastive": 0.6},
    "repetition_1.2": {"repetition": 1.2},
    "frequency_0.5": {"frequency": 0.5},
    "no_repeat_4": {"no_repeat": 4},
    "t_0.5": {"draw": {"temperature": 0.5}},
    "t_0.7": {"draw": {"temperature": 0.7}},
    "t_1": {"draw": {"temperature": 1.0}},
    "t_1.3": {"draw": {"temperature": 1.3}},
    "k_10": {"draw": {"temperature": 1.0, "top_k": 10}},
    "k_50": {"draw": {"temperature": 1.0, "top_k": 50}},
    "p_0.9": {"draw": {"temperature": 1.0, "top_p": 0.9}},
    "p_0.95": {"draw": {"temperature": 1.0, "top_p": 0.95}},
    "min_p_0.1": {"draw": {"temperature": 1.0, "min_p": 0.1}},
    "typical_0.9": {"draw": {"temperature": 1.0, "typical_p": 0.9}},
}
"""The rules by name; what is not named is greedy."""
ON_PROSE: tuple[str, ...] = ("real", "greedy", "beam_4", "contrastive", "repetition_1.2")
ON_PROSE += ("frequency_0.5", "no_repeat_4", "t_1", "p_0.9")

ARMS: dict[str, dict[str, Any]] = {
    **{name: {"texts": "stories", **rule} for name, rule in RULES.items()},
    **{f"prose_{name}": {"texts": "prose", **RULES[name]} for name in ON_PROSE},
    **{
        f"sentence_{alpha}": {"texts": "stories", "beams": 4, "length_penalty": alpha}
        for alpha in (0.0, 0.6, 1.0, 2.0, "real")
    },
}

JOB = Job(
    name="decoding_rules",
    title="One model, the same prompts, every rule of decoding: likelihood, variety, repetition",
    lesson="19",
    arms=ARMS,
    run=run,
)
