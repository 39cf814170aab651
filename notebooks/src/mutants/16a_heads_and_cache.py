"""Wrong solutions of lesson 16a, each of which its check must reject."""

BYTES = """
def cache_bytes(n_layers, n_kv_heads, head_width, batch, length, bits, window):
    kept = length if window is None else min(length, window)
    numbers = 2 * n_layers * n_kv_heads * head_width * kept * batch
    return numbers * bits / 8
"""
STEP = """
def grouped_step(q, k, v):
    N, H = q.shape
    K = k.shape[0]
    rows = q.view(K, N // K, H)
    scores = rows @ k.mT / H**0.5
    return (scores.softmax(dim=-1) @ v).reshape(N, H)
"""
PLACES = """
def places(length, window):
    held = [None] * window
    for token in range(length):
        held[token % window] = token
    return held
"""
ALIGNED = """
def aligned_mean(values):
    turned = []
    for head in values:
        A, _, Bt = torch.linalg.svd(values[0] @ head.T)
        turned.append(A @ Bt @ head)
    return torch.stack(turned).mean(dim=0)
"""
DETECTIVE = """
def is_right(make):
    x = torch.randn(40, 8, dtype=f64)
    for sizes in ([1] * 40, [40], [7, 5, 1, 20, 7], [1, 39]):
        cache = make()
        out = torch.cat([cache.read(piece) for piece in x.split(sizes)])
        if not torch.allclose(out, whole(x), atol=1e-9):
            return False
    return True
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


SIZES = "([1] * 40, [40], [7, 5, 1, 20, 7], [1, 39])"
MUTANTS = {
    "cache_bytes": [
        _wrong(BYTES, "keys only", ("2 * n_layers", "n_layers")),
        _wrong(BYTES, "the window is forgotten", ("min(length, window)", "length")),
        _wrong(
            BYTES, "always as long as the window", ("min(length, window)", "window")
        ),
        _wrong(BYTES, "one dialogue", (" * batch", "")),
        _wrong(BYTES, "bits taken for bytes", ("bits / 8", "bits")),
        _wrong(BYTES, "always two bytes", ("bits / 8", "2")),
        _wrong(BYTES, "one layer", ("n_layers * ", "")),
    ],
    "grouped_step": [
        _wrong(
            STEP,
            "heads grouped by their remainder",
            ("q.view(K, N // K, H)", "q.view(N // K, K, H).transpose(0, 1)"),
        ),
        _wrong(STEP, "not divided by the root of the width", (" / H**0.5", "")),
        _wrong(STEP, "divided by the root of the heads", ("H**0.5", "N**0.5")),
        _wrong(
            STEP, "softmax over the group", ("softmax(dim=-1)", "softmax(dim=1)")
        ),
        _wrong(STEP, "values are the keys", ("@ v)", "@ k)")),
        _wrong(STEP, "all read the first head", ("rows @ k.mT", "rows @ k[:1].mT")),
        _wrong(
            STEP,
            "groups come out across",
            ("@ v).reshape(N, H)", "@ v).transpose(0, 1).reshape(N, H)"),
        ),
    ],
    "places": [
        _wrong(PLACES, "counts from 1", ("range(length)", "range(1, length + 1)")),
        _wrong(
            PLACES,
            "the first tokens stay",
            ("range(length)", "range(min(length, window))"),
        ),
        _wrong(
            PLACES,
            "one place too many",
            ("[None] * window", "[None] * (window + 1)"),
        ),
        _wrong(
            PLACES, "zeros where nothing is", ("[None] * window", "[0] * window")
        ),
        _wrong(
            PLACES,
            "the last token is missing",
            ("range(length)", "range(length - 1)"),
        ),
        _wrong(
            PLACES,
            "in the order of the text",
            (
                "    return held",
                "    return sorted(held, key=lambda t: -1 if t is None else t)",
            ),
        ),
        _wrong(
            PLACES,
            "the oldest stands first",
            ("held[token % window] = token", "held = held[1:] + [token]"),
        ),
    ],
    "aligned_mean": [
        _wrong(ALIGNED, "the plain mean", ("A @ Bt @ head", "head")),
        _wrong(
            ALIGNED, "turned the wrong way", ("A @ Bt @ head", "(A @ Bt).T @ head")
        ),
        _wrong(ALIGNED, "towards the last head", ("values[0] @", "values[-1] @")),
        _wrong(ALIGNED, "B is not transposed", ("A @ Bt @", "A @ Bt.T @")),
        _wrong(ALIGNED, "the sum", (".mean(dim=0)", ".sum(dim=0)")),
        _wrong(ALIGNED, "only the first head", (".mean(dim=0)", "[0]")),
        _wrong(
            ALIGNED,
            "stretched as well as turned",
            ("A, _, Bt", "A, size, Bt"),
            ("A @ Bt @", "A * size @ Bt @"),
        ),
    ],
    "is_right": [
        _wrong(DETECTIVE, "one token at a time only", (SIZES, "([1] * 40,)")),
        _wrong(DETECTIVE, "all at once only", (SIZES, "([40],)")),
        _wrong(
            DETECTIVE,
            "short texts only",
            ("torch.randn(40, 8", "torch.randn(10, 8"),
            (SIZES, "([1] * 10, [10], [4, 1, 5], [1, 9])"),
        ),
        _wrong(DETECTIVE, "one token and the rest", (SIZES, "([1, 39],)")),
        _wrong(
            DETECTIVE,
            "the last row only, and little to remember",
            ("allclose(out, whole(x)", "allclose(out[-1], whole(x)[-1]"),
            (SIZES, "([40],)"),
        ),
        _wrong(
            DETECTIVE, "a tolerance that lets all through", ("atol=1e-9", "atol=10")
        ),
        _wrong(
            DETECTIVE,
            "asks for equal bits",
            (
                "not torch.allclose(out, whole(x), atol=1e-9)",
                "not torch.equal(out, whole(x))",
            ),
        ),
        _wrong(
            DETECTIVE,
            "the answer is turned round",
            ("return False", "return 0"),
            ("return True", "return False"),
            ("return 0", "return True"),
        ),
    ],
}
