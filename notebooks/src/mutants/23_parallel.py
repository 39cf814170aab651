"""Wrong solutions of lesson 23, each of which its check must reject."""

BATCH = """
def smallest_batch(p, v, share):
    m = p
    while (p - 1) / (v * m + p - 1) > share:
        m += p
    return m
"""
CUT = """
def summands(x, gate, up, down, n):
    parts = zip(gate.chunk(n), up.chunk(n), down.chunk(n, dim=1), strict=True)
    silu = torch.nn.functional.silu
    return [(silu(x @ g.T) * (x @ u.T)) @ d.T for g, u, d in parts]
"""
BOTH = """
def both(a1, l1, a2, l2):
    share = torch.sigmoid(l1 - l2)[:, None]
    return share * a1 + (1 - share) * a2
"""
LINE = """
def neighbours(layout, rank):
    step = layout.data * layout.tensor
    before, after = rank - step, rank + step
    return (
        before if before >= 0 else None,
        after if after < layout.world_size else None,
    )
"""
SHARES = """
def utilisations(n, tokens, peak, full):
    mfu = 6 * n * tokens / peak
    return mfu, mfu * (8 / 6 if full else 1)
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


MUTANTS = {
    "smallest_batch": [
        _wrong(BATCH, "idle over working time", ("v * m + p - 1", "v * m")),
        _wrong(BATCH, "chunks are forgotten", ("v * m", "m")),
        _wrong(BATCH, "no multiple of p", ("m += p", "m += 1")),
        _wrong(BATCH, "p stages to fill", ("(p - 1) / (v * m + p - 1)", "p / (v * m + p)")),
        _wrong(BATCH, "strictly below", ("> share", ">= share")),
        _wrong(BATCH, "one round too many", ("return m", "return m + p")),
        _wrong(BATCH, "doubled each time", ("m += p", "m *= 2")),
    ],
    "summands": [
        _wrong(CUT, "down is cut by rows", ("down.chunk(n, dim=1)", "[down] * n")),
        _wrong(CUT, "up is not cut with the gate", ("up.chunk(n)", "up.flip(0).chunk(n)")),
        _wrong(CUT, "the gate is not bent", ("silu(x @ g.T)", "(x @ g.T)")),
        _wrong(CUT, "the other path is bent", ("silu(x @ g.T) * (x @ u.T)", "(x @ g.T) * silu(x @ u.T)")),
        _wrong(CUT, "already summed", ("return [", "return n * [sum("), ("in parts]", "in parts)]")),
        _wrong(CUT, "a mean", ("@ d.T for", "@ d.T / n for")),
        _wrong(CUT, "the last rank first", ("in parts]", "in parts][::-1]")),
        _wrong(CUT, "always two ranks", ("    parts", "    n = 2\n    parts")),
    ],
    "both": [
        _wrong(BOTH, "a plain mean", ("torch.sigmoid(l1 - l2)", "torch.full_like(l1, 0.5)")),
        _wrong(BOTH, "the wrong half", ("l1 - l2", "l2 - l1")),
        _wrong(BOTH, "a sum", ("(1 - share) * a2", "a2")),
        _wrong(BOTH, "overflow", ("torch.sigmoid(l1 - l2)", "(l1.exp() / (l1.exp() + l2.exp()))")),
        _wrong(BOTH, "weights of the logarithms", ("torch.sigmoid(l1 - l2)", "(l1 / (l1 + l2))")),
        _wrong(BOTH, "one weight for all positions", ("l1 - l2", "(l1 - l2).mean() + 0 * l1")),
    ],
    "neighbours": [
        _wrong(LINE, "tensor neighbours", ("layout.data * layout.tensor", "1")),
        _wrong(LINE, "data neighbours", ("layout.data * layout.tensor", "layout.tensor")),
        _wrong(LINE, "the tensor axis is forgotten", ("layout.data * layout.tensor", "layout.data")),
        _wrong(LINE, "the ring is closed", ("before if before >= 0 else None", "before % layout.world_size")),
        _wrong(LINE, "there and back", ("rank - step, rank + step", "rank + step, rank - step")),
        _wrong(LINE, "rank 0 is nobody", ("before >= 0", "before > 0")),
        _wrong(LINE, "one beyond the end", ("after < layout", "after <= layout")),
        _wrong(LINE, "steps by the pipeline", ("layout.data * layout.tensor", "layout.pipeline")),
    ],
    "utilisations": [
        _wrong(SHARES, "MFU counts what is done twice", ("return mfu, ", "return mfu * (8 / 6 if full else 1), ")),
        _wrong(SHARES, "forward only", ("6 * n", "2 * n")),
        _wrong(SHARES, "recomputation counts always", ("(8 / 6 if full else 1)", "8 / 6")),
        _wrong(SHARES, "recomputation never counts", ("(8 / 6 if full else 1)", "1")),
        _wrong(SHARES, "twice the work", ("8 / 6", "2")),
        _wrong(SHARES, "the share of the other", ("8 / 6", "6 / 8")),
        _wrong(SHARES, "in per cent", ("6 * n * tokens / peak", "600 * n * tokens / peak")),
    ],
}  # fmt: skip
