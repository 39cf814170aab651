"""Put the new rows of an extended vocabulary into a model that was already trained.

`tokenizer.extend` decides which new ids there are and how their rows may begin (`InitialRows`);
here a model gets a larger table, and every number that it had before stays what it was. So it says
of old ids what it always said, bit for bit; only the sum that a softmax divides by has new terms.

Shape letters: R rows of a table, D model width, V vocabulary.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from minillm.model import Decoder, DecoderConfig
from minillm.tokenizer.extend import InitialRows

TABLES = ("embedding.weight", "head.weight")
"""The tensors with a row for each id; a model that ties them has the first alone."""


def extend(model: Decoder, rows: InitialRows, kind: str = "mean", *, seed: int = 0) -> Decoder:
    """Make a model that knows the ids of an extended tokenizer.

        row i of each table:  the old one for i < n_old,  rows.of(table, kind) behind it

    Args:
        model: a bare Decoder, with a row for each old id; it stays as it is.
        rows: from `tokenizer.extend` or `tokenizer.add_pieces`.
        kind: how the new rows begin, one of `tokenizer.extend.KINDS`: "mean" of the parts,
            "average", "random" or "zero". A row of zeros in an untied output matrix gives a new
            id the logit 0, which may be far above those of the others.
        seed: for "random"; the output matrix of an untied model draws from seed + 1.

    Returns:
        A new decoder, in the precision and on the device of the old one, and in its mode. Its
        vocabulary is n_old + len(rows), or the old one where that was larger already.

    Raises:
        ValueError: if the model is no bare Decoder, has fewer rows than the tokenizer had entries,
            or the kind is unknown.

    Cost: a copy of the weights.
    Source: Hewitt 2021, "Initializing New Word Embeddings for Pretrained Language Models"
        ("average"); Gee et al. 2022, arXiv:2402.09977 ("mean").
    Lesson: notebooks/28_instructions.ipynb
    """
    if type(model) is not Decoder:
        raise ValueError(
            f"extend takes a bare Decoder, got {type(model).__name__}; extend the vocabulary "
            "first, then add adapters"
        )
    config = extended_config(model.config, rows)
    old = model.state_dict()
    device = old[TABLES[0]].device
    larger = Decoder(config, device="meta", dtype=old[TABLES[0]].dtype).to_empty(device=device)
    weights = {name: tensor.clone() for name, tensor in old.items()}
    for place, name in enumerate(name for name in TABLES if name in old):
        weights[name] = extended_table(old[name], rows, config, kind, seed=seed + place)
    larger.load_state_dict(weights)
    return larger.train(model.training)


def extended_config(config: DecoderConfig, rows: InitialRows) -> DecoderConfig:
    """Give the shape of a model with more ids.

    Raises:
        ValueError: if the model has fewer ids than the tokenizer had before.
    """
    if config.vocab_size < rows.n_old:
        raise ValueError(
            f"the tokenizer had {rows.n_old} entries before, the model only {config.vocab_size}: "
            "they do not belong together"
        )
    return replace(config, vocab_size=max(config.vocab_size, rows.n_old + len(rows)))


@torch.no_grad()
def extended_table(
    table: Tensor, rows: InitialRows, config: DecoderConfig, kind: str, *, seed: int = 0
) -> Tensor:
    """Lay the old rows, the new ones and the padding into one table.

    Args:
        table: of the old model, (R, D); rows from n_old on are not taken over where a new id
            comes in their place.
        rows: the new ids.
        config: from extended_config.
        kind, seed: as in extend.

    Returns:
        (padded_vocab_size, D), in the dtype and on the device of the table; padding is zero.
    """
    wide = table.float() if table.dtype in (torch.float16, torch.bfloat16) else table
    new = rows.of(np.asarray(wide.cpu()), kind, seed=seed)  # numpy knows no bfloat16
    whole = torch.zeros(config.padded_vocab_size, table.shape[1], dtype=table.dtype)
    n_known = min(len(table), config.vocab_size)
    whole[:n_known] = table[:n_known].cpu()
    whole[rows.n_old : rows.n_old + len(rows)] = torch.from_numpy(new).to(table.dtype)
    return whole.to(table.device)
