"""Wrong solutions of lesson 09's exercises: each must be rejected by the lesson's own checks."""

MUTANTS = {
    "one_query": [
        (
            "scores are not scaled",
            """
def one_query(query, keys, values):
    powers = [math.exp(sum(a * b for a, b in zip(query, key))) for key in keys]
    weights = [p / sum(powers) for p in powers]
    return [sum(w * row[h] for w, row in zip(weights, values)) for h in range(len(query))]
""",
        ),
        (
            "scaled by the number of keys",
            """
def one_query(query, keys, values):
    scale = math.sqrt(len(keys))
    powers = [math.exp(sum(a * b for a, b in zip(query, key)) / scale) for key in keys]
    weights = [p / sum(powers) for p in powers]
    return [sum(w * row[h] for w, row in zip(weights, values)) for h in range(len(query))]
""",
        ),
        (
            "weights do not sum to 1",
            """
def one_query(query, keys, values):
    scale = math.sqrt(len(query))
    weights = [math.exp(sum(a * b for a, b in zip(query, key)) / scale) for key in keys]
    return [sum(w * row[h] for w, row in zip(weights, values)) for h in range(len(query))]
""",
        ),
        (
            "divided by H instead of its root",
            """
def one_query(query, keys, values):
    H = len(query)
    powers = [math.exp(sum(a * b for a, b in zip(query, key)) / H) for key in keys]
    weights = [p / sum(powers) for p in powers]
    return [sum(w * row[h] for w, row in zip(weights, values)) for h in range(H)]
""",
        ),
        (
            "averages the keys instead of the values",
            """
def one_query(query, keys, values):
    H = len(query)
    powers = [math.exp(sum(a * b for a, b in zip(query, k)) / math.sqrt(H)) for k in keys]
    weights = [p / sum(powers) for p in powers]
    return [sum(w * row[h] for w, row in zip(weights, keys)) for h in range(H)]
""",
        ),
        (
            "takes the best key alone",
            """
def one_query(query, keys, values):
    scores = [sum(a * b for a, b in zip(query, key)) for key in keys]
    return list(values[scores.index(max(scores))])
""",
        ),
    ],
    "my_mask": [
        (
            "off by one: sees one position ahead",
            """
def my_mask(T, S):
    return torch.arange(S) <= torch.arange(T)[:, None] + S - T + 1
""",
        ),
        (
            "a query does not see itself",
            """
def my_mask(T, S):
    return torch.arange(S) < torch.arange(T)[:, None] + S - T
""",
        ),
        (
            "queries are the first T positions",
            """
def my_mask(T, S):
    return torch.arange(S) <= torch.arange(T)[:, None]
""",
        ),
        (
            "looks into the future only",
            """
def my_mask(T, S):
    return torch.arange(S) >= torch.arange(T)[:, None] + S - T
""",
        ),
        (
            "transposed",
            """
def my_mask(T, S):
    return torch.arange(T) <= torch.arange(S)[:, None] + S - T
""",
        ),
        (
            "numbers instead of booleans",
            """
def my_mask(T, S):
    return (torch.arange(S) <= torch.arange(T)[:, None] + S - T).int()
""",
        ),
    ],
    "window_mask": [
        (
            "one position too wide",
            """
def window_mask(T, width):
    distance = torch.arange(T)[:, None] - torch.arange(T)
    return (distance >= 0) & (distance <= width)
""",
        ),
        (
            "does not count itself",
            """
def window_mask(T, width):
    distance = torch.arange(T)[:, None] - torch.arange(T)
    return (distance > 0) & (distance < width)
""",
        ),
        (
            "forgets causality",
            """
def window_mask(T, width):
    distance = torch.arange(T)[:, None] - torch.arange(T)
    return distance.abs() < width
""",
        ),
        (
            "looks ahead instead of back",
            """
def window_mask(T, width):
    distance = torch.arange(T) - torch.arange(T)[:, None]
    return (distance >= 0) & (distance < width)
""",
        ),
        (
            "no window at all",
            """
def window_mask(T, width):
    return torch.ones(T, T, dtype=torch.bool).tril()
""",
        ),
        (
            "either condition is enough",
            """
def window_mask(T, width):
    distance = torch.arange(T)[:, None] - torch.arange(T)
    return (distance >= 0) | (distance < width)
""",
        ),
    ],
    "mend_attention": [
        (
            "divided by the width of the model",
            """
def mend_attention(q, k, v, mask):
    scores = q @ k.mT / math.sqrt(q.shape[1] * q.shape[-1])
    return scores.masked_fill(~mask, -math.inf).softmax(dim=-1) @ v
""",
        ),
        (
            "softmax over the queries",
            """
def mend_attention(q, k, v, mask):
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    return scores.masked_fill(~mask, -math.inf).softmax(dim=-2) @ v
""",
        ),
        (
            "hides what may be seen",
            """
def mend_attention(q, k, v, mask):
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    return scores.masked_fill(mask, -math.inf).softmax(dim=-1) @ v
""",
        ),
        (
            "masked after the softmax",
            """
def mend_attention(q, k, v, mask):
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    return scores.softmax(dim=-1).masked_fill(~mask, 0.0) @ v
""",
        ),
        (
            "hidden scores set to zero instead of minus infinity",
            """
def mend_attention(q, k, v, mask):
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    return scores.masked_fill(~mask, 0.0).softmax(dim=-1) @ v
""",
        ),
        (
            "ignores the mask it is given",
            """
def mend_attention(q, k, v, mask):
    mask = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril()
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    return scores.masked_fill(~mask, -math.inf).softmax(dim=-1) @ v
""",
        ),
    ],
    "loss_gradient": [
        (
            "gradient of the sum, not of the mean",
            """
def loss_gradient(z, y):
    p = z.softmax(dim=-1)
    p[torch.arange(len(y)), y] -= 1
    return p
""",
        ),
        (
            "sign turned",
            """
def loss_gradient(z, y):
    p = -z.softmax(dim=-1)
    p[torch.arange(len(y)), y] += 1
    return p / len(y)
""",
        ),
        (
            "the right token is forgotten",
            """
def loss_gradient(z, y):
    return z.softmax(dim=-1) / len(y)
""",
        ),
        (
            "overflows on large logits",
            """
def loss_gradient(z, y):
    p = z.exp() / z.exp().sum(dim=-1, keepdim=True)
    p[torch.arange(len(y)), y] -= 1
    return p / len(y)
""",
        ),
        (
            "divided by the vocabulary",
            """
def loss_gradient(z, y):
    p = z.softmax(dim=-1)
    p[torch.arange(len(y)), y] -= 1
    return p / z.shape[-1]
""",
        ),
        (
            "softmax over the batch",
            """
def loss_gradient(z, y):
    p = z.softmax(dim=0)
    p[torch.arange(len(y)), y] -= 1
    return p / len(y)
""",
        ),
        (
            "one-hot of every target in every row",
            """
def loss_gradient(z, y):
    p = z.softmax(dim=-1)
    p[:, y] -= 1
    return p / len(y)
""",
        ),
    ],
}
