"""How large should a vocabulary be? The same blocks and the same compute with five vocabularies.

*Equal compute* means equal training FLOPs, counted exactly (`flops_per_token`: block matrices,
output matrix, attention). A larger vocabulary makes each token dearer, since the output matrix has
a row for each entry, and each token covers more bytes. So an arm reads fewer tokens than the
one before it, and how many bytes these are is measured, not chosen.

What is not equal, and must be said with the result: total parameters (the rows are trained, too),
the context in bytes (64 tokens reach further when tokens are longer), and how near the learning
rate, which is the same for all, is to the best one of each arm.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from minillm.data.corpora import load_corpus
from minillm.model.config import count_parameters, flops_per_token
from minillm.recipes.records import Job
from minillm.recipes.runs import decoder
from minillm.recipes.small import SmallConfig, bits_on, stream, train_small
from minillm.tokenizer import Tokenizer, train_bpe
from minillm.tokenizer.metrics import bytes_per_token

SIZES = (257, 512, 1024, 2048, 4096)
"""Entries with the end-of-text token; 257 are the bytes and that token."""
BUDGET = 1.2e11
"""FLOPs of a run."""
END = "<|endoftext|>"
N_TEST_BYTES = 24_000


@lru_cache(maxsize=1)
def texts() -> tuple[list[str], list[str], list[str]]:
    """Documentation: texts to train a tokenizer on, to train models on, and to measure on."""
    found = load_corpus("prose", max_bytes=3_000_000, progress=False).texts
    found = sorted(set(found), key=found.index)
    order = np.random.default_rng(0).permutation(len(found))
    shuffled = [found[i] for i in order]
    test, size = [], 0
    while size < N_TEST_BYTES:
        test.append(shuffled.pop())
        size += len(test[-1].encode())
    return shuffled[::3], shuffled, test


@lru_cache(maxsize=len(SIZES))
def tokenizer_of(size: int) -> Tokenizer:
    """The BPE tokenizer of a size, trained on a third of the texts."""
    return Tokenizer(*train_bpe(texts()[0], size, [END]), [END])


def config_of(size: int, budget: float = BUDGET) -> SmallConfig:
    """The shape of an arm, and as many steps as the budget pays for."""
    one = SmallConfig(vocab_size=size)
    shape = decoder(size, d_model=one.d_model, n_layers=one.n_layers, n_heads=one.n_heads,
                    context=one.context)  # fmt: skip
    a_step = flops_per_token(shape) * one.batch_size * one.context
    return SmallConfig(vocab_size=size, steps=round(budget / a_step))


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train one model, and measure it on texts that neither it nor the tokenizer has seen."""
    size = settings["vocab_size"]
    config, tokenizer = config_of(size, settings["budget"]), tokenizer_of(size)
    end = tokenizer.special_id(END)
    n_tokens = config.steps * config.batch_size * config.context
    drawn = [texts()[1][i] for i in np.random.default_rng(seed).permutation(len(texts()[1]))]
    tokens = stream(drawn, tokenizer.encode, end)[: n_tokens + config.context]
    model = train_small(tokens, seed, config=config)
    length = bytes_per_token(tokenizer, texts()[2])
    return {
        "bits_per_byte": bits_on(model, texts()[2], tokenizer.encode, end),
        "bytes_per_token": length,
        "n_tokens": n_tokens,
        "bytes_read": len(tokenizer.decode_bytes(t for t in tokens[:n_tokens] if t != end)),
        "n_parameters": count_parameters(model.config),
        "flops": flops_per_token(model.config) * n_tokens,
    }


JOB = Job(
    name="vocabulary_size",
    title="Which vocabulary size gives the fewest bits per byte at equal compute?",
    lesson="07b",
    arms={f"v{size}": {"vocab_size": size, "budget": BUDGET} for size in SIZES},
    run=run,
)
