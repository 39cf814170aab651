"""How many numbers each method trains: counted from the config, for models that no one can build.

    method           trained numbers                                   knob
    ---------------  ------------------------------------------------  --------------------------
    prompt           P D                                               P, tokens
    prefix           2 L P K H        (P-tuning v2)                    P, tokens
    prefix_mlp       P D + D M + M + (M + 1) 2 L K H                   M, width (P fixed)
    p_tuning         P D + an MLP D - M - M - D                        M, width (P fixed)
    houlsby          2 L (2 D M + M + D)                               M, width
    pfeiffer         L (2 D M + M + D)                                 M, width
    lora             L sum r (d_in + d_out)                            r, rank
    adalora          L sum r (d_in + d_out + 1)                        r, rank
    ia3              L (2 K H + F)                                     none
    bitfit           L (N H + 2 K H + D + (m - 1) F + D)               none

(IA)^3 and BitFit have the size that they have. "bitfit" counts a bias on each linear layer of the
blocks, as only_biases(add=True) makes them; m is 3 for a gated feed-forward layer, else 2.

Shape letters: L layers, D model width, N query heads, K key/value heads, H head width, F inner
width, P tokens of a prompt, M width of a network, r rank.
"""

from collections.abc import Collection
from dataclasses import dataclass

from minillm.model import DecoderConfig, count_parameters

KNOBS = {
    "prompt": "tokens",
    "prefix": "tokens",
    "prefix_mlp": "width",
    "p_tuning": "width",
    "houlsby": "width",
    "pfeiffer": "width",
    "lora": "rank",
    "adalora": "rank",
    "ia3": None,
    "bitfit": None,
}
METHODS = tuple(KNOBS)
ATTENTION = ("q", "v")  # what LoRA's paper adapts
N_TOKENS = 20  # of the methods whose knob is the width of a network


@dataclass(frozen=True)
class Sized:
    """A method at a size.

    Attributes:
        method: its name.
        size: of its knob; None where it has none.
        n_trained: numbers trained.
        share: of all parameters of the model.
    """

    method: str
    size: int | None
    n_trained: int
    share: float


def matrix_widths(config: DecoderConfig) -> dict[str, tuple[int, int]]:
    """List the linear layers of a block, by name: (d_in, d_out).

    Args:
        config: of a model without experts.

    Returns:
        q, k, v, out, and gate (if there is one), up, down.

    Raises:
        ValueError: if the model has experts.

    Lesson: notebooks/32_peft.ipynb
    """
    if config.feedforward.experts is not None:
        raise ValueError("methods are counted for models without experts")
    D, F, H = config.d_model, config.feedforward.width, config.head_width
    queries, keys = config.attention.n_heads * H, config.attention.key_heads * H
    widths = {"q": (D, queries), "k": (D, keys), "v": (D, keys), "out": (queries, D)}
    if config.feedforward.n_matrices == 3:
        widths["gate"] = (D, F)
    return {**widths, "up": (D, F), "down": (F, D)}


def count_trained(
    method: str,
    config: DecoderConfig,
    size: int | None = None,
    *,
    targets: Collection[str] = ATTENTION,
    n_tokens: int = N_TOKENS,
) -> int:
    """Count the numbers that a method trains in a model; the table is at the top of this file.

    Args:
        method: one of METHODS.
        config: of the model, without experts.
        size: tokens, width or rank, as KNOBS says; None for a method without a knob.
        targets: matrices that LoRA and AdaLoRA adapt.
        n_tokens: P of the methods whose knob is a width.

    Returns:
        The count while training. A network over a prompt is thrown away afterwards.

    Raises:
        ValueError: if the method is unknown, size is missing, smaller than 1, or given to a method
            without a knob, or a target is no matrix of the model.

    Lesson: notebooks/32_peft.ipynb
    """
    size = _checked(method, size)
    D, L, widths = config.d_model, config.n_layers, matrix_widths(config)
    prefix = 2 * L * config.attention.key_heads * config.head_width  # numbers a token
    adapter = 2 * D * size + size + D
    if method in ("lora", "adalora"):
        unknown = [t for t in targets if t not in widths]
        if unknown or not targets:
            raise ValueError(f"targets must be among {', '.join(widths)}; got {tuple(targets)!r}")
        extra = method == "adalora"
        return L * sum(size * (sum(widths[t]) + extra) for t in targets)
    counts = {
        "prompt": size * D,
        "prefix": size * prefix,
        "prefix_mlp": n_tokens * D + D * size + size + (size + 1) * prefix,
        "p_tuning": n_tokens * D + 2 * D * size + D + size * size + 2 * size,
        "houlsby": 2 * L * adapter,
        "pfeiffer": L * adapter,
        "ia3": L * (widths["k"][1] + widths["v"][1] + widths["down"][0]),
        "bitfit": L * sum(d_out for _, d_out in widths.values()),
    }
    return counts[method]


