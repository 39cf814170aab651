"""Wrong solutions of lesson 26, each of which its check must reject."""

EPOCHS = """
def mixture_epochs(total, shares, sizes):
    read = {name: total * share for name, share in shares.items()}
    found = {name: read[name] / sizes[name] for name in shares}
    different = sum(min(read[name], sizes[name]) for name in shares)
    return found | {"all": sum(read.values()) / different}
"""
DROPOUT = """
def dropout(x, p, training, rows):
    if not training:
        return x
    draw = torch.rand(len(x))[:, None, None] if rows else torch.rand(x.shape)
    return torch.where(draw >= p, x / (1 - p), torch.zeros(()))
"""
READ = """
def tokens_to_read(unique, wanted, r_star):
    gain = wanted / unique - 1
    if gain <= 0:
        return float(wanted)
    if gain >= r_star:
        return math.inf
    return unique * (1 - r_star * math.log(1 - gain / r_star))
"""
RANKS = """
def rank_correlation(a, b):
    def rank(values):
        v = np.asarray(values, dtype=float)
        smaller = (v[None, :] < v[:, None]).sum(axis=1)
        equal = (v[None, :] == v[:, None]).sum(axis=1) - 1
        r = smaller + equal / 2
        return r - r.mean()

    x, y = rank(a), rank(b)
    scale = math.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale else 0.0
"""
BATCH = """
def nth_batch(n_windows, size, seed, batch):
    found = []
    for place in range(batch * size, (batch + 1) * size):
        epoch, within = divmod(place, n_windows)
        order = np.random.default_rng([seed, epoch]).permutation(n_windows)
        found.append(int(order[within]))
    return found
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


MUTANTS = {
    "mixture_epochs": [
        _wrong(
            EPOCHS,
            "unread parts of a source count as read",
            ("min(read[name], sizes[name])", "sizes[name]"),
        ),
        _wrong(
            EPOCHS,
            "the mean of the epochs",
            ("sum(read.values()) / different", "sum(found.values()) / len(found)"),
        ),
        _wrong(
            EPOCHS, "the share is forgotten", ("total * share for", "total for")
        ),
        _wrong(
            EPOCHS,
            "upside down",
            ("read[name] / sizes[name] for", "sizes[name] / read[name] for"),
        ),
        _wrong(
            EPOCHS,
            "read over all that there is",
            ("/ different}", "/ sum(sizes.values())}"),
        ),
        _wrong(
            EPOCHS,
            "no source below one epoch",
            (
                "read[name] / sizes[name] for",
                "max(1.0, read[name] / sizes[name]) for",
            ),
        ),
    ],
    "dropout": [
        _wrong(DROPOUT, "not scaled", ("x / (1 - p)", "x")),
        _wrong(DROPOUT, "the wrong ones are kept", ("draw >= p", "draw < p")),
        _wrong(DROPOUT, "multiplied, not divided", ("x / (1 - p)", "x * (1 - p)")),
        _wrong(
            DROPOUT,
            "noise when not in training",
            ("    if not training:\n        return x\n", ""),
        ),
        _wrong(
            DROPOUT,
            "every number for itself, even for rows",
            ("torch.rand(len(x))[:, None, None] if rows else ", ""),
        ),
        _wrong(DROPOUT, "scaled by the rate", ("x / (1 - p)", "x / max(p, 1e-9)")),
        _wrong(
            DROPOUT,
            "positions are left out, not rows",
            (
                "torch.rand(len(x))[:, None, None]",
                "torch.rand(x.shape[1])[None, :, None]",
            ),
        ),
    ],
    "tokens_to_read": [
        _wrong(
            READ,
            "only the repeated ones",
            ("unique * (1 - r_star", "unique * (0 - r_star"),
        ),
        _wrong(READ, "never enough", ("gain >= r_star", "gain > 0")),
        _wrong(
            READ,
            "there is always an answer",
            ("        return math.inf", "        return float(wanted)"),
        ),
        _wrong(
            READ,
            "repeated tokens count whole",
            (
                "unique * (1 - r_star * math.log(1 - gain / r_star))",
                "float(wanted)",
            ),
        ),
        _wrong(
            READ,
            "the unique ones are forgotten",
            ("wanted / unique - 1", "wanted / unique"),
        ),
        _wrong(READ, "in units of a pass", ("return unique * (1", "return (1")),
        _wrong(
            READ,
            "too few are read even if there are enough",
            ("        return float(wanted)", "        return float(unique)"),
        ),
    ],
    "rank_correlation": [
        _wrong(RANKS, "ties get the lowest rank", ("+ equal / 2", "")),
        _wrong(RANKS, "ties get the highest rank", ("equal / 2", "equal")),
        _wrong(
            RANKS,
            "correlation of the values",
            ("r = smaller + equal / 2", "r = v"),
        ),
        _wrong(RANKS, "no mean taken off", ("r - r.mean()", "r")),
        _wrong(RANKS, "a constant list gives 1", ("else 0.0", "else 1.0")),
        _wrong(
            RANKS,
            "not divided by the root",
            ("math.sqrt((x @ x) * (y @ y))", "(x @ x) * (y @ y)"),
        ),
        _wrong(
            RANKS, "one list upside down", ("rank(a), rank(b)", "rank(a), -rank(b)")
        ),
    ],
    "nth_batch": [
        _wrong(
            BATCH,
            "every epoch in the same order",
            ("[seed, epoch]", "[seed, 0]"),
        ),
        _wrong(BATCH, "the seed is ignored", ("[seed, epoch]", "[0, epoch]")),
        _wrong(
            BATCH,
            "counted from 1",
            (
                "range(batch * size, (batch + 1) * size)",
                "range((batch - 1) * size, batch * size)",
            ),
        ),
        _wrong(BATCH, "no shuffling", ("int(order[within])", "int(within)")),
        _wrong(
            BATCH,
            "the order read backwards",
            ("order[within]", "order[-1 - within]"),
        ),
        _wrong(
            BATCH,
            "a batch ends with its epoch",
            (
                "        found.append(int(order[within]))",
                "        if epoch > batch * size // n_windows:\n            break\n"
                "        found.append(int(order[within]))",
            ),
        ),
        _wrong(
            BATCH,
            "the epoch of the batch, not of the window",
            (
                "        order = np.random.default_rng([seed, epoch])",
                "        epoch = batch * size // n_windows\n"
                "        order = np.random.default_rng([seed, epoch])",
            ),
        ),
    ],
}
