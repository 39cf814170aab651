"""A dense model of 1 B at its best batch: MFU on one GPU: `python -m benchmarks.gpu.dense_1b`.

A LLaMA-shaped decoder of 1.3 B, context 2 048, weights in float32 and products in bfloat16
(autocast), fused attention, each block compiled, torch's fused AdamW. The batch doubles until
memory ends; the figure is the median of eight steps at the fastest batch.

Two shares are reported, both of the model's FLOPs (MFU; nothing is recomputed but the scores inside
the fused attention, which are not counted): of the data sheet's 989 TFLOP/s, and of what a plain
product of matrices reaches on the same card in the same minute. Under five minutes.
"""

import sys
from typing import Any

import torch

from benchmarks.gpu import record
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.model.config import count_parameters, flops_per_token
from minillm.objectives import fast_cross_entropy
from minillm.train.flops import peak_flops
from minillm.train.precision import autocast

SEED, REPEATS, WARMUP = 22, 8, 3
BATCHES = (2, 4, 8, 16, 32)


def shape(*, toy: bool) -> DecoderConfig:
    """1.3 B with head width 128 and a vocabulary of 32 768; a toy is 64 wide."""
    D, width, layers, heads, V, T = (
        (64, 128, 2, 2, 256, 32) if toy else (2048, 5632, 24, 16, 32_768, 2048)
    )
    return DecoderConfig(
        vocab_size=V,
        d_model=D,
        n_layers=layers,
        context=T,
        attention=AttentionConfig(n_heads=heads),
        feedforward=FeedForwardConfig("swiglu", width),
        tie_embeddings=False,
    )


def measure(config: DecoderConfig, batch_size: int, *, toy: bool) -> dict[str, Any]:
    """Train some steps at one batch size."""
    record.forget()
    torch.manual_seed(SEED)
    where = record.device()
    model = Decoder(config, device=where)
    compiled = record.compile_blocks(model, toy=toy)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), fused=True)
    ids = torch.randint(0, config.vocab_size, (batch_size, config.context + 1), device=where)
    x, y = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    losses: list[torch.Tensor] = []

    def step() -> None:
        with autocast("bfloat16", where):
            loss = fast_cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.detach())

    repeats, warmup = (2, 1) if toy else (REPEATS, WARMUP)
    seconds = record.step_seconds(step, warmup=warmup, repeats=repeats)
    return {
        "batch_size": batch_size,
        "seconds": seconds,
        "tokens_per_second": batch_size * config.context / seconds,
        "peak_gib": record.peak_gib(),
        "compiled": compiled,
        "losses": [losses[0].item(), losses[-1].item()],  # one batch again and again: must fall
    }


def run(toy: bool) -> dict[str, Any]:
    """All batches, and what the best of them reaches."""
    config = shape(toy=toy)
    rows: list[dict[str, Any]] = []
    product = record.product_flops(64 if toy else 8192)
    for batch_size in BATCHES[:2] if toy else BATCHES:
        try:
            rows.append(measure(config, batch_size, toy=toy))
        except torch.cuda.OutOfMemoryError:
            rows.append({"batch_size": batch_size, "out_of_memory": True})
            break
    done = [row for row in rows if "seconds" in row]
    best = max(done, key=lambda row: row["tokens_per_second"])
    a_token = flops_per_token(config)
    nominal = peak_flops(record.device(), "bfloat16")
    reached = a_token * best["tokens_per_second"]
    about: dict[str, object] = {"parameters": count_parameters(config), "context": config.context}
    about |= {"format": "weights float32, products bfloat16 (autocast)", "recomputed": "none"}
    return record.provenance(about, SEED, toy=toy) | {
        "measured": rows,
        "best_batch": best["batch_size"],
        "flops_per_token": a_token,
        "model_flops_per_second": reached,
        "nominal_flops_per_second": nominal,
        "product_flops_per_second": product,
        "mfu_of_nominal": reached / nominal,
        "mfu_of_product": reached / product,
    }


if __name__ == "__main__":
    sys.exit(record.main("dense_1b", run))
