"""The room tokenizer: from text to token ids and back.

The ladder, simplest first: `printable`, `pretokenize`, `source`, `bpe` (the definition),
`bpe_fast` (its fast twin), `tokenizer`, `export`, `metrics`, `course`.
"""

from minillm.tokenizer.bpe import encode_word_readable, train_bpe_readable
from minillm.tokenizer.bpe_fast import train_bpe
from minillm.tokenizer.pretokenize import PATTERNS, pretokens
from minillm.tokenizer.tokenizer import Tokenizer, course_tokenizer

__all__ = [
    "PATTERNS",
    "Tokenizer",
    "course_tokenizer",
    "encode_word_readable",
    "pretokens",
    "train_bpe",
    "train_bpe_readable",
]
