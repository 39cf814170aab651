"""Wrong solutions of lesson 15, each of which its check must reject."""

PAIRS = """
def pairs_round(H, theta, L, turns):
    made = [L * theta ** (-2 * j / H) / (2 * math.pi) for j in range(H // 2)]
    return sum(m >= turns for m in made)
"""
BASE = """
def base_for(H, theta, j, s):
    return theta * s ** (H / (2 * j))
"""
SEEN = """
def seen(t, n_sink, window):
    here = min(t, n_sink + window - 1)
    sinks = {s: here - s for s in range(min(n_sink, t + 1))}
    near = {s: t - s for s in range(max(n_sink, t - window + 1), t + 1)}
    return sinks | near
"""
YARN = """
def yarn_pair(j, H, theta, L, s, fast, slow):
    def pair(beta):
        return H * math.log(L / (2 * math.pi * beta)) / (2 * math.log(theta))

    low, high = max(pair(fast), 0), min(pair(slow), H - 1)
    ramp = min(max((j - low) / (high - low), 0), 1)
    speed = theta ** (-2 * j / H)
    return speed * (1 - ramp) + speed / s * ramp
"""
JOIN = """
def join(parts):
    share = torch.stack([lse for _, lse in parts]).softmax(0)
    return sum(w * out for w, (out, _) in zip(share, parts))
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


MUTANTS = {
    "pairs_round": [
        _wrong(PAIRS, "radians for turns", (" / (2 * math.pi)", "")),
        _wrong(PAIRS, "half a turn counts", ("(2 * math.pi)", "math.pi")),
        _wrong(PAIRS, "all coordinates", ("range(H // 2)", "range(H)")),
        _wrong(PAIRS, "the exponent without the 2", ("-2 * j / H", "-j / H")),
        _wrong(PAIRS, "pairs that did not come round", ("m >= turns", "m < turns")),
        _wrong(PAIRS, "always one turn", ("m >= turns", "m >= 1")),
        _wrong(PAIRS, "the usual base", ("theta **", "10_000 **")),
        _wrong(
            PAIRS, "the first pair left out", ("range(H // 2)", "range(1, H // 2)")
        ),
    ],
    "base_for": [
        _wrong(BASE, "always the last pair", ("(2 * j)", "(H - 2)")),
        _wrong(BASE, "the exponent turned over", ("H / (2 * j)", "2 * j / H")),
        _wrong(BASE, "the 2 is lost", ("(2 * j)", "j")),
        _wrong(BASE, "the base alone is divided", ("s ** (H / (2 * j))", "s")),
        _wrong(BASE, "faster in place of slower", ("theta * s **", "theta / s **")),
        _wrong(BASE, "the usual base", ("theta * s", "10_000 * s")),
    ],
    "seen": [
        _wrong(SEEN, "sinks recede", ("min(t, n_sink + window - 1)", "t")),
        _wrong(
            SEEN, "sinks one too far", ("n_sink + window - 1)", "n_sink + window)")
        ),
        _wrong(SEEN, "the window one too wide", ("t - window + 1", "t - window")),
        _wrong(
            SEEN, "the window one too narrow", ("t - window + 1", "t - window + 2")
        ),
        _wrong(SEEN, "no sinks", ("return sinks | near", "return near")),
        _wrong(
            SEEN, "window counted anew", ("t - s for", "min(t - s, window - 2) for")
        ),
        _wrong(
            SEEN,
            "the query does not see itself",
            (", t + 1)}\n    return", ", t)}\n    return"),
        ),
        _wrong(SEEN, "sinks from the future", ("min(n_sink, t + 1)", "n_sink")),
    ],
    "yarn_pair": [
        _wrong(
            YARN,
            "fast and slow exchanged",
            ("(1 - ramp) + speed / s * ramp", "ramp + speed / s * (1 - ramp)"),
        ),
        _wrong(YARN, "radians for turns", ("2 * math.pi * beta", "beta")),
        _wrong(YARN, "low is not cut", ("max(pair(fast), 0)", "pair(fast)")),
        _wrong(
            YARN,
            "the ramp is not cut",
            (
                "min(max((j - low) / (high - low), 0), 1)",
                "(j - low) / (high - low)",
            ),
        ),
        _wrong(
            YARN,
            "a step in place of a ramp",
            ("(j - low) / (high - low)", "float(j > low)"),
        ),
        _wrong(
            YARN,
            "the betas are not used",
            ("* beta)", "* (1 if beta < 16 else 32))"),
        ),
        _wrong(YARN, "slow pairs stop", ("speed / s * ramp", "0 * ramp")),
        _wrong(
            YARN,
            "interpolated at a faster speed",
            ("speed / s * ramp", "speed * s * ramp"),
        ),
        _wrong(
            YARN,
            "rounded ends",
            (
                "    ramp = min",
                "    low, high = math.floor(low), math.ceil(high)\n    ramp = min",
            ),
        ),
    ],
    "join": [
        _wrong(
            JOIN,
            "a plain mean",
            (
                "torch.stack([lse for _, lse in parts]).softmax(0)",
                "torch.ones(len(parts)) / len(parts)",
            ),
        ),
        _wrong(
            JOIN,
            "shares by lse itself",
            (".softmax(0)", " / sum(lse for _, lse in parts)"),
        ),
        _wrong(
            JOIN,
            "it overflows",
            (
                "torch.stack([lse for _, lse in parts]).softmax(0)",
                "torch.stack([lse for _, lse in parts]).exp()\n    share = share / share.sum()",
            ),
        ),
        _wrong(JOIN, "the sum is not divided", (".softmax(0)", ".exp()")),
        _wrong(
            JOIN,
            "the best window only",
            (".softmax(0)", ".argmax(0)\n    return parts[share][0]"),
        ),
        _wrong(JOIN, "a flatter softmax", (".softmax(0)", ".div(2).softmax(0)")),
        _wrong(
            JOIN,
            "the smallest lse weighs most",
            (".softmax(0)", ".neg().softmax(0)"),
        ),
        _wrong(
            JOIN,
            "two windows only",
            (
                "for w, (out, _) in zip(share, parts)",
                "for w, (out, _) in list(zip(share, parts))[:2]",
            ),
        ),
    ],
}
