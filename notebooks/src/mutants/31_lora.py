"""Wrong solutions of lesson 31, each of which its check must reject."""

EXTRACT = """
def extract(before, after, r, alpha):
    u, s, vt = torch.linalg.svd(after - before, full_matrices=False)
    b = u[:, :r] * s[:r].sqrt()
    a = s[:r].sqrt()[:, None] * vt[:r]
    return a, b * (r / alpha)
"""
LENGTHS = """
def dora_lengths(W, a, b, s):
    cross = ((W @ a.T) * b).sum(dim=1)
    own = ((b @ (a @ a.T)) * b).sum(dim=1)
    return (W.square().sum(dim=1) + 2 * s * cross + s**2 * own).sqrt()
"""
PISSA = """
def pissa(W, r, scale):
    u, s, vt = torch.linalg.svd(W, full_matrices=False)
    root = (s[:r] / scale).sqrt()
    a, b = root[:, None] * vt[:r], u[:, :r] * root
    return W - scale * b @ a, a, b
"""
LOST = """
def lost_share(W, update):
    asked = update != 0
    same = (W.float() + update).bfloat16() == W
    return (same & asked).sum().item() / max(1, asked.sum().item())
"""
RANK = """
def largest_rank(shapes, budget):
    each = sum(O + I for O, I in shapes)
    return min(budget // each, min(min(shape) for shape in shapes))
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


MUTANTS = {
    "extract": [
        _wrong(EXTRACT, "forgets the scale", ("b * (r / alpha)", "b")),
        _wrong(
            EXTRACT, "the scale the wrong way round", ("(r / alpha)", "(alpha / r)")
        ),
        _wrong(
            EXTRACT,
            "the weakest directions",
            ("u[:, :r] * s[:r]", "u[:, -r:] * s[-r:]"),
        ),
        _wrong(EXTRACT, "the other sign", ("after - before", "before - after")),
        _wrong(
            EXTRACT,
            "singular values counted twice",
            ("s[:r].sqrt()[:, None]", "s[:r][:, None]"),
        ),
        _wrong(
            EXTRACT, "the weights, not their change", ("after - before", "after")
        ),
        _wrong(
            EXTRACT,
            "a and b in the other order",
            ("a, b * (r / alpha)", "b * (r / alpha), a"),
        ),
    ],
    "dora_lengths": [
        _wrong(LENGTHS, "no cross term", ("2 * s * cross", "0 * cross")),
        _wrong(LENGTHS, "the cross term once", ("2 * s * cross", "s * cross")),
        _wrong(LENGTHS, "the scale not squared", ("s**2", "s")),
        _wrong(LENGTHS, "no root", (").sqrt()", ")")),
        _wrong(
            LENGTHS, "lengths of W", ("+ s**2 * own", ""), ("+ 2 * s * cross", "")
        ),
        _wrong(
            LENGTHS, "A counted as orthonormal", ("(b @ (a @ a.T)) * b", "b * b")
        ),
    ],
    "pissa": [
        _wrong(PISSA, "the rest keeps everything", ("W - scale * b @ a", "W")),
        _wrong(PISSA, "the scale forgotten", ("s[:r] / scale", "s[:r]")),
        _wrong(
            PISSA,
            "the weakest directions",
            ("s[:r]", "s[-r:]"),
            ("vt[:r]", "vt[-r:]"),
            ("u[:, :r]", "u[:, -r:]"),
        ),
        _wrong(
            PISSA,
            "all of it in b",
            (
                "root[:, None] * vt[:r], u[:, :r] * root",
                "vt[:r], u[:, :r] * root**2",
            ),
        ),
        _wrong(
            PISSA, "the rest without the scale", ("W - scale * b @ a", "W - b @ a")
        ),
    ],
    "lost_share": [
        _wrong(LOST, "counts entries without an update", (" & asked", "")),
        _wrong(
            LOST,
            "share of all entries",
            ("asked.sum()", "torch.tensor(asked.numel())"),
        ),
        _wrong(LOST, "the share that arrives", ("== W", "!= W")),
        _wrong(
            LOST,
            "divides by nothing",
            ("max(1, asked.sum().item())", "asked.sum().item()"),
        ),
        _wrong(
            LOST,
            "never rounds",
            (
                "(W.float() + update).bfloat16() == W",
                "(W.float() + update) == W.float()",
            ),
        ),
        _wrong(
            LOST,
            "float16 in place of bfloat16",
            (".bfloat16() == W", ".half() == W.half()"),
        ),
    ],
    "largest_rank": [
        _wrong(RANK, "a product in place of a sum", ("O + I for", "O * I for")),
        _wrong(
            RANK,
            "no limit by the sides",
            (
                "min(budget // each, min(min(shape) for shape in shapes))",
                "budget // each",
            ),
        ),
        _wrong(
            RANK, "the longest side", ("min(min(shape) for", "max(max(shape) for")
        ),
        _wrong(RANK, "rounded up", ("budget // each", "-(-budget // each)")),
        _wrong(
            RANK, "at least 1", ("min(budget // each", "min(max(1, budget // each)")
        ),
    ],
}
