"""Wrong solutions of lesson 19, each of which its check must reject."""

NUCLEUS = """
def nucleus(p, mass):
    ordered, ids = p.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(dim=-1) - ordered
    kept = torch.where(before < mass, ordered, 0.0)
    kept = kept / kept.sum(dim=-1, keepdim=True)
    return torch.zeros_like(p).scatter(-1, ids, kept)
"""
PENALISE = """
def penalise(logits, said, theta):
    out = logits.clone()
    for v in set(said):
        out[v] = out[v] / theta if out[v] > 0 else out[v] * theta
    return out
"""
BEAM = """
def beam_with_end(log_p_after, n, width, alpha, end):
    kept, ended = [((), 0.0)], []
    for length in range(1, n + 1):
        longer = [
            ((*text, v), total + log_p)
            for text, total in kept
            for v, log_p in enumerate(log_p_after(text))
        ]
        longer.sort(key=lambda one: -one[1])
        kept = []
        for place, (text, total) in enumerate(longer):
            if text[-1] == end or length == n:
                if place < width:
                    ended.append((total / length**alpha, text))
            elif len(kept) < width:
                kept.append((text, total))
    return max(ended, key=lambda one: one[0])[1]
"""
REFUSAL = """
def refusal(p, q):
    missing = (p - q).clamp(min=0)
    refused = missing.sum()
    if refused == 0:
        return 0.0, p
    return refused.item(), missing / refused
"""
GRAMMAR = """
def allowed_tokens(moves, accept, pieces, state):
    alive, before = set(accept), None
    while alive != before:
        before = set(alive)
        alive |= {s for s, go in moves.items() if alive & set(go.values())}
    fits = []
    for i, piece in enumerate(pieces):
        here = state
        for letter in piece:
            here = moves.get(here, {}).get(letter)
        if piece and here in alive:
            fits.append(i)
    return fits
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


MUTANTS = {
    "nucleus": [
        _wrong(NUCLEUS, "the token that crosses is dropped", (" - ordered", "")),
        _wrong(
            NUCLEUS,
            "one token too many at equality",
            ("before < mass", "before <= mass"),
        ),
        _wrong(
            NUCLEUS,
            "not divided by the sum",
            ("    kept = kept / kept.sum(dim=-1, keepdim=True)\n", ""),
        ),
        _wrong(
            NUCLEUS,
            "divided by the sum of the whole batch",
            ("kept.sum(dim=-1, keepdim=True)", "kept.sum()"),
        ),
        _wrong(
            NUCLEUS,
            "left in sorted order",
            ("torch.zeros_like(p).scatter(-1, ids, kept)", "kept"),
        ),
        _wrong(NUCLEUS, "the smallest first", ("descending=True, ", "")),
        _wrong(
            NUCLEUS,
            "of equals the larger id first",
            (
                "p.sort(dim=-1, descending=True, stable=True)",
                "p.flip(-1).sort(dim=-1, descending=True, stable=True)",
            ),
            ("scatter(-1, ids, kept)", "scatter(-1, p.shape[-1] - 1 - ids, kept)"),
        ),
    ],
    "penalise": [
        _wrong(
            PENALISE, "divides always", (" if out[v] > 0 else out[v] * theta", "")
        ),
        _wrong(PENALISE, "the signs are exchanged", ("out[v] > 0", "out[v] < 0")),
        _wrong(PENALISE, "once for each time it was said", ("set(said)", "said")),
        _wrong(
            PENALISE,
            "subtracts",
            ("out[v] / theta if out[v] > 0 else out[v] * theta", "out[v] - theta"),
        ),
        _wrong(
            PENALISE, "every token is punished", ("set(said)", "range(len(out))")
        ),
        _wrong(PENALISE, "only the last one said", ("set(said)", "said[-1:]")),
        _wrong(
            PENALISE,
            "a theta below 1 is ignored",
            ("set(said)", "(set(said) if theta > 1 else ())"),
        ),
    ],
    "beam_with_end": [
        _wrong(BEAM, "sums, whatever alpha says", (" / length**alpha", "")),
        _wrong(BEAM, "always means", ("length**alpha", "length")),
        _wrong(
            BEAM,
            "the length without the last token",
            ("length**alpha", "max(length - 1, 1)**alpha"),
        ),
        _wrong(BEAM, "every end is set aside", ("if place < width:", "if True:")),
        _wrong(
            BEAM,
            "places of ends are lost to those that go on",
            ("elif len(kept) < width:", "elif place < width:"),
        ),
        _wrong(BEAM, "the worst is returned", ("return max(", "return min(")),
        _wrong(
            BEAM,
            "the first that ended is returned",
            ("return max(ended, key=lambda one: one[0])[1]", "return ended[0][1]"),
        ),
        _wrong(
            BEAM,
            "the last step is a step too late",
            ("length == n", "length > n"),
            ("return max", "ended += [(t, x) for x, t in kept]\n    return max"),
        ),
        _wrong(BEAM, "a beam of 1", ("len(kept) < width", "len(kept) < 1")),
    ],
    "refusal": [
        _wrong(REFUSAL, "NaN where p = q", ("if refused == 0:", "if refused < 0:")),
        _wrong(REFUSAL, "q minus p", ("(p - q)", "(q - p)")),
        _wrong(REFUSAL, "not divided by the sum", ("missing / refused", "missing")),
        _wrong(
            REFUSAL,
            "absolute differences",
            ("(p - q).clamp(min=0)", "(p - q).abs()"),
        ),
        _wrong(
            REFUSAL,
            "the chance of acceptance",
            ("return refused.item()", "return 1 - refused.item()"),
        ),
        _wrong(REFUSAL, "draws from p again", ("missing / refused", "p")),
        _wrong(
            REFUSAL, "zeros where p = q", ("return 0.0, p", "return 0.0, missing")
        ),
    ],
    "allowed_tokens": [
        _wrong(
            GRAMMAR, "dead ends are allowed", ("here in alive", "here is not None")
        ),
        _wrong(
            GRAMMAR,
            "the text must be complete behind the token",
            ("here in alive", "here in accept"),
        ),
        _wrong(GRAMMAR, "the empty token is allowed", ("piece and here", "here")),
        _wrong(
            GRAMMAR,
            "only the first letter is looked at",
            ("in piece:", "in piece[:1]:"),
        ),
        _wrong(
            GRAMMAR,
            "only the last letter is looked at",
            ("in piece:", "in piece[-1:]:"),
        ),
        _wrong(GRAMMAR, "always from state 0", ("here = state", "here = 0")),
        _wrong(
            GRAMMAR,
            "one step back from accept only",
            ("while alive != before:", "for _ in range(1):"),
        ),
        _wrong(
            GRAMMAR,
            "tokens instead of their numbers",
            ("fits.append(i)", "fits.append(piece)"),
        ),
    ],
}
