"""Wrong solutions of lesson 20a, each of which its check must reject."""

RATE = """
def rate_at(seen, peak, warmup, decay):
    if seen < warmup:
        return peak * seen / warmup
    r = min(1.0, (seen - warmup) / (decay - warmup))
    return peak * (0.1 + 0.9 * (1 + math.cos(math.pi * r)) / 2)
"""
ADAMAX = """
def adamax(grads, lr=0.01, betas=(0.9, 0.99), eps=1e-8):
    w, m, u = (torch.zeros_like(grads[0]) for _ in range(3))
    for t, g in enumerate(grads, start=1):
        m = betas[0] * m + (1 - betas[0]) * g
        u = torch.maximum(betas[1] * u, g.abs() + eps)
        w = w - lr / (1 - betas[0] ** t) * m / u
    return w
"""
SPIKE = """
def step_after_spike(size, k, beta1, beta2):
    m = 1 + (1 - beta1) * (size - 1) * beta1**k
    v = 1 + (1 - beta2) * (size**2 - 1) * beta2**k
    return m / math.sqrt(v)
"""
ACCUMULATE = """
def accumulate(parts):
    total = sum(n for _, n in parts)
    out = torch.zeros_like(parts[0][0])
    for g, n in parts:
        if n > 0:
            out = out + g * (n / total)
    return out
"""
STRENGTH = """
def strength_for(z, k):
    sizes = sorted((abs(v) for v in z), reverse=True)
    return sizes[k] if k < len(sizes) else 0.0
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


MUTANTS = {
    "rate_at": [
        _wrong(RATE, "falls on after the end", ("min(1.0, ", "(")),
        _wrong(RATE, "falls to zero", ("0.1 + 0.9 *", "1.0 *")),
        _wrong(RATE, "ends at 10 % of a higher peak", ("0.9 *", "1.0 *")),
        _wrong(RATE, "the fall counts from token 0", ("(seen - warmup) / (decay - warmup)", "seen / decay")),
        _wrong(RATE, "decay counts from the warm-up", ("/ (decay - warmup)", "/ decay")),
        _wrong(RATE, "no warm-up", ("peak * seen / warmup", "peak")),
        _wrong(RATE, "a whole cosine", ("math.pi * r", "2 * math.pi * r")),
        _wrong(RATE, "a line", ("(1 + math.cos(math.pi * r)) / 2", "(1 - r)")),
        _wrong(RATE, "the peak is forgotten", ("return peak * (0.1", "return (0.1")),
    ],
    "adamax": [
        _wrong(ADAMAX, "no correction", (" / (1 - betas[0] ** t)", "")),
        _wrong(ADAMAX, "t counts from 0", ("start=1", "start=2")),
        _wrong(ADAMAX, "u is corrected too", ("* m / u", "* m / (u / (1 - betas[1] ** t))")),
        _wrong(ADAMAX, "u never fades", ("betas[1] * u", "u")),
        _wrong(ADAMAX, "u is a mean", ("torch.maximum(betas[1] * u, g.abs() + eps)", "betas[1] * u + (1 - betas[1]) * (g.abs() + eps)")),
        _wrong(ADAMAX, "no sign is dropped", ("g.abs() + eps", "g + eps")),
        _wrong(ADAMAX, "the gradient instead of its mean", ("* m / u", "* g / u")),
        _wrong(ADAMAX, "eps is forgotten", ("g.abs() + eps", "g.abs()")),
        _wrong(ADAMAX, "betas swapped", ("betas=(0.9, 0.99)", "betas=(0.99, 0.9)")),
        _wrong(ADAMAX, "uphill", ("w = w - lr", "w = w + lr")),
    ],
    "step_after_spike": [
        _wrong(SPIKE, "the mean does not fade", (" * beta1**k", "")),
        _wrong(SPIKE, "the square does not fade", (" * beta2**k", "")),
        _wrong(SPIKE, "one step late", ("beta1**k", "beta1**(k + 1)"), ("beta2**k", "beta2**(k + 1)")),
        _wrong(SPIKE, "no root", ("m / math.sqrt(v)", "m / v")),
        _wrong(SPIKE, "the size is not squared", ("size**2", "size")),
        _wrong(SPIKE, "the usual gradient is not taken off", ("(size - 1)", "size"), ("(size**2 - 1)", "size**2")),
        _wrong(SPIKE, "betas swapped", ("beta1, beta2):", "beta2, beta1):")),
        _wrong(SPIKE, "the mean forgets the spike", ("m = 1 + (1 - beta1) * (size - 1) * beta1**k", "m = 1")),
    ],
    "accumulate": [
        _wrong(ACCUMULATE, "mean of means", ("(n / total)", "(1 / len(parts))")),
        _wrong(ACCUMULATE, "a sum", ("(n / total)", "n")),
        _wrong(ACCUMULATE, "0 times NaN", ("if n > 0:", "if total > 0:")),
        _wrong(ACCUMULATE, "the last part only", ("out = out + g", "out = g")),
        _wrong(ACCUMULATE, "parts of one target are left out", ("if n > 0:", "if n > 1:")),
        _wrong(ACCUMULATE, "the first part's number for all", ("n / total", "parts[0][1] / total")),
        _wrong(ACCUMULATE, "over the parts that count", ("(n / total)", "(1 / sum(k > 0 for _, k in parts))")),
    ],
    "strength_for": [
        _wrong(STRENGTH, "one too few is left", ("sizes[k] if", "sizes[max(k - 1, 0)] if")),
        _wrong(STRENGTH, "one too many is left", ("sizes[k] if k < len(sizes)", "sizes[k + 1] if k + 1 < len(sizes)")),
        _wrong(STRENGTH, "signs are kept", ("abs(v)", "v")),
        _wrong(STRENGTH, "smallest first", ("reverse=True", "reverse=False")),
        _wrong(STRENGTH, "always something is cut", ("else 0.0", "else sizes[-1]")),
        _wrong(STRENGTH, "ties are counted once", ("sorted((abs(v) for v in z), reverse=True)", "sorted({abs(v) for v in z}, reverse=True)")),
        _wrong(STRENGTH, "half of it", ("return sizes[k]", "return sizes[k] / 2")),
    ],
}  # fmt: skip
