"""Where a learned prefix comes from: prompt tuning, P-tuning, prefix tuning, P-tuning v2.

    method           trained                                    the prefix of layer l
    ---------------  -----------------------------------------  -----------------------------------
    prompt tuning    P embeddings, (P, D)                       what the frozen blocks make of them
    P-tuning         P embeddings and a network (MLP or LSTM)   the same, of the network's output
    P-tuning v2      keys and values of every layer             themselves
    prefix tuning    P embeddings and one MLP for all layers    its slice of the MLP's output

- A soft prompt is a prefix, too, but one that the model must be able to say itself: the first two
  rows can reach only some of what the third can.
- The networks are scaffolding. Once trained, materialise computes the prefix and throws them away.

Shape letters (the table is in notebooks/NOTATION.md):
    P  positions of the prefix     D  model width     L  layers     K  key/value heads
    H  head width                  M  inner width of a network
"""

from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from minillm.finetune.prefixed import PrefixedDecoder
from minillm.model import Decoder, DecoderConfig

Encoder = Literal["mlp", "lstm"]


class SoftPrompt(nn.Module):
    """P learned embeddings that stand before the text, as if they were tokens.

    Args:
        start: the embeddings to begin with, (P, D).

    Source: Lester et al. 2021, arXiv:2104.08691, section 2.
    Lesson: notebooks/32_peft.ipynb
    """

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.n_tokens = start.shape[0]
        self.embeddings = nn.Parameter(start.detach().clone())

    def keys_values(self, model: PrefixedDecoder) -> tuple[Tensor, Tensor]:
        """Let the frozen blocks read the prompt; each (L, K, P, H)."""
        return model.read(self.embeddings)


class EncodedPrompt(nn.Module):
    """Embeddings that pass through a small network before they stand before the text.

        MLP:   W_3 relu(W_2 relu(W_1 e))              LSTM:  W_2 relu(W_1 lstm(e)), both directions

    The network lets the P vectors know of each other (LSTM) or at least share weights (MLP).

    Args:
        start: the embeddings to begin with, (P, D).
        encoder: "mlp" or "lstm".
        width: M, of the inner layers.

    Raises:
        ValueError: if the encoder is unknown.

    Source: Liu et al. 2021 (P-tuning), arXiv:2103.10385 (its prompt encoder);
        the layers are those of peft's PromptEncoder.
    Lesson: notebooks/32_peft.ipynb
    """

    def __init__(self, start: Tensor, *, encoder: Encoder, width: int) -> None:
        super().__init__()
        D, like = start.shape[1], _like(start)
        self.n_tokens, self.encoder = start.shape[0], encoder
        self.embeddings = nn.Parameter(start.detach().clone())
        self.lstm = None
        if encoder == "lstm":
            self.lstm = nn.LSTM(D, width, num_layers=2, bidirectional=True, **like)
            sizes = [2 * width, 2 * width, D]
        elif encoder == "mlp":
            sizes = [D, width, width, D]
        else:
            raise ValueError(f"encoder must be 'mlp' or 'lstm', got {encoder!r}")
        pairs = pairwise(sizes)
        self.layers = nn.ModuleList(nn.Linear(a, b, **like) for a, b in pairs)

    def prompt(self) -> Tensor:
        """Give the embeddings that the model will read, (P, D)."""
        x: Tensor = self.embeddings
        if self.lstm is not None:
            x, _ = self.lstm(x)  # (P, 2 M): without a batch, the first axis is time
        for i, layer in enumerate(self.layers):
            x = layer(x.relu() if i else x)
        return x

    def keys_values(self, model: PrefixedDecoder) -> tuple[Tensor, Tensor]:
        """Let the frozen blocks read the encoded prompt; each (L, K, P, H)."""
        return model.read(self.prompt())


class Prefix(nn.Module):
    """Keys and values of every layer, each a free number: P-tuning v2, or prefix tuning as saved.

    Args:
        keys, values: to begin with, (L, K, P, H).

    Source: Liu et al. 2021 (P-tuning v2), arXiv:2110.07602, section 3.2; Li and Liang 2021,
        arXiv:2101.00190, section 4.2.
    Lesson: notebooks/32_peft.ipynb
    """

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.n_tokens = keys.shape[2]
        self.keys = nn.Parameter(keys.detach().clone())
        self.values = nn.Parameter(values.detach().clone())

    def keys_values(self, model: PrefixedDecoder) -> tuple[Tensor, Tensor]:
        """Give them; each (L, K, P, H)."""
        return self.keys, self.values