def size_for(
    method: str,
    config: DecoderConfig,
    n_numbers: int,
    *,
    targets: Collection[str] = ATTENTION,
    n_tokens: int = N_TOKENS,
) -> Sized:
    """Find the size at which a method trains as many numbers as it may.

    Args:
        method: one of METHODS.
        config: of the model.
        n_numbers: that may be trained. A method without a knob does not look at it.
        targets, n_tokens: as in count_trained.

    Returns:
        The largest size that does not exceed n_numbers; the natural size where there is no knob.

    Raises:
        ValueError: if not even size 1 fits, or as count_trained does.

    Lesson: notebooks/32_peft.ipynb
    """
    more = {"targets": targets, "n_tokens": n_tokens}
    total = count_parameters(config)
    if KNOBS.get(method, "") is None:
        n = count_trained(method, config)
        return Sized(method, None, n, n / total)

    def fits(size: int) -> bool:
        return count_trained(method, config, size, **more) <= n_numbers  # type: ignore[arg-type]

    if not fits(1):
        least = count_trained(method, config, 1, **more)  # type: ignore[arg-type]
        raise ValueError(f"{method} trains at least {least} numbers here, {n_numbers} are allowed")
    low, high = 1, 2
    while fits(high):
        low, high = high, 2 * high
    while high - low > 1:  # fits(low), not fits(high)
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    n = count_trained(method, config, low, **more)  # type: ignore[arg-type]
    return Sized(method, low, n, n / total)


def budget_table(
    config: DecoderConfig, shares: Collection[float], *, methods: Collection[str] = METHODS
) -> dict[float, list[Sized]]:
    """Size every method to some shares of a model's parameters.

    Args:
        config: of the model.
        shares: of its parameters, such as 0.001 and 0.03.
        methods: which ones.

    Returns:
        For each share the methods that fit, at their largest size; those without a knob as they
        are, whatever the share.

    Raises:
        ValueError: if a share is not in (0, 1], or a method is unknown.

    Lesson: notebooks/32_peft.ipynb
    """
    total, table = count_parameters(config), {}
    for share in shares:
        if not 0 < share <= 1:
            raise ValueError(f"a share lies in 0 to 1, got {share}")
        row = []
        for method in methods:
            least = count_trained(method, config, None if KNOBS.get(method, "") is None else 1)
            if KNOBS[method] is None or least <= share * total:
                row.append(size_for(method, config, int(share * total)))
        table[share] = row
    return table


def training_bytes(
    n_frozen: int, n_trained: int, *, bits_frozen: float = 16, bytes_trained: float = 16
) -> float:
    """Count what weights, gradients and optimizer take; activations come on top.

        bits_frozen / 8 n_frozen + bytes_trained n_trained

    Args:
        n_frozen: weights that stand still.
        n_trained: numbers that are trained.
        bits_frozen: of each weight that stands still; nf4_bits() for QLoRA.
        bytes_trained: of each that moves: 16 for a float32 copy, gradient and Adam's two means,
            which is 4 + 4 + 4 + 4; 16 as well for bfloat16 with a float32 master copy
            (2 + 2 + 4 + 4 + 4).

    Returns:
        Bytes.

    Raises:
        ValueError: if a number is negative.

    Source: Rajbhandari et al. 2019 (ZeRO), arXiv:1910.02054, section 3.1 (16 bytes).
    Lesson: notebooks/32_peft.ipynb
    """
    if min(n_frozen, n_trained, bits_frozen, bytes_trained) < 0:
        raise ValueError(
            f"counts and sizes must not be negative, got {n_frozen}, {n_trained}, {bits_frozen}, "
            f"{bytes_trained}"
        )
    return bits_frozen / 8 * n_frozen + bytes_trained * n_trained


def _checked(method: str, size: int | None) -> int:
    """Give the size as a number, after a look at method and size."""
    if method not in KNOBS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    if KNOBS[method] is None:
        if size is not None:
            raise ValueError(f"{method} has no size to choose, got size={size}")
        return 0
    if size is None or size < 1:
        raise ValueError(f"{method} needs a size of at least 1 ({KNOBS[method]}), got {size}")
    return size
