"""Wrong solutions of lesson 34a, each of which its check must reject."""

COUNT = """
def count_answers(V, S, n):
    going = V - S
    return going**n + sum(S * going**t for t in range(n))
"""
COIN = """
def coin_baseline(q, r1, r0):
    return (1 - q) * r1 + q * r0
"""
GAE = """
def gae_backwards(rewards, values, gamma, lam):
    found, later, after = [], 0.0, 0.0
    for reward, value in zip(reversed(rewards), reversed(values), strict=True):
        later = reward + gamma * after - value + gamma * lam * later
        after = value
        found.append(later)
    return found[::-1]
"""
SHRINK = """
def shrinkage(K):
    return (K - 1) / K
"""
SLOPE = """
def expected_k3_gradient(p, q):
    return p - q
"""


def _wrong(solution, why, *changes):
    for old, new in changes:
        assert old in solution, (why, old)
        solution = solution.replace(old, new)
    return (why, solution)


MUTANTS = {
    "count_answers": [
        _wrong(COUNT, "those without an end are forgotten", ("going**n + ", "")),
        _wrong(
            COUNT,
            "only those without an end",
            (" + sum(S * going**t for t in range(n))", ""),
        ),
        _wrong(COUNT, "one end word only", ("S * going**t", "going**t")),
        _wrong(COUNT, "ends do not end", ("V - S", "V")),
        _wrong(COUNT, "one place too few", ("range(n)", "range(n - 1)")),
        _wrong(COUNT, "one place too many", ("range(n)", "range(n + 1)")),
        _wrong(COUNT, "the empty answer is left out", ("range(n)", "range(1, n)")),
    ],
    "coin_baseline": [
        _wrong(
            COIN,
            "the mean reward",
            ("(1 - q) * r1 + q * r0", "q * r1 + (1 - q) * r0"),
        ),
        _wrong(COIN, "the middle", ("(1 - q) * r1 + q * r0", "(r1 + r0) / 2")),
        _wrong(
            COIN,
            "no factor cancels",
            ("(1 - q) * r1 + q * r0", "q * (1 - q) * ((1 - q) * r1 + q * r0)"),
        ),
        _wrong(
            COIN,
            "weights squared",
            (
                "(1 - q) * r1 + q * r0",
                "((1 - q) ** 2 * r1 + q**2 * r0) / ((1 - q) ** 2 + q**2)",
            ),
        ),
        _wrong(COIN, "the better reward", ("(1 - q) * r1 + q * r0", "max(r1, r0)")),
        _wrong(COIN, "the reward of a 0 is forgotten", (" + q * r0", "")),
    ],
    "gae_backwards": [
        _wrong(GAE, "lambda forgotten", ("gamma * lam * later", "gamma * later")),
        _wrong(
            GAE,
            "gamma forgotten in the sum",
            ("gamma * lam * later", "lam * later"),
        ),
        _wrong(GAE, "gamma forgotten in the surprise", ("gamma * after", "after")),
        _wrong(GAE, "from the last to the first", ("found[::-1]", "found")),
        _wrong(GAE, "surprises only", (" + gamma * lam * later", "")),
        _wrong(GAE, "the sign of the value", ("- value", "+ value")),
        _wrong(
            GAE, "the value after is never kept", ("        after = value\n", "")
        ),
        _wrong(GAE, "values forgotten", ("gamma * after - value + ", "")),
    ],
    "shrinkage": [
        _wrong(SHRINK, "turned round", ("(K - 1) / K", "K / (K - 1)")),
        _wrong(SHRINK, "one more", ("(K - 1) / K", "K / (K + 1)")),
        _wrong(SHRINK, "what is lost", ("(K - 1) / K", "1 / K")),
        _wrong(SHRINK, "not at all", ("(K - 1) / K", "1.0")),
        _wrong(SHRINK, "as with spreads", ("(K - 1) / K", "((K - 1) / K) ** 0.5")),
    ],
    "expected_k3_gradient": [
        _wrong(SLOPE, "the sign", ("p - q", "q - p")),
        _wrong(
            SLOPE,
            "that of the KL",
            ("p - q", "p * ((p / q).log() - (p * (p / q).log()).sum())"),
        ),
        _wrong(SLOPE, "by the probabilities", ("p - q", "1 - q / p")),
        _wrong(SLOPE, "weighted once more", ("p - q", "p * (p - q)")),
        _wrong(SLOPE, "zero on average", ("p - q", "torch.zeros_like(p)")),
        _wrong(SLOPE, "half of it", ("p - q", "(p - q) / 2")),
    ],
}
