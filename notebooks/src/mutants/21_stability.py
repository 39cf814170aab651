"""Wrong solutions of lesson 21, each of which its check must reject."""

CORNERS = """
def corners(exponent_bits, mantissa_bits):
    bias = 2 ** (exponent_bits - 1) - 1
    largest = 2.0**bias * (2 - 2.0**-mantissa_bits)
    smallest = 2.0 ** (1 - bias - mantissa_bits)
    return largest, smallest, largest + 2.0 ** (bias - mantissa_bits - 1)
"""
CHANCE = """
def stochastic_round(x, gap, u):
    down = torch.floor(x / gap)
    rest = x / gap - down
    return (down + (rest > u).to(x.dtype)) * gap
"""
ROWS = """
def row_scaled_product(a, b):
    sa = a.abs().amax(dim=1, keepdim=True) / 448
    sb = b.abs().amax(dim=1, keepdim=True) / 448
    c = formats.round_to(a / sa, E4M3) @ formats.round_to(b / sb, E4M3).T
    return c * sa * sb.T
"""
LEFT = """
def left_out(norms, factor, window):
    kept, out = [], []
    for step, norm in enumerate(norms):
        if len(kept) >= window:
            usual = float(np.median(kept[-window:]))
            if not norm <= factor * usual:
                out.append(step)
                continue
        kept.append(norm)
    return out
"""
BRANCH = """
def final_branch(steps, bad, back, skip):
    branch, position = [], 0
    while len(branch) < steps:
        if position in bad:
            del branch[max(0, len(branch) - back) :]
            position += 1 + skip
        else:
            branch.append(position)
            position += 1
    return branch
"""
SLOPE = """
def z_slope(logits, w):
    log_z = logits.logsumexp(dim=-1, keepdim=True)
    return 2 * w * log_z * logits.softmax(dim=-1) / logits.shape[0]
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


MUTANTS = {
    "corners": [
        _wrong(CORNERS, "the bias is a power of two", (" - 1) - 1\n", " - 1)\n")),
        _wrong(
            CORNERS,
            "all of the mantissa is lost",
            ("(2 - 2.0**-mantissa_bits)", "1"),
        ),
        _wrong(
            CORNERS, "the next power of two", ("(2 - 2.0**-mantissa_bits)", "2")
        ),
        _wrong(
            CORNERS,
            "smallest normal number",
            ("1 - bias - mantissa_bits", "1 - bias"),
        ),
        _wrong(
            CORNERS, "one digit too many below", ("(1 - bias - m", "(-bias - m")
        ),
        _wrong(CORNERS, "infinity a whole gap above", ("bits - 1)\n", "bits)\n")),
        _wrong(
            CORNERS,
            "infinity right at the largest",
            ("largest + 2.0 ** (bias - mantissa_bits - 1)", "largest"),
        ),
        _wrong(
            CORNERS,
            "order swapped",
            ("return largest, smallest,", "return smallest, largest,"),
        ),
    ],
    "stochastic_round": [
        _wrong(CHANCE, "up where it should stay", ("rest > u", "rest < u")),
        _wrong(CHANCE, "to the nearest", ("rest > u", "rest > 0.5")),
        _wrong(CHANCE, "always down", ("(down + (rest > u).to(x.dtype))", "down")),
        _wrong(CHANCE, "always up", ("(rest > u).to(x.dtype)", "1")),
        _wrong(CHANCE, "toward zero", ("torch.floor", "torch.trunc")),
        _wrong(CHANCE, "the gap is forgotten at the end", (") * gap", ")")),
        _wrong(CHANCE, "a share of 0 goes up", ("rest > u", "rest >= u")),
        _wrong(
            CHANCE, "the rest is not a share", ("x / gap - down", "x - down * gap")
        ),
    ],
    "row_scaled_product": [
        _wrong(
            ROWS,
            "one scale for all of a",
            ("a.abs().amax(dim=1, keepdim=True)", "a.abs().max()"),
        ),
        _wrong(
            ROWS,
            "scales of columns",
            ("a.abs().amax(dim=1", "a.abs().amax(dim=0"),
            (" * sa", " * sa.mean()"),
        ),
        _wrong(ROWS, "not scaled back", (" * sa * sb.T", "")),
        _wrong(ROWS, "b's scale is lost", (" * sb.T", "")),
        _wrong(ROWS, "the sign counts", ("a.abs().amax", "a.amax")),
        _wrong(ROWS, "not rounded", ("formats.round_to(a / sa, E4M3)", "(a / sa)")),
        _wrong(ROWS, "E5M2", ("(a / sa, E4M3)", "(a / sa, E5M2)")),
        _wrong(
            ROWS,
            "scaled to 240",
            ("keepdim=True) / 448\n    sb", "keepdim=True) / 240\n    sb"),
        ),
        _wrong(
            ROWS,
            "rounded once more",
            ("return c", "return formats.round_to(c, BFLOAT16)"),
        ),
    ],
    "left_out": [
        _wrong(
            LEFT, "what was left out counts too", ("                continue\n", "")
        ),
        _wrong(LEFT, "nan is let through", ("not norm <= factor", "norm > factor")),
        _wrong(LEFT, "the mean", ("np.median", "np.mean")),
        _wrong(LEFT, "all of the past", ("kept[-window:]", "kept")),
        _wrong(LEFT, "the first ones", ("kept[-window:]", "kept[:window]")),
        _wrong(LEFT, "the factor is forgotten", ("factor * usual", "usual")),
        _wrong(LEFT, "counted from 1", ("enumerate(norms)", "enumerate(norms, 1)")),
        _wrong(LEFT, "one step too late", (">= window", "> window")),
        _wrong(
            LEFT, "the last norm alone", ("np.median(kept[-window:])", "kept[-1]")
        ),
    ],
    "final_branch": [
        _wrong(
            BRANCH,
            "the first steps are undone",
            ("[max(0, len(branch) - back) :]", "[:back]"),
        ),
        _wrong(
            BRANCH,
            "nothing is undone",
            ("            del branch[max(0, len(branch) - back) :]\n", ""),
        ),
        _wrong(BRANCH, "nothing is skipped", ("1 + skip", "1")),
        _wrong(
            BRANCH, "the bad one counts as skipped", ("1 + skip", "max(1, skip)")
        ),
        _wrong(BRANCH, "everything is undone", ("max(0, len(branch) - back)", "0")),
        _wrong(
            BRANCH,
            "a negative index",
            ("max(0, len(branch) - back)", "len(branch) - back"),
        ),
        _wrong(
            BRANCH,
            "one step too many",
            ("len(branch) - back)", "len(branch) - back - 1)"),
        ),
        _wrong(
            BRANCH,
            "only the first spike is seen",
            ("in bad:", "in bad and position == min(bad):"),
        ),
    ],
    "z_slope": [
        _wrong(SLOPE, "the 2 is lost", ("2 * w", "w")),
        _wrong(SLOPE, "log Z is lost", (" * log_z", "")),
        _wrong(SLOPE, "no mean", (" / logits.shape[0]", "")),
        _wrong(SLOPE, "mean over the vocabulary", ("shape[0]", "shape[1]")),
        _wrong(SLOPE, "the sign of log Z", ("* log_z", "* log_z.abs()")),
        _wrong(
            SLOPE, "softmax over the tokens", ("softmax(dim=-1)", "softmax(dim=0)")
        ),
        _wrong(SLOPE, "slope of log Z alone", ("2 * w * log_z * ", "w * ")),
        _wrong(SLOPE, "the weight is fixed", ("2 * w", "2e-4")),
    ],
}
