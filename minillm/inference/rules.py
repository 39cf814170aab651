"""Rules that change the logits by what the text already holds: how they are called.

A penalty (penalties.py) or a grammar (grammar.py) becomes a rule by a small function:

    lambda text, logits: repetition_penalty(logits, text, 1.2)

Shape letters: B batch, T ids so far, V vocabulary.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Rule = Callable[[Tensor, Tensor], Tensor]
"""(ids so far with the prompt, (B, T); logits for the next token, (B, V)) -> logits, (B, V).

Minus infinity forbids a token. A rule must not write into the tensors that it is given.
"""


def apply_rules(
    rules: Sequence[Rule], text: Tensor, logits: Tensor, *, going: Tensor | None = None
) -> Tensor:
    """Apply rules one after another.

    Args:
        rules: the first sees the logits of the model, each further one what the one before made.
        text: ids so far, prompt included, (B, T).
        logits: for the next token, (B, V).
        going: rows that the rules are for, (B,) bool; the others keep their logits, and the rules
            never see them. None: all.

    Returns:
        Logits, (B, V); the same tensor if there are no rules.

    Raises:
        ValueError: if a rule changes the shape, or leaves a row no token at all.

    Lesson: notebooks/19_decoding.ipynb
    """
    if not rules:
        return logits
    if going is not None and not going.all():
        changed = logits.clone()
        changed[going] = apply_rules(rules, text[going], logits[going])
        return changed
    for n, rule in enumerate(rules):
        changed = rule(text, logits)
        if changed.shape != logits.shape:
            raise ValueError(
                f"rule {n} made logits {tuple(changed.shape)} of {tuple(logits.shape)}"
            )
        empty = (changed == -torch.inf).all(dim=-1)  # (B,)
        if empty.any():
            row = int(empty.nonzero()[0])
            raise ValueError(f"rule {n} leaves no token to row {row}; relax it, or stop before")
        logits = changed
    return logits
