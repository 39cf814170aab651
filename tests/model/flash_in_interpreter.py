"""Run the Triton kernel in its interpreter, and print how far it is from the definition.

A process of its own: TRITON_INTERPRET must be set before triton is imported for the first time.
Reads a list of cases as JSON, writes for each the largest differences of out, dq, dk and dv.
"""

import json
import sys

import torch

from minillm.model import attention
from minillm.model.flash_triton import flash_attention_triton


def differences(B, N, K, T, S, H, causal, block_q, block_k, dtype, layout):
    """Largest differences against float64 attention of the same (rounded) inputs."""
    g = torch.Generator().manual_seed(0)
    shapes = ((B, N, T, H), (B, K, S, H), (B, K, S, H))
    if layout == "time first":  # as a layer makes them: not contiguous
        inputs = [torch.randn(b, t, n, h, generator=g).transpose(1, 2) for b, n, t, h in shapes]
    else:
        inputs = [torch.randn(shape, generator=g) for shape in shapes]
    inputs = [x.to(getattr(torch, dtype)).requires_grad_(True) for x in inputs]
    wide = [x.detach().double().requires_grad_(True) for x in inputs]
    settings = {"causal": causal, "block_q": block_q, "block_k": block_k}
    out = flash_attention_triton(*inputs, **settings)
    wanted = attention(*wide, causal=causal)
    weigh = torch.randn(out.shape, generator=g).to(out.dtype)
    got = [out, *torch.autograd.grad(out, inputs, weigh)]
    right = [wanted, *torch.autograd.grad(wanted, wide, weigh.double())]
    pairs = zip(got, right, strict=True)
    return [(a.double() - b).abs().max().item() if a.numel() else 0.0 for a, b in pairs]


def refused(words):
    """Whether bfloat16 is refused with these words."""
    x = torch.zeros(1, 1, 16, 16, dtype=torch.bfloat16)
    try:
        flash_attention_triton(x, x, x)
    except RuntimeError as error:
        return words in str(error)
    return False


def main():
    results = [differences(**case) for case in json.load(sys.stdin)]
    print(json.dumps({"differences": results, "refused": refused("cannot multiply bfloat16")}))


if __name__ == "__main__":
    main()
