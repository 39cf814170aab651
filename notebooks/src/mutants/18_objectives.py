"""Wrong solutions of lesson 18, each of which its check must reject."""

GMASK = """
def gmask_mask(at, T):
    seen, looks = torch.arange(T), torch.arange(T)[:, None]
    return (seen <= at) | (seen <= looks)
"""
SEPARATE = """
def separate_mask(part):
    same = part[:, None] == part[None, :]
    backwards = torch.ones(len(part), len(part), dtype=torch.bool).tril()
    return (part == 0)[None, :] | (same & backwards)
"""
LENGTHS = """
def lengths_from(u, L, density):
    lengths = []
    for chance in u:
        if sum(lengths) >= density * L:
            break
        n, p = 0, math.exp(-3)
        total = p
        while total < chance:
            n += 1
            p *= 3 / n
            total += p
        if n > 0:
            lengths.append(n)
    return lengths
"""
PUT = """
def put_back(inputs, written, sentinels):
    answers, now = {}, None
    for token in written:
        if token in sentinels:
            now = []
            answers.setdefault(token, now)
        elif now is not None:
            now.append(token)
    text = []
    for token in inputs:
        text += answers.get(token, [token]) if token in sentinels else [token]
    return text
"""
LABEL = """
def label_chances(logits, words):
    scores = []
    for z, word in zip(logits, words):
        log_p = z.log_softmax(dim=-1)
        scores.append(log_p[torch.arange(len(word)), word].sum())
    return torch.stack(scores).softmax(dim=0)
"""
AHEAD = """
def packed_ahead(ids, document, n):
    targets = torch.full((len(ids), n), -100)
    for i in range(n):
        k = i + 1
        same = document[k:] == document[:-k]
        targets[: max(len(ids) - k, 0), i] = torch.where(same, ids[k:], -100)
    return targets
    return targets
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


MUTANTS = {
    "gmask_mask": [
        _wrong(GMASK, "part A without [gMASK]", ("seen <= at", "seen < at")),
        _wrong(GMASK, "part A one too long", ("seen <= at", "seen <= at + 1")),
        _wrong(GMASK, "always causal", ("(seen <= at) | ", "")),
        _wrong(GMASK, "nobody writes", (" | (seen <= looks)", " & (looks >= 0)")),
        _wrong(GMASK, "not itself", ("seen <= looks", "seen < looks")),
        _wrong(GMASK, "forwards", ("seen <= looks", "seen >= looks")),
        _wrong(GMASK, "and instead of or", ("| (seen", "& (seen")),
        _wrong(
            GMASK,
            "transposed",
            (
                "(seen <= at) | (seen <= looks)",
                "((seen <= at) | (seen <= looks)).T",
            ),
        ),
    ],
    "separate_mask": [
        _wrong(SEPARATE, "GLM's own rule", ("(same & backwards)", "backwards")),
        _wrong(
            SEPARATE,
            "a span reads itself both ways",
            ("(same & backwards)", "same"),
        ),
        _wrong(
            SEPARATE, "part A sees backwards only", ("(part == 0)[None, :] | ", "")
        ),
        _wrong(
            SEPARATE, "rows and columns exchanged", ("[None, :] |", "[:, None] |")
        ),
        _wrong(SEPARATE, "not itself", (".tril()", ".tril(-1)")),
        _wrong(SEPARATE, "forwards", (".tril()", ".triu()")),
        _wrong(
            SEPARATE, "earlier numbers are seen", ("== part[None", ">= part[None")
        ),
        _wrong(SEPARATE, "part A is not seen by spans", ("| (same", "& (same")),
    ],
    "lengths_from": [
        _wrong(LENGTHS, "zeros are kept", ("if n > 0", "if n >= 0")),
        _wrong(
            LENGTHS, "mean 1", ("math.exp(-3)", "math.exp(-1)"), ("3 / n", "1 / n")
        ),
        _wrong(
            LENGTHS, "one length more", ("sum(lengths) >=", "sum(lengths[:-1]) >=")
        ),
        _wrong(
            LENGTHS,
            "never over the share",
            ("if n > 0", "if 0 < n <= density * L - sum(lengths)"),
        ),
        _wrong(LENGTHS, "the share is forgotten", ("density * L", "L")),
        _wrong(LENGTHS, "15 % fixed", ("density * L", "0.15 * L")),
        _wrong(LENGTHS, "stops only beyond", (">= density * L", "> density * L")),
        _wrong(
            LENGTHS, "one too long", ("lengths.append(n)", "lengths.append(n + 1)")
        ),
    ],
    "put_back": [
        _wrong(
            PUT,
            "the last answer counts",
            ("answers.setdefault(token, now)", "answers[token] = now"),
        ),
        _wrong(
            PUT,
            "no answer, no sentinel",
            ("answers.get(token, [token])", "answers.get(token, [])"),
        ),
        _wrong(PUT, "the sentinel stays, too", ("now = []", "now = [token]")),
        _wrong(
            PUT,
            "tokens before the first are kept",
            (
                "answers, now = {}, None",
                "answers, now = {}, []\n    answers[sentinels[0]] = now",
            ),
        ),
        _wrong(
            PUT,
            "answers in the order of the text",
            (
                "    text = []",
                "    answers = dict(zip(sentinels, answers.values()))\n    text = []",
            ),
        ),
        _wrong(
            PUT,
            "one token a blank",
            ("answers.get(token, [token])", "answers.get(token, [token])[:1]"),
        ),
        _wrong(PUT, "only the blanks", ("else [token]", "else []")),
        _wrong(
            PUT,
            "answers turned round",
            ("now.append(token)", "now.insert(0, token)"),
        ),
    ],
    "label_chances": [
        _wrong(LABEL, "mean of the tokens", (".sum())", ".mean())")),
        _wrong(LABEL, "logits, not normalised", ("z.log_softmax(dim=-1)", "z")),
        _wrong(LABEL, "the first token alone", (".sum())", "[0])")),
        _wrong(LABEL, "the last token alone", (".sum())", "[-1])")),
        _wrong(
            LABEL,
            "a sum of probabilities",
            (".log_softmax(dim=-1)", ".softmax(dim=-1)"),
        ),
        _wrong(LABEL, "not over the labels", (".softmax(dim=0)", ".exp()")),
        _wrong(
            LABEL, "logarithms returned", (".softmax(dim=0)", ".log_softmax(dim=0)")
        ),
        _wrong(LABEL, "softmax over the places", ("dim=-1", "dim=0")),
    ],
    "packed_ahead": [
        _wrong(
            AHEAD,
            "into the next text",
            ("torch.where(same, ids[k:], -100)", "ids[k:]"),
        ),
        _wrong(
            AHEAD, "starts with the token itself", ("k = i + 1", "k = max(i, 1)")
        ),
        _wrong(AHEAD, "one step too far", ("k = i + 1", "k = i + 2")),
        _wrong(AHEAD, "every column the next token", ("k = i + 1", "k = 1")),
        _wrong(AHEAD, "only other texts", ("document[k:] ==", "document[k:] !=")),
        _wrong(
            AHEAD,
            "compares neighbours only",
            (
                "document[k:] == document[:-k]",
                "(document[1:] == document[:-1])[: len(ids) - k]",
            ),
        ),
        _wrong(AHEAD, "0 instead of -100", ("ids[k:], -100)", "ids[k:], 0)")),
        _wrong(
            AHEAD,
            "columns turned round",
            ("return targets", "return targets.flip(1)"),
        ),
    ],
}
