"""Wrong solutions of lesson 22b, each of which its check must reject."""

GATHER = """
@on_ranks
def gather_to(group, part, root):
    if group.rank != root:
        return group.send(part, root)
    out = part.new_empty(group.size, len(part))
    out[root] = part
    for source in range(group.size):
        if source != root:
            group.receive(out[source], source)
    return out
"""
EVEN = """
def break_even(n, alpha, beta):
    rounds = math.ceil(math.log2(n))
    return alpha * beta * (n - 1 - rounds) / (rounds - (n - 1) / n)
"""
STAGE = """
def lowest_stage(n_params, n, memory, spare):
    w, g, s = 2 * n_params, 2 * n_params, 12 * n_params
    need = [w + g + s, w + g + s / n, w + (g + s) / n, (w + g + s) / n]
    return next((k for k in range(4) if need[k] + spare <= memory), None)
"""
CLIP = """
@on_ranks
def clip_shard(group, shard, max_norm):
    norm = all_reduce(group, shard.square().sum()).sqrt()
    return shard * (max_norm / norm).clamp(max=1.0)
"""
STEP = """
@on_ranks
def sharded_sgd(group, gradient, weights, lr):
    mine = padded(weights, group.size).chunk(group.size)[group.rank]
    mine = mine - lr * reduce_scatter(group, padded(gradient, group.size))
    return all_gather(group, mine)[: len(weights)]
"""


def changed(solution, *changes):
    """Label and text of the solution with one piece made wrong, once for each change."""
    for old, new in changes:
        if solution.count(old) != 1:
            raise ValueError(f"the solution has not once: {old!r}")
        yield f"{old.strip()} -> {new.strip()}", solution.replace(old, new)


MUTANTS = {
    "gather_to": [
        *changed(
            GATHER,
            ("    out[root] = part\n", "    out[group.rank - 1] = part\n"),
            ("group.receive(out[source], source)", "group.receive(out[root], source)"),
            ("if group.rank != root:", "if group.rank != 0:"),
            ("return group.send(part, root)", "return group.send(part + 0, root) or part"),
            ("group.size, len(part)", "group.size, 2"),
            ("    out[root] = part\n", "    out.zero_()\n"),
        )
    ],
    "break_even": [
        *changed(
            EVEN,
            ("math.ceil(math.log2(n))", "math.log2(n)"),
            ("math.ceil(math.log2(n))", "math.floor(math.log2(n))"),
            ("(n - 1 - rounds)", "(n - rounds)"),
            ("(rounds - (n - 1) / n)", "(rounds - 1)"),
            ("(rounds - (n - 1) / n)", "rounds"),
            ("alpha * beta", "alpha / beta"),
        )
    ],
    "lowest_stage": [
        *changed(
            STAGE,
            ("12 * n_params", "8 * n_params"),
            ("w + g + s / n,", "w + g + s,"),
            ("w + (g + s) / n,", "w + g / n + s,"),
            ("+ spare <= memory", "+ spare < memory"),
            ("need[k] + spare", "need[k]"),
            ("(w + g + s) / n]", "(g + s) / n]"),
            (", None)", ", 3)"),
        )
    ],
    "clip_shard": [
        *changed(
            CLIP,
            ("all_reduce(group, shard.square().sum()).sqrt()", "all_reduce(group, shard.norm())"),
            ("all_reduce(group, shard.square().sum()).sqrt()", "shard.norm()"),
            ("all_reduce(group, shard.square().sum()).sqrt()", "all_reduce(group, shard.abs().sum())"),
            (".clamp(max=1.0)", ""),
            ("shard * (max_norm / norm).clamp(max=1.0)", "shard.clamp(-max_norm, max_norm)"),
            (".sqrt()", ""),
        )
    ],
    "sharded_sgd": [
        *changed(
            STEP,
            ("reduce_scatter(group, padded(gradient, group.size))",
             "padded(gradient, group.size).chunk(group.size)[group.rank]"),
            ("lr * reduce", "lr / group.size * reduce"),
            ("mine - lr", "mine + lr"),
            ("[: len(weights)]", ""),
            ("reduce_scatter(group, padded(gradient, group.size))",
             "all_reduce(group, padded(gradient, group.size).clone()).chunk(group.size)[group.rank]"),
            ("return all_gather(group, mine)[: len(weights)]",
             "return all_gather(group, padded(weights, group.size).chunk(group.size)[group.rank])"
             "[: len(weights)]"),
        )
    ],
}  # fmt: skip
