"""Wrong solutions of lesson 16b, each of which its check must reject."""

LONGEST = """
def longest(room, N, n_bytes):
    return math.isqrt(room // (N * n_bytes))
"""
MERGE = """
def merge_results(out_a, L_a, out_b, L_b):
    L = torch.logaddexp(L_a, L_b)
    by_a, by_b = torch.exp(L_a - L), torch.exp(L_b - L)
    return by_a[:, None] * out_a + by_b[:, None] * out_b, L
"""
WINDOW = """
def window_tiles(T, size, window):
    found = []
    for i, rows in enumerate(blocks(T, size)):
        for j, columns in enumerate(blocks(T, size)):
            future = columns.start > rows.stop - 1
            if not future and rows.start - (columns.stop - 1) < window:
                found.append((i, j))
    return found
"""
ALIBI = """
def tiled_alibi(q, k, v, slope, size):
    T, H = q.shape
    out = torch.empty_like(q)
    for rows in blocks(T, size):
        seen = nothing(rows.stop - rows.start, H, q.dtype)
        for columns in blocks(rows.stop, size):
            t = torch.arange(rows.start, rows.stop)[:, None]
            s = torch.arange(columns.start, columns.stop)
            scores = q[rows] @ k[columns].T / math.sqrt(H) - slope * (t - s)
            seen = step(seen, hide_future(scores, rows, columns), v[columns])
        out[rows] = seen[2] / seen[1]
    return out
"""
ORDER = """
def moved_keys_outside(T, S, H, bq, bk):
    n_blocks = math.ceil(S / bk)
    return 2 * S * H + n_blocks * (T * (2 * H + 2) + T * (H + 2))
"""
SLOPE = """
def query_slope(q, k, v, out, L, grad, size):
    H, D, dq = len(q), grad @ out, torch.zeros_like(q)
    for part in blocks(len(k), size):
        p = torch.exp(k[part] @ q / math.sqrt(H) - L)
        dq += (p * (v[part] @ grad - D)) @ k[part] / math.sqrt(H)
    return dq
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


MUTANTS = {
    "longest": [
        _wrong(LONGEST, "the heads are forgotten", ("N * n_bytes", "n_bytes")),
        _wrong(LONGEST, "the bytes are forgotten", ("N * n_bytes", "N")),
        _wrong(LONGEST, "the square is forgotten", ("math.isqrt", "")),
        _wrong(LONGEST, "one token too many", ("n_bytes))", "n_bytes)) + 1")),
        _wrong(LONGEST, "one token too few", ("n_bytes))", "n_bytes) - 1)")),
        _wrong(
            LONGEST,
            "rounded up",
            (
                "math.isqrt(room // (N * n_bytes))",
                "math.ceil((room / N / n_bytes) ** 0.5)",
            ),
        ),
        _wrong(
            LONGEST,
            "heads and bytes squared as well",
            (
                "math.isqrt(room // (N * n_bytes))",
                "math.isqrt(room) // (N * n_bytes)",
            ),
        ),
    ],
    "merge_results": [
        _wrong(
            MERGE,
            "the plain mean",
            ("by_a[:, None]", "0.5"),
            ("by_b[:, None]", "0.5"),
        ),
        _wrong(
            MERGE,
            "weights exchanged",
            (
                "by_a[:, None] * out_a + by_b[:, None] * out_b",
                "by_b[:, None] * out_a + by_a[:, None] * out_b",
            ),
        ),
        _wrong(
            MERGE,
            "not divided by the new sum",
            ("torch.exp(L_a - L)", "torch.exp(L_a)"),
        ),
        _wrong(
            MERGE,
            "the larger L is returned",
            (" * out_b, L", " * out_b, torch.maximum(L_a, L_b)"),
        ),
        _wrong(
            MERGE, "the sum of the two L", (" * out_b, L", " * out_b, L_a + L_b")
        ),
        _wrong(
            MERGE,
            "exp overflows",
            (
                "torch.logaddexp(L_a, L_b)",
                "torch.log(torch.exp(L_a) + torch.exp(L_b))",
            ),
        ),
        _wrong(MERGE, "one weight for all rows", ("by_a[:, None]", "by_a[0]")),
        _wrong(
            MERGE, "weights by L, not by exp(L)", ("torch.exp(L_b - L)", "L_b / L")
        ),
    ],
    "window_tiles": [
        _wrong(WINDOW, "the future counts", ("if not future and", "if")),
        _wrong(
            WINDOW,
            "the window is forgotten",
            (" and rows.start - (columns.stop - 1) < window", ""),
        ),
        _wrong(WINDOW, "one position too wide", ("< window", "<= window")),
        _wrong(
            WINDOW,
            "the furthest pair decides",
            ("rows.start - (columns.stop - 1)", "rows.stop - 1 - columns.start"),
        ),
        _wrong(
            WINDOW,
            "ends of blocks confused",
            ("(columns.stop - 1)", "columns.stop"),
        ),
        _wrong(WINDOW, "corner to corner", ("(columns.stop - 1)", "columns.start")),
        _wrong(
            WINDOW,
            "the diagonal is left out",
            ("columns.start > rows.stop - 1", "columns.start >= rows.start"),
        ),
        _wrong(WINDOW, "rows and columns exchanged", ("(i, j))", "(j, i))")),
        _wrong(WINDOW, "the window in blocks", ("< window", "< window * size")),
    ],
    "tiled_alibi": [
        _wrong(
            ALIBI,
            "a bonus, not a penalty",
            ("- slope * (t - s)", "+ slope * (t - s)"),
        ),
        _wrong(ALIBI, "no bias", (" - slope * (t - s)", "")),
        _wrong(
            ALIBI,
            "positions inside the tile",
            (
                "torch.arange(columns.start, columns.stop)",
                "torch.arange(columns.stop - columns.start)",
            ),
        ),
        _wrong(
            ALIBI,
            "rows counted from their tile",
            (
                "torch.arange(rows.start, rows.stop)",
                "torch.arange(rows.stop - rows.start)",
            ),
            ("- slope * (t - s)", "- slope * (t - s).abs()"),
        ),
        _wrong(
            ALIBI,
            "the future is seen",
            ("hide_future(scores, rows, columns)", "scores"),
        ),
        _wrong(
            ALIBI,
            "the bias is scaled as well",
            (
                "/ math.sqrt(H) - slope * (t - s)",
                "/ math.sqrt(H) - slope * (t - s) / math.sqrt(H)",
            ),
        ),
        _wrong(ALIBI, "the scale is forgotten", (" / math.sqrt(H)", "")),
        _wrong(ALIBI, "not divided at the end", ("seen[2] / seen[1]", "seen[2]")),
        _wrong(
            ALIBI,
            "the diagonal tile is left out",
            ("blocks(rows.stop, size)", "blocks(max(rows.start, 1), size)"),
        ),
        _wrong(
            ALIBI,
            "only the last tile counts",
            (
                "seen = step(seen,",
                "seen = step(nothing(rows.stop - rows.start, H, q.dtype),",
            ),
        ),
    ],
    "moved_keys_outside": [
        _wrong(ORDER, "whole blocks only", ("math.ceil(S / bk)", "S // bk")),
        _wrong(
            ORDER, "blocks of queries", ("math.ceil(S / bk)", "math.ceil(T / bq)")
        ),
        _wrong(ORDER, "nothing is stored", (" + T * (H + 2))", ")")),
        _wrong(ORDER, "the old output is not loaded", ("2 * H + 2", "H + 2")),
        _wrong(
            ORDER,
            "m and l stay on the chip",
            ("2 * H + 2", "2 * H"),
            ("(H + 2)", "H"),
        ),
        _wrong(ORDER, "keys without values", ("2 * S * H", "S * H")),
        _wrong(
            ORDER,
            "keys loaded for every block",
            ("2 * S * H + n_blocks * (", "n_blocks * (2 * S * H + "),
        ),
        _wrong(
            ORDER,
            "queries outside, as in section 4",
            ("math.ceil(S / bk)", "math.ceil(T / bq)"),
            (
                "2 * S * H + n_blocks * (T * (2 * H + 2) + T * (H + 2))",
                "2 * T * H + T + n_blocks * 2 * S * H",
            ),
        ),
    ],
    "query_slope": [
        _wrong(SLOPE, "D is forgotten", ("v[part] @ grad - D", "v[part] @ grad")),
        _wrong(SLOPE, "D with the wrong sign", ("@ grad - D", "@ grad + D")),
        _wrong(SLOPE, "D of the query", ("grad @ out", "grad @ q")),
        _wrong(SLOPE, "L is forgotten", (" - L)", ")")),
        _wrong(
            SLOPE,
            "one root is lost",
            ("@ k[part] / math.sqrt(H)\n    return", "@ k[part]\n    return"),
        ),
        _wrong(SLOPE, "the scores are not scaled", ("@ q / math.sqrt(H)", "@ q")),
        _wrong(SLOPE, "only the last block counts", ("dq += ", "dq = ")),
        _wrong(SLOPE, "values for keys", (") @ k[part] /", ") @ v[part] /")),
        _wrong(
            SLOPE,
            "each block is normalised for itself",
            (
                "torch.exp(k[part] @ q / math.sqrt(H) - L)",
                "torch.softmax(k[part] @ q / math.sqrt(H), dim=0)",
            ),
        ),
        _wrong(
            SLOPE,
            "the slope by the weights",
            ("p * (v[part] @ grad - D)", "v[part] @ grad - D"),
        ),
    ],
}
