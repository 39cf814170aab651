"""Compile the Triton kernel for GPUs, without one, and print the shared memory that it asks for.

A process of its own: the interpreter of the other tests must be off when triton is imported.
"""

import json
import sys

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from minillm.model.flash_triton import _forward_kernel, default_block

NAMES = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32"}


def shared_bytes(dtype: str, capability: int, width: int, causal: bool) -> int:
    """Shared memory of the kernel with its default blocks, for heads of the given width."""
    kinds = dict.fromkeys(_forward_kernel.arg_names, "i32")
    kinds |= dict.fromkeys(("q", "k", "v", "out"), "*" + NAMES[dtype])
    kinds |= {"logsumexp": "*fp32", "scale": "fp32"}
    block = default_block(dtype)
    fixed = {"CAUSAL": causal, "BLOCK_Q": block, "BLOCK_K": block, "WIDTH": width}
    kinds |= dict.fromkeys(fixed, "constexpr")
    source = ASTSource(_forward_kernel, kinds, constexprs=fixed)
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32))
    return compiled.metadata.shared if "cubin" in compiled.asm else -1


if __name__ == "__main__":
    print(json.dumps([shared_bytes(**case) for case in json.load(sys.stdin)]))
