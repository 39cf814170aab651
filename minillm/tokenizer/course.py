"""How the course's one tokenizer is made: what it is trained on, and in which proportions.

The texts come from the room `data`, which this room does not import: `tools/course_tokenizer.py`
fetches them, calls `train_course_tokenizer`, and writes `data/tokenizer/`.

Three choices, each of which the printed measures and a look at the longest tokens defend:

- Stories are cut into clauses and each distinct clause is taken once. The simulator repeats itself,
  and repeated text would turn whole clauses into tokens (BLOOM's sample was deduplicated too).
- No token is longer than 15 bytes: five Han characters, or " implementation". Chinese writes no
  spaces, so a pre-token is a whole clause there, and only a limit keeps it from being learned.
- The shares below are of bytes of training text, not of the vocabulary.
"""

from collections.abc import Iterable, Mapping, Sequence

import regex

from minillm.tokenizer.bpe_fast import train_bpe
from minillm.tokenizer.tokenizer import Tokenizer

N_ENTRIES = 6_144  # 48 x 128
MAX_TOKEN_BYTES = 15
SAMPLE_BYTES = 6_000_000
SHARE_STORIES_EN = 0.14
SHARE_STORIES_ZH = 0.32
SHARE_PROSE = 0.30
SHARE_CODE = 0.24
SHARES: dict[str, float] = {
    "stories-en": SHARE_STORIES_EN,
    "stories-zh": SHARE_STORIES_ZH,
    "prose": SHARE_PROSE,
    "code": SHARE_CODE,
}
SPECIAL_TOKENS: tuple[str, ...] = (
    "<|endoftext|>",
    "<|pad|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|mask|>",
    "<|gmask|>",
    "<|sop|>",
    "<|eop|>",
    "<|sep|>",
    *(f"<|reserved_{i}|>" for i in range(7)),
)
_CLAUSE_END = regex.compile(r"(?<=[。！？，；：”.!?,;:\n])")


def distinct_clauses(texts: Iterable[str]) -> list[str]:
    """Cut texts behind punctuation and keep each distinct clause once, in order of appearance.

    distinct_clauses(["He ran, and fell. He ran, too."]) -> ["He ran,", " and fell.", " He ran,",
    " too."]
    """
    clauses: dict[str, None] = {}
    for text in texts:
        clauses.update(dict.fromkeys(c for c in _CLAUSE_END.split(text) if c))
    return list(clauses)


def take(texts: Sequence[str], n_bytes: int) -> list[str]:
    """The first texts that together have n_bytes of UTF-8; the last is cut to fit.

    Raises:
        ValueError: if all of them have less.
    """
    taken: list[str] = []
    left = n_bytes
    for text in texts:
        encoded = text.encode("utf-8")
        if left <= 0:
            break
        taken.append(encoded[:left].decode("utf-8", "ignore"))
        left -= len(encoded)
    if left > 0:
        raise ValueError(f"{n_bytes} bytes of text are wanted, there are {n_bytes - left}")
    return taken


def train_course_tokenizer(
    sources: Mapping[str, Sequence[str]], n_bytes: int = SAMPLE_BYTES, n_entries: int = N_ENTRIES
) -> Tokenizer:
    """Train the course's tokenizer.

    Args:
        sources: for each key of SHARES its texts, enough of them for its share of n_bytes.
        n_bytes: size of the whole sample.
        n_entries: size of the vocabulary with the special tokens.

    Raises:
        ValueError: if a source is missing or too small.
    """
    sample: list[str] = []
    for name, share in SHARES.items():
        if name not in sources:
            raise ValueError(f"no texts for {name!r}; wanted are {', '.join(SHARES)}")
        texts = sources[name]
        texts = distinct_clauses(texts) if name.startswith("stories") else texts
        sample += take(texts, round(share * n_bytes))
    vocab, merges = train_bpe(sample, n_entries, SPECIAL_TOKENS, max_token_bytes=MAX_TOKEN_BYTES)
    return Tokenizer(vocab, merges, SPECIAL_TOKENS)
