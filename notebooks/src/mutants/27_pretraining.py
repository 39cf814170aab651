"""Wrong solutions of lesson 27, each of which its check must reject."""

READINGS = """
def readings(sizes, shares, budget):
    total = sum(shares.values())
    return {k: round(shares[k] / total * budget / sizes[k], 3) for k in sizes}
"""
PARAMETERS = """
def n_parameters(V, D, L, N, K, F, tied):
    H = D // N
    layer = 2 * D * D + 2 * D * K * H + 3 * D * F + 2 * D
    return V * D * (1 if tied else 2) + L * layer + D
"""
ROWS = """
def n_rows(lengths, row):
    rows, used = 0, 0
    for n in lengths:
        if used and used + n > row:
            rows, used = rows + 1, 0
        used += n
        rows, used = rows + used // row, used % row
    return rows
"""
INTERVAL = """
def weighted_interval(values, weights, level):
    values, weights = np.asarray(values), np.asarray(weights)
    order = np.argsort(values)
    share = np.cumsum(weights[order]) / weights.sum()
    tail = (1 - level) / 2
    places = (np.searchsorted(share, q) for q in (tail, 1 - tail))
    return tuple(float(values[order][i]) for i in places)
"""
NEEDED = """
def needed(n, goal):
    return math.ceil(goal ** (1 / n) * 10_000 - 1e-7) / 10_000
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


MUTANTS = {
    "readings": [
        _wrong(
            READINGS,
            "shares are not normalised",
            ("shares[k] / total", "shares[k]"),
        ),
        _wrong(READINGS, "tokens seen, not how often", (" / sizes[k]", "")),
        _wrong(
            READINGS, "upside down", ("* budget / sizes[k]", "* sizes[k] / budget")
        ),
        _wrong(
            READINGS,
            "every source as often",
            ("shares[k] / total", "1 / len(sizes)"),
        ),
        _wrong(
            READINGS,
            "natural shares instead of those given",
            (
                "shares[k] / total * budget / sizes[k]",
                "budget / sum(sizes.values())",
            ),
        ),
        _wrong(READINGS, "rounded to whole readings", (", 3)", ", 0)")),
    ],
    "n_parameters": [
        _wrong(
            PARAMETERS,
            "keys and values as wide as queries",
            ("D * K * H", "D * N * H"),
        ),
        _wrong(PARAMETERS, "keys without values", ("2 * D * K * H", "D * K * H")),
        _wrong(
            PARAMETERS,
            "two matrices in the feed-forward layer",
            ("3 * D * F", "2 * D * F"),
        ),
        _wrong(
            PARAMETERS, "no norm at the end", (" + L * layer + D", " + L * layer")
        ),
        _wrong(PARAMETERS, "one norm a layer", (" + 2 * D\n", " + D\n")),
        _wrong(
            PARAMETERS,
            "tied is untied",
            ("(1 if tied else 2)", "(2 if tied else 1)"),
        ),
        _wrong(PARAMETERS, "always tied", ("(1 if tied else 2)", "1")),
    ],
    "n_rows": [
        _wrong(
            ROWS,
            "rows are full one too early",
            ("used + n > row", "used + n >= row"),
        ),
        _wrong(
            ROWS,
            "nothing is torn, the rest is left empty",
            ("rows + 1, 0", "rows, 0"),
        ),
        _wrong(
            ROWS, "as cut would do it", ("if used and used + n > row:", "if False:")
        ),
        _wrong(
            ROWS,
            "the torn document is not read again",
            ("rows, used = rows + 1, 0", "rows, used = rows + 1, used - row"),
        ),
        _wrong(
            ROWS,
            "the last row counts although it is not full",
            ("return rows", "return rows + 1"),
        ),
        _wrong(
            ROWS,
            "a long document takes one row",
            ("rows + used // row, used % row", "rows + (used >= row), used % row"),
        ),
        _wrong(
            ROWS,
            "a document longer than a row begins where it stands",
            (
                "if used and used + n > row:",
                "if used and n <= row and used + n > row:",
            ),
        ),
    ],
    "weighted_interval": [
        _wrong(INTERVAL, "weights in the old order", ("weights[order]", "weights")),
        _wrong(INTERVAL, "not normalised", (" / weights.sum()", "")),
        _wrong(
            INTERVAL,
            "the whole tail on each side",
            ("(1 - level) / 2", "1 - level"),
        ),
        _wrong(
            INTERVAL,
            "all weights alike",
            (
                "np.cumsum(weights[order]) / weights.sum()",
                "np.arange(1, len(order) + 1) / len(order)",
            ),
        ),
        _wrong(INTERVAL, "values unsorted", ("values[order][i]", "values[i]")),
        _wrong(
            INTERVAL, "high before low", ("(tail, 1 - tail)", "(1 - tail, tail)")
        ),
    ],
    "needed": [
        _wrong(NEEDED, "rounded down", ("math.ceil", "math.floor")),
        _wrong(NEEDED, "the share of a story", ("goal ** (1 / n)", "goal**n")),
        _wrong(NEEDED, "an average", ("goal ** (1 / n)", "goal / n")),
        _wrong(NEEDED, "one sentence too few", ("1 / n", "1 / max(1, n - 1)")),
        _wrong(NEEDED, "three digits", ("10_000", "1_000")),
        _wrong(
            NEEDED,
            "the goal is what may go wrong",
            ("goal ** (1 / n)", "(1 - goal) ** (1 / n)"),
        ),
    ],
}
