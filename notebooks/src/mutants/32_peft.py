"""Wrong solutions of lesson 32, each of which its check must reject."""

LONGEST = """
def longest_prefix(config, n, share):
    a_token = 2 * config.n_layers * config.attention.key_heads * config.head_width
    return int(share * n) // a_token
"""
ATTENTION = """
def prefixed_attention(q, k, v, pk, pv):
    T, H = q.shape
    scores = q @ torch.cat([pk, k]).T / H**0.5
    later = torch.ones(T, T, dtype=torch.bool).triu(1)
    scores[:, len(pk) :] = scores[:, len(pk) :].masked_fill(later, -math.inf)
    return scores.softmax(dim=-1) @ torch.cat([pv, v])
"""
RANKS = """
def ranks_after(scores, budget):
    every = [(worth, name) for name, row in scores.items() for worth in row]
    best = sorted(every, key=lambda pair: pair[0], reverse=True)[:budget]
    return {name: sum(kept == name for _, kept in best) for name in scores}
"""
BLOCK = """
def quantise_block(block, levels):
    scale = block.abs().max().item()
    unit = block / (scale if scale > 0 else 1.0)
    return (unit[:, None] - levels).abs().argmin(dim=1), scale
"""
MERGE = """
def merge_inner(gate, up, down, l):
    return gate, l[:, None] * up, down
"""


def _wrong(solution, why, *changes):
    for old, new in changes:
        assert old in solution, (why, old)
        solution = solution.replace(old, new)
    return (why, solution)


MUTANTS = {
    "longest_prefix": [
        _wrong(
            LONGEST, "query heads instead of key heads", ("key_heads", "n_heads")
        ),
        _wrong(
            LONGEST,
            "keys without values",
            ("2 * config.n_layers", "config.n_layers"),
        ),
        _wrong(LONGEST, "one token too many", ("// a_token", "// a_token + 1")),
        _wrong(
            LONGEST,
            "rounded",
            ("int(share * n) // a_token", "round(share * n / a_token)"),
        ),
        _wrong(
            LONGEST,
            "the width of the model",
            ("config.attention.key_heads * config.head_width", "config.d_model"),
        ),
        _wrong(
            LONGEST, "share taken for percent", ("share * n", "share * n / 100")
        ),
    ],
    "prefixed_attention": [
        _wrong(ATTENTION, "a token does not see itself", ("triu(1)", "triu(0)")),
        _wrong(ATTENTION, "the past is hidden", ("triu(1)", "tril(-1)")),
        _wrong(ATTENTION, "not scaled", (" / H**0.5", "")),
        _wrong(ATTENTION, "values in another order", ("[pv, v]", "[v, pv]")),
        _wrong(ATTENTION, "keys in another order", ("[pk, k]", "[k, pk]")),
        _wrong(
            ATTENTION, "scaled by the length", ("H**0.5", "(T + len(pk)) ** 0.5")
        ),
        _wrong(ATTENTION, "columns sum to one", ("dim=-1", "dim=0")),
    ],
    "ranks_after": [
        _wrong(RANKS, "the least are kept", ("reverse=True", "reverse=False")),
        _wrong(RANKS, "ties go by name", ("key=lambda pair: pair[0], ", "")),
        _wrong(RANKS, "one too many", ("[:budget]", "[: budget + 1]")),
        _wrong(RANKS, "never none", ("[:budget]", "[: max(budget, 1)]")),
        _wrong(
            RANKS,
            "matrices without ranks are forgotten",
            (
                "for name in scores}",
                "for name in scores if any(k == name for _, k in best)}",
            ),
        ),
        _wrong(RANKS, "two of each matrix at most", ("in row]", "in row[:2]]")),
    ],
    "quantise_block": [
        _wrong(
            BLOCK,
            "the largest, with its sign",
            ("block.abs().max()", "block.max()"),
        ),
        _wrong(
            BLOCK, "a block of zeros", ("(scale if scale > 0 else 1.0)", "scale")
        ),
        _wrong(BLOCK, "the farthest level", ("argmin(dim=1)", "argmax(dim=1)")),
        _wrong(BLOCK, "distance with a sign", (".abs().argmin", ".argmin")),
        _wrong(
            BLOCK,
            "codes of another type",
            ("dim=1), scale", "dim=1).to(torch.uint8), scale"),
        ),
        _wrong(BLOCK, "scaled to a half", ("block / (", "block / 2 / (")),
    ],
    "merge_inner": [
        _wrong(
            MERGE,
            "into the gate",
            ("gate, l[:, None] * up", "l[:, None] * gate, up"),
        ),
        _wrong(MERGE, "into down", ("l[:, None] * up, down", "up, down * l")),
        _wrong(MERGE, "forgotten", ("l[:, None] * up", "up")),
        _wrong(MERGE, "divided", ("l[:, None] * up", "up / l[:, None]")),
        _wrong(MERGE, "twice", ("* up, down", "* up, down * l")),
        _wrong(
            MERGE, "into both", ("return gate, l", "return l[:, None] * gate, l")
        ),
    ],
}
