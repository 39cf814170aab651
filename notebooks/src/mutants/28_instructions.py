"""Wrong solutions of lesson 28, each of which its check must reject."""

PROMPT = """
def prompt_and_answer(messages):
    prompt = [i for m in messages[:-1] for i in message_ids(m["role"], m["content"])]
    prompt += [tokenizer.special_id("<|im_start|>"), *tokenizer.encode("assistant\\n")]
    return prompt, [*tokenizer.encode(messages[-1]["content"]), END]
"""
FAULTS = """
def targets_and_faults(ids, mask):
    y = [i if m else -100 for i, m in zip(ids[1:], mask[1:])]
    faults = [t for t in range(len(ids) - 1) if mask[t] != mask[t + 1]]
    return ids[:-1], y, faults
"""
COLLATE = """
def collate(rows, pad):
    longest = max(len(ids) for ids, _ in rows)
    x, y = [], []
    for ids, mask in rows:
        more = longest - len(ids)
        a, b = shift([*ids, *[pad] * more], [*mask, *[False] * more])
        x.append(a)
        y.append(b)
    return torch.tensor(x), torch.tensor(y)
"""
MEAN = """
def safe_mean(nll, learned):
    return (nll * learned).sum() / learned.sum().clamp(min=1)
"""
TOKEN = """
def weight_of_a_token(lengths):
    n = len(lengths)
    sizes = [sum(lengths[: k + 1]) for k in range(n)]
    return [sum(Fraction(1, n * sizes[k]) for k in range(a, n)) for a in range(n)]
"""
WRONG = """
def what_is_wrong(messages):
    roles = [m["role"] for m in messages]
    if not set(roles) <= {"system", "user", "assistant", "tool"}:
        return "role"
    if any(m["role"] == "assistant" and not m["content"].strip() for m in messages):
        return "empty"
    if any(name in m["content"] for m in messages for name in tokenizer.special_tokens):
        return "special"
    return "good" if "assistant" in roles else "unanswered"
"""


def _wrong(right: str, label: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """Plant a mistake by replacing pieces of the right solution."""
    for old, new in changes:
        if old not in right:
            raise ValueError(f"{label!r}: the solution has no {old!r}")
        right = right.replace(old, new)
    return label, right


MUTANTS = {
    "prompt_and_answer": [
        _wrong(
            PROMPT, "the end is left out", ('"content"]), END]', '"content"])]')
        ),
        _wrong(
            PROMPT, "no newline in the opening", ('"assistant\\n"', '"assistant"')
        ),
        _wrong(PROMPT, "the prompt has no opening", ("prompt += ", "answer = ")),
        _wrong(
            PROMPT,
            "the newline is learned",
            (", END]", ', END, *tokenizer.encode("\\n")]'),
        ),
        _wrong(
            PROMPT, "only the last question", ("messages[:-1]", "messages[-2:-1]")
        ),
        _wrong(
            PROMPT,
            "the first message is the answer",
            ('encode(messages[-1]["content"])', 'encode(messages[0]["content"])'),
        ),
    ],
    "targets_and_faults": [
        _wrong(FAULTS, "the mask is not moved", ("mask[1:])", "mask)")),
        _wrong(
            FAULTS,
            "only what is learned too much",
            ("mask[t] != mask", "mask[t] > mask"),
        ),
        _wrong(
            FAULTS,
            "only what is learned too little",
            ("mask[t] != mask", "mask[t] < mask"),
        ),
        _wrong(FAULTS, "places are those of the ids", ("[t for t", "[t + 1 for t")),
        _wrong(FAULTS, "x has its last token", ("return ids[:-1]", "return ids")),
        _wrong(
            FAULTS, "the last place is left out", ("len(ids) - 1", "len(ids) - 2")
        ),
    ],
    "collate": [
        _wrong(
            COLLATE,
            "what looks like padding is not learned",
            ("y.append(b)", "y.append([-100 if i == pad else i for i in b])"),
        ),
        _wrong(COLLATE, "padding is learned", ("[False] * more", "[True] * more")),
        _wrong(
            COLLATE,
            "padded on the left",
            ("[*ids, *[pad] * more]", "[*[pad] * more, *ids]"),
            ("[*mask, *[False] * more]", "[*[False] * more, *mask]"),
        ),
        _wrong(COLLATE, "as long as the first", ("max(len(ids)", "min(len(ids)")),
        _wrong(COLLATE, "padded with zeros", ("*[pad] * more", "*[0] * more")),
        _wrong(
            COLLATE, "everything is learned", ("[*mask, ", "[*[True] * len(mask), ")
        ),
    ],
    "safe_mean": [
        _wrong(MEAN, "not a number", (".clamp(min=1)", "")),
        _wrong(
            MEAN,
            "the mean over all places",
            ("learned.sum().clamp(min=1)", "learned.numel()"),
        ),
        _wrong(MEAN, "a sum", (" / learned.sum().clamp(min=1)", "")),
        _wrong(
            MEAN,
            "one too many",
            ("learned.sum().clamp(min=1)", "(learned.sum() + 1)"),
        ),
        _wrong(MEAN, "all are taken", ("(nll * learned)", "nll")),
        _wrong(
            MEAN,
            "zero first, then times",
            ("return (nll", "return (learned.any() / 1) * (nll"),
            (".clamp(min=1)", ""),
        ),
    ],
    "weight_of_a_token": [
        _wrong(
            TOKEN,
            "the talk's tokens in each sample",
            ("n * sizes[k]", "n * sizes[-1]"),
        ),
        _wrong(TOKEN, "the samples are summed", ("n * sizes[k]", "sizes[k]")),
        _wrong(
            TOKEN,
            "the weight of the whole answer",
            ("Fraction(1, ", "Fraction(lengths[a], "),
        ),
        _wrong(TOKEN, "samples up to the answer", ("range(a, n)", "range(a + 1)")),
        _wrong(TOKEN, "the last sample only", ("range(a, n)", "range(n - 1, n)")),
        _wrong(
            TOKEN,
            "answers are averaged",
            ("n * sizes[k]", "n * (k + 1) * lengths[a]"),
        ),
    ],
    "what_is_wrong": [
        _wrong(
            WRONG,
            "blanks are an answer",
            ('not m["content"].strip()', 'not m["content"]'),
        ),
        _wrong(
            WRONG, "users may not be silent", ('m["role"] == "assistant" and ', "")
        ),
        _wrong(WRONG, "tools are unknown", (', "tool"}', "}")),
        _wrong(
            WRONG,
            "only two special tokens",
            ("in tokenizer.special_tokens)", 'in ("<|im_start|>", "<|im_end|>"))'),
        ),
        _wrong(WRONG, "an unanswered talk is good", ('"unanswered"\n', '"good"\n')),
        _wrong(
            WRONG,
            "special before empty",
            (
                'return "empty"',
                'return "special" if "<|" in str(messages) else "empty"',
            ),
        ),
    ],
}
