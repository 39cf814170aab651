"""Lesson 06 at scale: a vocabulary of GPT-2's size: `python -m benchmarks.bpe_scale`.

Trains 50 257 entries on all the prose, reference and code of the harvest, once, with the compiled
engine, and writes `data/results/bpe_scale/<machine>.json`. CPU time is taken, not wall time, and
the engine is compiled before the clock starts.
"""

import json
import platform
import re
import time

import numba
import numpy

from benchmarks.compare import ROOT, commit, machine
from minillm.data import load_corpus
from minillm.tokenizer import train_bpe
from minillm.tokenizer.count_compiled import count_pretokens

ENTRIES = 50_257
CORPORA = ("prose", "reference", "code")


def main() -> None:
    """Train once and write the record."""
    texts = [text for name in CORPORA for text in load_corpus(name).texts]
    train_bpe(texts[:20], 300, engine="compiled")
    counts = count_pretokens(texts)

    start = time.process_time()
    vocab, _ = train_bpe(texts, ENTRIES, ["<|endoftext|>"], engine="compiled")
    cpu_seconds = time.process_time() - start
    record = {
        "config": {"entries": len(vocab), "corpora": CORPORA, "engine": "compiled"},
        "seed": None,
        "machine": machine(),
        "versions": {
            "python": platform.python_version(),
            "numba": numba.__version__,
            "numpy": numpy.__version__,
        },
        "commit": commit(),
        "measured": {
            "cpu_seconds": round(cpu_seconds, 1),
            "megabytes": round(sum(len(text.encode()) for text in texts) / 1e6, 1),
            "pretokens": counts.total(),
            "distinct": len(counts),
        },
    }
    folder = ROOT / "data" / "results" / "bpe_scale"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (re.sub(r"[^A-Za-z0-9]+", "-", machine()).strip("-") + ".json")
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record))


if __name__ == "__main__":
    main()