class EncodedPrefix(nn.Module):
    """Keys and values of every layer, written by one MLP from P embeddings: prefix tuning.

        [k_1 ; v_1 ; k_2 ; v_2 ...] = W_2 tanh(W_1 e + b_1) + b_2

    Args:
        config: the model's, which gives layers, heads and head width.
        start: the embeddings to begin with, (P, D).
        width: M, of the inner layer.

    Source: Li and Liang 2021, arXiv:2101.00190, section 4.3.
    Lesson: notebooks/32_peft.ipynb
    """

    def __init__(self, config: DecoderConfig, start: Tensor, *, width: int) -> None:
        super().__init__()
        like = _like(start)
        self.n_tokens = start.shape[0]
        self.shape = (config.n_layers, 2, config.attention.key_heads, config.head_width)
        self.embeddings = nn.Parameter(start.detach().clone())
        self.inner = nn.Linear(start.shape[1], width, **like)
        self.out = nn.Linear(width, torch.Size(self.shape).numel(), **like)

    def keys_values(self, model: PrefixedDecoder) -> tuple[Tensor, Tensor]:
        """Compute them; each (L, K, P, H)."""
        flat = self.out(self.inner(self.embeddings).tanh())  # (P, L 2 K H)
        both = flat.view(-1, *self.shape).permute(2, 1, 3, 0, 4)  # (2, L, K, P, H)
        return both[0], both[1]


def add_prompt(
    model: Decoder, n_tokens: int, *, start: Tensor | None = None, encoder: Encoder | None = None,
    width: int | None = None,
) -> PrefixedDecoder:  # fmt: skip
    """Put a learned prompt before every text: prompt tuning, or P-tuning with an encoder.

    Args:
        model: the decoder, which is frozen.
        n_tokens: P.
        start: ids, (P,), whose embeddings the prompt starts from; or embeddings, (P, D). None:
            rows of the table at random, from torch's generator.
        encoder: None for prompt tuning; "mlp" or "lstm" for P-tuning.
        width: inner width of the encoder; None means D.

    Returns:
        The model with the prompt; only the prompt, and its encoder, can be trained.

    Raises:
        ValueError: if n_tokens < 1, start does not fit, or the encoder is unknown.

    Source: Lester et al. 2021, arXiv:2104.08691, section 2.1 (start from the vocabulary); Liu et
        al. 2021, arXiv:2103.10385.
    Lesson: notebooks/32_peft.ipynb
    """
    rows = _start(model, n_tokens, start)
    if encoder is None:
        return PrefixedDecoder(model, SoftPrompt(rows))
    M = model.config.d_model if width is None else width
    return PrefixedDecoder(model, EncodedPrompt(rows, encoder=encoder, width=M))


def add_prefix(
    model: Decoder, n_tokens: int, *, start: Tensor | None = None, width: int | None = None
) -> PrefixedDecoder:
    """Put learned keys and values before every text, in every layer.

    Without a width the numbers themselves are trained (P-tuning v2), and begin as what the model
    makes of the start, so that they have the size of real keys. With a width an MLP writes them
    (prefix tuning), and what it begins with is of the size of its random weights.

    Args:
        model: the decoder, which is frozen.
        n_tokens: P.
        start: ids, (P,), or embeddings, (P, D). None: rows of the table at random.
        width: M, inner width of the MLP; None for no MLP.

    Returns:
        The model with the prefix; only the prefix, and its MLP, can be trained.

    Raises:
        ValueError: if n_tokens < 1, or start does not fit.

    Source: Li and Liang 2021, arXiv:2101.00190, sections 4.3 and 7.4 (start from real words); Liu
        et al. 2021, arXiv:2110.07602.
    Lesson: notebooks/32_peft.ipynb
    """
    rows = _start(model, n_tokens, start)
    if width is not None:
        return PrefixedDecoder(model, EncodedPrefix(model.config, rows, width=width))
    return materialise(PrefixedDecoder(model, SoftPrompt(rows)))


@torch.no_grad()
def materialise(model: PrefixedDecoder) -> PrefixedDecoder:
    """Compute the prefix once, and forget how: no network and no reading of a prompt any more.

    Args:
        model: with any prefix.

    Returns:
        The same decoder with 2 L P K H numbers as its prefix, which computes the same.

    Source: Li and Liang 2021, arXiv:2101.00190, section 4.3 (only the prefix is saved).
    Lesson: notebooks/32_peft.ipynb
    """
    keys, values = model.keys_values()
    return PrefixedDecoder(model.base(), Prefix(keys, values))


def _like(x: Tensor) -> dict[str, Any]:
    return {"device": x.device, "dtype": x.dtype}


def _start(model: Decoder, n_tokens: int, start: Tensor | None) -> Tensor:
    """Embeddings to begin with, (P, D)."""
    if n_tokens < 1:
        raise ValueError(f"a prompt needs at least 1 token, got n_tokens={n_tokens}")
    table = model.embedding.weight.detach()
    if start is None:
        start = torch.randint(model.config.vocab_size, (n_tokens,), device=table.device)
    if not start.is_floating_point():
        if start.shape != (n_tokens,):
            raise ValueError(f"start must hold {n_tokens} ids, got {tuple(start.shape)}")
        return table[start]
    if start.shape != (n_tokens, model.config.d_model):
        raise ValueError(
            f"start must be {(n_tokens, model.config.d_model)}, got {tuple(start.shape)}"
        )
    return start.to(table)
