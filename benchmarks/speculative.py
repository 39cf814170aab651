"""Speculative decoding against plain decoding, with the models that come with the course.

The target is `tiny` (1.6 M parameters), prompts are the first 24 tokens of storyworld stories that
no table was made of, 96 new tokens each; n and `sure` of the tables were chosen on other
prompts (seeds from 100 000 on). Three drafts: the model `draft` (0.3 M); a
table of 4-grams, counted in 2 000 other stories; and, for greedy decoding, a table of 6-grams,
counted in 384 texts that the target itself has written behind other prompts (a draft distilled
from its target, as in Zhou et al. 2023, arXiv:2310.08461, only smaller). What making a table takes
is in the line; it is not part of the rates. The peer of the last line is the assisted generation
of transformers with the same two models. The clock is that of the process, as in generate.py.

    python -m benchmarks.speculative

--sweep instead: greedy with n_draft from 1 to 8, and what a pass over 1 to 9 positions costs.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import transformers

from benchmarks.compare import compare
from benchmarks.generate import rate
from minillm.data.storyworld import make_story
from minillm.inference import Draft, NgramDraft, generate, speculative_generate
from minillm.inference.readers import make_reader
from minillm.model import Decoder
from minillm.model.hf import to_transformers
from minillm.recipes import base
from minillm.tokenizer import Tokenizer

TEXTS, PROMPT, NEW = 4, 24, 96
STORIES, OWN = 2_000, 384  # texts of the tables
PROMPTS, OTHERS = 300_000, 200_000  # first seeds of the prompts, and of those of the own texts
MODES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "sampled": {"temperature": 1.0, "seed": 0},
}
Prompts = list[list[int]]


def beginnings(tokenizer: Tokenizer, seed: int, n: int) -> Prompts:
    """The first tokens of n stories that are long enough, from a seed on."""
    found: Prompts = []
    while len(found) < n:
        ids = tokenizer.encode(make_story(seed).tell("en"))[:PROMPT]
        found += [ids] if len(ids) == PROMPT else []
        seed += 1
    return found


def own_texts(model: Decoder, prompts: Prompts, **how: Any) -> Prompts:
    """What the target writes behind other prompts, 64 at a time."""
    parts = torch.tensor(prompts).split(64)
    return [text for ids in parts for text in generate(model, ids, NEW, **how).tolist()]


def plain(model: Decoder, prompts: Prompts, **how: Any) -> None:
    for ids in prompts:
        generate(model, torch.tensor([ids]), NEW, **how)


def with_draft(
    model: Decoder, draft: Decoder | Draft, prompts: Prompts, n_draft: int, **how: Any
) -> dict[str, float]:
    done = [speculative_generate(model, draft, p, NEW, n_draft=n_draft, **how) for p in prompts]
    passes, judged = sum(d.n_passes for d in done), sum(d.n_judged for d in done)
    return {
        "n_draft": n_draft,
        "tokens_a_pass": round(len(prompts) * NEW / passes, 2),
        "acceptance": round(sum(d.n_accepted for d in done) / max(judged, 1), 3),
    }


def line(peer: str, ours: Callable[[], object], theirs: Callable[[], object], **extra: Any) -> None:
    compare(
        "speculative",
        peer,
        lambda: rate(ours, TEXTS * NEW),
        lambda: rate(theirs, TEXTS * NEW),
        rounds=5,
        unit="tokens/CPU-s",
        work=1.0,
        measured=True,
        **extra,
    )


def assisted(target: Any, helper: Any, prompts: Prompts, n_draft: int) -> None:
    config = helper.generation_config
    config.num_assistant_tokens, config.num_assistant_tokens_schedule = n_draft, "constant"
    config.assistant_confidence_threshold = 0.0
    for ids in prompts:
        text = torch.tensor([ids])
        target.generate(
            text,
            attention_mask=torch.ones_like(text),
            assistant_model=helper,
            max_new_tokens=NEW,
            do_sample=False,
            pad_token_id=0,
        )


@torch.no_grad()
def sweep(model: Decoder, drafts: dict[str, tuple[Decoder | Draft, int]], prompts: Prompts) -> None:
    """What a pass costs by its positions, and what n_draft does; JSON lines without a peer."""
    reader = make_reader(model, 1, 128)
    reader(torch.tensor([prompts[0]]))

    def passes(ids: torch.Tensor) -> None:
        for _ in range(100):
            reader.truncate(PROMPT)
            reader.each(ids)

    for T in range(1, 10):
        ids = torch.zeros(1, T, dtype=torch.long)
        best = max(rate(partial(passes, ids), 100) for _ in range(9))
        print(json.dumps({"name": "speculative", "positions": T, "us": round(1e6 / best)}))
    for name, (draft, _) in drafts.items():
        for n_draft in (1, 2, 3, 4, 6, 8):
            job = partial(with_draft, model, draft, prompts, n_draft)
            alone = partial(plain, model, prompts)
            ratios = sorted(rate(job, 1) / rate(alone, 1) for _ in range(5))
            row = {"name": "speculative", "draft": name, "ratio": round(ratios[2], 2)}
            print(json.dumps(row | job()), flush=True)


def main() -> None:
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    (target, tokenizer), (small, _) = base("tiny"), base("draft")
    prompts = beginnings(tokenizer, PROMPTS, TEXTS)
    others = beginnings(tokenizer, OTHERS, OWN)
    start = time.process_time()
    stories = [tokenizer.encode(make_story(seed).tell("en")) for seed in range(STORIES)]
    drafts: dict[str, tuple[Decoder | Draft, int]] = {"model": (small, 3)}
    drafts["stories"] = (NgramDraft(4, stories, sure=0.4), 8)
    seconds = {"model": 0.0, "stories": time.process_time() - start}
    start = time.process_time()
    drafts["own"] = (NgramDraft(6, own_texts(target, others), sure=0.25), 8)
    seconds["own"] = time.process_time() - start
    if "--sweep" in sys.argv:
        sweep(target, drafts, prompts)
        return
    for mode, how in MODES.items():
        for name, (draft, n_draft) in drafts.items():
            counts = with_draft(target, draft, prompts, n_draft, **how)
            line(
                "ours, plain",
                partial(with_draft, target, draft, prompts, n_draft, **how),
                partial(plain, target, prompts, **how),
                draft=name,
                mode=mode,
                seconds_to_make=round(seconds[name], 1),
                **counts,
            )
        drafts.pop("own", None)  # of greedy texts; made of sampled ones it was no better
    line(
        f"transformers {transformers.__version__}, assisted",
        partial(with_draft, target, small, prompts, 3),
        partial(assisted, to_transformers(target), to_transformers(small), prompts, 3),
        draft="model",
        mode="greedy",
        n_draft=3,
    )


if __name__ == "__main__":
    main()
