"""Wrong solutions of lesson 10, each of which its check must reject."""

MASK = """
def my_prefix_mask(lengths, T):
    s = torch.arange(T)
    t = s[:, None]
    return ((s <= t) | (s < lengths[:, None, None]))[:, None]
"""
CROSS = """
def my_cross(y, memory, seen, w_q, w_k, w_v):
    q, k, v = y @ w_q, memory @ w_k, memory @ w_v
    scores = q @ k.T / w_q.shape[1] ** 0.5
    scores = scores.masked_fill(~seen, float("-inf"))
    return scores.softmax(dim=-1) @ v
"""
COUNT = """
def my_count(V, D, L, F, n_heads, n_kv, H, tied):
    block = 2 * D * n_heads * H + 2 * D * n_kv * H + 3 * D * F + 2 * D
    return V * D * (1 if tied else 2) + L * block + D
"""
LEAKS = """
def my_leaks(model, ids, V):
    found, before = [], model(ids)
    for s in range(ids.shape[1]):
        other = ids.clone()
        other[:, s] = (other[:, s] + 1) % V
        change = (model(other) - before).abs().amax(dim=(0, 2))
        found += [(t, s) for t in range(s) if change[t] > 1e-9]
    return sorted(found)
"""
SCORES = """
def my_scores(model, before, choices):
    scores = []
    for choice in choices:
        logs = model(torch.tensor([before + choice])).log_softmax(-1)[0]
        places = range(len(before) - 1, len(before) + len(choice) - 1)
        picked = [logs[p, token].item() for p, token in zip(places, choice)]
        scores.append(sum(picked) / len(picked))
    return scores
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


MUTANTS = {
    "my_prefix_mask": [
        _wrong(MASK, "a token does not see itself", ("s <= t", "s < t")),
        _wrong(MASK, "the future instead of the past", ("s <= t", "s >= t")),
        _wrong(MASK, "the prefix one too long", ("s < lengths", "s <= lengths")),
        _wrong(MASK, "both conditions asked for", (") | (", ") & (")),
        _wrong(
            MASK,
            "the prefix is forgotten",
            ("(s < lengths[:, None, None])", "(s < 0 * lengths[:, None, None])"),
        ),
        _wrong(
            MASK,
            "rows of the prefix see all",
            ("(s < lengths", "(t < lengths"),
        ),
        _wrong(
            MASK, "the first length for the whole batch", ("lengths[:, ", "lengths[:1, ")
        ),
        _wrong(MASK, "no axis for the heads", ("))[:, None]", "))")),
        _wrong(MASK, "true means hidden", ("return (", "return ~(")),
    ],
    "my_cross": [
        _wrong(CROSS, "values from the target's side", ("memory @ w_v", "memory @ w_k")),
        _wrong(CROSS, "keys and values swapped", ("q, k, v =", "q, v, k =")),
        _wrong(
            CROSS,
            "queries from the source",
            ("y @ w_q, memory @ w_k", "memory @ w_q, y @ w_k"),
        ),
        _wrong(CROSS, "self-attention", ("memory @ w_k, memory @ w_v", "y @ w_k, y @ w_v")),
        _wrong(CROSS, "not scaled", (" / w_q.shape[1] ** 0.5", "")),
        _wrong(CROSS, "scaled by the model width", ("shape[1]", "shape[0]")),
        _wrong(CROSS, "divided by H, not its root", (" ** 0.5", "")),
        _wrong(CROSS, "padding is seen", ("masked_fill(~seen", "masked_fill(seen & ~seen")),
        _wrong(CROSS, "padding alone is seen", ("~seen", "seen")),
        _wrong(CROSS, "softmax over the targets", ("dim=-1", "dim=0")),
        _wrong(
            CROSS,
            "padding gets the score 0",
            ('float("-inf")', "0.0"),
        ),
    ],
    "my_count": [
        _wrong(COUNT, "the last norm is forgotten", ("L * block + D", "L * block")),
        _wrong(COUNT, "one norm a block", (" + 2 * D\n", " + D\n")),
        _wrong(COUNT, "no gate", ("3 * D * F", "2 * D * F")),
        _wrong(COUNT, "as many key heads as query heads", ("n_kv * H", "n_heads * H")),
        _wrong(COUNT, "heads always fill the width", ("n_heads * H", "D")),
        _wrong(COUNT, "always tied", ("(1 if tied else 2)", "1")),
        _wrong(COUNT, "tied and untied swapped", ("1 if tied else 2", "2 if tied else 1")),
        _wrong(COUNT, "the output projection is forgotten", ("2 * D * n_heads", "D * n_heads")),
    ],
    "my_leaks": [
        _wrong(LEAKS, "the pair the wrong way round", ("(t, s) for", "(s, t) for")),
        _wrong(LEAKS, "itself counts as a leak", ("range(s)", "range(s + 1)")),
        _wrong(LEAKS, "the past instead of the future", ("range(s)", "range(s + 1, 9)")),
        _wrong(LEAKS, "only the neighbour is looked at", ("range(s)", "range(max(s - 1, 0), s)")),
        _wrong(LEAKS, "too tolerant", ("1e-9", "1e3")),
        _wrong(LEAKS, "not sorted", ("return sorted(found)", "return found")),
        _wrong(LEAKS, "changes pile up", ("ids.clone()", "ids")),
        _wrong(LEAKS, "nothing is changed", ("+ 1) % V", "+ V) % V")),
        _wrong(LEAKS, "only the last token is tried", ("in range(ids.shape[1])", "in [8]")),
        _wrong(LEAKS, "the pairs that do not leak", ("> 1e-9", "<= 1e-9")),
    ],
    "my_scores": [
        _wrong(
            SCORES,
            "one place late",
            ("range(len(before) - 1, len(before) + len(choice) - 1)",
             "range(len(before), len(before) + len(choice))"),
        ),
        _wrong(SCORES, "the sum", (" / len(picked)", "")),
        _wrong(SCORES, "divided by all tokens", ("/ len(picked)", "/ len(before + choice)")),
        _wrong(SCORES, "logits without the softmax", (".log_softmax(-1)", "")),
        _wrong(SCORES, "probabilities instead of logs", (".log_softmax", ".softmax")),
        _wrong(SCORES, "the context is forgotten", ("[before + choice]", "[[0] * len(before) + choice]")),
        _wrong(SCORES, "softmax over places", ("log_softmax(-1)", "log_softmax(1)")),
        _wrong(SCORES, "nats instead of log-probabilities", ("sum(picked)", "-sum(picked)")),
        _wrong(SCORES, "the first token only", ("zip(places, choice)", "zip(places[:1], choice)")),
    ],
}  # fmt: skip
