"""The same ids in other people's tools: tiktoken and Hugging Face tokenizers, and back.

tiktoken keeps no list of merges: it joins whichever neighbours have a result of lowest id. This is
the same thing if every token, cut up and merged by the earlier merges alone, ends as the two parts
that our list names for it. Why that is enough: up to the moment when two neighbours x y give a
token t, no merge crossed the ends of t, so t stands there as it would stand alone; alone it ends as
its two listed parts, so x and y are those. `to_tiktoken` checks the condition, token by token.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minillm.tokenizer.encode_fast import WordCache
from minillm.tokenizer.pretokenize import resolve
from minillm.tokenizer.printable import to_printable
from minillm.tokenizer.tokenizer import Merge, Tokenizer

if TYPE_CHECKING:
    import tiktoken


def to_tiktoken(tokenizer: Tokenizer, name: str = "minillm") -> "tiktoken.Encoding":
    """A tiktoken.Encoding that gives the same ids, at tiktoken's speed.

    Args:
        tokenizer: its merges must have ascending ids, as `train_bpe` gives them.
        name: shown by tiktoken.

    Returns:
        The encoding: `encode(text, allowed_special="all", disallowed_special=())` there is
        `encode(text, allowed_special="all")` here.

    Raises:
        ValueError: if tiktoken cannot express the tokenizer.

    Cost: one merge loop for each token of the vocabulary.
    Lesson: notebooks/06_bpe.ipynb
    """
    import tiktoken

    specials = tokenizer.special_tokens
    for short, long in permutations(specials, 2):
        if long.startswith(short):
            raise ValueError(f"{short!r} begins {long!r}; tiktoken does not prefer the longer one")
    ranks = ordinary_ranks(tokenizer)
    if merges_from_ranks(ranks) != tokenizer.merges:
        raise ValueError(
            "tiktoken merges by id alone, and would cut some token of this vocabulary otherwise "
            "than its merges do; give the merges ascending ids, as train_bpe does"
        )
    return tiktoken.Encoding(
        name,
        pat_str=whole_expression(tokenizer.pattern),
        mergeable_ranks=ranks,
        special_tokens={name: tokenizer.special_id(name) for name in specials},
    )


def to_hf_json(tokenizer: Tokenizer, path: str | Path) -> None:
    """Write a tokenizer.json that Hugging Face `tokenizers` loads, with the same ids.

    There every special token is recognised in any text, as with allowed_special="all" here; set
    `encode_special_tokens = True` on the loaded object for our default.

    Args:
        tokenizer: its special tokens must come last, and none may look like an ordinary token.
        path: the file to write.

    Raises:
        ValueError: if the file format cannot express the special tokens' ids.
    """
    ranks = ordinary_ranks(tokenizer)
    vocab = {to_printable(token): i for token, i in ranks.items()}
    specials = {name: tokenizer.special_id(name) for name in tokenizer.special_tokens}
    if list(specials.values()) != list(range(len(vocab), len(vocab) + len(specials))):
        raise ValueError(f"special tokens must follow the {len(vocab)} others; got {specials}")
    for special in specials:
        if special in vocab:
            raise ValueError(f"special token {special!r} has the name of an ordinary token there")
    content = _hf_content(vocab, tokenizer.merges, specials, whole_expression(tokenizer.pattern))
    Path(path).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")


def _hf_content(
    vocab: Mapping[str, int], merges: Sequence[Merge], specials: Mapping[str, int], expression: str
) -> dict[str, Any]:
    """Over 40 lines, because it is one literal: a whole tokenizer.json, to be read as such."""
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": False,
        "use_regex": False,
    }
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i, "content": name, **flags, "special": True} for name, i in specials.items()
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": expression},
                    "behavior": "Isolated",
                    "invert": False,
                },
                byte_level,
            ],
        },
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": [[to_printable(a), to_printable(b)] for a, b in merges],
        },
    }


def from_tiktoken_ranks(
    ranks: Mapping[bytes, int], special_tokens: Mapping[str, int], pattern: str = "gpt2"
) -> Tokenizer:
    """A Tokenizer from the ranks of a tiktoken encoding, GPT-2's for instance.

    Args:
        ranks: token -> id, as in `Encoding._mergeable_ranks` or a .tiktoken file.
        special_tokens: name -> id.
        pattern: how the encoding cuts text.

    Raises:
        ValueError: if some token does not come from merging two others.
    """
    vocab = {i: token for token, i in ranks.items()}
    vocab |= {i: name.encode("utf-8") for name, i in special_tokens.items()}
    return Tokenizer(vocab, merges_from_ranks(ranks), list(special_tokens), pattern)


def merges_from_ranks(ranks: Mapping[bytes, int]) -> list[Merge]:
    """Recover the list of merges: what the earlier merges alone make of each token.

        {b"a": 0, b"b": 1, b"c": 2, ..., b"bc": 256, b"abc": 257} -> [(b"b", b"c"), (b"a", b"bc")]

    Raises:
        ValueError: if the earlier merges do not leave exactly two parts of some token.
    """
    merges: list[Merge] = []
    vocab = {i: token for token, i in ranks.items()}
    cache = WordCache({}, ranks)
    for token, i in sorted(ranks.items(), key=lambda item: item[1]):
        if len(token) == 1:
            continue
        ids = cache.merge([ranks[bytes([byte])] for byte in token])
        if len(ids) != 2:
            raise ValueError(f"token {token!r} (id {i}) is not the merge of two earlier tokens")
        cache.table[ids[0], ids[1]] = (i, i)
        merges.append((vocab[ids[0]], vocab[ids[1]]))
    return merges


def ordinary_ranks(tokenizer: Tokenizer) -> dict[bytes, int]:
    """token -> id for the bytes and the results of merges, in the order of the ids.

    Raises:
        ValueError: if the ids of the merges' results do not ascend.
    """
    id_of = tokenizer.ordinary
    results = [id_of[a + b] for a, b in tokenizer.merges]
    if results != sorted(results):
        raise ValueError("the ids of the merges do not ascend; train_bpe gives ids that do")
    return dict(sorted(id_of.items(), key=lambda item: item[1]))


def whole_expression(pattern: str) -> str:
    """The pattern as one expression that matches every character.

    Ours keeps what an expression of one's own does not match, as pre-tokens; tiktoken drops it. So
    the expression gets an alternative for runs in which no match begins.
    """
    resolved = resolve(pattern)
    if resolved.boundary is not None:
        return resolved.expression
    return f"{resolved.expression}|(?s:(?:(?!{resolved.expression}).)+)"
