"""Planted bugs of objectives and inference: (file, old text, new text, what is wrong, tests)."""

ROOM = "minillm"
TESTS = "tests"

BUGS = [
    (
        "objectives/causal.py",
        "_reduce(nll.masked_fill(~counts, 0.0), counts, reduction)",
        "_reduce(nll, counts, reduction)",
        "positions that do not count add to the loss",
        "objectives/test_causal.py",
    ),
    (
        "objectives/causal.py",
        "return nll.sum() / counts.sum().clamp(min=1)",
        "return nll.mean()",
        "the mean is over all positions, not over those that count",
        "objectives/test_causal.py",
    ),
    (
        "objectives/causal.py",
        "z = z - z.detach().amax(dim=-1, keepdim=True)",
        "z = z * 1",
        "large logits overflow",
        "objectives/test_causal.py",
    ),
    (
        "objectives/causal.py",
        "return nll_nats / math.log(2) / n_bytes",
        "return nll_nats / n_bytes",
        "nats sold as bits",
        "objectives/test_causal.py",
    ),
    (
        "objectives/fused.py",
        "for start in range(0, x.shape[0], n_rows):",
        "for start in range(0, x.shape[0] - 1, n_rows):",
        "a last chunk of one row is left out",
        "objectives/test_fused.py",
    ),
    (
        "objectives/fused.py",
        "grad = grad.mul_(share[here, None]).to(x.dtype)",
        "grad = grad.to(x.dtype)",
        "the gradient is not divided by the count, and ignored rows have one",
        "objectives/test_fused.py",
    ),
    (
        "objectives/fused.py",
        "None if g is None else g * above.to(g.dtype) for g",
        "None if g is None else g for g",
        "the gradient from above is forgotten: accumulation goes wrong",
        "objectives/test_fused.py",
    ),
    (
        "inference/sampling.py",
        "ordered[..., top_k:] = 0",
        "ordered[..., top_k + 1 :] = 0",
        "top-k keeps one too many",
        "inference/test_sampling.py",
    ),
    (
        "inference/sampling.py",
        "before = ordered.cumsum(dim=-1) - ordered",
        "before = ordered.cumsum(dim=-1)",
        "top-p leaves out the token that crosses p",
        "inference/test_sampling.py",
    ),
    (
        "inference/sampling.py",
        "ordered.masked_fill(before >= top_p, 0.0)",
        "ordered.masked_fill(before > top_p, 0.0)",
        "top-p keeps a token when p is already reached",
        "inference/test_sampling.py",
    ),
    (
        "inference/sampling.py",
        "        ordered[..., top_k:] = 0\n"
        "        ordered = ordered / ordered.sum(dim=-1, keepdim=True)",
        "        ordered[..., top_k:] = 0",
        "top-p after top-k reads shares of the whole vocabulary",
        "inference/test_sampling.py",
    ),
    (
        "inference/sampling.py",
        "((logits.double() - best) / temperature)",
        "((logits.double() - best) * temperature)",
        "heat cools",
        "inference/test_sampling.py",
    ),
    (
        "inference/continuation.py",
        "torch.Generator(ids.device).manual_seed(seed)",
        "torch.Generator(ids.device)",
        "every seed gives the same text",
        "inference/test_continuation.py",
    ),
    (
        "inference/continuation.py",
        "new = torch.where(ended, filler, new)",
        "pass",
        "a row goes on after its stop token",
        "inference/test_continuation.py",
    ),
    (
        "inference/continuation.py",
        "ended = ended | torch.isin(new, stops)",
        "ended = torch.isin(new, stops)",
        "a row that has ended begins again after its filler",
        "inference/test_continuation.py",
    ),
    (
        "inference/prompts.py",
        "ids.shape[1] + max_new_tokens > config.context",
        "ids.shape[1] + max_new_tokens >= config.context",
        "the last position of the context cannot be used",
        "inference/test_continuation.py",
    ),
    (
        "inference/readers.py",
        "turn = self.turns[start:end]",
        "turn = self.turns[start - 1 : end - 1]",
        "the new token stands at the position of the one before",
        "inference/test_continuation.py",
    ),
    (
        "inference/readers.py",
        "k, v = memory[:, :, :end].chunk(2, dim=1)",
        "k, v = memory[:, :, :start].chunk(2, dim=1)",
        "the new token does not see itself",
        "inference/test_continuation.py",
    ),
]
