"""Decoding against transformers' generate, with the very same weights; and with and without cache.

Greedy, float32, one thread. The shape is that of the course's base model `tiny`; with --larger
also one five times as large, where arithmetic weighs more and we win less.
Prompt 32 tokens, 200 new ones. The clock is that of the process (CPU seconds): with one thread it
is the wall clock of a quiet machine, and a busy one disturbs it less.

    python -m benchmarks.generate
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import torch
import transformers

from benchmarks.compare import compare
from minillm.inference import generate
from minillm.model import Decoder
from minillm.model.hf import from_transformers

TINY = {
    "vocab_size": 6_144,
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
}
LARGER = {
    **TINY,
    "hidden_size": 256,
    "intermediate_size": 688,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
}
PROMPT, NEW = 32, 200


def make_pair(shape: dict[str, int]) -> tuple[Decoder, Any]:
    """Ours and theirs with one set of weights."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        **shape,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        initializer_range=0.05,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    theirs = transformers.LlamaForCausalLM(config).eval()
    return from_transformers(theirs), theirs


def rate(job: Callable[[], object], n_tokens: int) -> float:
    """Tokens a second of CPU time."""
    start = time.process_time()
    job()
    return n_tokens / (time.process_time() - start)


def against_transformers(name: str, shape: dict[str, int], batch_size: int, rounds: int) -> None:
    ours, theirs = make_pair(shape)
    ids = torch.randint(0, shape["vocab_size"], (batch_size, PROMPT))

    def their_generate() -> torch.Tensor:
        mask = torch.ones_like(ids)
        return theirs.generate(ids, attention_mask=mask, max_new_tokens=NEW, do_sample=False)

    same = (generate(ours, ids, NEW) == their_generate()).float().mean().item()
    compare(
        "generate",
        f"transformers {transformers.__version__}",
        lambda: rate(lambda: generate(ours, ids, NEW), batch_size * NEW),
        lambda: rate(their_generate, batch_size * NEW),
        rounds=rounds,
        unit="tokens/CPU-s",
        work=1.0,
        measured=True,
        shape=name,
        batch_size=batch_size,
        same_ids=round(same, 3),
    )


def against_no_cache() -> None:
    ours, _ = make_pair(TINY)
    ids = torch.randint(0, TINY["vocab_size"], (1, PROMPT))
    compare(
        "generate",
        "ours without a cache",
        lambda: rate(lambda: generate(ours, ids, NEW), NEW),
        lambda: rate(lambda: generate(ours, ids, NEW, use_cache=False), NEW),
        rounds=3,
        unit="tokens/CPU-s",
        work=1.0,
        measured=True,
        shape="tiny",
        batch_size=1,
    )


def main() -> None:
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    against_transformers("tiny", TINY, 1, rounds=5)
    against_transformers("tiny", TINY, 16, rounds=5)
    against_no_cache()
    if "--larger" in sys.argv:
        against_transformers("larger", LARGER, 1, rounds=5)
        against_transformers("larger", LARGER, 16, rounds=5)


if __name__ == "__main__":
    main()
