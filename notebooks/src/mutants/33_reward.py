"""Wrong solutions of lesson 33, each of which its check must reject."""

AGREE = """
def agree(gap, s, t):
    p = 1 / (1 + np.exp(-gap / s))
    q = 1 / (1 + np.exp(-gap / t))
    return (p * q + (1 - p) * (1 - q)).mean()
"""
READ = """
def read_rewards(features, mask, w):
    places = torch.arange(mask.shape[1])
    last = torch.where(mask, places, -1).amax(dim=1)
    return features[torch.arange(len(features)), last] @ w
"""
STEP = """
def hunter_step(u, wins):
    n, e = wins + wins.T, np.exp(u)
    new = np.log(wins.sum(axis=1) / (n / (e[:, None] + e)).sum(axis=1))
    return new - new.mean()
"""
ECE = """
def believed_too_much(gaps, n):
    confidence = 1 / (1 + np.exp(-np.abs(gaps)))
    right = gaps > 0
    which = np.minimum(((confidence - 0.5) * 2 * n).astype(int), n - 1)
    error = 0.0
    for k in range(n):
        here = which == k
        if here.any():
            error += here.mean() * abs(right[here].mean() - confidence[here].mean())
    return error
"""
PAIRS = """
def all_pairs(rewards):
    K = rewards.shape[1]
    i, j = torch.triu_indices(K, K, offset=1)
    return -torch.nn.functional.logsigmoid(rewards[:, i] - rewards[:, j]).mean()
"""
DECIDE = """
def decide(helpful, safe, asks, threshold):
    unsafe = asks | (torch.sigmoid(safe) < threshold)
    return torch.where(unsafe, safe, helpful)
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


MUTANTS = {
    "agree": [
        _wrong(AGREE, "only agreement on the first", (" + (1 - p) * (1 - q)", "")),
        _wrong(AGREE, "one noise for both", ("gap / t", "gap / s")),
        _wrong(
            AGREE,
            "the noise multiplies",
            ("gap / s", "gap * s"),
            ("gap / t", "gap * t"),
        ),
        _wrong(AGREE, "a sum, not a share", (".mean()", ".sum()")),
        _wrong(
            AGREE,
            "both agree with the truth",
            (
                "p * q + (1 - p) * (1 - q)",
                "np.maximum(p, 1 - p) * np.maximum(q, 1 - q)",
            ),
        ),
        _wrong(AGREE, "the mean is taken first", ("gap / s", "gap.mean() / s")),
    ],
    "read_rewards": [
        _wrong(READ, "the last place of the row", (", last] @", ", -1] @")),
        _wrong(
            READ,
            "one place later",
            (", last] @", ", (last + 1) % mask.shape[1]] @"),
        ),
        _wrong(
            READ,
            "the first marked token",
            (
                "torch.where(mask, places, -1).amax(dim=1)",
                "mask.int().argmax(dim=1)",
            ),
        ),
        _wrong(
            READ,
            "the number of marked tokens",
            (
                "torch.where(mask, places, -1).amax(dim=1)",
                "mask.sum(dim=1) - 1",
            ),
        ),
        _wrong(
            READ,
            "the mean of the answer",
            (
                "features[torch.arange(len(features)), last] @ w",
                "(features * mask[..., None]).sum(1) / mask.sum(1, keepdim=True) @ w",
            ),
        ),
        _wrong(
            READ, "the same place in every row", (", last] @", ", last.max()] @")
        ),
    ],
    "hunter_step": [
        _wrong(STEP, "mean not taken off", ("new - new.mean()", "new")),
        _wrong(STEP, "losses for wins", ("wins.sum(axis=1)", "wins.sum(axis=0)")),
        _wrong(STEP, "only the wins are counted", ("wins + wins.T", "wins")),
        _wrong(STEP, "utilities without exp", ("np.exp(u)", "u + 2.0")),
        _wrong(STEP, "no logarithm", ("np.log(wins", "(wins")),
        _wrong(
            STEP,
            "only the other's strength",
            ("(e[:, None] + e)", "(0 * e[:, None] + e)"),
        ),
    ],
    "believed_too_much": [
        _wrong(ECE, "signed, so that bins cancel", ("abs(right", "(right")),
        _wrong(ECE, "bins weigh alike", ("here.mean() * abs", "abs")),
        _wrong(
            ECE, "bins from 0", ("(confidence - 0.5) * 2 * n", "confidence * n")
        ),
        _wrong(ECE, "confidence of the preferred", ("np.abs(gaps)", "gaps")),
        _wrong(ECE, "wrong is right", ("gaps > 0", "gaps < 0")),
        _wrong(
            ECE,
            "one bin for all",
            (
                "which = np.minimum(((confidence - 0.5) * 2 * n).astype(int), n - 1)",
                "which = 0 * right",
            ),
        ),
    ],
    "all_pairs": [
        _wrong(
            PAIRS,
            "the worst first",
            ("rewards[:, i] - rewards[:, j]", "rewards[:, j] - rewards[:, i]"),
        ),
        _wrong(
            PAIRS,
            "only neighbours",
            (
                "i, j = torch.triu_indices(K, K, offset=1)",
                "i, j = torch.arange(K - 1), torch.arange(1, K)",
            ),
        ),
        _wrong(PAIRS, "an answer with itself", ("offset=1", "offset=0")),
        _wrong(PAIRS, "a sum", (".mean()", ".sum()")),
        _wrong(
            PAIRS,
            "it overflows",
            (
                "torch.nn.functional.logsigmoid(rewards[:, i] - rewards[:, j])",
                "torch.log(torch.sigmoid(rewards[:, i] - rewards[:, j]))",
            ),
        ),
        _wrong(
            PAIRS,
            "the best against the rest",
            (
                "i, j = torch.triu_indices(K, K, offset=1)",
                "i, j = torch.zeros(K - 1).long(), torch.arange(1, K)",
            ),
        ),
    ],
    "decide": [
        _wrong(
            DECIDE,
            "the reward is compared, not the score",
            ("torch.sigmoid(safe) <", "safe <"),
        ),
        _wrong(DECIDE, "both conditions are needed", ("asks |", "asks &")),
        _wrong(
            DECIDE,
            "the other way round",
            ("unsafe, safe, helpful", "unsafe, helpful, safe"),
        ),
        _wrong(
            DECIDE,
            "the score is returned",
            ("unsafe, safe,", "unsafe, torch.sigmoid(safe),"),
        ),
        _wrong(DECIDE, "the prompt is not asked", ("asks | ", "")),
        _wrong(
            DECIDE,
            "the lower of the two",
            ("torch.where(unsafe, safe, helpful)", "torch.minimum(safe, helpful)"),
        ),
    ],
}
