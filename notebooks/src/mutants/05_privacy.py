"""Wrong solutions of lesson 05's exercises: each must be rejected by the lesson's own checks."""

MUTANTS = {
    "my_check_sign": [
        (
            "weights from the wrong end",
            """
def my_check_sign(digits):
    total = sum(2 ** (i + 1) * int(d) for i, d in enumerate(digits))
    return "0123456789X"[(1 - total) % 11]
""",
        ),
        (
            "weights one power too low",
            """
def my_check_sign(digits):
    total = sum(2 ** (16 - i) * int(d) for i, d in enumerate(digits))
    return "0123456789X"[(1 - total) % 11]
""",
        ),
        (
            "remainder 0 instead of 1",
            """
def my_check_sign(digits):
    total = sum(2 ** (17 - i) * int(d) for i, d in enumerate(digits))
    return "0123456789X"[-total % 11]
""",
        ),
        (
            "the wrong sign of the sum",
            """
def my_check_sign(digits):
    total = sum(2 ** (17 - i) * int(d) for i, d in enumerate(digits))
    return "0123456789X"[(total - 1) % 11]
""",
        ),
        (
            "modulo 10",
            """
def my_check_sign(digits):
    total = sum(2 ** (17 - i) * int(d) for i, d in enumerate(digits))
    return str((1 - total) % 10)
""",
        ),
        (
            "10 instead of X",
            """
def my_check_sign(digits):
    total = sum(2 ** (17 - i) * int(d) for i, d in enumerate(digits))
    return str((1 - total) % 11)
""",
        ),
        (
            "a small x",
            """
def my_check_sign(digits):
    total = sum(2 ** (17 - i) * int(d) for i, d in enumerate(digits))
    return "0123456789x"[(1 - total) % 11]
""",
        ),
    ],
    "my_redact": [
        (
            "from left to right with the old places",
            """
def my_redact(text, spans):
    for start, end, kind in spans:
        text = text[:start] + f"<{kind}>" + text[end:]
    return text
""",
        ),
        (
            "forgets what stands behind the last span",
            """
def my_redact(text, spans):
    out, done = "", 0
    for start, end, kind in spans:
        out += text[done:start] + f"<{kind}>"
        done = end
    return out
""",
        ),
        (
            "replaces every place where the datum's signs stand",
            """
def my_redact(text, spans):
    for datum, kind in [(text[a:b], k) for a, b, k in spans]:
        text = text.replace(datum, f"<{kind}>")
    return text
""",
        ),
        (
            "only the first span",
            """
def my_redact(text, spans):
    for start, end, kind in spans[:1]:
        text = text[:start] + f"<{kind}>" + text[end:]
    return text
""",
        ),
        (
            "leaves a gap",
            """
def my_redact(text, spans):
    for start, end, kind in reversed(spans):
        text = text[:start] + text[end:]
    return text
""",
        ),
        (
            "the end belongs to the span",
            """
def my_redact(text, spans):
    for start, end, kind in reversed(spans):
        text = text[:start] + f"<{kind}>" + text[end + 1 :]
    return text
""",
        ),
        (
            "the same word for every kind",
            """
def my_redact(text, spans):
    for start, end, kind in reversed(spans):
        text = text[:start] + "<name>" + text[end:]
    return text
""",
        ),
    ],
    "my_counts": [
        (
            "texts are thrown together",
            """
def my_counts(truth, found):
    a = {span for spans in truth for span in spans}
    b = {span for spans in found for span in spans}
    return len(a & b), sum(map(len, found)), sum(map(len, truth))
""",
        ),
        (
            "the kind does not count",
            """
def my_counts(truth, found):
    hits = sum(len({s[:2] for s in a} & {s[:2] for s in b}) for a, b in zip(truth, found))
    return hits, sum(map(len, found)), sum(map(len, truth))
""",
        ),
        (
            "an overlap is a hit",
            """
def my_counts(truth, found):
    hits = sum(
        any(s[0] < t[1] and t[0] < s[1] and s[2] == t[2] for t in b)
        for a, b in zip(truth, found) for s in a
    )
    return hits, sum(map(len, found)), sum(map(len, truth))
""",
        ),
        (
            "found and there change places",
            """
def my_counts(truth, found):
    hits = sum(len(set(a) & set(b)) for a, b in zip(truth, found))
    return hits, sum(map(len, truth)), sum(map(len, found))
""",
        ),
        (
            "counts texts, not spans",
            """
def my_counts(truth, found):
    hits = sum(bool(set(a) & set(b)) for a, b in zip(truth, found))
    return hits, sum(map(bool, found)), sum(map(bool, truth))
""",
        ),
        (
            "what stands in either is a hit",
            """
def my_counts(truth, found):
    hits = sum(len(set(a) | set(b)) for a, b in zip(truth, found))
    return hits, sum(map(len, found)), sum(map(len, truth))
""",
        ),
        (
            "only the first text",
            """
def my_counts(truth, found):
    hits = len(set(truth[0]) & set(found[0]))
    return hits, len(found[0]), len(truth[0])
""",
        ),
    ],
    "my_viterbi": [
        (
            "word by word",
            """
def my_viterbi(scores, steps):
    return [int(k) for k in scores.argmax(axis=1)] if len(scores) else []
""",
        ),
        (
            "greedy from left to right",
            """
def my_viterbi(scores, steps):
    path = []
    for row in scores:
        total = row + steps[path[-1]] if path else row
        path.append(int(total.argmax()))
    return path
""",
        ),
        (
            "steps the wrong way round",
            """
def my_viterbi(scores, steps):
    if len(scores) == 0:
        return []
    best, arrows = scores[0], []
    for row in scores[1:]:
        ways = best[:, None] + steps.T
        arrows.append(ways.argmax(axis=0))
        best = ways.max(axis=0) + row
    path = [int(best.argmax())]
    for arrow in reversed(arrows):
        path.append(int(arrow[path[-1]]))
    return path[::-1]
""",
        ),
        (
            "the row is not turned round",
            """
def my_viterbi(scores, steps):
    if len(scores) == 0:
        return []
    best, arrows = scores[0], []
    for row in scores[1:]:
        ways = best[:, None] + steps
        arrows.append(ways.argmax(axis=0))
        best = ways.max(axis=0) + row
    path = [int(best.argmax())]
    for arrow in reversed(arrows):
        path.append(int(arrow[path[-1]]))
    return path
""",
        ),
        (
            "forgets the scores behind the first word",
            """
def my_viterbi(scores, steps):
    if len(scores) == 0:
        return []
    best, arrows = scores[0], []
    for row in scores[1:]:
        ways = best[:, None] + steps
        arrows.append(ways.argmax(axis=0))
        best = ways.max(axis=0)
    path = [int(best.argmax())]
    for arrow in reversed(arrows):
        path.append(int(arrow[path[-1]]))
    return path[::-1]
""",
        ),
        (
            "takes the best end of every word instead of walking back",
            """
def my_viterbi(scores, steps):
    if len(scores) == 0:
        return []
    best = scores[0]
    path = [int(best.argmax())]
    for row in scores[1:]:
        best = (best[:, None] + steps).max(axis=0) + row
        path.append(int(best.argmax()))
    return path
""",
        ),
        (
            "fails on no words",
            """
def my_viterbi(scores, steps):
    best, arrows = scores[0], []
    for row in scores[1:]:
        ways = best[:, None] + steps
        arrows.append(ways.argmax(axis=0))
        best = ways.max(axis=0) + row
    path = [int(best.argmax())]
    for arrow in reversed(arrows):
        path.append(int(arrow[path[-1]]))
    return path[::-1]
""",
        ),
    ],
    "my_wilson": [
        (
            "the naive interval",
            """
def my_wilson(k, n):
    p = k / n
    half = 1.959964 * (p * (1 - p) / n) ** 0.5
    return p - half, p + half
""",
        ),
        (
            "the naive interval, cut to 0 and 1",
            """
def my_wilson(k, n):
    p = k / n
    half = 1.959964 * (p * (1 - p) / n) ** 0.5
    return max(0.0, p - half), min(1.0, p + half)
""",
        ),
        (
            "forgets the square of z",
            """
def my_wilson(k, n):
    p, u = k / n, 1.959964 / n
    a, b, c = 1 + u, 2 * p + u, p * p
    root = max(b * b - 4 * a * c, 0.0) ** 0.5
    return (b - root) / (2 * a), (b + root) / (2 * a)
""",
        ),
        (
            "the two ends change places",
            """
def my_wilson(k, n):
    p, u = k / n, 1.959964**2 / n
    a, b, c = 1 + u, 2 * p + u, p * p
    root = max(b * b - 4 * a * c, 0.0) ** 0.5
    return (b + root) / (2 * a), (b - root) / (2 * a)
""",
        ),
        (
            "the middle is p",
            """
def my_wilson(k, n):
    p, u = k / n, 1.959964**2 / n
    half = (p * (1 - p) / n + u / (4 * n)) ** 0.5 * 1.959964 / (1 + u)
    return p - half, p + half
""",
        ),
        (
            "90 percent",
            """
def my_wilson(k, n):
    p, u = k / n, 1.644854**2 / n
    a, b, c = 1 + u, 2 * p + u, p * p
    root = max(b * b - 4 * a * c, 0.0) ** 0.5
    return (b - root) / (2 * a), (b + root) / (2 * a)
""",
        ),
        (
            "half of the solution formula",
            """
def my_wilson(k, n):
    p, u = k / n, 1.959964**2 / n
    a, b, c = 1 + u, 2 * p + u, p * p
    root = max(b * b - 4 * a * c, 0.0) ** 0.5
    return (b - root) / 2, (b + root) / 2
""",
        ),
    ],
}
