"""Wrong solutions of lesson 11, each of which its check must reject."""

LAYERNORM = """
def my_layernorm(x, w, b, eps):
    D = x.shape[-1]
    centred = x - x.sum(-1, keepdim=True) / D
    variance = (centred * centred).sum(-1, keepdim=True) / D
    return centred / (variance + eps) ** 0.5 * w + b
"""
BACKWARD = """
def my_backward(x, w, eps, g):
    r = (x.square().mean(-1, keepdim=True) + eps).sqrt()
    xhat, h = x / r, g * w
    dx = (h - xhat * (h * xhat).mean(-1, keepdim=True)) / r
    return dx, (g * xhat).sum(0)
"""
ADD = """
def my_add(x, part, norm, end, place, alpha):
    if place == "pre":
        return x + part(norm(x))
    if place == "sandwich":
        return x + end(part(norm(x)))
    if place == "deep":
        return norm(alpha * x + part(x))
    return norm(x + part(x))
"""
WITHOUT = """
def without_mean(x, W, eps):
    centred = W - W.mean(0, keepdim=True)
    return rmsnorm(x @ centred.T, torch.ones(len(W), dtype=W.dtype), eps)
"""
DETECTIVE = """
def is_artefact(probe, x):
    sizes = []
    for eps in (1e-3, 1e-7):
        z = x.clone().requires_grad_()
        sizes.append(torch.autograd.grad(probe(z, eps), z)[0].norm().item())
    return sizes[1] < 0.1 * sizes[0] or sizes[0] == 0
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


MUTANTS = {
    "my_layernorm": [
        _wrong(
            LAYERNORM,
            "variance with D - 1",
            (
                "(-1, keepdim=True) / D\n    return",
                "(-1, keepdim=True) / (D - 1)\n    return",
            ),
        ),
        _wrong(
            LAYERNORM,
            "eps outside the root",
            ("(variance + eps) ** 0.5", "(variance**0.5 + eps)"),
        ),
        _wrong(
            LAYERNORM,
            "the mean is not subtracted",
            ("centred = x - x.sum(-1, keepdim=True) / D", "centred = x"),
        ),
        _wrong(LAYERNORM, "no root", (") ** 0.5", ")")),
        _wrong(
            LAYERNORM,
            "statistics over the tokens",
            ("sum(-1", "sum(0"),
            ("x.shape[-1]", "x.shape[0]"),
        ),
        _wrong(LAYERNORM, "the bias is forgotten", (" * w + b", " * w")),
        _wrong(
            LAYERNORM,
            "the gain multiplies the bias, too",
            (
                "return centred / (variance + eps) ** 0.5 * w + b",
                "return (centred / (variance + eps) ** 0.5 + b) * w",
            ),
        ),
        _wrong(
            LAYERNORM,
            "mean square in the place of the variance",
            ("(centred * centred)", "(x * x)"),
        ),
        _wrong(LAYERNORM, "eps is ignored", (" + eps", "")),
        _wrong(
            LAYERNORM,
            "x itself over the spread",
            ("return centred /", "return x /"),
        ),
        _wrong(
            LAYERNORM,
            "one mean for all tokens",
            ("x.sum(-1, keepdim=True) / D", "x.sum() / x.numel()"),
        ),
    ],
    "my_backward": [
        _wrong(
            BACKWARD,
            "the radial part is left in",
            ("(h - xhat * (h * xhat).mean(-1, keepdim=True))", "h"),
        ),
        _wrong(
            BACKWARD, "the gain is forgotten on the way to x", ("g * w\n", "g\n")
        ),
        _wrong(
            BACKWARD,
            "a sum in the place of the mean",
            ("(h * xhat).mean(", "(h * xhat).sum("),
        ),
        _wrong(
            BACKWARD,
            "not divided by the size",
            (") / r\n    return", ")\n    return"),
        ),
        _wrong(
            BACKWARD,
            "the gain's gradient is a mean over tokens",
            (".sum(0)", ".mean(0)"),
        ),
        _wrong(
            BACKWARD,
            "x in the place of the normalised x, for the gain",
            ("(g * xhat).sum", "(g * x).sum"),
        ),
        _wrong(
            BACKWARD,
            "the gain appears in its own gradient",
            ("(g * xhat).sum", "(h * xhat).sum"),
        ),
        _wrong(BACKWARD, "eps is ignored", (" + eps", "")),
        _wrong(
            BACKWARD,
            "centred as in LayerNorm",
            ("dx = (h -", "dx = (h - h.mean(-1, keepdim=True) -"),
        ),
        _wrong(BACKWARD, "the wrong sign", ("(h - xhat", "(h + xhat")),
        _wrong(
            BACKWARD,
            "divided by the square",
            (") / r\n    return", ") / r**2\n    return"),
        ),
        _wrong(
            BACKWARD,
            "one correction for all tokens",
            (".mean(-1, keepdim=True)) / r", ".mean()) / r"),
        ),
    ],
    "my_add": [
        _wrong(
            ADD,
            "pre forgets the stream",
            (
                'return x + part(norm(x))\n    if place == "s',
                'return part(norm(x))\n    if place == "s',
            ),
        ),
        _wrong(
            ADD,
            "pre adds the normalised x",
            (
                'return x + part(norm(x))\n    if place == "s',
                'return norm(x) + part(norm(x))\n    if place == "s',
            ),
        ),
        _wrong(
            ADD,
            "post normalises what the part says only",
            ("return norm(x + part(x))", "return x + norm(part(x))"),
        ),
        _wrong(
            ADD,
            "post is pre",
            ("return norm(x + part(x))", "return x + part(norm(x))"),
        ),
        _wrong(
            ADD,
            "sandwich normalises the sum",
            ("return x + end(part(norm(x)))", "return end(x + part(norm(x)))"),
        ),
        _wrong(
            ADD,
            "sandwich uses one norm twice",
            ("end(part(norm(x)))", "norm(part(norm(x)))"),
        ),
        _wrong(
            ADD,
            "sandwich in the wrong order",
            ("end(part(norm(x)))", "norm(part(end(x)))"),
        ),
        _wrong(
            ADD,
            "sandwich without its second norm",
            ("end(part(norm(x)))", "part(norm(x))"),
        ),
        _wrong(
            ADD,
            "alpha multiplies the part",
            ("alpha * x + part(x)", "x + alpha * part(x)"),
        ),
        _wrong(
            ADD,
            "alpha multiplies both",
            ("alpha * x + part(x)", "alpha * (x + part(x))"),
        ),
        _wrong(ADD, "alpha is forgotten", ("alpha * x + part(x)", "x + part(x)")),
        _wrong(
            ADD,
            "alpha in post as well",
            ("return norm(x + part(x))", "return norm(alpha * x + part(x))"),
        ),
        _wrong(
            ADD,
            "the part of deep sees a louder x",
            ("alpha * x + part(x)", "alpha * x + part(alpha * x)"),
        ),
    ],
    "without_mean": [
        _wrong(
            WITHOUT,
            "the mean of each row",
            ("W.mean(0, keepdim=True)", "W.mean(1, keepdim=True)"),
        ),
        _wrong(
            WITHOUT,
            "the mean of all numbers",
            ("W.mean(0, keepdim=True)", "W.mean()"),
        ),
        _wrong(WITHOUT, "nothing is centred", ("W - W.mean(0, keepdim=True)", "W")),
        _wrong(
            WITHOUT,
            "x is centred",
            ("W - W.mean(0, keepdim=True)", "W"),
            ("x @", "(x - x.mean(-1, keepdim=True)) @"),
        ),
        _wrong(
            WITHOUT,
            "added in the place of subtracted",
            ("W - W.mean", "W + W.mean"),
        ),
        _wrong(
            WITHOUT,
            "eps is forgotten",
            ("dtype=W.dtype), eps)", "dtype=W.dtype), 0.0)"),
        ),
        _wrong(
            WITHOUT,
            "the sum in the place of the mean",
            ("W.mean(0, keepdim=True)", "W.sum(0, keepdim=True)"),
        ),
        _wrong(
            WITHOUT,
            "the columns are scaled as well",
            (
                "keepdim=True)\n",
                "keepdim=True)\n    centred = centred / centred.norm(dim=0)\n",
            ),
        ),
        _wrong(
            WITHOUT,
            "no norm at all",
            (
                "return rmsnorm(x @ centred.T, torch.ones(len(W), dtype=W.dtype), eps)",
                "return x @ centred.T",
            ),
        ),
    ],
    "is_artefact": [
        _wrong(
            DETECTIVE,
            "small means artefact",
            ("sizes[1] < 0.1 * sizes[0] or sizes[0] == 0", "sizes[1] < 1e-4"),
        ),
        _wrong(
            DETECTIVE,
            "compares losses",
            (
                "torch.autograd.grad(probe(z, eps), z)[0].norm().item()",
                "probe(z, eps).item()",
            ),
        ),
        _wrong(
            DETECTIVE,
            "the wrong way round",
            ("sizes[1] < 0.1 * sizes[0]", "sizes[0] < 0.1 * sizes[1]"),
        ),
        _wrong(DETECTIVE, "a constant passes", (" or sizes[0] == 0", "")),
        _wrong(
            DETECTIVE, "only exact zeros", ("sizes[1] < 0.1 * sizes[0] or ", "")
        ),
        _wrong(
            DETECTIVE,
            "any change counts",
            ("sizes[1] < 0.1 * sizes[0]", "sizes[1] != sizes[0]"),
        ),
        _wrong(DETECTIVE, "one eps twice", ("(1e-3, 1e-7)", "(1e-7, 1e-7)")),
        _wrong(
            DETECTIVE,
            "a difference in the place of a ratio",
            ("sizes[1] < 0.1 * sizes[0]", "sizes[0] - sizes[1] > 1e-2"),
        ),
        _wrong(
            DETECTIVE,
            "everything is suspect",
            ("sizes[1] < 0.1 * sizes[0] or sizes[0] == 0", "True"),
        ),
        _wrong(
            DETECTIVE,
            "small at the large eps",
            ("sizes[1] < 0.1 * sizes[0] or sizes[0] == 0", "sizes[0] < 1e-2"),
        ),
    ],
}
