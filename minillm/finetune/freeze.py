"""Train a part of a model and freeze the rest: the baselines that LoRA has to beat.

Shape letters: L layers.
"""

from torch import nn

from minillm.model import Decoder


def train_only(model: nn.Module, *parts: str) -> list[str]:
    """Freeze everything but the parameters whose names contain one of the parts.

    Args:
        model: any module; changed in place.
        parts: whole words of dotted names, one or several in a row: "attention_norm", "blocks.3",
            "attention.q". "q" does not mean "q_norm".

    Returns:
        The names of the parameters that are trained now, in the order of the model.

    Raises:
        ValueError: if no part is given, or one of them is in no name.

    Lesson: notebooks/31_lora.ipynb
    """
    if not parts:
        raise ValueError('nothing would be trained: name at least one part, such as "blocks.3"')
    names = [name for name, _ in model.named_parameters()]
    for part in parts:
        if not any(_has(name, part) for name in names):
            raise ValueError(f"no parameter has {part!r} in its name; the first is {names[0]!r}")
    trained = [name for name in names if any(_has(name, part) for part in parts)]
    chosen = set(trained)
    for name, param in model.named_parameters():
        param.requires_grad_(name in chosen)
    return trained


def train_last_blocks(model: Decoder, n_blocks: int = 1, *, final_norm: bool = True) -> list[str]:
    """Freeze everything but the last blocks, as one once did with models of images.

    The output matrix stays frozen, too: in most decoders here it is the embedding as well.

    Args:
        model: changed in place.
        n_blocks: how many of its L blocks are trained, counted from the end.
        final_norm: train the norm behind them.

    Returns:
        The names of the parameters that are trained now.

    Raises:
        ValueError: if n_blocks is not in [1, L].

    Lesson: notebooks/31_lora.ipynb
    """
    L = len(model.blocks)
    if not 1 <= n_blocks <= L:
        raise ValueError(f"n_blocks must lie in [1, {L}], got {n_blocks}")
    parts = [f"blocks.{i}" for i in range(L - n_blocks, L)]
    if final_norm and any(True for _ in model.final_norm.parameters()):
        parts.append("final_norm")
    return train_only(model, *parts)


def _has(name: str, part: str) -> bool:
    return bool(part) and f".{part}." in f".{name}."
