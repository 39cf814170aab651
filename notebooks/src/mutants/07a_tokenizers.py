"""Wrong solutions of lesson 07a's exercises: each must be rejected by the lesson's own checks."""

MUTANTS = {
    "rise_of_merge": [
        (
            "forgets that there are fewer pieces in all",
            """
def rise_of_merge(ab, a, b, total):
    def f(x):
        return x * log(x) if x else 0.0
    return f(a - ab) + f(b - ab) + f(ab) - f(a) - f(b)
""",
        ),
        (
            "the frequency",
            "\ndef rise_of_merge(ab, a, b, total):\n    return float(ab)\n",
        ),
        (
            "the ratio",
            "\ndef rise_of_merge(ab, a, b, total):\n    return ab / (a * b)\n",
        ),
        (
            "the approximation for small counts",
            """
def rise_of_merge(ab, a, b, total):
    return ab * (log(total * ab / (a * b)) - 1)
""",
        ),
        (
            "bits instead of nats",
            """
def rise_of_merge(ab, a, b, total):
    def f(x):
        return x * log(x) / log(2) if x else 0.0
    return f(a - ab) + f(b - ab) + f(ab) - f(total - ab) - f(a) - f(b) + f(total)
""",
        ),
        (
            "0 log 0 is an error",
            """
def rise_of_merge(ab, a, b, total):
    def f(x):
        return x * log(x)
    return f(a - ab) + f(b - ab) + f(ab) - f(total - ab) - f(a) - f(b) + f(total)
""",
        ),
        (
            "the fall instead of the rise",
            """
def rise_of_merge(ab, a, b, total):
    def f(x):
        return x * log(x) if x else 0.0
    return f(a) + f(b) - f(total) - f(a - ab) - f(b - ab) - f(ab) + f(total - ab)
""",
        ),
        (
            "the new piece is not counted",
            """
def rise_of_merge(ab, a, b, total):
    def f(x):
        return x * log(x) if x else 0.0
    return f(a - ab) + f(b - ab) - f(total - 2 * ab) - f(a) - f(b) + f(total)
""",
        ),
    ],
    "count_cuts": [
        (
            "only whether it can be spelled",
            """
def count_cuts(word, pieces):
    ways = [True] + [False] * len(word)
    for j in range(1, len(word) + 1):
        ways[j] = any(ways[i] for i in range(j) if word[i:j] in pieces)
    return int(ways[-1])
""",
        ),
        (
            "begins with no way",
            """
def count_cuts(word, pieces):
    ways = [0] * (len(word) + 1)
    for j in range(1, len(word) + 1):
        ways[j] = sum(ways[i] for i in range(j) if word[i:j] in pieces)
    return ways[-1]
""",
        ),
        (
            "keeps the maximum",
            """
def count_cuts(word, pieces):
    ways = [1] + [0] * len(word)
    for j in range(1, len(word) + 1):
        ways[j] = max((ways[i] for i in range(j) if word[i:j] in pieces), default=0)
    return ways[-1]
""",
        ),
        (
            "all cuts, spelled or not",
            "\ndef count_cuts(word, pieces):\n    return 2 ** max(0, len(word) - 1)\n",
        ),
        (
            "counts steps, not ways",
            """
def count_cuts(word, pieces):
    ways = [1] + [0] * len(word)
    for j in range(1, len(word) + 1):
        ways[j] = sum(1 for i in range(j) if ways[i] and word[i:j] in pieces)
    return ways[-1]
""",
        ),
        (
            "misses pieces of one letter",
            """
def count_cuts(word, pieces):
    ways = [1] + [0] * len(word)
    for j in range(1, len(word) + 1):
        ways[j] = sum(ways[i] for i in range(j - 1) if word[i:j] in pieces)
    return ways[-1]
""",
        ),
        (
            "pieces of two letters at most",
            """
def count_cuts(word, pieces):
    ways = [1] + [0] * len(word)
    for j in range(1, len(word) + 1):
        ways[j] = sum(ways[i] for i in range(max(0, j - 2), j) if word[i:j] in pieces)
    return ways[-1]
""",
        ),
        (
            "the empty word has no cut",
            """
def count_cuts(word, pieces):
    if not word:
        return 0
    ways = [1] + [0] * len(word)
    for j in range(1, len(word) + 1):
        ways[j] = sum(ways[i] for i in range(j) if word[i:j] in pieces)
    return ways[-1]
""",
        ),
    ],
    "expected_uses": [
        (
            "the best cut only",
            """
def expected_uses(word, p):
    uses = dict.fromkeys(p, 0.0)
    unigram = Unigram([("<unk>", -99.0), *((x, log(v)) for x, v in p.items())])
    for piece in unigram.best(word)[0]:
        uses[piece] += 1.0
    return uses
""",
        ),
        (
            "is not divided by the probability of the word",
            """
def expected_uses(word, p):
    def cuts(w):
        heads = [(w[:n], w[n:]) for n in range(1, len(w) + 1)]
        return [[a, *b] for a, c in heads for b in cuts(c)] or [[]]
    uses = dict.fromkeys(p, 0.0)
    for cut in cuts(word):
        w = float(np.prod([p.get(x, 0.0) for x in cut]))
        for x in cut:
            if x in p:
                uses[x] += w
    return uses
""",
        ),
        (
            "all cuts count alike",
            """
def expected_uses(word, p):
    def cuts(w):
        heads = [(w[:n], w[n:]) for n in range(1, len(w) + 1)]
        return [[a, *b] for a, c in heads for b in cuts(c)] or [[]]
    uses = dict.fromkeys(p, 0.0)
    good = [cut for cut in cuts(word) if set(cut) <= set(p)]
    for cut in good:
        for x in cut:
            uses[x] += 1.0 / len(good)
    return uses
""",
        ),
        (
            "leaves out what is not used",
            """
def expected_uses(word, p):
    logs = {x: log(v) for x, v in p.items()}
    counts, _ = expected_counts({word: 1}, logs)
    return {x: float(c) for x, c in counts.items() if c}
""",
        ),
        (
            "the last place of a piece wins",
            """
def expected_uses(word, p):
    n = len(word)
    spans = [(i, j) for j in range(1, n + 1) for i in range(j) if word[i:j] in p]
    before, after = [1.0] + [0.0] * n, [0.0] * n + [1.0]
    for i, j in spans:
        before[j] += before[i] * p[word[i:j]]
    for i, j in sorted(spans, reverse=True):
        after[i] += p[word[i:j]] * after[j]
    uses = dict.fromkeys(p, 0.0)
    for i, j in spans:
        uses[word[i:j]] = before[i] * p[word[i:j]] * after[j] / before[n]
    return uses
""",
        ),
        (
            "forgets what comes behind the piece",
            """
def expected_uses(word, p):
    n = len(word)
    spans = [(i, j) for j in range(1, n + 1) for i in range(j) if word[i:j] in p]
    before = [1.0] + [0.0] * n
    for i, j in spans:
        before[j] += before[i] * p[word[i:j]]
    uses = dict.fromkeys(p, 0.0)
    for i, j in spans:
        uses[word[i:j]] += before[i] * p[word[i:j]] / before[n]
    return uses
""",
        ),
        (
            "whether a piece is used, not how often",
            """
def expected_uses(word, p):
    def cuts(w):
        heads = [(w[:n], w[n:]) for n in range(1, len(w) + 1)]
        return [[a, *b] for a, c in heads for b in cuts(c)] or [[]]
    uses, total = dict.fromkeys(p, 0.0), 0.0
    for cut in cuts(word):
        w = float(np.prod([p.get(x, 0.0) for x in cut]))
        total += w
        for x in set(cut) & set(p):
            uses[x] += w
    return {x: u / total for x, u in uses.items()}
""",
        ),
        (
            "goes backward in the order of going forward",
            """
def expected_uses(word, p):
    n = len(word)
    spans = [(i, j) for j in range(1, n + 1) for i in range(j) if word[i:j] in p]
    before, after = [1.0] + [0.0] * n, [0.0] * n + [1.0]
    for i, j in spans:
        before[j] += before[i] * p[word[i:j]]
        after[i] += p[word[i:j]] * after[j]
    uses = dict.fromkeys(p, 0.0)
    for i, j in spans:
        uses[word[i:j]] += before[i] * p[word[i:j]] * after[j] / before[n]
    return uses
""",
        ),
    ],
    "join": [
        (
            "the bug itself",
            """
def join(pieces):
    out = ""
    for x in pieces:
        if re.fullmatch("<0x[0-9A-F]{2}>", x):
            x = bytes([int(x[3:5], 16)]).decode("utf-8", "replace")
        out += x
    return out
""",
        ),
        (
            "drops bytes that are no UTF-8",
            """
def join(pieces):
    whole = b""
    for x in pieces:
        byte = re.fullmatch("<0x[0-9A-F]{2}>", x)
        whole += bytes([int(x[3:5], 16)]) if byte else x.encode("utf-8")
    return whole.decode("utf-8", "ignore")
""",
        ),
        (
            "fails on bytes that are no UTF-8",
            """
def join(pieces):
    whole = b""
    for x in pieces:
        byte = re.fullmatch("<0x[0-9A-F]{2}>", x)
        whole += bytes([int(x[3:5], 16)]) if byte else x.encode("utf-8")
    return whole.decode("utf-8")
""",
        ),
        (
            "a byte is a character",
            """
def join(pieces):
    byte = re.compile("<0x[0-9A-F]{2}>")
    return "".join(chr(int(x[3:5], 16)) if byte.fullmatch(x) else x for x in pieces)
""",
        ),
        (
            "takes small letters for a byte, too",
            """
def join(pieces):
    whole = b""
    for x in pieces:
        byte = re.fullmatch("<0x[0-9A-Fa-f]{2}>", x)
        whole += bytes([int(x[3:5], 16)]) if byte else x.encode("utf-8")
    return whole.decode("utf-8", "replace")
""",
        ),
        (
            "whatever begins like a byte is one",
            """
def join(pieces):
    whole = b""
    for x in pieces:
        whole += bytes([int(x[3:5], 16)]) if x.startswith("<0x") else x.encode("utf-8")
    return whole.decode("utf-8", "replace")
""",
        ),
        (
            "gives up on the whole text if a byte is wrong",
            """
def join(pieces):
    whole = b""
    for x in pieces:
        byte = re.fullmatch("<0x[0-9A-F]{2}>", x)
        whole += bytes([int(x[3:5], 16)]) if byte else x.encode("utf-8")
    try:
        return whole.decode("utf-8")
    except UnicodeDecodeError:
        return "\\ufffd" * len(pieces)
""",
        ),
        (
            "does not know byte pieces",
            "\ndef join(pieces):\n    return ''.join(pieces)\n",
        ),
    ],
    "rows_needed": [
        (
            "rounds down",
            """
def rows_needed(n_entries, multiple, n_devices):
    step = multiple * n_devices
    return n_entries // step * step
""",
        ),
        (
            "forgets the devices",
            """
def rows_needed(n_entries, multiple, n_devices):
    return -(-n_entries // multiple) * multiple
""",
        ),
        (
            "the least common multiple",
            """
def rows_needed(n_entries, multiple, n_devices):
    step = int(np.lcm(multiple, n_devices))
    return -(-n_entries // step) * step
""",
        ),
        (
            "always goes on, also from a number that fits",
            """
def rows_needed(n_entries, multiple, n_devices):
    step = multiple * n_devices
    return (n_entries // step + 1) * step
""",
        ),
        (
            "rounds to the nearest",
            """
def rows_needed(n_entries, multiple, n_devices):
    step = multiple * n_devices
    return max(1, round(n_entries / step)) * step
""",
        ),
        (
            "rows of one device",
            """
def rows_needed(n_entries, multiple, n_devices):
    step = multiple * n_devices
    return -(-n_entries // step) * multiple
""",
        ),
        (
            "always 128",
            """
def rows_needed(n_entries, multiple, n_devices):
    step = 128 * n_devices
    return -(-n_entries // step) * step
""",
        ),
    ],
}
