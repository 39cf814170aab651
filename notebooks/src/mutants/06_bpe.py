"""Wrong solutions of lesson 06's exercises: each must be rejected by the lesson's own checks."""

MUTANTS = {
    "count_replaced": [
        (
            "overlaps count",
            """
def count_replaced(words):
    counts = {}
    for word, n in words.items():
        for pair in pairwise(word):
            counts[pair] = counts.get(pair, 0) + n
    return counts
""",
        ),
        (
            "each word counts once",
            """
def count_replaced(words):
    counts = {}
    for word in words:
        last = {}
        for i, pair in enumerate(pairwise(word)):
            if last.get(pair) != i - 1:
                counts[pair] = counts.get(pair, 0) + 1
                last[pair] = i
    return counts
""",
        ),
        (
            "a pair counts once a word",
            """
def count_replaced(words):
    counts = {}
    for word, n in words.items():
        for pair in set(pairwise(word)):
            counts[pair] = counts.get(pair, 0) + n
    return counts
""",
        ),
        (
            "a run of equal ids counts once",
            """
def count_replaced(words):
    counts = {}
    for word, n in words.items():
        last = {}
        for i, pair in enumerate(pairwise(word)):
            if last.get(pair) != i - 1:
                counts[pair] = counts.get(pair, 0) + n
            last[pair] = i
    return counts
""",
        ),
        (
            "jumps over the place behind a run of two, so pairs are lost",
            """
def count_replaced(words):
    counts = {}
    for word, n in words.items():
        i = 0
        while i + 1 < len(word):
            pair = word[i], word[i + 1]
            counts[pair] = counts.get(pair, 0) + n
            i += 2 if word[i] == word[i + 1] else 1
    return counts
""",
        ),
        (
            "steps by two everywhere",
            """
def count_replaced(words):
    counts = {}
    for word, n in words.items():
        for i in range(0, len(word) - 1, 2):
            pair = word[i], word[i + 1]
            counts[pair] = counts.get(pair, 0) + n
    return counts
""",
        ),
        (
            "the last word wins",
            """
def count_replaced(words):
    counts = {}
    for word, n in words.items():
        here, last = {}, {}
        for i, pair in enumerate(pairwise(word)):
            if last.get(pair) != i - 1:
                here[pair] = here.get(pair, 0) + n
                last[pair] = i
        counts.update(here)
    return counts
""",
        ),
        (
            "remembers the last place across words",
            """
def count_replaced(words):
    counts, last = {}, {}
    for word, n in words.items():
        for i, pair in enumerate(pairwise(word)):
            if last.get(pair) != i - 1:
                counts[pair] = counts.get(pair, 0) + n
                last[pair] = i
    return counts
""",
        ),
        (
            "order inside the pair is lost",
            """
def count_replaced(words):
    counts = {}
    for word, n in words.items():
        last = {}
        for i, pair in enumerate(pairwise(word)):
            pair = tuple(sorted(pair))
            if last.get(pair) != i - 1:
                counts[pair] = counts.get(pair, 0) + n
                last[pair] = i
    return counts
""",
        ),
    ],
    "my_replace_pair": [
        (
            "moves on by one after a match",
            """
def my_replace_pair(word, pair, new):
    out = []
    for i in range(len(word)):
        out.append(new if word[i : i + 2] == pair else word[i])
    return tuple(out)
""",
        ),
        (
            "only the first occurrence",
            """
def my_replace_pair(word, pair, new):
    for i in range(len(word)):
        if word[i : i + 2] == pair:
            return word[:i] + (new,) + word[i + 2 :]
    return word
""",
        ),
        (
            "from right to left",
            """
def my_replace_pair(word, pair, new):
    out, i = [], len(word)
    while i > 0:
        if i >= 2 and word[i - 2 : i] == pair:
            out.append(new)
            i -= 2
        else:
            out.append(word[i - 1])
            i -= 1
    return tuple(reversed(out))
""",
        ),
        (
            "the pair in either order",
            """
def my_replace_pair(word, pair, new):
    out, i = [], 0
    while i < len(word):
        if word[i : i + 2] in (pair, pair[::-1]):
            out.append(new)
            i += 2
        else:
            out.append(word[i])
            i += 1
    return tuple(out)
""",
        ),
        (
            "loses the last token",
            """
def my_replace_pair(word, pair, new):
    out, i = [], 0
    while i < len(word) - 1:
        if word[i : i + 2] == pair:
            out.append(new)
            i += 2
        else:
            out.append(word[i])
            i += 1
    return tuple(out)
""",
        ),
        (
            "keeps the second half of the pair",
            """
def my_replace_pair(word, pair, new):
    out, i = [], 0
    while i < len(word):
        if word[i : i + 2] == pair:
            out += [new, pair[1]]
            i += 2
        else:
            out.append(word[i])
            i += 1
    return tuple(out)
""",
        ),
    ],
    "next_pair": [
        (
            "no tie rule",
            "\ndef next_pair(counts, vocab):\n    return max(counts, key=counts.get)\n",
        ),
        (
            "compares ids",
            "\ndef next_pair(counts, vocab):\n    return max(counts, key=lambda p: (counts[p], p))\n",
        ),
        (
            "smallest instead of greatest",
            """
def next_pair(counts, vocab):
    top = max(counts.values())
    return min((p for p in counts if counts[p] == top), key=lambda p: (vocab[p[0]], vocab[p[1]]))
""",
        ),
        (
            "compares the joined text",
            """
def next_pair(counts, vocab):
    return max(counts, key=lambda p: (counts[p], vocab[p[0]] + vocab[p[1]]))
""",
        ),
        (
            "forgets the second half",
            """
def next_pair(counts, vocab):
    return max(counts, key=lambda p: (counts[p], vocab[p[0]]))
""",
        ),
        (
            "ignores the counts",
            """
def next_pair(counts, vocab):
    return max(counts, key=lambda p: (vocab[p[0]], vocab[p[1]]))
""",
        ),
        (
            "longest first",
            """
def next_pair(counts, vocab):
    return max(counts, key=lambda p: (counts[p], len(vocab[p[0]]), vocab[p[0]], vocab[p[1]]))
""",
        ),
    ],
    "my_encode": [
        (
            "merges the leftmost pair that is known",
            """
def my_encode(word, ranks):
    parts = [bytes([b]) for b in word]
    i = 0
    while i + 1 < len(parts):
        if (parts[i], parts[i + 1]) in ranks:
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
            i = 0
        else:
            i += 1
    return parts
""",
        ),
        (
            "takes the longest token that fits",
            """
def my_encode(word, ranks):
    known = {a + b for a, b in ranks} | {bytes([b]) for b in range(256)}
    parts, i = [], 0
    while i < len(word):
        end = max(e for e in range(i + 1, len(word) + 1) if word[i:e] in known)
        parts.append(word[i:end])
        i = end
    return parts
""",
        ),
        (
            "the last learned first",
            """
def my_encode(word, ranks):
    parts = [bytes([b]) for b in word]
    while True:
        found = [ranks.get(pair, -1) for pair in pairwise(parts)]
        if not found or max(found) < 0:
            return parts
        i = found.index(max(found))
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
""",
        ),
        (
            "stops after one merge",
            """
def my_encode(word, ranks):
    parts = [bytes([b]) for b in word]
    found = [ranks.get(pair, float("inf")) for pair in pairwise(parts)]
    if found and min(found) < float("inf"):
        i = found.index(min(found))
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts
""",
        ),
        (
            "splits characters, not bytes",
            """
def my_encode(word, ranks):
    parts = [c.encode() for c in word.decode()]
    while len(parts) > 1:
        found = [ranks.get(pair, float("inf")) for pair in pairwise(parts)]
        i = found.index(min(found))
        if found[i] == float("inf"):
            break
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts
""",
        ),
        (
            "fails on the empty word",
            """
def my_encode(word, ranks):
    parts = [bytes([b]) for b in word]
    while True:
        found = [ranks.get(pair, float("inf")) for pair in pairwise(parts)]
        if min(found) == float("inf"):
            return parts
        i = found.index(min(found))
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
""",
        ),
    ],
    "count_words": [
        (
            "the bug itself",
            "\ndef count_words(text, special):\n    return dict(Counter(pretokens(text)))\n",
        ),
        (
            "removes the token, so that its sides touch",
            """
def count_words(text, special):
    return dict(Counter(pretokens(text.replace(special, ""))))
""",
        ),
        (
            "puts a space in its place",
            """
def count_words(text, special):
    return dict(Counter(pretokens(text.replace(special, " "))))
""",
        ),
        (
            "puts a newline in its place",
            """
def count_words(text, special):
    return dict(Counter(pretokens(text.replace(special, "\\n"))))
""",
        ),
        (
            "only the first piece",
            """
def count_words(text, special):
    return dict(Counter(pretokens(text.split(special)[0])))
""",
        ),
        (
            "each word once",
            """
def count_words(text, special):
    return {w: 1 for piece in text.split(special) for w in pretokens(piece)}
""",
        ),
        (
            "a fixed special token",
            """
def count_words(text, special):
    pieces = text.split("<|end|>")
    return dict(Counter(w for piece in pieces for w in pretokens(piece)))
""",
        ),
        (
            "splits at spaces",
            """
def count_words(text, special):
    return dict(Counter(w for piece in text.split(special) for w in piece.split()))
""",
        ),
    ],
}
