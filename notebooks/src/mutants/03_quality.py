"""Wrong solutions of lesson 03's exercises: each must be rejected by the lesson's own checks."""

MUTANTS = {
    "my_bullets": [
        (
            "an empty list divides by zero",
            """
def my_bullets(lines):
    return sum(line.lstrip().startswith(("•", "-")) for line in lines) / len(lines)
""",
        ),
        (
            "white space hides the bullet",
            """
def my_bullets(lines):
    if not lines:
        return 0.0
    return sum(line.startswith(("•", "-")) for line in lines) / len(lines)
""",
        ),
        (
            "only the dash",
            """
def my_bullets(lines):
    if not lines:
        return 0.0
    return sum(line.lstrip().startswith("-") for line in lines) / len(lines)
""",
        ),
        (
            "a dash anywhere",
            """
def my_bullets(lines):
    if not lines:
        return 0.0
    return sum("-" in line or "•" in line for line in lines) / len(lines)
""",
        ),
        (
            "empty lines are not counted",
            """
def my_bullets(lines):
    lines = [line for line in lines if line.strip()]
    if not lines:
        return 0.0
    return sum(line.lstrip().startswith(("•", "-")) for line in lines) / len(lines)
""",
        ),
        (
            "the number, not the share",
            """
def my_bullets(lines):
    return float(sum(line.lstrip().startswith(("•", "-")) for line in lines))
""",
        ),
        (
            "stars count, too",
            """
def my_bullets(lines):
    if not lines:
        return 0.0
    return sum(line.lstrip().startswith(("•", "-", "*")) for line in lines) / len(lines)
""",
        ),
    ],
    "my_c4_line": [
        (
            "three dots are an end mark",
            """
def my_c4_line(line):
    line = line.strip()
    ends = line.endswith((".", "?", "!", '"', "'"))
    return ends and len(line.split()) >= 3 and "javascript" not in line.lower()
""",
        ),
        (
            "white space at the end hides the mark",
            """
def my_c4_line(line):
    ends = line.endswith((".", "?", "!", '"', "'")) and not line.endswith("...")
    return ends and len(line.split()) >= 3 and "javascript" not in line.lower()
""",
        ),
        (
            "more than three words",
            """
def my_c4_line(line):
    line = line.strip()
    ends = line.endswith((".", "?", "!", '"', "'")) and not line.endswith("...")
    return ends and len(line.split()) > 3 and "javascript" not in line.lower()
""",
        ),
        (
            "two words are enough",
            """
def my_c4_line(line):
    line = line.strip()
    ends = line.endswith((".", "?", "!", '"', "'")) and not line.endswith("...")
    return ends and len(line.split()) >= 2 and "javascript" not in line.lower()
""",
        ),
        (
            "quotes are no end",
            """
def my_c4_line(line):
    line = line.strip()
    ends = line.endswith((".", "?", "!")) and not line.endswith("...")
    return ends and len(line.split()) >= 3 and "javascript" not in line.lower()
""",
        ),
        (
            "only the small word javascript",
            """
def my_c4_line(line):
    line = line.strip()
    ends = line.endswith((".", "?", "!", '"', "'")) and not line.endswith("...")
    return ends and len(line.split()) >= 3 and "javascript" not in line
""",
        ),
        (
            "a semicolon ends a line",
            """
def my_c4_line(line):
    line = line.strip()
    ends = line.endswith((".", "?", "!", '"', "'", ";")) and not line.endswith("...")
    return ends and len(line.split()) >= 3 and "javascript" not in line.lower()
""",
        ),
    ],
    "my_gradient": [
        (
            "nothing is taken off at y",
            """
def my_gradient(x, W, b, y):
    s = x @ W + b
    p = np.exp(s - s.max())
    p /= p.sum()
    return np.outer(x, p)
""",
        ),
        (
            "the wrong sign",
            """
def my_gradient(x, W, b, y):
    s = x @ W + b
    p = np.exp(s - s.max())
    p /= p.sum()
    p[y] -= 1
    return -np.outer(x, p)
""",
        ),
        (
            "the bias is forgotten",
            """
def my_gradient(x, W, b, y):
    s = x @ W
    p = np.exp(s - s.max())
    p /= p.sum()
    p[y] -= 1
    return np.outer(x, p)
""",
        ),
        (
            "large scores overflow",
            """
def my_gradient(x, W, b, y):
    with np.errstate(all="ignore"):
        p = np.exp(x @ W + b)
        p = p / p.sum()
    p[y] -= 1
    return np.outer(x, p)
""",
        ),
        (
            "transposed",
            """
def my_gradient(x, W, b, y):
    s = x @ W + b
    p = np.exp(s - s.max())
    p /= p.sum()
    p[y] -= 1
    return np.outer(p, x)
""",
        ),
        (
            "one sigmoid a class",
            """
def my_gradient(x, W, b, y):
    p = 0.5 * (1 + np.tanh((x @ W + b) / 2))
    p[y] -= 1
    return np.outer(x, p)
""",
        ),
        (
            "the first class is always right",
            """
def my_gradient(x, W, b, y):
    s = x @ W + b
    p = np.exp(s - s.max())
    p /= p.sum()
    p[0] -= 1
    return np.outer(x, p)
""",
        ),
    ],
    "my_continuation": [
        (
            "counts how often, not after how many",
            """
def my_continuation(pairs, w, D, V):
    counts = Counter()
    for (v, second), n in pairs.items():
        counts[second] += n
    total = counts.total()
    return max(counts[w] - D, 0) / total + D * len(counts) / total / V
""",
        ),
        (
            "the words behind w instead of those before",
            """
def my_continuation(pairs, w, D, V):
    behind = Counter(first for first, _ in pairs)
    freed = D * len(behind) / len(pairs)
    return max(behind[w] - D, 0) / len(pairs) + freed / V
""",
        ),
        (
            "nothing is spread",
            """
def my_continuation(pairs, w, D, V):
    before = Counter(second for _, second in pairs)
    return max(before[w] - D, 0) / len(pairs)
""",
        ),
        (
            "no discount is taken",
            """
def my_continuation(pairs, w, D, V):
    before = Counter(second for _, second in pairs)
    return before[w] / len(pairs) + D * len(before) / len(pairs) / V
""",
        ),
        (
            "unseen words go below zero",
            """
def my_continuation(pairs, w, D, V):
    before = Counter(second for _, second in pairs)
    return (before[w] - D) / len(pairs) + D * len(before) / len(pairs) / V
""",
        ),
        (
            "the freed share is that of all pairs",
            """
def my_continuation(pairs, w, D, V):
    before = Counter(second for _, second in pairs)
    return max(before[w] - D, 0) / len(pairs) + D / V
""",
        ),
        (
            "spread over the seen words only",
            """
def my_continuation(pairs, w, D, V):
    before = Counter(second for _, second in pairs)
    freed = D * len(before) / len(pairs)
    return max(before[w] - D, 0) / len(pairs) + freed / len(before)
""",
        ),
    ],
}
