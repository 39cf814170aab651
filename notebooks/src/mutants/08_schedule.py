"""Wrong solutions of lesson 08's exercises: each must be rejected by the lesson's own checks."""


def _fit(
    order="key=lambda i: -lengths[i]",
    room="room[r] >= lengths[i]",
    best="min(fits, key=R)",
):
    """Best fit with one of its parts exchanged."""
    return f"""
def my_best_fit(lengths, row):
    rows, room = [], []
    R = lambda r: room[r]
    for i in sorted(range(len(lengths)), {order}):
        fits = [r for r in range(len(rows)) if {room}]
        if not fits:
            rows.append([])
            room.append(row)
            fits = [len(rows) - 1]
        best = {best}
        rows[best].append(i)
        room[best] -= lengths[i]
    return rows
"""


def _move(
    moved, back="(1 - c) * moved / moved.sum() + c / len(weights)", before="pass"
):
    """The opponent's move with one of its parts exchanged."""
    return f"""
def my_move(weights, excess, eta, c):
    with np.errstate(all="ignore"):
        {before}
        moved = {moved}
        return {back}
"""


def _shares(raised, back="[r / sum(raised) for r in raised]"):
    return f"""
def my_shares(sizes, temperature):
    raised = [{raised} for n in sizes]
    return {back}
"""


def _targets(target, condition, more="[]"):
    return f"""
def my_targets(tokens, documents):
    d = documents
    return [{target} if {condition} else -100 for t in range(len(tokens) - 1)] + {more}
"""


def _windows(first, back="[i % n_windows for i in range(first, first + batch)]"):
    return f"""
def my_windows(step, rank, world_size, batch, n_windows):
    first = {first}
    return {back}
"""


_RIGHT_MOVE = "weights * np.exp(eta * (excess - excess.max()))"
_SCALED = "(n / max(sizes)) ** (1 / temperature)"
_FIRST = "(step * world_size + rank) * batch"
_SAME = "d[t] == d[t + 1] != -1"
MUTANTS = {
    "my_shares": [
        (
            "raises to T, not 1/T",
            _shares("(n / max(sizes)) ** min(temperature, 1e6)"),
        ),
        ("ignores the temperature", _shares("n / max(sizes)")),
        ("always uniform", _shares("1.0")),
        ("does not normalise", _shares(_SCALED, "raised")),
        ("overflows for large sizes", _shares("n ** (1 / temperature)")),
        (
            "divides by the largest",
            _shares(_SCALED, "[r / max(raised) for r in raised]"),
        ),
        (
            "a softmax of the sizes",
            _shares("math.exp((n - max(sizes)) / temperature)"),
        ),
    ],
    "my_move": [
        (
            "the other way",
            _move("weights * np.exp(-eta * (excess - excess.min()))"),
        ),
        ("no smoothing", _move(_RIGHT_MOVE, "moved / moved.sum()")),
        (
            "adds c, not c / K",
            _move(_RIGHT_MOVE, "(1 - c) * moved / moved.sum() + c"),
        ),
        ("forgets the old weights", _move("np.exp(eta * (excess - excess.max()))")),
        ("overflows", _move("weights * np.exp(eta * excess)")),
        ("no step size", _move("weights * np.exp(excess - excess.max())")),
        (
            "a gradient step",
            _move("np.maximum(weights + eta * (excess - excess.mean()), 0)"),
        ),
        (
            "cut off at nought",
            _move(_RIGHT_MOVE, before="excess = np.maximum(excess, 0)"),
        ),
    ],
    "my_best_fit": [
        ("first fit", _fit(best="fits[0]")),
        ("worst fit", _fit(best="max(fits, key=R)")),
        ("in the order of the corpus", _fit(order="key=lambda i: i")),
        ("an exact fit is refused", _fit(room="room[r] > lengths[i]")),
        ("equal lengths in reverse", _fit(order="key=lambda i: (-lengths[i], -i)")),
        ("of equal rows the youngest", _fit(best="min(reversed(fits), key=R)")),
        (
            "only the newest row",
            _fit(room="r == len(rows) - 1 and room[r] >= lengths[i]"),
        ),
        ("shortest first", _fit(order="key=lambda i: lengths[i]")),
    ],
    "my_targets": [
        ("no border at all", _targets("tokens[t + 1]", "True")),
        ("padding is asked for", _targets("tokens[t + 1]", "d[t] == d[t + 1]")),
        ("only padding is left out", _targets("tokens[t + 1]", "d[t + 1] != -1")),
        ("the token itself", _targets("tokens[t]", _SAME)),
        ("one target too many", _targets("tokens[t + 1]", _SAME, "[-100]")),
        (
            "documents only ever grow",
            _targets("tokens[t + 1]", "d[t] >= d[t + 1] != -1"),
        ),
        (
            "document 0 is padding",
            _targets("tokens[t + 1]", "d[t] == d[t + 1] > 0"),
        ),
    ],
    "my_windows": [
        ("every rank reads the same", _windows("step * world_size * batch")),
        ("the ranks are forgotten", _windows("(step + rank) * batch")),
        (
            "window by window in turn",
            _windows(
                "step * world_size * batch + rank",
                "[(first + k * world_size) % n_windows for k in range(batch)]",
            ),
        ),
        (
            "stops at the end",
            _windows(
                _FIRST, "[i for i in range(first, first + batch) if i < n_windows]"
            ),
        ),
        (
            "never runs over the end",
            _windows(
                f"{_FIRST} % n_windows",
                "[min(first, n_windows - batch) + k for k in range(batch)]",
            ),
        ),
        (
            "each rank has its own part",
            _windows(
                "n_windows // world_size",
                "[rank * first + (step * batch + k) % first for k in range(batch)]",
            ),
        ),
        (
            "counts steps from one",
            _windows("((step + 1) * world_size + rank) * batch"),
        ),
    ],
}
