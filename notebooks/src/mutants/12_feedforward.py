"""Wrong solutions of lesson 12, each of which its check must reject."""

WIDTH = """
def inner_width(d, multiple, factor):
    width = int(factor * int(2 * 4 * d / 3))
    return -(-width // multiple) * multiple
"""
SLOPE = """
def tanh_gelu_slope(x):
    c, a = math.sqrt(2 / math.pi), 0.044715
    tanh = torch.tanh(c * (x + a * x**3))
    return (1 + tanh) / 2 + x / 2 * (1 - tanh**2) * c * (1 + 3 * a * x**2)
"""
MULTIPLY = """
def multiply(x, i, j):
    D = x.shape[1]
    gate, up = torch.zeros(2, 2, D, dtype=x.dtype)
    down = torch.zeros(D, 2, dtype=x.dtype)
    gate[0, i], gate[1, i] = 1, -1
    up[0, j], up[1, j] = 1, -1
    down[0] = 1
    return swiglu(x, gate, up, down)
"""
DEAD = """
def dead_units(layer, x):
    lives = (layer.up(x) > 0).flatten(0, 1).any(dim=0)
    return [i for i, alive in enumerate(lives.tolist()) if not alive]
"""
BACK = """
def swiglu_backwards(x, gate, up, down, grad):
    g, u = x @ gate.T, x @ up.T
    s = torch.sigmoid(g)
    back = grad @ down
    by_u = back * g * s
    by_g = back * u * s * (1 + g * (1 - s))
    by_x = by_g @ gate + by_u @ up
    return by_x, by_g.T @ x, by_u.T @ x, grad.T @ (g * s * u)
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


MUTANTS = {
    "inner_width": [
        _wrong(
            WIDTH,
            "rounded down",
            ("-(-width // multiple)", "width // multiple"),
        ),
        _wrong(
            WIDTH,
            "rounded up even if it is a multiple",
            ("-(-width // multiple)", "(width // multiple + 1)"),
        ),
        _wrong(WIDTH, "the factor is forgotten", ("factor * ", "")),
        _wrong(WIDTH, "two thirds of d", ("2 * 4 * d", "2 * d")),
        _wrong(
            WIDTH,
            "the multiple is always 256",
            ("multiple) * multiple", "256) * 256"),
        ),
        _wrong(
            WIDTH,
            "rounded to the nearest multiple",
            ("-(-width // multiple)", "round(width / multiple)"),
        ),
        _wrong(
            WIDTH,
            "the factor comes after the rounding",
            ("int(factor * int(2 * 4 * d / 3))", "int(2 * 4 * d / 3)"),
            ("* multiple\n", "* multiple * factor\n"),
        ),
        _wrong(
            WIDTH,
            "not rounded at all",
            ("-(-width // multiple) * multiple", "width"),
        ),
    ],
    "tanh_gelu_slope": [
        _wrong(
            SLOPE,
            "the chain rule stops at z",
            (" * c * (1 + 3 * a * x**2)", ""),
        ),
        _wrong(SLOPE, "the slope of the cube is lost", ("1 + 3 * a", "1 + a")),
        _wrong(SLOPE, "the first term is lost", ("(1 + tanh) / 2 + x", "x")),
        _wrong(SLOPE, "tanh is not squared", ("1 - tanh**2", "1 - tanh")),
        _wrong(SLOPE, "the exact curve is derived", ("0.044715", "0.0")),
        _wrong(
            SLOPE,
            "a of the series",
            ("0.044715", "2 / (3 * math.pi) - 1 / 6"),
        ),
        _wrong(SLOPE, "x instead of x/2", ("x / 2 * (1", "x * (1")),
        _wrong(
            SLOPE,
            "c without the root",
            ("math.sqrt(2 / math.pi)", "2 / math.pi"),
        ),
        _wrong(SLOPE, "c is lost at the end", (" * c * (1 + 3", " * (1 + 3")),
    ],
    "multiply": [
        _wrong(
            MULTIPLY,
            "both gates alike",
            ("gate[1, i] = 1, -1", "gate[1, i] = 1, 1"),
        ),
        _wrong(
            MULTIPLY,
            "no minus in up",
            ("up[1, j] = 1, -1", "up[1, j] = 1, 1"),
        ),
        _wrong(MULTIPLY, "one unit only", ("down[0] = 1", "down[0, 0] = 1")),
        _wrong(
            MULTIPLY,
            "the second unit only",
            ("down[0] = 1", "down[0, 1] = 1"),
        ),
        _wrong(MULTIPLY, "down is empty", ("    down[0] = 1\n", "")),
        _wrong(MULTIPLY, "every column is filled", ("down[0] = 1", "down[:] = 1")),
        _wrong(
            MULTIPLY,
            "the square of one",
            ("up[0, j], up[1, j]", "up[0, i], up[1, i]"),
        ),
        _wrong(MULTIPLY, "halved", ("down[0] = 1", "down[0] = 0.5")),
        _wrong(
            MULTIPLY,
            "always columns 0 and 1",
            ("D = x.shape[1]", "D, i, j = x.shape[1], 0, 1 % x.shape[1]"),
        ),
    ],
    "dead_units": [
        _wrong(DEAD, "the living", ("if not alive", "if alive")),
        _wrong(
            DEAD,
            "shut on some token is enough",
            (".any(dim=0)", ".all(dim=0)"),
        ),
        _wrong(
            DEAD,
            "the mean decides",
            (
                "(layer.up(x) > 0).flatten(0, 1).any(dim=0)",
                "layer.up(x).flatten(0, 1).mean(dim=0) > 0",
            ),
        ),
        _wrong(
            DEAD,
            "the bias is forgotten",
            ("layer.up(x)", "(x @ layer.up.weight.T)"),
        ),
        _wrong(DEAD, "the first row only", ("layer.up(x)", "layer.up(x[:1])")),
        _wrong(
            DEAD,
            "the last token only",
            ("layer.up(x)", "layer.up(x[:, -1:])"),
        ),
        _wrong(
            DEAD,
            "the bias alone decides",
            (
                "(layer.up(x) > 0).flatten(0, 1).any(dim=0)",
                "layer.up.bias > 0",
            ),
        ),
        _wrong(DEAD, "how many, not which", ("return [i for", "return [1 for")),
    ],
    "swiglu_backwards": [
        _wrong(
            BACK,
            "x enters once: the gate",
            ("by_g @ gate + by_u @ up", "by_g @ gate"),
        ),
        _wrong(
            BACK,
            "x enters once: up",
            ("by_g @ gate + by_u @ up", "by_u @ up"),
        ),
        _wrong(
            BACK,
            "the slope of the sigmoid",
            ("s * (1 + g * (1 - s))", "s * (1 - s)"),
        ),
        _wrong(
            BACK,
            "the slope of the product is half done",
            ("(1 + g * (1 - s))", "(1 + g)"),
        ),
        _wrong(
            BACK,
            "sigmoid instead of silu",
            ("by_u = back * g * s", "by_u = back * s"),
        ),
        _wrong(BACK, "u is forgotten", ("back * u * s", "back * s")),
        _wrong(
            BACK,
            "gate and up swapped",
            ("by_x, by_g.T @ x, by_u.T @ x", "by_x, by_u.T @ x, by_g.T @ x"),
        ),
        _wrong(BACK, "down gets the gate only", ("(g * s * u)", "(g * s)")),
        _wrong(
            BACK,
            "down transposed",
            ("grad.T @ (g * s * u)", "(g * s * u).T @ grad"),
        ),
        _wrong(
            BACK,
            "the incoming slope is ignored",
            ("back = grad @ down", "back = torch.ones_like(grad) @ down"),
        ),
    ],
}
