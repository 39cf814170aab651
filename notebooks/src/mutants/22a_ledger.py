"""Wrong solutions of lesson 22a, each of which its check must reject."""

STATE = """
def state_of(n, weight, gradient, master, moments):
    return n * (weight + gradient + master + sum(moments))
"""
BATCH = """
def largest_batch(budget, fixed, a_sequence):
    n = (budget - fixed) // a_sequence
    return 2 ** (n.bit_length() - 1) if n >= 1 else 0
"""
SEGMENT = """
def best_segment(n, note):
    return min(range(1, n + 1), key=lambda k: -(-n // k) + note * k)
"""
MFU = """
def mfu_of(hfu, again):
    return hfu * 3 / (3 + again)
"""
REPLAY = """
def replayed(part, x):
    class Replay(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.dice = torch.get_rng_state()
            ctx.save_for_backward(x)
            return part(x)

        @staticmethod
        def backward(ctx, above):
            x = ctx.saved_tensors[0].detach().requires_grad_()
            now = torch.get_rng_state()
            torch.set_rng_state(ctx.dice)
            with torch.enable_grad():
                y = part(x)
            torch.set_rng_state(now)
            y.backward(above)
            return x.grad

    x = x.clone().requires_grad_()
    y = Replay.apply(x)
    torch.rand(1)  # the world moves on
    y.sum().backward()
    return x.grad, torch.rand(1)
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


MUTANTS = {
    "state_of": [
        _wrong(STATE, "no gradient", ("gradient + ", "")),
        _wrong(STATE, "no master copy", (" + master", "")),
        _wrong(STATE, "one mean only", ("sum(moments)", "moments[0]")),
        _wrong(STATE, "means of four bytes", ("sum(moments)", "4 * len(moments)")),
        _wrong(STATE, "always two means", ("sum(moments)", "8")),
        _wrong(
            STATE,
            "the weight counts twice",
            ("weight + gradient", "2 * weight + gradient"),
        ),
    ],
    "largest_batch": [
        _wrong(
            BATCH, "the fixed part is forgotten", ("(budget - fixed)", "budget")
        ),
        _wrong(BATCH, "no power of two", ("2 ** (n.bit_length() - 1)", "n")),
        _wrong(
            BATCH, "the next power up", ("n.bit_length() - 1", "n.bit_length()")
        ),
        _wrong(BATCH, "one at least", ("else 0", "else 1")),
        _wrong(
            BATCH,
            "a full budget does not fit",
            ("(budget - fixed)", "(budget - fixed - 1)"),
        ),
        _wrong(BATCH, "one sequence does not count", ("n >= 1", "n > 1")),
    ],
    "best_segment": [
        _wrong(
            SEGMENT,
            "the root, whatever a note weighs",
            (
                "min(range(1, n + 1), key=lambda k: -(-n // k) + note * k)",
                "max(1, round(n**0.5))",
            ),
        ),
        _wrong(SEGMENT, "notes are forgotten", (" + note * k", "")),
        _wrong(SEGMENT, "inputs are forgotten", ("-(-n // k) + ", "")),
        _wrong(SEGMENT, "rounded down", ("-(-n // k)", "n // k")),
        _wrong(
            SEGMENT, "the last of the best", ("range(1, n + 1)", "range(n, 0, -1)")
        ),
        _wrong(SEGMENT, "notes weigh one", ("note * k", "k")),
        _wrong(SEGMENT, "not exactly divided", ("-(-n // k)", "n / k")),
    ],
    "mfu_of": [
        _wrong(
            MFU,
            "the wrong way round",
            ("hfu * 3 / (3 + again)", "hfu * (3 + again) / 3"),
        ),
        _wrong(MFU, "backward costs as much as forward", ("3 / (3", "2 / (2")),
        _wrong(MFU, "always all is recomputed", ("3 + again", "4")),
        _wrong(MFU, "nothing is", (" * 3 / (3 + again)", "")),
        _wrong(
            MFU,
            "again is a share of all",
            ("hfu * 3 / (3 + again)", "hfu / (1 + again)"),
        ),
        _wrong(
            MFU, "subtracted", ("hfu * 3 / (3 + again)", "hfu * (1 - again / 3)")
        ),
    ],
    "replayed": [
        _wrong(
            REPLAY,
            "the dice are not replayed",
            ("            torch.set_rng_state(ctx.dice)\n", ""),
        ),
        _wrong(
            REPLAY,
            "the world's dice are not put back",
            ("            torch.set_rng_state(now)\n", ""),
        ),
        _wrong(
            REPLAY,
            "noted after the run",
            (
                "            ctx.dice = torch.get_rng_state()\n            ctx.save_for_backward(x)\n            return part(x)",
                "            ctx.save_for_backward(x)\n            y = part(x)\n            ctx.dice = torch.get_rng_state()\n            return y",
            ),
        ),
        _wrong(
            REPLAY,
            "put back to the forward pass",
            ("torch.set_rng_state(now)", "torch.set_rng_state(ctx.dice)"),
        ),
        _wrong(
            REPLAY,
            "what arrives is forgotten",
            ("y.backward(above)", "y.backward(torch.zeros_like(above))"),
        ),
        _wrong(
            REPLAY,
            "a fixed seed instead",
            ("torch.set_rng_state(ctx.dice)", "torch.manual_seed(7)"),
        ),
    ],
}
