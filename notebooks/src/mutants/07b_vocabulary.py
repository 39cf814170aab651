"""Wrong solutions of lesson 07b's exercises: each must be rejected by the lesson's own checks."""

MUTANTS = {
    "fertility_and_split": [
        (
            "encodes the whole text",
            """
def fertility_and_split(encode, text):
    words = words_of(text)
    split = sum(len(encode(w)) > 1 for w in words)
    return len(encode(text)) / len(words), split / len(words)
""",
        ),
        (
            "words without their spaces",
            """
def fertility_and_split(encode, text):
    counts = [len(encode(w.strip())) for w in words_of(text)]
    return sum(counts) / len(counts), sum(n > 1 for n in counts) / len(counts)
""",
        ),
        (
            "words are what stands between spaces",
            """
def fertility_and_split(encode, text):
    counts = [len(encode(" " + w)) for w in text.split()]
    return sum(counts) / len(counts), sum(n > 1 for n in counts) / len(counts)
""",
        ),
        (
            "tokens per character",
            """
def fertility_and_split(encode, text):
    counts = [len(encode(w)) for w in words_of(text)]
    return sum(counts) / len(text), sum(n > 1 for n in counts) / len(counts)
""",
        ),
        (
            "words per token",
            """
def fertility_and_split(encode, text):
    counts = [len(encode(w)) for w in words_of(text)]
    return len(counts) / sum(counts), sum(n > 1 for n in counts) / len(counts)
""",
        ),
        (
            "a single token counts as split",
            """
def fertility_and_split(encode, text):
    counts = [len(encode(w)) for w in words_of(text)]
    return sum(counts) / len(counts), sum(n >= 1 for n in counts) / len(counts)
""",
        ),
        (
            "split only from three tokens on",
            """
def fertility_and_split(encode, text):
    counts = [len(encode(w)) for w in words_of(text)]
    return sum(counts) / len(counts), sum(n > 2 for n in counts) / len(counts)
""",
        ),
        (
            "the two in the wrong order",
            """
def fertility_and_split(encode, text):
    counts = [len(encode(w)) for w in words_of(text)]
    return sum(n > 1 for n in counts) / len(counts), sum(counts) / len(counts)
""",
        ),
        (
            "each word once",
            """
def fertility_and_split(encode, text):
    counts = [len(encode(w)) for w in set(words_of(text))]
    return sum(counts) / len(counts), sum(n > 1 for n in counts) / len(counts)
""",
        ),
    ],
    "han_entries": [
        (
            "only the common block",
            r"""
def han_entries(vocabulary):
    single = longer = 0
    for entry in vocabulary:
        text = entry.decode("utf-8", "ignore") if entry else ""
        if entry != text.encode():
            continue
        if any("\u4e00" <= c <= "\u9fff" for c in text):
            single += len(text) == 1
            longer += len(text) > 1
    return single, longer
""",
        ),
        (
            "parts of characters are ignored, not the entry",
            r"""
def han_entries(vocabulary):
    import regex
    texts = [e.decode("utf-8", "ignore") for e in vocabulary]
    found = [t for t in texts if regex.search(r"\p{Han}", t)]
    return sum(len(t) == 1 for t in found), sum(len(t) > 1 for t in found)
""",
        ),
        (
            "parts of characters are an error",
            r"""
def han_entries(vocabulary):
    import regex
    texts = [e.decode("utf-8") for e in vocabulary]
    found = [t for t in texts if regex.search(r"\p{Han}", t)]
    return sum(len(t) == 1 for t in found), sum(len(t) > 1 for t in found)
""",
        ),
        (
            "three bytes are a character",
            r"""
def han_entries(vocabulary):
    import regex
    single = longer = 0
    for entry in vocabulary:
        try:
            text = entry.decode("utf-8")
        except UnicodeDecodeError:
            continue
        if regex.search(r"\p{Han}", text):
            single += len(entry) == 3
            longer += len(entry) > 3
    return single, longer
""",
        ),
        (
            "longer ones only if all is Han",
            r"""
def han_entries(vocabulary):
    import regex
    single = longer = 0
    for entry in vocabulary:
        try:
            text = entry.decode("utf-8")
        except UnicodeDecodeError:
            continue
        if regex.fullmatch(r"\p{Han}+", text):
            single += len(text) == 1
            longer += len(text) > 1
    return single, longer
""",
        ),
        (
            "only at the beginning",
            r"""
def han_entries(vocabulary):
    import regex
    single = longer = 0
    for entry in vocabulary:
        try:
            text = entry.decode("utf-8")
        except UnicodeDecodeError:
            continue
        if regex.match(r"\p{Han}", text):
            single += len(text) == 1
            longer += len(text) > 1
    return single, longer
""",
        ),
        (
            "all that is not ASCII",
            r"""
def han_entries(vocabulary):
    single = longer = 0
    for entry in vocabulary:
        try:
            text = entry.decode("utf-8")
        except UnicodeDecodeError:
            continue
        if not text.isascii():
            single += len(text) == 1
            longer += len(text) > 1
    return single, longer
""",
        ),
        (
            "characters instead of entries",
            r"""
def han_entries(vocabulary):
    import regex
    single = longer = 0
    for entry in vocabulary:
        try:
            text = entry.decode("utf-8")
        except UnicodeDecodeError:
            continue
        n = len(regex.findall(r"\p{Han}", text))
        single += n == 1
        longer += n > 1
    return single, longer
""",
        ),
    ],
    "tokens_for": [
        (
            "no output matrix",
            """
def tokens_for(budget, vocab_size, d, n_layers, context):
    width = -(-8 * d // 3 // 16) * 16
    blocks = n_layers * (4 * d**2 + 3 * d * width)
    return int(budget // (6 * blocks + 12 * n_layers * d * context))
""",
        ),
        (
            "no attention",
            """
def tokens_for(budget, vocab_size, d, n_layers, context):
    width = -(-8 * d // 3 // 16) * 16
    blocks = n_layers * (4 * d**2 + 3 * d * width)
    return int(budget // (6 * (blocks + vocab_size * d)))
""",
        ),
        (
            "the attention of one block",
            """
def tokens_for(budget, vocab_size, d, n_layers, context):
    width = -(-8 * d // 3 // 16) * 16
    blocks = n_layers * (4 * d**2 + 3 * d * width)
    return int(budget // (6 * (blocks + vocab_size * d) + 12 * d * context))
""",
        ),
        (
            "rounds the width down",
            """
def tokens_for(budget, vocab_size, d, n_layers, context):
    width = 8 * d // 3 // 16 * 16
    blocks = n_layers * (4 * d**2 + 3 * d * width)
    a_token = 6 * (blocks + vocab_size * d) + 12 * n_layers * d * context
    return int(budget // a_token)
""",
        ),
        (
            "does not round the width",
            """
def tokens_for(budget, vocab_size, d, n_layers, context):
    blocks = n_layers * (4 * d**2 + 8 * d**2)
    a_token = 6 * (blocks + vocab_size * d) + 12 * n_layers * d * context
    return int(budget // a_token)
""",
        ),
        (
            "two matrices in the feed-forward layer",
            """
def tokens_for(budget, vocab_size, d, n_layers, context):
    width = -(-8 * d // 3 // 16) * 16
    blocks = n_layers * (4 * d**2 + 2 * d * width)
    a_token = 6 * (blocks + vocab_size * d) + 12 * n_layers * d * context
    return int(budget // a_token)
""",
        ),
        (
            "the forward pass only",
            """
def tokens_for(budget, vocab_size, d, n_layers, context):
    width = -(-8 * d // 3 // 16) * 16
    blocks = n_layers * (4 * d**2 + 3 * d * width)
    a_token = 2 * (blocks + vocab_size * d) + 4 * n_layers * d * context
    return int(budget // a_token)
""",
        ),
        (
            "an output matrix in every block",
            """
def tokens_for(budget, vocab_size, d, n_layers, context):
    width = -(-8 * d // 3 // 16) * 16
    block = 4 * d**2 + 3 * d * width + vocab_size * d
    return int(budget // (n_layers * (6 * block + 12 * d * context)))
""",
        ),
        (
            "rounds up",
            """
def tokens_for(budget, vocab_size, d, n_layers, context):
    width = -(-8 * d // 3 // 16) * 16
    blocks = n_layers * (4 * d**2 + 3 * d * width)
    a_token = 6 * (blocks + vocab_size * d) + 12 * n_layers * d * context
    return int(-(-budget // a_token))
""",
        ),
    ],
    "merged_rows": [
        (
            "the mean of the two means",
            """
def merged_rows(table, pairs):
    rows = list(table)
    for a, b in pairs:
        rows.append((rows[a] + rows[b]) / 2)
    return np.array(rows[len(table):])
""",
        ),
        (
            "the sum of the parts",
            """
def merged_rows(table, pairs):
    rows = list(table)
    for a, b in pairs:
        rows.append(rows[a] + rows[b])
    return np.array(rows[len(table):])
""",
        ),
        (
            "each part once",
            """
def merged_rows(table, pairs):
    parts = {i: [i] for i in range(len(table))}
    for a, b in pairs:
        parts[len(parts)] = sorted({*parts[a], *parts[b]})
    new = range(len(table), len(parts))
    return np.array([table[parts[i]].mean(axis=0) for i in new])
""",
        ),
        (
            "all rows, the old ones too",
            """
def merged_rows(table, pairs):
    parts = {i: [i] for i in range(len(table))}
    for a, b in pairs:
        parts[len(parts)] = parts[a] + parts[b]
    return np.array([table[parts[i]].mean(axis=0) for i in parts])
""",
        ),
        (
            "the average of all old rows",
            """
def merged_rows(table, pairs):
    return np.repeat(table.mean(axis=0, keepdims=True), len(pairs), axis=0)
""",
        ),
        (
            "divides by the root of the number of parts",
            """
def merged_rows(table, pairs):
    parts = {i: [i] for i in range(len(table))}
    for a, b in pairs:
        parts[len(parts)] = parts[a] + parts[b]
    new = [parts[i] for i in range(len(table), len(parts))]
    return np.array([table[p].sum(axis=0) / len(p) ** 0.5 for p in new])
""",
        ),
        (
            "only the first part",
            """
def merged_rows(table, pairs):
    rows = list(table)
    for a, b in pairs:
        rows.append(rows[a])
    return np.array(rows[len(table):])
""",
        ),
        (
            "new ids begin one later",
            """
def merged_rows(table, pairs):
    parts = {i: [i] for i in range(len(table))}
    parts[len(table)] = [0]
    for a, b in pairs:
        parts[len(parts)] = parts[a] + parts[b]
    new = range(len(table) + 1, len(parts))
    return np.array([table[parts[i]].mean(axis=0) for i in new])
""",
        ),
    ],
    "rise_in_loss": [
        (
            "overflows",
            """
def rise_in_loss(scores, new_scores):
    with np.errstate(all="ignore"):
        old = np.exp(scores).sum(axis=1)
        return float(np.log(1 + np.exp(new_scores).sum(axis=1) / old).mean())
""",
        ),
        (
            "bits instead of nats",
            """
def rise_in_loss(scores, new_scores):
    both = np.concatenate([scores, new_scores], axis=1)
    rise = np.logaddexp.reduce(both, axis=1) - np.logaddexp.reduce(scores, axis=1)
    return float(rise.mean() / np.log(2))
""",
        ),
        (
            "the sum over positions",
            """
def rise_in_loss(scores, new_scores):
    both = np.concatenate([scores, new_scores], axis=1)
    rise = np.logaddexp.reduce(both, axis=1) - np.logaddexp.reduce(scores, axis=1)
    return float(rise.sum())
""",
        ),
        (
            "the wrong sign",
            """
def rise_in_loss(scores, new_scores):
    both = np.concatenate([scores, new_scores], axis=1)
    rise = np.logaddexp.reduce(both, axis=1) - np.logaddexp.reduce(scores, axis=1)
    return float(-rise.mean())
""",
        ),
        (
            "the share that is taken, not its logarithm",
            """
def rise_in_loss(scores, new_scores):
    both = np.concatenate([scores, new_scores], axis=1)
    rise = np.logaddexp.reduce(both, axis=1) - np.logaddexp.reduce(scores, axis=1)
    return float((1 - np.exp(-rise)).mean())
""",
        ),
        (
            "the logarithm of the mean share",
            """
def rise_in_loss(scores, new_scores):
    both = np.concatenate([scores, new_scores], axis=1)
    rise = np.logaddexp.reduce(both, axis=1) - np.logaddexp.reduce(scores, axis=1)
    return float(-np.log(np.exp(-rise).mean()))
""",
        ),
        (
            "one softmax over all positions",
            """
def rise_in_loss(scores, new_scores):
    both = np.concatenate([scores, new_scores], axis=1)
    return float(np.logaddexp.reduce(both.ravel()) - np.logaddexp.reduce(scores.ravel()))
""",
        ),
        (
            "the new ones only",
            """
def rise_in_loss(scores, new_scores):
    new = np.logaddexp.reduce(new_scores, axis=1)
    return float((new - np.logaddexp.reduce(scores, axis=1)).mean())
""",
        ),
        (
            "the bound, as if all scores were equal",
            """
def rise_in_loss(scores, new_scores):
    return float(np.log(1 + new_scores.shape[1] / scores.shape[1]))
""",
        ),
    ],
}
