"""Training byte-level BPE against Hugging Face `tokenizers`: `python -m benchmarks.bpe_train`.

    1. 8 192 entries on 12 MB, the compiled engine; the merges must be equal, one by one
    2. the same, pure Python
    3. 500 entries on 130 KB, as in CS336's speed test (1.5 s allowed, 0.38 s the reference)

The text is the harvest's prose and code. Both sides use the GPT-2 expression; ours uses
ties="gpt2_id", the rule that Hugging Face's trainer follows behind its byte-level pre-tokenizer.
The first compilation is timed apart, in a process with an empty cache.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from benchmarks.compare import compare
from minillm.data import load_corpus
from minillm.tokenizer import train_bpe
from minillm.tokenizer.printable import from_printable
from minillm.tokenizer.source import TIES

N_BYTES, N_ENTRIES = 12_000_000, 8_192
PEER = f"tokenizers {tokenizers.__version__}"


def corpus(n_bytes: int) -> list[str]:
    """Prose and code of the harvest, n_bytes in all."""
    texts: list[str] = []
    left = n_bytes
    for text in (*load_corpus("prose").texts, *load_corpus("code").texts):
        if left <= 0:
            break
        texts.append(text.encode()[:left].decode("utf-8", "ignore"))
        left -= len(text.encode())
    return texts


def theirs(texts: list[str], n_entries: int) -> list[tuple[bytes, bytes]]:
    """The peer's merges."""
    peer = tokenizers.Tokenizer(models.BPE())
    peer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=n_entries, initial_alphabet=alphabet, show_progress=False
    )
    peer.train_from_iterator(texts, trainer)
    merges = json.loads(peer.to_str())["model"]["merges"]
    return [(from_printable(a), from_printable(b)) for a, b in merges]


def compile_seconds() -> float:
    """How long the first training takes with nothing compiled yet, less a second one."""
    code = (
        "import time; from minillm.tokenizer import train_bpe as t; "
        "f = lambda: t(['a b ab ab'], 258, engine='compiled'); "
        "s = time.perf_counter(); f(); m = time.perf_counter(); f(); "
        "print(m - s - (time.perf_counter() - m))"
    )
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "NUMBA_CACHE_DIR": empty},
            capture_output=True,
            text=True,
            check=True,
        )
    return float(done.stdout)


def main() -> None:
    """Print how the merges compare, then the three lines; the first is repeated as the last."""
    texts = corpus(N_BYTES)
    print(f"corpus: {len(texts)} texts, {sum(len(t.encode()) for t in texts):,} bytes")
    want = theirs(texts, N_ENTRIES)
    for ties in TIES:
        merges = train_bpe(texts, N_ENTRIES, ties=ties, engine="compiled")[1]
        first = next((i for i, (a, b) in enumerate(zip(merges, want, strict=True)) if a != b), None)
        n_same = sum(a == b for a, b in zip(merges, want, strict=True))
        print(
            f"ties={ties}: {n_same} of {len(want)} merges at the same place, "
            f"{len(set(merges) & set(want))} in both lists, first difference: {first}"
        )
    print(f"first compilation: {compile_seconds():.1f} s")

    def ours(engine: str) -> None:
        train_bpe(texts, N_ENTRIES, ties="gpt2_id", engine=engine)

    def peer() -> None:
        theirs(texts, N_ENTRIES)

    sizes = {"n_bytes": N_BYTES, "n_entries": N_ENTRIES}
    small = corpus(130_000)
    compare("bpe_train (python)", PEER, lambda: ours("python"), peer, rounds=1, warmup=0, **sizes)
    compare(
        "bpe_train (130 KB, 500)",
        PEER,
        lambda: train_bpe(small, 500),
        lambda: theirs(small, 500),
        n_bytes=130_000,
        n_entries=500,
    )
    compare("bpe_train", PEER, lambda: ours("compiled"), peer, rounds=3, warmup=0, **sizes)


if __name__ == "__main__":
    start = time.perf_counter()
    main()
    print(f"({time.perf_counter() - start:.0f} s in all)", file=sys.stderr)
