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
    real = [n for n in names if n.startswith("step-") and len(n) == 13 and n[5:].isdigit()]
    return max((n for n in real if n in whole), default=None)
"""
BYTES = """
def fsdp_bytes(weight_bytes, gradient_bytes, size, passes, keep):
    once = weight_bytes * (1 if keep else 2) + gradient_bytes
    return passes * once * (size - 1) / size
"""
MFU = """
def mfu_of(tflops, peak, blocks, head, recompute):
    needed = blocks + head
    done = needed + (blocks / 3 if recompute else 0)
    return tflops / peak * needed / done
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
            (" and len(n) == 13 and n[5:].isdigit()", ""),
        ),
        _wrong(NEWEST, "the oldest", ("max(", "min(")),
        _wrong(NEWEST, "unverified ones count", (" if n in whole", "")),
        _wrong(NEWEST, "an error where there is none", (", default=None", "")),
        _wrong(NEWEST, "any thirteen letters", (" and n[5:].isdigit()", "")),
        _wrong(
            NEWEST,
            "from what was verified once",
            ("for n in names", "for n in whole"),
        ),
        _wrong(
            NEWEST,
            "the last of the list",
            (
                "max((n for n in real if n in whole), default=None)",
                "([None] + [n for n in real if n in whole])[-1]",
            ),
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
    "mfu_of": [
        _wrong(MFU, "the HFU", (" * needed / done", "")),
        _wrong(MFU, "the head is recomputed", ("blocks / 3 if", "needed / 3 if")),
        _wrong(MFU, "always recomputed", (" if recompute else 0", "")),
        _wrong(MFU, "the wrong way round", ("needed / done", "done / needed")),
        _wrong(MFU, "a backward pass more", ("blocks / 3 if", "2 * blocks / 3 if")),
        _wrong(MFU, "the head is free", ("blocks + head", "blocks")),
    ],
}
