"""Wrong solutions of lesson 14, each of which its check must reject."""

TURN = """
def turn_pairs(x, positions, base):
    cos, sin = rope_angles(positions, x.shape[-1], base)
    a, b = x[:, 0::2], x[:, 1::2]
    out = torch.empty_like(x)
    out[:, 0::2] = a * cos - b * sin
    out[:, 1::2] = b * cos + a * sin
    return out
"""
HALF = """
def to_half_split(weight, n_heads):
    return rearrange(weight, "(n j two) d -> (n two j) d", n=n_heads, two=2)
"""
DETECTIVE = """
def only_distance_matters(turn):
    at = torch.arange(21)
    for _ in range(3):
        q, k = (turn(torch.randn(1, 8).expand(21, 8), at) for _ in range(2))
        scores = q @ k.T
        for d in range(-20, 21):
            diagonal = scores.diagonal(d)
            if (diagonal - diagonal[0]).abs().max() > 1e-9:
                return False
    return True
"""
DECAY = """
def decaying_score(q, k, m, n, gamma):
    q = gamma**m * rope(q, torch.tensor([m]))
    k = gamma**-n * rope(k, torch.tensor([n]))
    return (q * k).sum().item()
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


MUTANTS = {
    "turn_pairs": [
        _wrong(TURN, "the minus sign is lost", ("a * cos - b", "a * cos + b")),
        _wrong(
            TURN,
            "clockwise",
            ("a * cos - b", "a * cos + b"),
            ("cos + a * sin", "cos - a * sin"),
        ),
        _wrong(
            TURN, "cosine and sine swapped", ("cos, sin = rope", "sin, cos = rope")
        ),
        _wrong(
            TURN,
            "half-split pairs",
            ("a, b = x[:, 0::2], x[:, 1::2]", "a, b = x.chunk(2, -1)"),
        ),
        _wrong(TURN, "the base is ignored", (", base)\n    a", ")\n    a")),
        _wrong(
            TURN,
            "the index instead of the position",
            ("(positions,", "(torch.arange(len(x)),"),
        ),
        _wrong(
            TURN,
            "the new a is used for the new b",
            ("+ a * sin", "+ out[:, 0::2] * sin"),
        ),
        _wrong(
            TURN,
            "the pair stored in the wrong order",
            ("out[:, 0::2]", "out[:, 1::2]"),
        ),
        _wrong(
            TURN,
            "stored half-split",
            ("return out", "return torch.cat((out[:, 0::2], out[:, 1::2]), -1)"),
        ),
        _wrong(TURN, "nothing is turned", ("return out", "return x")),
    ],
    "to_half_split": [
        _wrong(
            HALF,
            "the other way round",
            ("(n j two) d -> (n two j)", "(n two j) d -> (n j two)"),
        ),
        _wrong(HALF, "heads are ignored", (", n=n_heads", ", n=1")),
        _wrong(HALF, "nothing is moved", ("(n two j) d", "(n j two) d")),
        _wrong(HALF, "heads inside", ("-> (n two j)", "-> (two n j)")),
        _wrong(
            HALF,
            "the two of a pair swapped",
            ("return rearrange(weight,", "return rearrange(weight.flip(0),"),
        ),
        _wrong(
            HALF,
            "columns instead of rows",
            ("(n j two) d -> (n two j) d", "r (c two) -> r (two c)"),
            ("n=n_heads, ", ""),
        ),
        _wrong(
            HALF, "left three-dimensional", ("-> (n two j) d", "-> n (two j) d")
        ),
    ],
    "only_distance_matters": [
        _wrong(DETECTIVE, "always yes", ("return False", "pass")),
        _wrong(DETECTIVE, "always no", ("return True", "return False")),
        _wrong(DETECTIVE, "distance 0 only", ("range(-20, 21)", "range(1)")),
        _wrong(
            DETECTIVE,
            "query and key the same",
            ("q, k = (turn(", "q = k = turn("),
            (" at) for _ in range(2))", " at)"),
        ),
        _wrong(DETECTIVE, "nearly equal is enough", ("1e-9", "1e-1")),
        _wrong(DETECTIVE, "exact equality is asked for", ("> 1e-9", "> 0")),
        _wrong(
            DETECTIVE,
            "lengths are looked at instead",
            (
                "scores = q @ k.T",
                "scores = q.norm(dim=-1)[:, None] * k.norm(dim=-1)",
            ),
        ),
        _wrong(
            DETECTIVE,
            "the score must be the same at every distance",
            ("diagonal[0]", "scores[0, 0]"),
        ),
        _wrong(
            DETECTIVE,
            "rows instead of diagonals",
            ("scores.diagonal(d)", "scores[d]"),
        ),
    ],
    "decaying_score": [
        _wrong(DECAY, "the key grows the same way", ("gamma**-n", "gamma**n")),
        _wrong(DECAY, "only the query is stretched", ("gamma**-n * ", "")),
        _wrong(DECAY, "only the key is stretched", ("gamma**m * ", "")),
        _wrong(
            DECAY,
            "signs swapped",
            ("gamma**m", "gamma**-m"),
            ("gamma**-n", "gamma**n"),
        ),
        _wrong(
            DECAY,
            "nothing is turned",
            ("rope(q, torch.tensor([m]))", "q"),
            ("rope(k, torch.tensor([n]))", "k"),
        ),
        _wrong(
            DECAY,
            "positions swapped",
            ("torch.tensor([m])", "torch.tensor([n])"),
            ("k, torch.tensor([n])", "k, torch.tensor([m])"),
        ),
        _wrong(DECAY, "stretched linearly", ("gamma**m", "gamma * m")),
        _wrong(DECAY, "a mean instead of a sum", (".sum()", ".mean()")),
    ],
}
