"""Is a model worse in a language that its vocabulary cuts into many tokens?

The same Chinese stories in the same order, vocabularies of the same size that were learned from
English, from both, and from Chinese. Three arms read the same number of tokens, which is the same
compute, since the model is the same: so the more tokens a text takes, the less of it is read.
A fourth arm keeps the English vocabulary but reads as many *bytes* as the Chinese arm does, at
several times the compute: it tells apart "reads less" from "is cut badly".
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from minillm.data.storyworld import make_corpus
from minillm.recipes.records import Job
from minillm.recipes.small import SmallConfig, bits_on, stream, train_small
from minillm.tokenizer import Tokenizer, train_bpe
from minillm.tokenizer.metrics import bytes_per_token, fertility

VOCABULARY = 1024
STEPS = 120
CONFIG = SmallConfig(vocab_size=VOCABULARY, d_model=48, steps=STEPS)
SAMPLES = {"english": (0, 400), "half": (200, 200), "chinese": (400, 0)}
"""Chinese and English stories that a vocabulary is learned from; see `tokenizer_of`."""
END = "<|endoftext|>"


@lru_cache(maxsize=1)
def texts() -> tuple[list[str], list[str]]:
    """Chinese stories to train on, and others to measure on."""
    return make_corpus(70, 2_000, "zh"), make_corpus(71, 60, "zh")


@lru_cache(maxsize=len(SAMPLES))
def tokenizer_of(sample: str) -> Tokenizer:
    """The vocabulary learned from a sample of stories, none of which a model reads."""
    n_english, n_chinese = SAMPLES[sample][1], SAMPLES[sample][0]
    told = make_corpus(72, n_english, "en") if n_english else []
    told += make_corpus(73, n_chinese, "zh") if n_chinese else []
    return Tokenizer(*train_bpe(told, VOCABULARY, [END], max_token_bytes=15), [END])


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train one model on Chinese stories, and measure it on others."""
    train, test = texts()
    tokenizer = tokenizer_of(settings["sample"])
    end = tokenizer.special_id(END)
    steps = STEPS
    if settings["equal"] == "bytes":  # as many bytes as the Chinese vocabulary reads in STEPS
        longer = bytes_per_token(tokenizer_of("chinese"), test)
        steps = round(STEPS * longer / bytes_per_token(tokenizer, test))
    config = SmallConfig(vocab_size=VOCABULARY, d_model=CONFIG.d_model, steps=steps)
    n_tokens = steps * config.batch_size * config.context
    drawn = [train[i] for i in np.random.default_rng(seed).permutation(len(train))]
    tokens = stream(drawn, tokenizer.encode, end)[: n_tokens + config.context]
    model = train_small(tokens, seed, config=config)
    return {
        "bits_per_byte": bits_on(model, test, tokenizer.encode, end),
        "fertility": fertility(tokenizer, test),
        "bytes_per_token": bytes_per_token(tokenizer, test),
        "n_tokens": n_tokens,
        "bytes_read": len(tokenizer.decode_bytes(t for t in tokens[:n_tokens] if t != end)),
        "flops": config.flops,
    }


JOB = Job(
    name="fertility_quality",
    title="Does a high fertility mean a worse model of that language?",
    lesson="07b",
    arms={
        **{name: {"sample": name, "equal": "tokens"} for name in SAMPLES},
        "english_same_bytes": {"sample": "english", "equal": "bytes"},
    },
    run=run,
)
