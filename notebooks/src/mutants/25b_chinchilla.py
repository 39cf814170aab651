"""Wrong solutions of lesson 25b, each of which its check must reject."""

GROWTH = """
def growth(alpha, beta, factor):
    a = beta / (alpha + beta)
    return factor**a, factor ** (1 - a)
"""
LOWEST = """
def lowest_at(curves, budget):
    found = []
    for n, flops, loss in curves:
        if flops[0] <= budget <= flops[-1]:
            found.append((np.interp(np.log(budget), np.log(flops), loss), n))
    return min(found)[1]
"""
BOTTOM = """
def best_size(n, loss):
    curvature, slope, _ = np.polyfit(np.log(n), loss, 2)
    if curvature <= 0:
        return None, False
    n_opt = float(np.exp(-slope / (2 * curvature)))
    return n_opt, bool(min(n) <= n_opt <= max(n))
"""
COUNTED = """
def exponent_counted(law, omega, low, high):
    budgets = np.geomspace(low, high, 25)
    best = [best_without_embedding(law, c, omega) for c in budgets]
    return float(np.polyfit(np.log(budgets), np.log(best), 1)[0])
"""
PAYS = """
def pays_from(n_small, d_small, n_large, d_large):
    extra = 6 * (n_small * d_small - n_large * d_large)
    return max(0.0, extra / (2 * (n_large - n_small)))
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


MUTANTS = {
    "growth": [
        _wrong(
            GROWTH,
            "the own exponent in the numerator",
            ("a = beta /", "a = alpha /"),
        ),
        _wrong(
            GROWTH,
            "the pair turned round",
            ("factor**a, factor ** (1 - a)", "factor ** (1 - a), factor**a"),
        ),
        _wrong(
            GROWTH,
            "both grow alike",
            ("factor**a, factor ** (1 - a)", "factor**0.5, factor**0.5"),
        ),
        _wrong(
            GROWTH,
            "the difference in place of the sum",
            ("(alpha + beta)", "abs(alpha - beta)"),
        ),
        _wrong(
            GROWTH,
            "a product that is not the factor",
            ("factor ** (1 - a)", "factor**a"),
        ),
        _wrong(
            GROWTH,
            "always for ten times",
            ("factor**a, factor ** (1 - a)", "10**a, 10 ** (1 - a)"),
        ),
    ],
    "lowest_at": [
        _wrong(LOWEST, "the highest curve", ("min(found)", "max(found)")),
        _wrong(
            LOWEST,
            "a line over FLOPs, not over their logarithm",
            ("np.log(budget), np.log(flops)", "budget, flops"),
        ),
        _wrong(
            LOWEST,
            "curves that ended count on",
            ("flops[0] <= budget <= flops[-1]", "flops[0] <= budget"),
        ),
        _wrong(
            LOWEST,
            "curves that have not begun count",
            ("flops[0] <= budget <= flops[-1]", "budget <= flops[-1]"),
        ),
        _wrong(
            LOWEST,
            "the last loss of each curve",
            ("np.interp(np.log(budget), np.log(flops), loss)", "loss[-1]"),
        ),
        _wrong(
            LOWEST,
            "the smallest model",
            ("min(found)[1]", "min(n for _, n in found)"),
        ),
    ],
    "best_size": [
        _wrong(
            BOTTOM,
            "a parabola over n itself",
            ("np.polyfit(np.log(n), loss, 2)", "np.polyfit(n, loss, 2)"),
        ),
        _wrong(BOTTOM, "the sign forgotten", ("-slope /", "slope /")),
        _wrong(BOTTOM, "half of the way", ("(2 * curvature)", "curvature")),
        _wrong(
            BOTTOM, "a top taken for a bottom", ("curvature <= 0", "curvature == 0")
        ),
        _wrong(
            BOTTOM, "always inside", ("bool(min(n) <= n_opt <= max(n))", "True")
        ),
        _wrong(
            BOTTOM,
            "only the right end is looked at",
            ("min(n) <= n_opt <= max(n)", "n_opt <= max(n)"),
        ),
        _wrong(
            BOTTOM,
            "the sizes are taken as sorted",
            ("min(n) <= n_opt <= max(n)", "n[0] <= n_opt <= n[-1]"),
        ),
        _wrong(
            BOTTOM,
            "the size that was best",
            (
                "float(np.exp(-slope / (2 * curvature)))",
                "float(n[np.argmin(loss)])",
            ),
        ),
    ],
    "exponent_counted": [
        _wrong(COUNTED, "omega forgotten", (", c, omega)", ", c)")),
        _wrong(
            COUNTED,
            "the axes exchanged",
            ("np.log(budgets), np.log(best)", "np.log(best), np.log(budgets)"),
        ),
        _wrong(COUNTED, "no logarithm of the sizes", ("np.log(best)", "best")),
        _wrong(COUNTED, "the height of the line", ("1)[0]", "1)[1]")),
        _wrong(COUNTED, "budgets evenly spaced", ("np.geomspace", "np.linspace")),
        _wrong(
            COUNTED,
            "the true exponent",
            ("float(np.polyfit(np.log(budgets), np.log(best), 1)[0])", "law.a"),
        ),
    ],
    "pays_from": [
        _wrong(
            PAYS,
            "a served token costs as much as a trained one",
            ("(2 * (", "(6 * ("),
        ),
        _wrong(
            PAYS,
            "negative tokens",
            (
                "max(0.0, extra / (2 * (n_large - n_small)))",
                "extra / (2 * (n_large - n_small))",
            ),
        ),
        _wrong(
            PAYS,
            "only the training of the small one",
            ("(n_small * d_small - n_large * d_large)", "n_small * d_small"),
        ),
        _wrong(
            PAYS,
            "the size of the small one below",
            ("(n_large - n_small)", "n_small"),
        ),
        _wrong(PAYS, "the sign turned round", ("extra / (2", "-extra / (2")),
        _wrong(
            PAYS,
            "never",
            ("max(0.0, extra / (2 * (n_large - n_small)))", "float('inf')"),
        ),
    ],
}
