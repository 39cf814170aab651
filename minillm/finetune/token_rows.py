"""Let some rows of the vocabulary learn beside an adapter, while all other rows stand still.

    table[i] = rows[j] where i = ids[j], the base's own row elsewhere

LoRA leaves the tables alone. But the tokens that frame a talk were never seen in pretraining: every
softmax has pushed their rows away, so that they are hardly ever said, and no update of the blocks
makes an unlikely row likely in a few hundred steps. A handful of rows costs D numbers each.

Shape letters: K rows that learn, V rows of the table, D width.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minillm.model import Decoder

Start = Literal["own", "mean"]
TABLES = ("embedding", "head")
"""The parts of a Decoder with a row for each token; with tied embeddings the first is both."""


class TokenRows(nn.Module):
    """A table in which some rows are learned; it stands in the place of an embedding or a head.

    Args:
        base: an Embedding or the output matrix: anything with a weight (V, D). It is frozen.
        ids: of the rows that learn.
        start: "own" begins with the rows as they are, "mean" with the mean of all rows that have
            a token.
        name: of the adapter that they belong to: they count while it is active.
        n_tokens: rows that have a token, the others pad the table; None: all.

    Attributes:
        rows: (K, D), what learns.
        ids: (K,).
        active: whether they count.

    Raises:
        ValueError: if there are no ids, one comes twice or is not in the table, or `start` is
            unknown.

    Cost: a copy of the table in each pass.
    Source: peft's trainable_token_indices does the same. The mean as a beginning: Hewitt 2021,
        "Initializing New Word Embeddings for Pretrained Language Models".
    Lesson: notebooks/31_lora.ipynb
    """

    ids: Tensor

    def __init__(
        self,
        base: nn.Module,
        ids: Sequence[int],
        *,
        start: Start = "own",
        name: str = "default",
        n_tokens: int | None = None,
    ) -> None:
        super().__init__()
        table = base.weight
        assert isinstance(table, Tensor)
        n_tokens = len(table) if n_tokens is None else n_tokens
        if not ids or len(set(ids)) < len(ids) or not all(0 <= i < n_tokens for i in ids):
            raise ValueError(f"ids must be distinct, from 0 to {n_tokens - 1}; got {list(ids)}")
        if start not in ("own", "mean"):
            raise ValueError(f"start must be 'own' or 'mean', got {start!r}")
        self.base, self.name, self.active = base.requires_grad_(False), name, True
        self.register_buffer("ids", torch.tensor(list(ids), device=table.device))
        own = table.detach()[self.ids]
        if start == "mean":
            own = table.detach()[:n_tokens].mean(dim=0).expand_as(own)
        self.rows = nn.Parameter(own.clone())

    @property
    def weight(self) -> Tensor:
        """The whole table, (V, D), with the rows that learn in their places."""
        weight = self.base.weight
        assert isinstance(weight, Tensor)
        return weight.index_copy(0, self.ids, self.rows) if self.active else weight

    def forward(self, ids: Tensor) -> Tensor:
        """Map ids (...) to rows (..., D)."""
        return F.embedding(ids, self.weight)

    @torch.no_grad()
    def fold(self) -> nn.Module:
        """Write the rows into the base's table for good, if they are active, and give it back."""
        if self.active:
            weight = self.base.weight
            assert isinstance(weight, Tensor)
            weight[self.ids] = self.rows
        return self.base

    def extra_repr(self) -> str:
        """Say the state when the model is printed."""
        return f"ids={self.ids.tolist()}, name={self.name!r}, active={self.active}"


def learn_rows(
    model: Decoder, ids: Iterable[int], *, start: Start = "own", name: str = "default"
) -> Decoder:
    """Let the rows of these tokens learn, in the embedding and in the output matrix.

    Args:
        model: changed in place; call apply_lora first, since it freezes everything.
        ids: of the tokens.
        start, name: see TokenRows.

    Returns:
        The model itself.

    Raises:
        ValueError: if the ids are wrong, or rows of the model learn already.

    Lesson: notebooks/31_lora.ipynb
    """
    ids = list(ids)
    if token_rows(model):
        raise ValueError("rows of this model learn already; name all of their ids at once")
    made = {}
    for place in TABLES:
        table = getattr(model, place)
        if table is not None:
            settings: dict[str, Any] = {"start": start, "name": name}
            made[place] = TokenRows(table, ids, n_tokens=model.config.vocab_size, **settings)
    for place, part in made.items():
        setattr(model, place, part)
    return model


def token_rows(model: nn.Module) -> dict[str, TokenRows]:
    """The tables of a model in which rows learn, by their names."""
    return {path: part for path, part in model.named_modules() if isinstance(part, TokenRows)}
