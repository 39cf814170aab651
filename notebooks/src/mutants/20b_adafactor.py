"""Wrong solutions of lesson 20b, each of which its check must reject."""

WEIGHTS = """
def square_weights(n, power):
    weights, later = [], 1.0
    for k in range(n, 0, -1):
        weights.append(later * k**-power)
        later *= 1 - k**-power
    return weights[::-1]
"""
STACK = """
def factor_stack(V):
    rows, columns = V.sum(-1, keepdim=True), V.sum(-2, keepdim=True)
    total = V.sum((-2, -1), keepdim=True)
    return rows * columns / torch.where(total > 0, total, 1)
"""
POLAR = """
def polar(g):
    U, s, Vh = torch.linalg.svd(g, full_matrices=False)
    keep = s > 1e-9 * s[0]
    return U[:, keep] @ Vh[keep]
"""
NOISE = """
def signal_and_noise(grads):
    noise = grads.var(0).sum()
    signal = (grads.mean(0) ** 2).sum() - noise / len(grads)
    return signal.item(), noise.item()
"""
READ = """
def steps_to_read(stages, tokens):
    ends = [begin for begin, _ in stages[1:]] + [math.inf]
    for (begin, size), end in zip(stages, ends):
        needed = -(-tokens // size)
        if begin + needed <= end:
            return begin + needed
        tokens -= (end - begin) * size
"""
LION = """
def lion_walk(w, grads, lr, betas, decay):
    m = 0.0
    for g in grads:
        c = betas[0] * m + (1 - betas[0]) * g
        w = w - lr * ((c > 0) - (c < 0) + decay * w)
        m = betas[1] * m + (1 - betas[1]) * g
    return w
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


MUTANTS = {
    "square_weights": [
        _wrong(WEIGHTS, "newest first", ("weights[::-1]", "weights")),
        _wrong(
            WEIGHTS, "later means are forgotten", ("later * k**-power", "k**-power")
        ),
        _wrong(
            WEIGHTS, "beta and 1 - beta exchanged", ("1 - k**-power", "k**-power")
        ),
        _wrong(WEIGHTS, "power is always 0.8", ("-power", "-0.8")),
        _wrong(
            WEIGHTS,
            "the first step is left out",
            ("range(n, 0, -1)", "range(n, 1, -1)"),
        ),
        _wrong(
            WEIGHTS,
            "the product takes in the square's own beta",
            (
                "weights.append(later * k**-power)\n        later *= 1 - k**-power",
                "later *= 1 - k**-power\n        weights.append(later * k**-power)",
            ),
        ),
    ],
    "factor_stack": [
        _wrong(STACK, "not divided", (" / torch.where(total > 0, total, 1)", "")),
        _wrong(
            STACK,
            "zeros give NaN",
            ("torch.where(total > 0, total, 1)", "total"),
        ),
        _wrong(
            STACK,
            "one total for the stack",
            ("V.sum((-2, -1), keepdim=True)", "V.sum()"),
        ),
        _wrong(
            STACK,
            "the mean in place of the sum",
            ("V.sum((-2, -1), keepdim=True)", "V.mean((-2, -1), keepdim=True)"),
        ),
        _wrong(
            STACK,
            "rows twice",
            ("V.sum(-2, keepdim=True)", "V.sum(-1, keepdim=True)"),
        ),
        _wrong(
            STACK,
            "the root",
            ("return rows", "return (rows"),
            ("total, 1)", "total, 1)) ** 0.5"),
        ),
    ],
    "polar": [
        _wrong(POLAR, "small directions kept", ("s > 1e-9 * s[0]", "s > -1")),
        _wrong(POLAR, "the bound is absolute", ("1e-9 * s[0]", "0.01")),
        _wrong(
            POLAR,
            "singular values kept",
            ("U[:, keep] @", "U[:, keep] * s[keep] @"),
        ),
        _wrong(POLAR, "only the largest", ("s > 1e-9 * s[0]", "s == s[0]")),
        _wrong(
            POLAR,
            "transposed",
            ("return U[:, keep] @ Vh[keep]", "return (U[:, keep] @ Vh[keep]).T"),
        ),
        _wrong(
            POLAR, "divided by the norm", ("return U", "return 1 / g.norm() * U")
        ),
    ],
    "signal_and_noise": [
        _wrong(
            NOISE, "variance with n", ("grads.var(0)", "grads.var(0, correction=0)")
        ),
        _wrong(
            NOISE,
            "the mean's noise is not taken away",
            (" - noise / len(grads)", ""),
        ),
        _wrong(NOISE, "the whole noise is taken away", (" / len(grads)", "")),
        _wrong(NOISE, "added", ("- noise", "+ noise")),
        _wrong(NOISE, "mean over coordinates", ("var(0).sum()", "var(0).mean()")),
        _wrong(
            NOISE,
            "exchanged",
            ("signal.item(), noise.item()", "noise.item(), signal.item()"),
        ),
        _wrong(
            NOISE,
            "mean of squared lengths",
            ("(grads.mean(0) ** 2).sum()", "(grads**2).sum(1).mean()"),
        ),
    ],
    "steps_to_read": [
        _wrong(READ, "rounded down", ("-(-tokens // size)", "tokens // size")),
        _wrong(
            READ, "one step too many", ("-(-tokens // size)", "tokens // size + 1")
        ),
        _wrong(
            READ,
            "the begin is forgotten",
            ("return begin + needed", "return needed"),
        ),
        _wrong(
            READ,
            "read tokens are not taken away",
            ("        tokens -= (end - begin) * size\n", ""),
        ),
        _wrong(
            READ, "the stage counts from 0", ("(end - begin) * size", "end * size")
        ),
        _wrong(
            READ, "the stage has no end", ("if begin + needed <= end", "if True")
        ),
        _wrong(
            READ,
            "ends of the stages are begins",
            ("for begin, _ in stages[1:]]", "for begin, _ in stages]"),
        ),
    ],
    "lion_walk": [
        _wrong(
            LION,
            "the memories are exchanged",
            ("betas[0] * m + (1 - betas[0])", "betas[2] * m + (1 - betas[2])"),
            ("betas[1] * m + (1 - betas[1])", "betas[0] * m + (1 - betas[0])"),
            ("betas[2] * m + (1 - betas[2])", "betas[1] * m + (1 - betas[1])"),
        ),
        _wrong(
            LION,
            "one memory for both",
            ("betas[0] * m + (1 - betas[0])", "betas[1] * m + (1 - betas[1])"),
        ),
        _wrong(
            LION,
            "the step looks at the gradient alone",
            ("betas[0] * m + (1 - betas[0]) * g", "g"),
        ),
        _wrong(
            LION,
            "the step looks at the mean alone",
            ("betas[0] * m + (1 - betas[0]) * g", "m"),
        ),
        _wrong(LION, "the mean itself, not its sign", ("(c > 0) - (c < 0)", "c")),
        _wrong(LION, "the sign of 0 is -1", ("(c < 0)", "(c <= 0)")),
        _wrong(LION, "no decay", (" + decay * w", "")),
        _wrong(LION, "decay grows the weight", ("+ decay", "- decay")),
        _wrong(LION, "the memory is a sum", ("(1 - betas[1]) * g", "g")),
    ],
}
