"""Wrong solutions of lesson 25a, each of which its check must reject."""

LINE = """
def power_law(x, y):
    u, v = np.log(x), np.log(y)
    p = ((u - u.mean()) * (v - v.mean())).sum() / ((u - u.mean()) ** 2).sum()
    return math.exp(v.mean() - p * u.mean()), p
"""
RATIO = """
def flop_ratio(n_layers, d, V, context):
    blocks = 12 * n_layers * d**2
    forward = 2 * blocks + 2 * V * d + 4 * n_layers * context * d
    return 3 * forward / (6 * (blocks + V * d))
"""
LARGEST = """
def largest_model(d, penalty):
    law = KAPLAN_ND
    room = (1 + penalty) ** (1 / law.alpha_d) - 1
    return law.n_c * (room * d / law.d_c) ** (1 / law.ratio)
"""
SPEND = """
def spend_factor(factor, alpha_n, alpha_b, alpha_s):
    alphas = (alpha_n, alpha_b, alpha_s)
    alpha_c = 1 / sum(1 / a for a in alphas)
    return tuple(factor ** (alpha_c / a) for a in alphas)
"""
STEPS = """
def steps_at(S, B, B_crit, new):
    s_min = S / (1 + B_crit / B)
    return s_min * (1 + B_crit / new)
"""
ENTROPY = """
def entropy_rate(p):
    K = len(p)
    pi = np.full((K, K), 1 / K**2)
    for _ in range(5_000):
        pi = np.einsum("ab,abc->bc", pi, p)
    return -(pi[:, :, None] * p * np.log(p)).sum()
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


MUTANTS = {
    "power_law": [
        _wrong(LINE, "logarithm of y alone", ("u, v = np.log(x)", "u, v = x")),
        _wrong(
            LINE,
            "log k is returned, not k",
            ("math.exp(v.mean() - p * u.mean())", "v.mean() - p * u.mean()"),
        ),
        _wrong(
            LINE,
            "slope of x on y",
            ("((u - u.mean()) ** 2)", "((v - v.mean()) ** 2)"),
        ),
        _wrong(LINE, "the line goes through the origin", ("- p * u.mean()", "")),
        _wrong(LINE, "base ten for the coefficient", ("math.exp(", "10 ** (")),
        _wrong(
            LINE, "the wrong sign of the slope", ("u.mean()), p", "u.mean()), -p")
        ),
    ],
    "flop_ratio": [
        _wrong(
            RATIO,
            "one product of attention",
            ("4 * n_layers * context", "2 * n_layers * context"),
        ),
        _wrong(RATIO, "no output matrix", (" + 2 * V * d +", " +")),
        _wrong(
            RATIO,
            "N without the embedding",
            ("(6 * (blocks + V * d))", "(6 * blocks)"),
        ),
        _wrong(
            RATIO, "backward as dear as forward", ("3 * forward", "2 * forward")
        ),
        _wrong(
            RATIO,
            "attention of one layer",
            ("4 * n_layers * context * d", "4 * context * d"),
        ),
        _wrong(
            RATIO,
            "a multiplication alone",
            ("forward = 2 * blocks", "forward = blocks"),
        ),
    ],
    "largest_model": [
        _wrong(
            LARGEST, "the power is not undone", ("** (1 / law.alpha_d) - 1", "- 1")
        ),
        _wrong(
            LARGEST, "the ratio upside down", ("** (1 / law.ratio)", "** law.ratio")
        ),
        _wrong(
            LARGEST,
            "without minus one",
            ("** (1 / law.alpha_d) - 1", "** (1 / law.alpha_d)"),
        ),
        _wrong(
            LARGEST,
            "data upside down",
            ("room * d / law.d_c", "room * law.d_c / d"),
        ),
        _wrong(LARGEST, "always two per cent", ("(1 + penalty)", "1.02")),
        _wrong(
            LARGEST,
            "the scale of data for that of parameters",
            ("law.n_c *", "law.d_c *"),
        ),
    ],
    "spend_factor": [
        _wrong(
            SPEND,
            "the mean of the exponents",
            ("1 / sum(1 / a for a in alphas)", "sum(alphas) / 3"),
        ),
        _wrong(
            SPEND,
            "exponents instead of factors",
            ("factor ** (alpha_c / a)", "alpha_c / a"),
        ),
        _wrong(SPEND, "upside down", ("alpha_c / a)", "a / alpha_c)")),
        _wrong(
            SPEND,
            "batch and steps swapped",
            (
                "(alpha_n, alpha_b, alpha_s)\n    alpha_c",
                "(alpha_n, alpha_s, alpha_b)\n    alpha_c",
            ),
        ),
        _wrong(
            SPEND,
            "steps do not count",
            ("for a in alphas)\n    return", "for a in alphas[:2])\n    return"),
        ),
        _wrong(SPEND, "always ten times", ("factor **", "10 **")),
    ],
    "steps_at": [
        _wrong(
            STEPS,
            "the share upside down",
            ("S / (1 + B_crit / B)", "S / (1 + B / B_crit)"),
        ),
        _wrong(
            STEPS,
            "as many tokens",
            ("return s_min * (1 + B_crit / new)", "return S * B / new"),
        ),
        _wrong(
            STEPS,
            "the same steps",
            ("return s_min * (1 + B_crit / new)", "return S"),
        ),
        _wrong(
            STEPS,
            "S is taken for S_min",
            ("s_min = S / (1 + B_crit / B)", "s_min = S"),
        ),
        _wrong(
            STEPS,
            "the least steps are returned",
            ("return s_min * (1 + B_crit / new)", "return s_min"),
        ),
        _wrong(
            STEPS,
            "the new batch upside down",
            ("(1 + B_crit / new)", "(1 + new / B_crit)"),
        ),
    ],
    "entropy_rate": [
        _wrong(ENTROPY, "pairs weigh the same", ("range(5_000)", "range(0)")),
        _wrong(ENTROPY, "in bits", ("np.log(p)", "np.log2(p)")),
        _wrong(ENTROPY, "the wrong sign", ("return -(", "return (")),
        _wrong(ENTROPY, "the new pair is turned round", ("abc->bc", "abc->cb")),
        _wrong(ENTROPY, "the first symbol is kept", ("abc->bc", "abc->ac")),
        _wrong(ENTROPY, "one step only", ("range(5_000)", "range(1)")),
        _wrong(
            ENTROPY,
            "entropy of the pairs",
            ("-(pi[:, :, None] * p * np.log(p)).sum()", "-(pi * np.log(pi)).sum()"),
        ),
    ],
}
