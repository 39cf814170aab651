"""Wrong solutions of lesson 24, each of which its check must reject."""

MEAN = """
def mean_of_ranks(means, counts):
    total = sum(m * n for m, n in zip(means, counts, strict=True))
    return total / max(1, sum(counts))
"""
ROWS = """
def rows_of(step, rank, size, batch_size, accumulate):
    each, rows = batch_size // size, []
    for b in range(accumulate):
        first = (step * accumulate + b) * batch_size + rank * each
        rows += range(first, first + each)
    return rows
"""
NEWEST = """
def newest_whole(names, whole):
    steps = [n for n in names if n.startswith("step-") and len(n) == 13]
    real = [n for n in steps if n[5:].isdigit() and n in whole]
    return max(real, default=None)
"""
BYTES = """
def fsdp_bytes(weight_bytes, gradient_bytes, size, passes, keep):
    once = weight_bytes * (1 if keep else 2) + gradient_bytes
    return passes * once * (size - 1) / size
"""
SECONDS = """
def seconds_of(tasks):
    free, ends = {}, {}
    for name, stream, seconds, after in tasks:
        start = max([free.get(stream, 0.0), *(ends[a] for a in after)])
        free[stream] = ends[name] = start + seconds
    return max(ends.values(), default=0.0)
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


MUTANTS = {
    "mean_of_ranks": [
        _wrong(
            MEAN,
            "the mean of means",
            ("total / max(1, sum(counts))", "sum(means) / len(means)"),
        ),
        _wrong(
            MEAN, "fails without targets", ("max(1, sum(counts))", "sum(counts)")
        ),
        _wrong(MEAN, "over the ranks", ("sum(counts)", "len(counts)")),
        _wrong(MEAN, "the sum", ("total / max(1, sum(counts))", "total")),
        _wrong(MEAN, "weighed twice", ("m * n for", "m * n * n for")),
    ],
    "rows_of": [
        _wrong(
            ROWS,
            "every rank reads all",
            ("+ rank * each", ""),
            ("first + each", "first + batch_size"),
        ),
        _wrong(
            ROWS,
            "strided",
            (
                "range(first, first + each)",
                "range(first, first + each * size, size)",
            ),
        ),
        _wrong(
            ROWS, "accumulation is forgotten", ("step * accumulate + b", "step + b")
        ),
        _wrong(ROWS, "one batch only", ("range(accumulate)", "range(1)")),
        _wrong(
            ROWS, "a rank's own stretch", ("* batch_size + rank", "* each + rank")
        ),
        _wrong(
            ROWS,
            "the next rank's rows",
            ("rank * each", "(rank + 1) % size * each"),
        ),
    ],
    "newest_whole": [
        _wrong(
            NEWEST,
            "half-written ones count",
            (" and len(n) == 13", ""),
            ("n[5:].isdigit() and ", ""),
        ),
        _wrong(NEWEST, "the oldest", ("max(", "min(")),
        _wrong(NEWEST, "unverified ones count", (" and n in whole", "")),
        _wrong(NEWEST, "an error where there is none", (", default=None", "")),
        _wrong(NEWEST, "any thirteen letters", ("n[5:].isdigit() and ", "")),
        _wrong(
            NEWEST,
            "from what was verified once",
            ("for n in names", "for n in whole"),
        ),
        _wrong(
            NEWEST,
            "the last of the list",
            ("max(real, default=None)", "([None] + real)[-1]"),
        ),
    ],
    "fsdp_bytes": [
        _wrong(BYTES, "keep is forgotten", ("(1 if keep else 2)", "2")),
        _wrong(
            BYTES,
            "keep the wrong way round",
            ("(1 if keep else 2)", "(2 if keep else 1)"),
        ),
        _wrong(BYTES, "once a step", ("passes * once", "once")),
        _wrong(BYTES, "the whole is sent", ("(size - 1) / size", "1")),
        _wrong(
            BYTES,
            "an all-reduce of the gradients",
            ("+ gradient_bytes", "+ 2 * gradient_bytes"),
        ),
        _wrong(BYTES, "gradients are not sent", (" + gradient_bytes", "")),
    ],
    "seconds_of": [
        _wrong(SECONDS, "waits for nobody", (", *(ends[a] for a in after)", "")),
        _wrong(SECONDS, "streams are never busy", ("free.get(stream, 0.0)", "0.0")),
        _wrong(
            SECONDS,
            "one stream for all",
            ("free.get(stream, 0.0)", "free.get(0, 0.0)"),
            ("free[stream]", "free[0]"),
        ),
        _wrong(
            SECONDS,
            "the end of the last of the list",
            (
                "max(ends.values(), default=0.0)",
                "([0.0] + list(ends.values()))[-1]",
            ),
        ),
        _wrong(
            SECONDS,
            "waits for the first only",
            ("for a in after", "for a in after[:1]"),
        ),
        _wrong(
            SECONDS,
            "starts as soon as anything is ready",
            ("max([free", "min([free"),
        ),
        _wrong(SECONDS, "waiting is added up", ("max([free", "sum([free")),
        _wrong(SECONDS, "fails on no tasks", (", default=0.0", "")),
    ],
}
