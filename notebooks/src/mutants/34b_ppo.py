"""Wrong solutions of lesson 34b, each of which its check must reject."""

TARGETS = """
def value_targets(rewards, values, gamma, lam):
    targets, later, after = [], 0.0, 0.0
    for r, v in zip(reversed(rewards), reversed(values), strict=True):
        later = r + gamma * after - v + gamma * lam * later
        after = v
        targets.append(later + v)
    return targets[::-1]
"""
CLIPPED = """
def clipped_loss(new, old, A, mask, clip):
    ratio = (new[mask] - old[mask]).exp()
    free = ratio * A[mask]
    bound = ratio.clamp(1 - clip, 1 + clip) * A[mask]
    return -torch.minimum(free, bound).mean()
"""
LOGPROBS = """
def logprobs_of(logits, ids):
    logp = logits.log_softmax(-1)[:, :-1]
    said = logp.gather(-1, ids[:, 1:, None])[..., 0]
    return torch.cat([torch.zeros_like(said[:, :1]), said], dim=1)
"""
PRICES = """
def prices(start, kls, target, n, horizon):
    found, now = [], start
    for kl in kls:
        error = min(max(kl / target - 1, -0.2), 0.2)
        now *= 1 + error * n / horizon
        found.append(now)
    return found
"""
RATIO = """
def answer_ratio(new, old, mask):
    gap = torch.where(mask, new - old, 0.0)
    return (gap.sum(1) / mask.sum(1)).exp()
"""
DISTANCE = """
def distance_at_optimum(r, q, beta):
    best = (q.log() + r / beta).log_softmax(0)
    return (best.exp() * (best - q.log())).sum()
"""


def _wrong(solution, why, *changes):
    for old, new in changes:
        assert old in solution, (why, old)
        solution = solution.replace(old, new)
    return (why, solution)


MUTANTS = {
    "value_targets": [
        _wrong(TARGETS, "rewards where returns belong", ("later + v", "r")),
        _wrong(TARGETS, "the advantage itself", ("later + v", "later")),
        _wrong(
            TARGETS, "lambda forgotten", ("gamma * lam * later", "gamma * later")
        ),
        _wrong(TARGETS, "gamma forgotten", ("gamma * lam * later", "lam * later")),
        _wrong(
            TARGETS,
            "one step only",
            ("targets.append(later + v)", "targets.append(r + gamma * after)"),
            ("        after = v\n", ""),
            ("(r + gamma * after)", "(r + gamma * after)\n        after = v"),
        ),
        _wrong(TARGETS, "from the last to the first", ("targets[::-1]", "targets")),
        _wrong(
            TARGETS,
            "its own value as the next",
            ("gamma * after - v", "gamma * v - v"),
        ),
    ],
    "clipped_loss": [
        _wrong(CLIPPED, "the better version", ("minimum", "maximum")),
        _wrong(CLIPPED, "the sign", ("-torch.minimum", "torch.minimum")),
        _wrong(CLIPPED, "always clipped", ("torch.minimum(free, bound)", "bound")),
        _wrong(CLIPPED, "never clipped", ("torch.minimum(free, bound)", "free")),
        _wrong(
            CLIPPED,
            "ratio upside down",
            ("new[mask] - old[mask]", "old[mask] - new[mask]"),
        ),
        _wrong(
            CLIPPED, "mean over all places", (".mean()", ".sum() / mask.numel()")
        ),
        _wrong(
            CLIPPED,
            "no mask",
            ("new[mask] - old[mask]", "new - old"),
            ("A[mask]", "A"),
        ),
        _wrong(
            CLIPPED,
            "clipped from above only",
            ("clamp(1 - clip, 1 + clip)", "clamp(max=1 + clip)"),
        ),
        _wrong(CLIPPED, "logarithm as the ratio", (".exp()", " + 1")),
    ],
    "logprobs_of": [
        _wrong(
            LOGPROBS,
            "not shifted",
            ("[:, :-1]", ""),
            ("ids[:, 1:, None]", "ids[..., None]"),
            ("said], dim=1)", "said[:, 1:]], dim=1)"),
        ),
        _wrong(
            LOGPROBS,
            "shifted the other way",
            ("log_softmax(-1)[:, :-1]", "log_softmax(-1)[:, 1:]"),
            ("ids[:, 1:, None]", "ids[:, :-1, None]"),
        ),
        _wrong(LOGPROBS, "logits as they are", (".log_softmax(-1)", "")),
        _wrong(LOGPROBS, "probabilities", (".log_softmax(-1)", ".softmax(-1)")),
        _wrong(
            LOGPROBS,
            "zero at the end",
            (
                "[torch.zeros_like(said[:, :1]), said]",
                "[said, torch.zeros_like(said[:, :1])]",
            ),
        ),
        _wrong(
            LOGPROBS, "softmax over time", ("log_softmax(-1)", "log_softmax(1)")
        ),
    ],
    "prices": [
        _wrong(PRICES, "dearer when near", ("kl / target - 1", "1 - kl / target")),
        _wrong(
            PRICES,
            "not cut",
            ("min(max(kl / target - 1, -0.2), 0.2)", "kl / target - 1"),
        ),
        _wrong(
            PRICES,
            "cut from above only",
            ("max(kl / target - 1, -0.2)", "(kl / target - 1)"),
        ),
        _wrong(PRICES, "it adds", ("now *= 1 + error", "now += error")),
        _wrong(
            PRICES, "answers forgotten", ("error * n / horizon", "error / horizon")
        ),
        _wrong(
            PRICES,
            "the price before",
            ("        now *=", "        found.append(now)\n        now *="),
            ("horizon\n        found.append(now)", "horizon"),
        ),
        _wrong(PRICES, "a difference", ("kl / target - 1", "kl - target")),
    ],
    "answer_ratio": [
        _wrong(
            RATIO,
            "a product",
            ("(gap.sum(1) / mask.sum(1)).exp()", "gap.sum(1).exp()"),
        ),
        _wrong(
            RATIO,
            "mean over the padding, too",
            ("gap.sum(1) / mask.sum(1)", "gap.mean(1)"),
        ),
        _wrong(
            RATIO,
            "arithmetic mean",
            (
                "(gap.sum(1) / mask.sum(1)).exp()",
                "torch.where(mask, gap.exp(), 0.0).sum(1) / mask.sum(1)",
            ),
        ),
        _wrong(RATIO, "upside down", ("new - old", "old - new")),
        _wrong(
            RATIO, "no mask", ("torch.where(mask, new - old, 0.0)", "new - old")
        ),
        _wrong(RATIO, "logarithm", (".exp()", "")),
    ],
    "distance_at_optimum": [
        _wrong(
            DISTANCE,
            "the other direction",
            ("(best.exp() * (best - q.log()))", "(q * (q.log() - best))"),
        ),
        _wrong(DISTANCE, "the price multiplies", ("r / beta", "r * beta")),
        _wrong(
            DISTANCE, "without the reference", ("q.log() + r / beta", "r / beta")
        ),
        _wrong(DISTANCE, "not normalised", (".log_softmax(0)", "")),
        _wrong(DISTANCE, "weighted by the reference", ("best.exp() *", "q *")),
        _wrong(
            DISTANCE,
            "the objective",
            (
                "(best.exp() * (best - q.log())).sum()",
                "(best.exp() * (r - beta * (best - q.log()))).sum()",
            ),
        ),
    ],
}
