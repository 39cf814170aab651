"""Wrong solutions of lesson 00's exercises: each must be rejected by the lesson's own checks."""

MUTANTS = {
    "my_windows": [
        (
            "targets are not shifted",
            """
def my_windows(tokens, starts, context):
    x = torch.stack([tokens[s : s + context] for s in starts])
    return x, x.clone()
""",
        ),
        (
            "targets are shifted by two",
            """
def my_windows(tokens, starts, context):
    x = torch.stack([tokens[s : s + context] for s in starts])
    y = torch.stack([tokens[min(s + 2, len(tokens) - context) :][:context] for s in starts])
    return x, y
""",
        ),
        (
            "targets are shifted the wrong way",
            """
def my_windows(tokens, starts, context):
    x = torch.stack([tokens[s : s + context] for s in starts])
    y = torch.stack([tokens.roll(1)[s : s + context] for s in starts])
    return x, y
""",
        ),
        (
            "the last target is the first token of the window",
            """
def my_windows(tokens, starts, context):
    x = torch.stack([tokens[s : s + context] for s in starts])
    return x, x.roll(-1, dims=1)
""",
        ),
        (
            "every window starts at the first place",
            """
def my_windows(tokens, starts, context):
    s = starts[0]
    x = torch.stack([tokens[s : s + context] for _ in starts])
    y = torch.stack([tokens[s + 1 : s + 1 + context] for _ in starts])
    return x, y
""",
        ),
        (
            "the starts are sorted",
            """
def my_windows(tokens, starts, context):
    x = torch.stack([tokens[s : s + context] for s in sorted(starts)])
    y = torch.stack([tokens[s + 1 : s + 1 + context] for s in sorted(starts)])
    return x, y
""",
        ),
        (
            "one token too few",
            """
def my_windows(tokens, starts, context):
    x = torch.stack([tokens[s : s + context - 1] for s in starts])
    y = torch.stack([tokens[s + 1 : s + context] for s in starts])
    return x, y
""",
        ),
    ],
    "my_bits_per_byte": [
        (
            "nats are not turned into bits",
            """
def my_bits_per_byte(nll_nats, text):
    return nll_nats / len(text.encode())
""",
        ),
        (
            "multiplied by ln 2",
            """
def my_bits_per_byte(nll_nats, text):
    return nll_nats * math.log(2) / len(text.encode())
""",
        ),
        (
            "letters instead of bytes",
            """
def my_bits_per_byte(nll_nats, text):
    return nll_nats / math.log(2) / len(text)
""",
        ),
        (
            "logarithm to the base ten",
            """
def my_bits_per_byte(nll_nats, text):
    return nll_nats / math.log10(2) / len(text.encode())
""",
        ),
        (
            "upside down",
            """
def my_bits_per_byte(nll_nats, text):
    return len(text.encode()) * math.log(2) / max(nll_nats, 1e-9)
""",
        ),
        (
            "bytes of UTF-16",
            """
def my_bits_per_byte(nll_nats, text):
    return nll_nats / math.log(2) / len(text.encode("utf-16-le"))
""",
        ),
    ],
    "my_greedy": [
        (
            "padding may be chosen",
            """
def my_greedy(logits, n_vocab):
    return logits.argmax(dim=-1)
""",
        ),
        (
            "padding set to zero, which is more than a negative logit",
            """
def my_greedy(logits, n_vocab):
    logits = logits.clone()
    logits[:, n_vocab:] = 0
    return logits.argmax(dim=-1)
""",
        ),
        (
            "one real token too few",
            """
def my_greedy(logits, n_vocab):
    return logits[:, : max(1, n_vocab - 1)].argmax(dim=-1)
""",
        ),
        (
            "the padding is taken for the last real token",
            """
def my_greedy(logits, n_vocab):
    return logits.argmax(dim=-1).clamp_max(n_vocab - 1)
""",
        ),
        (
            "the logit instead of the id",
            """
def my_greedy(logits, n_vocab):
    return logits[:, :n_vocab].max(dim=-1).values
""",
        ),
        (
            "along the batch",
            """
def my_greedy(logits, n_vocab):
    return logits[:, :n_vocab].argmax(dim=0)
""",
        ),
        (
            "the least likely",
            """
def my_greedy(logits, n_vocab):
    return logits[:, :n_vocab].argmin(dim=-1)
""",
        ),
    ],
    "my_exact_match": [
        (
            "nothing is tidied",
            """
def my_exact_match(answers, wanted):
    return sum(a == w for a, w in zip(answers, wanted)) / max(1, len(answers))
""",
        ),
        (
            "large letters count",
            """
def my_exact_match(answers, wanted):
    def tidy(text):
        return text.strip().removesuffix(".")
    return sum(tidy(a) == tidy(w) for a, w in zip(answers, wanted)) / max(1, len(answers))
""",
        ),
        (
            "all full stops come off",
            """
def my_exact_match(answers, wanted):
    def tidy(text):
        return text.strip().rstrip(".").lower()
    return sum(tidy(a) == tidy(w) for a, w in zip(answers, wanted)) / max(1, len(answers))
""",
        ),
        (
            "spaces stay",
            """
def my_exact_match(answers, wanted):
    def tidy(text):
        return text.removesuffix(".").lower()
    return sum(tidy(a) == tidy(w) for a, w in zip(answers, wanted)) / max(1, len(answers))
""",
        ),
        (
            "a number instead of a share",
            """
def my_exact_match(answers, wanted):
    def tidy(text):
        return text.strip().removesuffix(".").lower()
    return float(sum(tidy(a) == tidy(w) for a, w in zip(answers, wanted)))
""",
        ),
        (
            "it is enough that the answer begins as wanted",
            """
def my_exact_match(answers, wanted):
    def tidy(text):
        return text.strip().removesuffix(".").lower()
    right = sum(tidy(a).startswith(tidy(w)) for a, w in zip(answers, wanted))
    return right / max(1, len(answers))
""",
        ),
        (
            "no answers at all are an error",
            """
def my_exact_match(answers, wanted):
    def tidy(text):
        return text.strip().removesuffix(".").lower()
    return sum(tidy(a) == tidy(w) for a, w in zip(answers, wanted)) / len(answers)
""",
        ),
    ],
    "my_generate": [
        (
            "never stops",
            """
def my_generate(next_id, ids, n, stop):
    out = list(ids)
    for _ in range(n):
        out.append(next_id(out))
    return out
""",
        ),
        (
            "the stopping id is left out",
            """
def my_generate(next_id, ids, n, stop):
    out = list(ids)
    for _ in range(n):
        new = next_id(out)
        if new == stop:
            break
        out.append(new)
    return out
""",
        ),
        (
            "a stop in the prompt ends it",
            """
def my_generate(next_id, ids, n, stop):
    out = list(ids)
    for _ in range(n):
        if stop in out:
            break
        out.append(next_id(out))
    return out
""",
        ),
        (
            "sees only the last token",
            """
def my_generate(next_id, ids, n, stop):
    out = list(ids)
    for _ in range(n):
        out.append(next_id(out[-1:]))
        if out[-1] == stop:
            break
    return out
""",
        ),
        (
            "sees only the prompt",
            """
def my_generate(next_id, ids, n, stop):
    out = list(ids)
    for _ in range(n):
        out.append(next_id(list(ids)))
        if out[-1] == stop:
            break
    return out
""",
        ),
        (
            "one token more than asked for",
            """
def my_generate(next_id, ids, n, stop):
    out = list(ids)
    for _ in range(n + 1):
        out.append(next_id(out))
        if out[-1] == stop:
            break
    return out
""",
        ),
        (
            "without the prompt",
            """
def my_generate(next_id, ids, n, stop):
    out = list(ids)
    for _ in range(n):
        out.append(next_id(out))
        if out[-1] == stop:
            break
    return out[len(ids):]
""",
        ),
    ],
}
