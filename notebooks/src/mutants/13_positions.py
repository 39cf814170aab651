"""Wrong solutions of lesson 13, each of which its check must reject."""

SLOPES = """
def my_slopes(n_heads):
    power = 1
    while 2 * power <= n_heads:
        power *= 2
    slopes = [2 ** (-8 * h / power) for h in range(1, power + 1)]
    finer = [2 ** (-8 * h / (2 * power)) for h in range(1, 2 * power + 1)]
    return slopes + finer[0::2][: n_heads - power]
"""
SHIFT = """
def shift_matrix(k, D):
    M = torch.zeros(D, D)
    for j in range(D // 2):
        angle = k * 10_000 ** (-2 * j / D)
        cos, sin = math.cos(angle), math.sin(angle)
        block = torch.tensor([[cos, sin], [-sin, cos]])
        M[2 * j : 2 * j + 2, 2 * j : 2 * j + 2] = block
    return M
"""
BUCKET = """
def my_bucket(distance, n_buckets, largest):
    n = n_buckets // 2
    first = n if distance < 0 else 0
    d, exact = abs(distance), n // 2
    if d < exact:
        return first + d
    ratio = math.log(d / exact) / math.log(largest / exact)
    return first + min(exact + int(ratio * (n - exact)), n - 1)
"""
LOOKS = """
def looks_back(q, k, slope):
    T, H = q.shape
    at = torch.arange(T)
    distance = at[:, None] - at
    scores = q @ k.T / math.sqrt(H) - slope * distance
    scores = scores.masked_fill(distance < 0, -math.inf)
    weights = scores.softmax(dim=-1)
    return (weights * distance).sum(dim=-1)
"""
KEY_ONLY = """
def key_only(q, k, v, slopes):
    S = k.shape[2]
    bias = slopes[:, None, None] * torch.arange(S)
    return attention(q, k, v, causal=True, bias=bias)
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


MUTANTS = {
    "my_slopes": [
        _wrong(
            SLOPES,
            "the formula for every number of heads",
            ("    while 2 * power <= n_heads:\n        power *= 2\n", ""),
            ("power = 1", "power = n_heads"),
        ),
        _wrong(SLOPES, "every second from the second on", ("[0::2]", "[1::2]")),
        _wrong(SLOPES, "the first of the finer ones", ("[0::2]", "")),
        _wrong(
            SLOPES, "the last of the finer ones", ("[0::2][: n", "[0::2][::-1][: n")
        ),
        _wrong(SLOPES, "all finer ones", ("[: n_heads - power]", "")),
        _wrong(
            SLOPES,
            "sorted",
            (
                "return slopes + finer[0::2][: n_heads - power]",
                "return sorted(slopes + finer[0::2][: n_heads - power])[::-1]",
            ),
        ),
        _wrong(
            SLOPES,
            "they start at 1",
            ("h in range(1, power + 1)", "h in range(power)"),
        ),
        _wrong(SLOPES, "8 stands for any number", ("(-8 * h / power)", "(-h)")),
        _wrong(SLOPES, "the next larger power, cut", ("2 * power <=", "power <")),
        _wrong(
            SLOPES, "powers of two fall through", ("2 * power <=", "2 * power <")
        ),
    ],
    "shift_matrix": [
        _wrong(
            SHIFT,
            "the other way",
            ("[[cos, sin], [-sin, cos]]", "[[cos, -sin], [sin, cos]]"),
        ),
        _wrong(SHIFT, "a mirror", ("[-sin, cos]", "[sin, -cos]")),
        _wrong(
            SHIFT,
            "cosine first",
            (
                "cos, sin = math.cos(angle), math.sin(angle)",
                "sin, cos = math.cos(angle), math.sin(angle)",
            ),
        ),
        _wrong(SHIFT, "one speed for all", ("-2 * j / D", "0 / D")),
        _wrong(SHIFT, "half the exponent", ("-2 * j / D", "-j / D")),
        _wrong(SHIFT, "growing speeds", ("-2 * j / D", "2 * j / D")),
        _wrong(SHIFT, "another base", ("10_000", "1_000")),
        _wrong(SHIFT, "always one step", ("angle = k *", "angle =")),
        _wrong(SHIFT, "the sign of k is lost", ("angle = k *", "angle = abs(k) *")),
        _wrong(SHIFT, "the first pair only", ("range(D // 2)", "range(1)")),
    ],
    "my_bucket": [
        _wrong(BUCKET, "left and right swapped", ("distance < 0", "distance > 0")),
        _wrong(
            BUCKET,
            "one's own place counts as right",
            ("distance < 0", "distance <= 0"),
        ),
        _wrong(
            BUCKET,
            "all buckets for each side",
            ("n = n_buckets // 2", "n = n_buckets"),
        ),
        _wrong(
            BUCKET,
            "the last bucket overflows",
            (
                "min(exact + int(ratio * (n - exact)), n - 1)",
                "exact + int(ratio * (n - exact))",
            ),
        ),
        _wrong(
            BUCKET,
            "rounded, not cut off",
            ("int(ratio * (n - exact))", "round(ratio * (n - exact))"),
        ),
        _wrong(BUCKET, "exact up to n", ("n // 2\n    if", "n - 1\n    if")),
        _wrong(
            BUCKET,
            "the logarithm starts at 1",
            ("math.log(d / exact) /", "math.log(d) /"),
        ),
        _wrong(
            BUCKET,
            "linear, not logarithmic",
            (
                "math.log(d / exact) / math.log(largest / exact)",
                "(d - exact) / (largest - exact)",
            ),
        ),
        _wrong(
            BUCKET,
            "the last range begins at the largest / 2",
            ("math.log(largest / exact)", "math.log(largest / 2 / exact)"),
        ),
        _wrong(
            BUCKET,
            "to the right nothing counts",
            ("abs(distance)", "max(distance, 0)"),
        ),
    ],
    "looks_back": [
        _wrong(LOOKS, "scores are not scaled", (" / math.sqrt(H)", "")),
        _wrong(
            LOOKS,
            "the penalty is scaled as well",
            (
                "q @ k.T / math.sqrt(H) - slope * distance",
                "(q @ k.T - slope * distance) / math.sqrt(H)",
            ),
        ),
        _wrong(LOOKS, "a reward instead of a penalty", ("- slope", "+ slope")),
        _wrong(LOOKS, "no penalty", (" - slope * distance", "")),
        _wrong(
            LOOKS, "the future is not hidden", ("distance < 0", "distance < -T")
        ),
        _wrong(
            LOOKS,
            "its own place is hidden",
            (
                "distance < 0, -math.inf",
                "(distance < 1) & (at[:, None] > 0), -math.inf",
            ),
        ),
        _wrong(
            LOOKS,
            "mean place instead of distance",
            ("weights * distance", "weights * at"),
        ),
        _wrong(
            LOOKS,
            "the farthest instead of the mean",
            (
                "(weights * distance).sum(dim=-1)",
                "distance.gather(1, weights.argmax(-1)[:, None])[:, 0] * 1.0",
            ),
        ),
        _wrong(
            LOOKS, "averaged over queries", (".softmax(dim=-1)", ".softmax(dim=0)")
        ),
        _wrong(
            LOOKS,
            "squared distance",
            ("weights * distance", "weights * distance**2"),
        ),
    ],
    "key_only": [
        _wrong(
            KEY_ONLY, "later keys are punished", ("bias = slopes", "bias = -slopes")
        ),
        _wrong(KEY_ONLY, "no bias", (", bias=bias", "")),
        _wrong(KEY_ONLY, "the future is not hidden", ("causal=True, ", "")),
        _wrong(
            KEY_ONLY,
            "one slope for all heads",
            ("slopes[:, None, None]", "slopes[0]"),
        ),
        _wrong(
            KEY_ONLY,
            "heads in the wrong order",
            ("slopes[:, None, None]", "slopes.flip(0)[:, None, None]"),
        ),
        _wrong(
            KEY_ONLY,
            "counted from the last key",
            ("torch.arange(S)", "torch.arange(S).flip(0)"),
        ),
        _wrong(
            KEY_ONLY,
            "scaled like a score",
            ("torch.arange(S)", "torch.arange(S) / math.sqrt(q.shape[-1])"),
        ),
        _wrong(
            KEY_ONLY, "place squared", ("torch.arange(S)", "torch.arange(S) ** 2")
        ),
        _wrong(
            KEY_ONLY,
            "by query instead of key",
            ("S = k.shape[2]", "S = q.shape[2]"),
            ("* torch.arange(S)", "* torch.arange(S)[:, None]"),
        ),
    ],
}
