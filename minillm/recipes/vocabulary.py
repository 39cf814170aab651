"""Train the course's one tokenizer: `python -m minillm.recipes tokenizer`.

It is shipped in `data/tokenizer/`, and every model of the course uses it, so it is made again only
with a new major version. English, Chinese and code are mixed by bytes; the stories are synthetic
and use few words, so they need few merges; real prose and code take most of the vocabulary.
"""

from minillm.recipes.runs import COURSE_VOCABULARY
from minillm.recipes.tokens import documents
from minillm.tokenizer import Tokenizer, train_bpe
from minillm.tokenizer.metrics import bytes_per_token, tokens_per_character
from minillm.tokenizer.tokenizer import COURSE_FOLDER

MIXTURE = {
    "questions-en": 1_500_000,
    "questions-zh": 2_500_000,
    "prose": 5_000_000,
    "code": 2_000_000,
}
"""Bytes of each corpus in the sample that the merges are learned from."""

NAMED = (
    "<|endoftext|>",
    "<|pad|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|mask|>",
    "<|gmask|>",
    "<|sop|>",
    "<|eop|>",
    "<|sep|>",
)
SPECIAL_TOKENS = (*NAMED, *(f"<|reserved_{i}|>" for i in range(7)))
"""Sixteen, at the end of the vocabulary; the reserved ones are for your own experiments."""


def make_course_tokenizer(folder: str | None = None) -> dict[str, dict[str, float]]:
    """Train the tokenizer on the mixture, save it, and measure it on text that it has not seen.

    Args:
        folder: where to save it; None means `data/tokenizer/`.

    Returns:
        For each corpus, tokens per character and bytes per token.

    Cost: about a minute, most of it for the first harvest.
    Lesson: notebooks/06_bpe.ipynb
    """
    texts, unseen = [], {}
    for name, n_bytes in MIXTURE.items():
        taken = documents(name, n_bytes)
        held_out = max(1, len(taken) // 20)
        unseen[name] = taken[:held_out]
        texts += taken[held_out:]
    vocab, merges = train_bpe(texts, COURSE_VOCABULARY, SPECIAL_TOKENS)
    tokenizer = Tokenizer(vocab, merges, SPECIAL_TOKENS)
    tokenizer.save(COURSE_FOLDER if folder is None else folder)
    return {
        name: {
            "tokens_per_character": round(tokens_per_character(tokenizer, held), 3),
            "bytes_per_token": round(bytes_per_token(tokenizer, held), 3),
        }
        for name, held in unseen.items()
    }
