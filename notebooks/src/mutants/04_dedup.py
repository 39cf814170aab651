"""Wrong solutions of lesson 04's exercises: each must be rejected by the lesson's own checks."""

MUTANTS = {
    "my_shingles": [
        (
            "one run too few",
            """
def my_shingles(tokens, n):
    return {tuple(tokens[i : i + n]) for i in range(len(tokens) - n)}
""",
        ),
        (
            "short texts have none",
            """
def my_shingles(tokens, n):
    return {tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)}
""",
        ),
        (
            "runs at the end are cut",
            """
def my_shingles(tokens, n):
    return {tuple(tokens[i : i + n]) for i in range(len(tokens))}
""",
        ),
        (
            "runs do not overlap",
            """
def my_shingles(tokens, n):
    starts = range(0, max(len(tokens) - n, 0) + 1, n)
    return {tuple(tokens[i : i + n]) for i in starts} if tokens else set()
""",
        ),
        (
            "an empty text has an empty run",
            """
def my_shingles(tokens, n):
    return {tuple(tokens[i : i + n]) for i in range(max(len(tokens) - n, 0) + 1)}
""",
        ),
        (
            "the order within a run is lost",
            """
def my_shingles(tokens, n):
    starts = range(max(len(tokens) - n, 0) + 1)
    return {tuple(sorted(tokens[i : i + n])) for i in starts} if tokens else set()
""",
        ),
        (
            "a list with repeats",
            """
def my_shingles(tokens, n):
    starts = range(max(len(tokens) - n, 0) + 1)
    return [tuple(tokens[i : i + n]) for i in starts] if tokens else []
""",
        ),
    ],
    "my_signature": [
        (
            "the largest instead of the smallest",
            """
def my_signature(elements, table):
    k = len(next(iter(table.values())))
    return [max([table[e][i] for e in elements], default=2**32 - 1) for i in range(k)]
""",
        ),
        (
            "the empty set gets zeros",
            """
def my_signature(elements, table):
    k = len(next(iter(table.values())))
    return [min([table[e][i] for e in elements], default=0) for i in range(k)]
""",
        ),
        (
            "one function for all",
            """
def my_signature(elements, table):
    k = len(next(iter(table.values())))
    return [min([table[e][0] for e in elements], default=2**32 - 1)] * k
""",
        ),
        (
            "the row of the smallest element",
            """
def my_signature(elements, table):
    k = len(next(iter(table.values())))
    return min([table[e] for e in elements], default=[2**32 - 1] * k)
""",
        ),
        (
            "the whole table",
            """
def my_signature(elements, table):
    return [min(column) for column in zip(*table.values())]
""",
        ),
        (
            "the empty set has no signature",
            """
def my_signature(elements, table):
    return [min(column) for column in zip(*(table[e] for e in elements))]
""",
        ),
    ],
    "my_candidates": [
        (
            "bands share their buckets",
            """
def my_candidates(signed, n_bands):
    buckets = {}
    for i, values in enumerate(signed):
        r = len(values) // n_bands
        for band in range(n_bands):
            buckets.setdefault(tuple(values[band * r : (band + 1) * r]), []).append(i)
    return {(i, j) for b in buckets.values() for i in b for j in b if i < j}
""",
        ),
        (
            "one equal row is enough",
            """
def my_candidates(signed, n_bands):
    n = range(len(signed))
    return {(i, j) for i in n for j in n if i < j
            and any(a == b for a, b in zip(signed[i], signed[j]))}
""",
        ),
        (
            "all bands must agree",
            """
def my_candidates(signed, n_bands):
    n = range(len(signed))
    return {(i, j) for i in n for j in n if i < j and signed[i] == signed[j]}
""",
        ),
        (
            "only the first band",
            """
def my_candidates(signed, n_bands):
    n, r = range(len(signed)), len(signed[0]) // n_bands
    return {(i, j) for i in n for j in n if i < j and signed[i][:r] == signed[j][:r]}
""",
        ),
        (
            "pairs in both directions",
            """
def my_candidates(signed, n_bands):
    r = len(signed[0]) // n_bands
    n = range(len(signed))
    return {(i, j) for i in n for j in n if i != j and any(
        signed[i][k : k + r] == signed[j][k : k + r] for k in range(0, r * n_bands, r))}
""",
        ),
        (
            "only neighbours in a bucket",
            """
def my_candidates(signed, n_bands):
    last, out = {}, set()
    for i, values in enumerate(signed):
        r = len(values) // n_bands
        for band in range(n_bands):
            key = (band, *values[band * r : (band + 1) * r])
            if key in last:
                out.add((last[key], i))
            last[key] = i
    return out
""",
        ),
    ],
    "my_longest_repeat": [
        (
            "the places may not overlap",
            """
def my_longest_repeat(text):
    best = ""
    for i in range(len(text)):
        for j in range(i + 1, len(text) + 1):
            piece = text[i:j]
            if piece in text[j:] and (-len(piece), piece) < (-len(best), best):
                best = piece
    return best
""",
        ),
        (
            "the last in the alphabet of equally long ones",
            """
def my_longest_repeat(text):
    suffixes = sorted(text[i:] for i in range(len(text)))
    best = ""
    for a, b in zip(suffixes, suffixes[1:]):
        n = 0
        while n < min(len(a), len(b)) and a[n] == b[n]:
            n += 1
        if n >= len(best):
            best = a[:n]
    return best
""",
        ),
        (
            "the first that is found",
            """
def my_longest_repeat(text):
    suffixes = sorted(text[i:] for i in range(len(text)))
    for a, b in zip(suffixes, suffixes[1:]):
        n = 0
        while n < min(len(a), len(b)) and a[n] == b[n]:
            n += 1
        if n:
            return a[:n]
    return ""
""",
        ),
        (
            "neighbours of the unsorted suffixes",
            """
def my_longest_repeat(text):
    suffixes = [text[i:] for i in range(len(text))]
    best = ""
    for a, b in zip(suffixes, suffixes[1:]):
        n = 0
        while n < min(len(a), len(b)) and a[n] == b[n]:
            n += 1
        best = a[:n] if n > len(best) else best
    return best
""",
        ),
        (
            "the first of equally long ones in the text",
            """
def my_longest_repeat(text):
    best = ""
    for i in range(len(text)):
        for j in range(i + len(best) + 1, len(text) + 1):
            if text.find(text[i:j], i + 1) >= 0:
                best = text[i:j]
    return best
""",
        ),
    ],
    "my_seen": [
        (
            "counting starts at 0",
            """
def my_seen(n_words, every, n):
    run = longest = 0
    for place in range(n_words):
        run = 0 if place % every == 0 else run + 1
        longest = max(longest, run)
    return longest >= n
""",
        ),
        (
            "the changed word counts",
            """
def my_seen(n_words, every, n):
    return min(n_words, every) >= n
""",
        ),
        (
            "the end is forgotten",
            """
def my_seen(n_words, every, n):
    run = longest = 0
    for place in range(1, n_words + 1):
        if place % every == 0:
            longest, run = max(longest, run), 0
        else:
            run += 1
    return longest >= n
""",
        ),
        (
            "short items are always seen",
            """
def my_seen(n_words, every, n):
    return n_words < n or min(n_words, every - 1) >= n
""",
        ),
        (
            "longer than n",
            """
def my_seen(n_words, every, n):
    return min(n_words, every - 1) > n
""",
        ),
        (
            "all unchanged words together",
            """
def my_seen(n_words, every, n):
    return n_words - n_words // every >= n
""",
        ),
    ],
}
