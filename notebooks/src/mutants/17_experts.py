"""Wrong solutions of lesson 17, each of which its check must reject."""

WEIGHTS = """
def my_weights(logits, k, renormalise):
    p = logits.softmax(dim=-1)
    top, best = p.topk(k, dim=-1)
    if renormalise:
        top = top / top.sum(dim=-1, keepdim=True)
    return torch.zeros_like(p).scatter(1, best, top)
"""
KEPT = """
def my_kept(logits, k, capacity):
    best = logits.topk(k, dim=-1).indices
    room = [capacity] * logits.shape[1]
    kept = torch.zeros(logits.shape, dtype=torch.bool)
    for rank in range(k):
        for m in range(len(logits)):
            e = int(best[m, rank])
            if room[e] > 0:
                room[e] -= 1
                kept[m, e] = True
    return kept
"""
BALANCE = """
@with_gradient
def my_balance_loss(logits, chosen):
    f = chosen.sum(dim=0) / chosen.sum()
    P = logits.softmax(dim=-1).mean(dim=0)
    return logits.shape[1] * (f * P).sum()
"""
DETECTIVE = """
def takes_load_off(loss):
    for favourite in range(4):
        z = torch.randn(200, 4).double()
        z[:, favourite] += 1
        z.requires_grad_()
        chosen = route(z, ExpertsConfig(4, 2)).chosen
        value = loss(z, chosen)
        if not value.requires_grad:
            return False
        (gradient,) = torch.autograd.grad(value, z)
        if gradient[:, favourite].sum() < 1e-6:
            return False
    return True
"""
GRADIENT = """
def my_router_gradient(logits, said, dy):
    p = logits.softmax(dim=-1)
    e = p.argmax(dim=-1)
    at = torch.arange(len(p))
    g = (dy * said[at, e]).sum(dim=-1)
    return (g * p[at, e])[:, None] * (one_hot(e, p.shape[1]) - p)
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


MUTANTS = {
    "my_weights": [
        _wrong(WEIGHTS, "never renormalised", ("if renormalise", "if False")),
        _wrong(WEIGHTS, "always renormalised", ("if renormalise", "if True")),
        _wrong(
            WEIGHTS,
            "softmax over the tokens",
            ("logits.softmax(dim=-1)", "logits.softmax(dim=0)"),
        ),
        _wrong(
            WEIGHTS,
            "the smallest",
            ("dim=-1)\n    if", "dim=-1, largest=False)\n    if"),
        ),
        _wrong(WEIGHTS, "top-1 for every k", ("topk(k,", "topk(1,")),
        _wrong(
            WEIGHTS,
            "equal weights",
            ("top / top.sum(dim=-1, keepdim=True)", "top * 0 + 1 / k"),
        ),
        _wrong(WEIGHTS, "divided by k", ("top.sum(dim=-1, keepdim=True)", "k")),
        _wrong(WEIGHTS, "nothing is left out", ("torch.zeros_like(p)", "p")),
        _wrong(
            WEIGHTS,
            "the compact form",
            ("torch.zeros_like(p).scatter(1, best, top)", "top"),
        ),
        _wrong(
            WEIGHTS,
            "the best k of the whole batch",
            (
                "top, best = p.topk(k, dim=-1)",
                "best = p.mean(0).topk(k).indices.expand(len(p), k)",
            ),
            ("    if", "    top = p.gather(1, best)\n    if"),
        ),
    ],
    "my_kept": [
        _wrong(KEPT, "room for one more", ("room[e] > 0", "room[e] >= 0")),
        _wrong(KEPT, "room for one less", ("room[e] > 0", "room[e] > 1")),
        _wrong(KEPT, "room for all", ("room[e] > 0", "True")),
        (
            "all choices of a token at once",
            KEPT.replace(
                "    for rank in range(k):\n        for m in range(len(logits)):",
                "    for m in range(len(logits)):\n        for rank in range(k):",
            ),
        ),
        _wrong(
            KEPT,
            "later tokens first",
            ("range(len(logits))", "reversed(range(len(logits)))"),
        ),
        _wrong(
            KEPT,
            "new room for every rank",
            (
                "    for rank in range(k):\n",
                "    for rank in range(k):\n        room = [capacity] * logits.shape[1]\n",
            ),
        ),
        _wrong(KEPT, "first choices only", ("in range(k)", "in range(1)")),
        _wrong(
            KEPT, "second choices first", ("in range(k)", "in reversed(range(k))")
        ),
        _wrong(
            KEPT,
            "the surest first",
            (
                "range(len(logits))",
                "logits.amax(-1).argsort(descending=True).tolist()",
            ),
        ),
        _wrong(
            KEPT,
            "who is turned away tries the next",
            (
                "e = int(best[m, rank])",
                "e = max(range(len(room)), key=room.__getitem__) if not room[int(best[m, rank])] else int(best[m, rank])",
            ),
        ),
        _wrong(
            KEPT, "one room for all", ("room = [capacity]", "room = [4 * capacity]")
        ),
    ],
    "my_balance_loss": [
        _wrong(BALANCE, "the wrong sign", ("return logits", "return -logits")),
        _wrong(BALANCE, "P detached", ("(f * P)", "(f * P.detach())")),
        _wrong(
            BALANCE,
            "the right value with the gradient of the wrong sign",
            (
                "return logits.shape[1] * (f * P).sum()",
                "loss = logits.shape[1] * (f * P).sum()\n    return 2 * loss.detach() - loss",
            ),
        ),
        _wrong(
            BALANCE,
            "the right value, hardly any gradient",
            (
                "mean(dim=0)",
                "mean(dim=0)\n    P = P.detach() + 0.01 * (P - P.detach())",
            ),
        ),
        _wrong(
            BALANCE,
            "P for f",
            (
                "f = chosen.sum(dim=0) / chosen.sum()",
                "f = logits.softmax(dim=-1).mean(dim=0)",
            ),
        ),
        _wrong(BALANCE, "f for P", ("(f * P)", "(f * f + 0 * P)")),
        _wrong(BALANCE, "k times too large", ("/ chosen.sum()", "/ len(chosen)")),
        _wrong(BALANCE, "E is forgotten", ("logits.shape[1] * ", "")),
        _wrong(
            BALANCE, "a mean instead of a sum", ("(f * P).sum()", "(f * P).mean()")
        ),
        _wrong(
            BALANCE,
            "probabilities over the tokens",
            ("softmax(dim=-1)", "softmax(dim=0)"),
        ),
        _wrong(
            BALANCE,
            "averaged over experts: constant",
            (
                "P = logits.softmax(dim=-1).mean(dim=0)",
                "P = logits.softmax(dim=-1).mean(dim=1).mean()",
            ),
        ),
        _wrong(BALANCE, "logits for probabilities", (".softmax(dim=-1)", "")),
    ],
    "takes_load_off": [
        _wrong(
            DETECTIVE,
            "always yes",
            ("return False", "pass"),
            ("(gradient,) = torch.autograd.grad(value, z)", "gradient = z"),
        ),
        _wrong(DETECTIVE, "always no", ("return True", "return False")),
        _wrong(DETECTIVE, "one favourite only", ("range(4)", "range(1)")),
        _wrong(DETECTIVE, "the sign turned", ("< 1e-6", "> -1e-6")),
        _wrong(
            DETECTIVE,
            "any gradient will do",
            ("gradient[:, favourite].sum() <", "gradient.abs().max() <"),
        ),
        _wrong(
            DETECTIVE,
            "no question about the graph",
            ("if not value.requires_grad", "if False"),
        ),
        _wrong(
            DETECTIVE,
            "looks at the value",
            ("if gradient[:, favourite].sum() < 1e-6", "if value < 1"),
        ),
        _wrong(
            DETECTIVE,
            "the loss must be near 1",
            ("if gradient[:, favourite].sum() < 1e-6", "if not 0.9 < value < 1.6"),
        ),
        _wrong(
            DETECTIVE,
            "the other experts",
            (
                "gradient[:, favourite].sum()",
                "(gradient.sum() - gradient[:, favourite].sum())",
            ),
        ),
        _wrong(
            DETECTIVE,
            "all experts together",
            ("gradient[:, favourite].sum()", "gradient.sum()"),
        ),
    ],
    "my_router_gradient": [
        _wrong(
            GRADIENT,
            "the wrong sign",
            ("(one_hot(e, p.shape[1]) - p)", "(p - one_hot(e, p.shape[1]))"),
        ),
        _wrong(GRADIENT, "p of the chosen is forgotten", ("(g * p[at, e])", "g")),
        _wrong(GRADIENT, "the chosen only", (" - p)", ")")),
        _wrong(GRADIENT, "the others only", ("one_hot(e, p.shape[1]) - p", "-p")),
        _wrong(GRADIENT, "all experts are heard", ("said[at, e]", "said.mean(1)")),
        _wrong(
            GRADIENT,
            "expert 0 is always asked",
            ("e = p.argmax(dim=-1)", "e = p.argmax(dim=-1) * 0"),
        ),
        _wrong(GRADIENT, "the least likely", ("argmax", "argmin")),
        _wrong(
            GRADIENT,
            "p twice",
            ("one_hot(e, p.shape[1]) - p)", "one_hot(e, p.shape[1]) - p) * p"),
        ),
        _wrong(
            GRADIENT, "a mean over the width", (".sum(dim=-1)\n", ".mean(dim=-1)\n")
        ),
        _wrong(
            GRADIENT,
            "a mean over the tokens",
            ("    return (g", "    return 1 / len(p) * (g"),
        ),
        _wrong(
            GRADIENT,
            "as for renormalised top-1",
            ("    return (g", "    return 0 * (g"),
        ),
    ],
}
