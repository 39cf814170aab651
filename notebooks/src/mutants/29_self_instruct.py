"""Wrong solutions of lesson 29, each of which its check must reject."""

COMMON = """
def common_words(a, b):
    t = lcs_table(a, b)
    i, j, found = len(a), len(b), []
    while i and j:
        if a[i - 1] == b[j - 1]:
            found.append(a[i - 1])
            i, j = i - 1, j - 1
        elif t[i - 1][j] >= t[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return found[::-1]
"""
SPLIT = """
def split_any(text):
    mark = r"\\n\\s*(?:Task\\s+\\d+\\s*:|\\d+\\s?[.)、])"
    return [piece.strip() for piece in re.split(mark, text) if piece.strip()]
"""
VOTE = """
def vote(instances):
    kept = {}
    for given, output in instances:
        if not given:
            kept["", output] = (given, output)
            continue
        votes = [y for x, y in instances if x == given]
        winner, n = Counter(votes).most_common(1)[0]
        if 2 * n > len(votes):
            kept[given, ""] = (given, winner)
    return list(kept.values())
"""
DISTINCT = """
def expected_distinct(weights, n):
    total = sum(weights)
    return sum(1 - (1 - w / total) ** n for w in weights)
"""
BALANCED = """
def balanced(instances, k):
    by_label = {}
    for given, label in instances:
        by_label.setdefault(label, []).append((given, label))
    taken = []
    for turn in range(len(instances)):
        taken += [group[turn] for group in by_label.values() if turn < len(group)]
    return taken[:k]
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


MUTANTS = {
    "common_words": [
        _wrong(COMMON, "left on a tie", (">= t[i]", "> t[i]")),
        _wrong(COMMON, "not turned round", ("found[::-1]", "found")),
        _wrong(
            COMMON,
            "the cell is one off",
            ("a[i - 1] == b[j - 1]", "a[i - 2] == b[j - 1]"),
        ),
        _wrong(COMMON, "one word only", ("i, j = i - 1, j - 1", "break")),
        _wrong(
            COMMON,
            "up, but not left, on a match",
            ("i, j = i - 1, j - 1", "i -= 1"),
        ),
        _wrong(COMMON, "goes to the smaller cell", (">= t[i]", "<= t[i]")),
        _wrong(COMMON, "the length", ("return found[::-1]", "return len(found)")),
    ],
    "split_any": [
        _wrong(SPLIT, "dots only", ("[.)、]", "[.]")),
        _wrong(SPLIT, "the Chinese mark is forgotten", ("[.)、]", "[.)]")),
        _wrong(SPLIT, "numbers inside a line", ("\\n\\s*(?:Task", "\\s*(?:Task")),
        _wrong(
            SPLIT, "the paper's numbering is forgotten", ("Task\\s+\\d+\\s*:|", "")
        ),
        _wrong(SPLIT, "one digit only", ("|\\d+", "|\\d")),
        _wrong(SPLIT, "empty pieces stay", (" if piece.strip()]", "]")),
        _wrong(SPLIT, "not stripped", ("[piece.strip() for", "[piece for")),
        _wrong(SPLIT, "no indentation", ("\\n\\s*(", "\\n(")),
        _wrong(
            SPLIT, "a number without a mark", ("\\d+\\s?[.)、]", "\\d+\\s?[.)、]?")
        ),
    ],
    "vote": [
        _wrong(VOTE, "half is enough", ("2 * n >", "2 * n >=")),
        _wrong(
            VOTE, "the last output wins", ("(given, winner)", "(given, output)")
        ),
        _wrong(
            VOTE, "all are dropped", ("if 2 * n > len(votes)", "if n == len(votes)")
        ),
        _wrong(VOTE, "empty inputs vote too", ("if not given:", "if False:")),
        _wrong(VOTE, "doubles stay", ('kept[given, ""]', "kept[given, len(kept)]")),
        _wrong(
            VOTE,
            "one output without an input",
            ('kept["", output]', 'kept["", ""]'),
        ),
        _wrong(VOTE, "votes of all inputs", (" if x == given", "")),
    ],
    "expected_distinct": [
        _wrong(DISTINCT, "weights as they are", ("w / total", "min(w, 1)")),
        _wrong(
            DISTINCT,
            "with n times p",
            ("1 - (1 - w / total) ** n", "min(1, n * w / total)"),
        ),
        _wrong(DISTINCT, "the missing ones", ("1 - (1 - w", "(1 - w")),
        _wrong(DISTINCT, "all alike", ("w / total", "1 / len(weights)")),
        _wrong(DISTINCT, "a draw too many", ("** n", "** (n + 1)")),
        _wrong(DISTINCT, "all have come", ("(1 - w / total) ** n", "0 * w")),
    ],
    "balanced": [
        _wrong(
            BALANCED, "the first k", ("return taken[:k]", "return instances[:k]")
        ),
        _wrong(
            BALANCED,
            "one label after the other",
            (
                "for turn in range(len(instances)):\n        taken += [group[turn] for group in by_label.values() if turn < len(group)]",
                "for group in by_label.values():\n        taken += group",
            ),
        ),
        _wrong(BALANCED, "one too many", ("[:k]", "[: k + 1]")),
        _wrong(BALANCED, "one round only", ("range(len(instances))", "range(1)")),
        _wrong(
            BALANCED, "the last of each first", ("group[turn]", "group[-1 - turn]")
        ),
        _wrong(
            BALANCED,
            "labels in their alphabetical order",
            ("by_label.values()", "[by_label[x] for x in sorted(by_label)]"),
        ),
        _wrong(
            BALANCED, "labels only", (".append((given, label))", ".append(label)")
        ),
    ],
}
