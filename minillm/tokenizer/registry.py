"""How many rows an embedding gets: reserved tokens for later, and padding to a round number.

A matrix product is fastest where its sides are multiples of the size of the hardware's tiles (128
is safe everywhere), and if the rows are spread over several devices, each device's share should be
one. So an embedding usually has more rows than the tokenizer has entries. Rows that mean nothing
yet are also useful: a later mark can take one, and no shape of the model changes.

Lesson: notebooks/07a_tokenizers.ipynb
"""

import re

from minillm.tokenizer.tokenizer import Tokenizer

RESERVED = "<|reserved_{}|>"
_RESERVED = re.compile(r"<\|reserved_(\d+)\|>")
MULTIPLE = 128


def pad_vocab(n_entries: int, multiple: int = MULTIPLE, n_devices: int = 1) -> int:
    """Rows for an embedding: the smallest number of at least n_entries that suits the hardware.

        pad_vocab(250_680, 128, 4) -> 250_880:  4 devices with 62 720 = 490 x 128 rows each

    Args:
        n_entries: what the tokenizer has.
        multiple: of this each device's share must be a multiple.
        n_devices: over how many devices the rows are spread (tensor parallelism).

    Raises:
        ValueError: if an argument is not at least 1.

    Source: BigScience 2022, arXiv:2211.05100, section 3.2.2: divisible by 128 and by 4.
    Lesson: notebooks/07a_tokenizers.ipynb
    """
    if min(n_entries, multiple, n_devices) < 1:
        raise ValueError(
            f"n_entries {n_entries}, multiple {multiple}, n_devices {n_devices}: "
            f"each must be at least 1"
        )
    step = multiple * n_devices
    return -(-n_entries // step) * step


def reserved_tokens(n: int, first: int = 0) -> tuple[str, ...]:
    """Names of reserved tokens, to be given to a trainer among its special tokens.

    reserved_tokens(2) -> ("<|reserved_0|>", "<|reserved_1|>")

    Raises:
        ValueError: if n or first is negative.
    """
    if n < 0 or first < 0:
        raise ValueError(f"n and first must not be negative, got {n} and {first}")
    return tuple(RESERVED.format(i) for i in range(first, first + n))


def free_tokens(tokenizer: Tokenizer) -> list[str]:
    """The reserved tokens that nobody has taken yet, in order of their ids."""
    free = [name for name in tokenizer.special_tokens if _RESERVED.fullmatch(name)]
    return sorted(free, key=tokenizer.special_id)


def claim_token(tokenizer: Tokenizer, name: str) -> tuple[Tokenizer, int]:
    """Give the first free reserved token a meaning.

    Args:
        tokenizer: has special tokens as `reserved_tokens` names them.
        name: the new special token.

    Returns:
        A tokenizer in which `name` stands in the place of the reserved token, and its id. All else
        is as before: number of entries, ids, and the ids of every text that holds neither name.

    Raises:
        ValueError: if no reserved token is left, or the name is taken, empty or a reserved name.

    Lesson: notebooks/07a_tokenizers.ipynb
    """
    if not name or name in tokenizer.special_tokens or _RESERVED.fullmatch(name):
        raise ValueError(f"{name!r} cannot be claimed: it is empty, taken, or a reserved name")
    free = free_tokens(tokenizer)
    if not free:
        raise ValueError(f"no reserved token is left for {name!r}; extend the vocabulary instead")
    place = tokenizer.special_id(free[0])
    vocab = dict(tokenizer.vocab)
    vocab[place] = name.encode("utf-8")
    names = [name if old == free[0] else old for old in tokenizer.special_tokens]
    return Tokenizer(vocab, tokenizer.merges, names, tokenizer.pattern), place
