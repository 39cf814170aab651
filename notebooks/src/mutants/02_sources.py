"""Wrong solutions of lesson 02's exercises: each must be rejected by the lesson's own checks."""

MUTANTS = {
    "my_scores": [
        (
            "sets: a word counts once however often it stands",
            """
def my_scores(found, truth):
    shared = len(set(found) & set(truth))
    precision = shared / len(set(found)) if found else 1.0
    return precision, shared / len(set(truth)) if truth else 1.0
""",
        ),
        (
            "precision and recall exchanged",
            """
def my_scores(found, truth):
    shared = (Counter(found) & Counter(truth)).total()
    precision = shared / len(truth) if truth else 1.0
    return precision, shared / len(found) if found else 1.0
""",
        ),
        (
            "0.0 where there is nothing to divide by",
            """
def my_scores(found, truth):
    shared = (Counter(found) & Counter(truth)).total()
    precision = shared / len(found) if found else 0.0
    return precision, shared / len(truth) if truth else 0.0
""",
        ),
        (
            "every found word that is wanted at all counts",
            """
def my_scores(found, truth):
    precision = sum(w in truth for w in found) / len(found) if found else 1.0
    recall = sum(w in found for w in truth) / len(truth) if truth else 1.0
    return precision, recall
""",
        ),
        (
            "the union in place of what is shared",
            """
def my_scores(found, truth):
    shared = (Counter(found) | Counter(truth)).total()
    precision = shared / len(found) if found else 1.0
    return precision, shared / len(truth) if truth else 1.0
""",
        ),
        (
            "place by place: order is looked at",
            """
def my_scores(found, truth):
    shared = sum(a == b for a, b in zip(found, truth))
    precision = shared / len(found) if found else 1.0
    return precision, shared / len(truth) if truth else 1.0
""",
        ),
    ],
    "my_bootstrap": [
        (
            "a shuffle: nothing is drawn twice",
            """
def my_bootstrap(values, n, seed):
    rng = np.random.default_rng(seed)
    means = [values[rng.permutation(len(values))].mean() for _ in range(n)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
""",
        ),
        (
            "5 % are cut off at each end",
            """
def my_bootstrap(values, n, seed):
    rng = np.random.default_rng(seed)
    size = len(values)
    means = [values[rng.integers(0, size, size)].mean() for _ in range(n)]
    low, high = np.quantile(means, (0.05, 0.95))
    return float(low), float(high)
""",
        ),
        (
            "quantiles of the values, not of the means",
            """
def my_bootstrap(values, n, seed):
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
""",
        ),
        (
            "the same draw every time",
            """
def my_bootstrap(values, n, seed):
    size = len(values)
    means = []
    for _ in range(n):
        rng = np.random.default_rng(seed)
        means.append(values[rng.integers(0, size, size)].mean())
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
""",
        ),
        (
            "medians",
            """
def my_bootstrap(values, n, seed):
    rng = np.random.default_rng(seed)
    size = len(values)
    found = [np.median(values[rng.integers(0, size, size)]) for _ in range(n)]
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)
""",
        ),
        (
            "the last value is never drawn",
            """
def my_bootstrap(values, n, seed):
    rng = np.random.default_rng(seed)
    size = len(values)
    means = [values[rng.integers(0, size - 1, size)].mean() for _ in range(n)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
""",
        ),
        (
            "the standard error without its bootstrap",
            """
def my_bootstrap(values, n, seed):
    half = 1.96 * values.std() / len(values) ** 0.5
    return float(values.mean() - half), float(values.mean() + half)
""",
        ),
    ],
    "my_unchunk": [
        (
            "lengths read in base 10",
            """
def my_unchunk(body):
    at, out = 0, b""
    while True:
        end = body.index(b"\\r\\n", at)
        size = int(body[at:end].split(b";")[0], 10)
        if size == 0:
            return out
        out += body[end + 2 : end + 2 + size]
        at = end + 2 + size + 2
""",
        ),
        (
            "splits at line ends and takes every second piece",
            """
def my_unchunk(body):
    return b"".join(body.split(b"\\r\\n")[1::2])
""",
        ),
        (
            "stops behind the first chunk",
            """
def my_unchunk(body):
    end = body.index(b"\\r\\n")
    size = int(body[:end].split(b";")[0], 16)
    return body[end + 2 : end + 2 + size]
""",
        ),
        (
            "keeps the line end behind a chunk",
            """
def my_unchunk(body):
    at, out = 0, b""
    while True:
        end = body.index(b"\\r\\n", at)
        size = int(body[at:end].split(b";")[0], 16)
        if size == 0:
            return out
        out += body[end + 2 : end + 4 + size]
        at = end + 2 + size + 2
""",
        ),
        (
            "does not know that more may stand behind a ;",
            """
def my_unchunk(body):
    at, out = 0, b""
    while True:
        end = body.index(b"\\r\\n", at)
        size = int(body[at:end], 16)
        if size == 0:
            return out
        out += body[end + 2 : end + 2 + size]
        at = end + 2 + size + 2
""",
        ),
        (
            "stops at the first 0 that stands at the beginning of a line",
            """
def my_unchunk(body):
    body = body[: body.index(b"\\r\\n0\\r\\n") + 2] if b"\\r\\n0\\r\\n" in body else body
    at, out = 0, b""
    while at < len(body):
        end = body.index(b"\\r\\n", at)
        size = int(body[at:end].split(b";")[0], 16)
        out += body[end + 2 : end + 2 + size]
        at = end + 2 + size + 2
    return out
""",
        ),
    ],
    "my_longest": [
        (
            "of equally long paths the last",
            """
def my_longest(parents):
    def to_root(name):
        path = [name]
        while parents[path[-1]] is not None:
            path.append(parents[path[-1]])
        return path[::-1]

    best = []
    for name in parents:
        if len(to_root(name)) >= len(best):
            best = to_root(name)
    return best
""",
        ),
        (
            "from the end to the first comment",
            """
def my_longest(parents):
    def to_root(name):
        path = [name]
        while parents[path[-1]] is not None:
            path.append(parents[path[-1]])
        return path

    return max((to_root(name) for name in parents), key=len)
""",
        ),
        (
            "follows the first answer each time",
            """
def my_longest(parents):
    path = [next(name for name, up in parents.items() if up is None)]
    while True:
        answers = [name for name, up in parents.items() if up == path[-1]]
        if not answers:
            return path
        path.append(answers[0])
""",
        ),
        (
            "follows the comment with the most answers",
            """
def my_longest(parents):
    def n_answers(name):
        return sum(up == name for up in parents.values())

    path = [next(name for name, up in parents.items() if up is None)]
    while True:
        answers = [name for name, up in parents.items() if up == path[-1]]
        if not answers:
            return path
        path.append(max(answers, key=n_answers))
""",
        ),
        (
            "the path to the last comment",
            """
def my_longest(parents):
    path = [list(parents)[-1]]
    while parents[path[-1]] is not None:
        path.append(parents[path[-1]])
    return path[::-1]
""",
        ),
        (
            "believes that parents stand before their answers",
            """
def my_longest(parents):
    paths = {}
    for name, up in parents.items():
        paths[name] = [*paths.get(up, []), name]
    return max(paths.values(), key=len)
""",
        ),
        (
            "leaves out the first comment",
            """
def my_longest(parents):
    def to_root(name):
        path = [name]
        while parents[path[-1]] is not None:
            path.append(parents[path[-1]])
        return path[::-1]

    return max((to_root(name) for name in parents), key=len)[1:]
""",
        ),
    ],
}
