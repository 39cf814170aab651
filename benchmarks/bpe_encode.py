"""Encoding, ours and our export against tiktoken: `python -m benchmarks.bpe_encode`.

Both sides have the course's vocabulary and give the same ids. Three lines, in MB of text a second:

    1. `Tokenizer.encode`, a Python loop over a regular expression and a cache of words
    2. the same with nothing in the cache yet
    3. `export.to_tiktoken`, which is tiktoken itself: the ratio is 1 but for noise
"""

import tiktoken

from benchmarks.bpe_train import corpus
from benchmarks.compare import compare
from minillm.tokenizer import Tokenizer, course_tokenizer
from minillm.tokenizer.export import ordinary_ranks, to_tiktoken, whole_expression

N_BYTES = 2_000_000
PEER = f"tiktoken {tiktoken.__version__}"


def main() -> None:
    """Check that the ids are equal, then print the three lines; the last is the export."""
    text = "\n".join(corpus(N_BYTES))
    megabytes = len(text.encode()) / 1e6
    tokenizer = course_tokenizer()
    exported = to_tiktoken(tokenizer)
    peer = tiktoken.Encoding(
        "peer",
        pat_str=whole_expression(tokenizer.pattern),
        mergeable_ranks=ordinary_ranks(tokenizer),
        special_tokens={},
    )
    assert tokenizer.encode(text) == exported.encode_ordinary(text) == peer.encode_ordinary(text)

    def theirs() -> list[int]:
        return peer.encode_ordinary(text)

    def cold() -> list[int]:
        fresh = Tokenizer(tokenizer.vocab, tokenizer.merges, tokenizer.special_tokens)
        return fresh.encode(text)

    settings = {"unit": "MB/s", "work": megabytes}
    compare("bpe_encode (ours, cold)", PEER, cold, theirs, rounds=3, **settings)
    compare("bpe_encode (ours)", PEER, lambda: tokenizer.encode(text), theirs, **settings)
    compare("bpe_encode", PEER, lambda: exported.encode_ordinary(text), theirs, **settings)


if __name__ == "__main__":
    main()
