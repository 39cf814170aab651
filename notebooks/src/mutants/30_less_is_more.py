"""Wrong solutions of lesson 30, each of which its check must reject."""

MOVE = """
def move_centres(x, centres):
    labels = ((x[:, None] - centres) ** 2).sum(-1).argmin(axis=1)
    new = centres.copy()
    for j in range(len(centres)):
        if (labels == j).any():
            new[j] = x[labels == j].mean(axis=0)
    return new
"""
FARTHEST = """
def farthest_first(d, k, first):
    chosen, nearest = [first], d[first].copy()
    nearest[first] = -1
    while len(chosen) < k:
        c = int(nearest.argmax())
        chosen.append(c)
        nearest = np.minimum(nearest, d[c])
        nearest[c] = -1
    return chosen
"""
LEFT_OUT = """
def left_out_errors(X, y, lam):
    A = X.T @ X + lam * np.eye(X.shape[1])
    back = np.linalg.solve(A, X.T)  # (D, N)
    h = (X * back.T).sum(axis=1)
    return (y - X @ (back @ y)) / (1 - h)
"""
MAJORITY = """
def by_majority(pairs):
    votes = {}
    for question, answer in pairs:
        counts = votes.setdefault(question, {})
        counts[answer] = counts.get(answer, 0) + 1
    kept = []
    for question, counts in votes.items():
        most = max(counts.values())
        best = [answer for answer, n in counts.items() if n == most]
        if len(best) == 1:
            kept.append((question, best[0]))
    return kept
"""
GIVEN_UP = """
def given_up(losses, quality, patience):
    kept = 0
    for i, loss in enumerate(losses):
        if loss < losses[kept]:
            kept = i
        if i - kept >= patience:
            break
    return max(quality) - quality[kept]
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


MUTANTS = {
    "move_centres": [
        _wrong(
            MOVE,
            "the median",
            ("x[labels == j].mean(axis=0)", "np.median(x[labels == j], axis=0)"),
        ),
        _wrong(
            MOVE,
            "an empty centre becomes NaN or 0",
            ("new = centres.copy()", "new = 0 * centres"),
        ),
        _wrong(MOVE, "the farthest centre", (".argmin(axis=1)", ".argmax(axis=1)")),
        _wrong(
            MOVE,
            "a tie goes to the higher number",
            (".argmin(axis=1)", "[:, ::-1].argmin(axis=1)"),
            (
                "    new = centres",
                "    labels = len(centres) - 1 - labels\n    new = centres",
            ),
        ),
        _wrong(MOVE, "the mean of all numbers", (".mean(axis=0)", ".mean()")),
        _wrong(
            MOVE,
            "half way only",
            (
                "new[j] = x[labels == j].mean(axis=0)",
                "new[j] = (new[j] + x[labels == j].mean(axis=0)) / 2",
            ),
        ),
        _wrong(
            MOVE, "nearest centre of the first coordinate", (".sum(-1)", "[..., 0]")
        ),
    ],
    "farthest_first": [
        _wrong(
            FARTHEST,
            "the nearest comes next",
            ("nearest.argmax()", "np.where(nearest < 0, np.inf, nearest).argmin()"),
        ),
        _wrong(
            FARTHEST,
            "only the last one counts",
            ("np.minimum(nearest, d[c])", "np.where(nearest < 0, -1, d[c])"),
        ),
        _wrong(
            FARTHEST, "the first can come again", ("    nearest[first] = -1\n", "")
        ),
        _wrong(FARTHEST, "any can come again", ("        nearest[c] = -1\n", "")),
        _wrong(
            FARTHEST,
            "starts from 0",
            ("[first], d[first].copy()", "[0], d[0].copy()"),
            ("nearest[first]", "nearest[0]"),
        ),
        _wrong(FARTHEST, "one too many", ("len(chosen) < k", "len(chosen) <= k")),
        _wrong(
            FARTHEST,
            "a tie goes to the last",
            (
                "int(nearest.argmax())",
                "len(nearest) - 1 - int(nearest[::-1].argmax())",
            ),
        ),
        _wrong(
            FARTHEST,
            "farthest from the farthest chosen one",
            (
                "np.minimum(nearest, d[c])",
                "np.where(nearest < 0, -1, np.maximum(nearest, d[c]))",
            ),
        ),
    ],
    "left_out_errors": [
        _wrong(LEFT_OUT, "the errors of the model with all", (" / (1 - h)", "")),
        _wrong(LEFT_OUT, "multiplied, not divided", ("/ (1 - h)", "* (1 - h)")),
        _wrong(
            LEFT_OUT,
            "the wrong sign",
            ("(y - X @ (back @ y))", "(X @ (back @ y) - y)"),
        ),
        _wrong(
            LEFT_OUT,
            "the leverage without lambda",
            (
                "h = (X * back.T).sum(axis=1)",
                "h = (X * np.linalg.solve(X.T @ X, X.T).T).sum(axis=1)",
            ),
        ),
        _wrong(LEFT_OUT, "the root of it", ("(1 - h)", "np.sqrt(1 - h)")),
        _wrong(LEFT_OUT, "lambda is forgotten", ("lam * np.eye", "0 * np.eye")),
        _wrong(
            LEFT_OUT,
            "the mean leverage for all",
            ("sum(axis=1)", "sum(axis=1).mean()"),
        ),
    ],
    "by_majority": [
        _wrong(
            MAJORITY, "ties go to the first", ("if len(best) == 1:", "if best:")
        ),
        _wrong(MAJORITY, "the first answer", ("best[0])", "next(iter(counts)))")),
        _wrong(MAJORITY, "the last answer", ("best[0])", "list(counts)[-1])")),
        _wrong(
            MAJORITY,
            "in the order of the alphabet",
            ("in votes.items()", "in sorted(votes.items())"),
        ),
        _wrong(
            MAJORITY,
            "only questions that were asked twice",
            ("if len(best) == 1:", "if len(best) == 1 and most > 1:"),
        ),
        _wrong(
            MAJORITY,
            "more than half is wanted",
            ("if len(best) == 1:", "if 2 * most > sum(counts.values()):"),
        ),
        _wrong(MAJORITY, "the rarest answer", ("max(counts", "min(counts")),
        _wrong(
            MAJORITY, "every answer counts once", ("counts.get(answer, 0) + 1", "1")
        ),
    ],
    "given_up": [
        _wrong(
            GIVEN_UP, "never stops", ("            break\n", "            pass\n")
        ),
        _wrong(
            GIVEN_UP,
            "an equal loss is an improvement",
            ("loss < losses[kept]", "loss <= losses[kept]"),
        ),
        _wrong(
            GIVEN_UP,
            "stops one later",
            ("i - kept >= patience", "i - kept > patience"),
        ),
        _wrong(GIVEN_UP, "keeps the last one", ("quality[kept]", "quality[i]")),
        _wrong(
            GIVEN_UP,
            "the best of those that were seen",
            ("max(quality)", "max(quality[: i + 1])"),
        ),
        _wrong(
            GIVEN_UP,
            "the best quality is kept",
            ("if loss < losses[kept]", "if quality[i] > quality[kept]"),
        ),
        _wrong(
            GIVEN_UP,
            "the wrong sign",
            ("max(quality) - quality[kept]", "quality[kept] - max(quality)"),
        ),
    ],
}
