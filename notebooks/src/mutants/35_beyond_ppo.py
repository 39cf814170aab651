"""Wrong solutions of lesson 35, each of which its check must reject (to be tried when it is built)."""

WIN = """
def win_rate(n):
    return n / (n + 1)
"""
SOFT = """
def soft_best(scores, t):
    return ((scores / t).softmax(dim=-1) * scores).sum(dim=-1)
"""
FELL = """
def both_fell(chosen, rejected, ref_chosen, ref_rejected):
    up, down = chosen - ref_chosen, rejected - ref_rejected
    return ((up < 0) & (down < 0) & (up > down)).double().mean().item()
"""
LEAVE = """
def leave_one_out(rewards, size):
    groups = rewards.view(-1, size)
    others = (groups.sum(dim=1, keepdim=True) - groups) / (size - 1)
    return (groups - others).view(-1)
"""
SLOPES = """
def two_slopes(gap, tau, beta, e):
    h = beta * gap
    dpo = -(1 - e) * torch.sigmoid(-h) + e * torch.sigmoid(h)
    return 2 * (gap - 1 / (2 * tau)), beta * dpo
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


MUTANTS = {
    "win_rate": [
        _wrong(WIN, "one answer too few", ("n / (n + 1)", "(n - 1) / n")),
        _wrong(WIN, "the chance to be the worst", ("n / (n + 1)", "1 / (n + 1)")),
        _wrong(WIN, "ties with itself", ("n / (n + 1)", "(n + 1) / (n + 2)")),
        _wrong(WIN, "all fresh answers at once", ("n / (n + 1)", "0.5**(1 / n)")),
        _wrong(WIN, "always wins", ("n / (n + 1)", "1.0")),
    ],
    "soft_best": [
        _wrong(SOFT, "the temperature multiplies", ("scores / t", "scores * t")),
        _wrong(SOFT, "the temperature is forgotten", ("(scores / t)", "scores")),
        _wrong(
            SOFT,
            "the softmax runs over the prompts",
            ("softmax(dim=-1)", "softmax(dim=0)"),
        ),
        _wrong(
            SOFT,
            "the mean of all",
            ("(scores / t).softmax(dim=-1)", "0 * scores + 1 / scores.shape[-1]"),
        ),
        _wrong(SOFT, "the scores are divided, too", ("* scores)", "* scores / t)")),
        _wrong(
            SOFT,
            "it overflows",
            (
                "(scores / t).softmax(dim=-1)",
                "((scores / t).exp() / (scores / t).exp().sum(-1, keepdim=True))",
            ),
        ),
    ],
    "both_fell": [
        _wrong(FELL, "the gap is not asked for", (" & (up > down)", "")),
        _wrong(
            FELL,
            "one of both is enough",
            ("(up < 0) & (down < 0)", "((up < 0) | (down < 0))"),
        ),
        _wrong(FELL, "the pair got worse", ("up > down", "up < down")),
        _wrong(
            FELL,
            "the references are swapped",
            (
                "ref_chosen, rejected - ref_rejected",
                "ref_rejected, rejected - ref_chosen",
            ),
        ),
        _wrong(FELL, "only the rejected fell", ("(up < 0)", "(up > 0)")),
        _wrong(FELL, "a number, not a share", (".mean()", ".sum()")),
    ],
    "leave_one_out": [
        _wrong(
            LEAVE,
            "the group's own mean",
            (
                "(groups.sum(dim=1, keepdim=True) - groups) / (size - 1)",
                "groups.mean(dim=1, keepdim=True)",
            ),
        ),
        _wrong(LEAVE, "divided by the whole size", ("(size - 1)", "size")),
        _wrong(
            LEAVE,
            "groups are laid out the other way",
            ("rewards.view(-1, size)", "rewards.view(size, -1).T.contiguous()"),
        ),
        _wrong(
            LEAVE, "the sign is turned", ("groups - others)", "others - groups)")
        ),
        _wrong(
            LEAVE,
            "the batch is one group",
            ("groups.sum(dim=1, keepdim=True)", "groups.sum()"),
        ),
    ],
    "two_slopes": [
        _wrong(SLOPES, "the gap of IPO is 1 / tau", ("1 / (2 * tau)", "1 / tau")),
        _wrong(SLOPES, "IPO's factor 2 is missing", ("2 * (gap", "(gap")),
        _wrong(SLOPES, "DPO's factor beta is missing", ("beta * dpo", "dpo")),
        _wrong(SLOPES, "the smoothed part pulls the wrong way", ("+ e *", "- e *")),
        _wrong(SLOPES, "settled pairs pull hardest", ("sigmoid(-h)", "sigmoid(h)")),
        _wrong(SLOPES, "h is the gap itself", ("h = beta * gap", "h = gap")),
    ],
}
