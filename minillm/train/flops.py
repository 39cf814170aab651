"""How much arithmetic training takes, and what share of the machine's it reaches.

- The exact count of a config is minillm.model.config.flops_per_token; the rule of thumb, 6 N D, is
  minillm.scaling.six_nd.
- The peak of a CPU is measured by matrix products; that of a GPU is its maker's figure.
- Utilisation here is of the model's FLOPs (MFU): work done twice, such as recomputation, does not
  count.
"""

import time
from functools import cache

import torch

GPU_PEAKS = {
    # FLOP/s in bfloat16 on tensor cores, added up in float32, without sparsity (data sheets often
    # print the figure with sparsity, which is twice as much); the first name that fits counts.
    # Compared with copies of the data sheets in November 2026, but for those marked (*).
    "H200": 989e12,  # NVIDIA H200 Tensor Core GPU, data sheet, SXM: 1 979 with sparsity
    "H100 PCIe": 756e12,  # NVIDIA H100 Tensor Core GPU, data sheet, PCIe: 1 513 with sparsity
    "H100": 989e12,  # the same, SXM: 1 979 with sparsity
    "A100": 312e12,  # NVIDIA A100 Tensor Core GPU, data sheet
    "L40S": 362e12,  # NVIDIA L40S, data sheet: 733 with sparsity, there rounded up
    "L4": 121e12,  # NVIDIA L4, data sheet: 242 with sparsity
    "A10G": 70e12,  # NVIDIA A10G, as cloud providers state it (*)
    "V100": 125e12,  # NVIDIA V100, data sheet, SXM2: float16, for it has no bfloat16
    "T4": 65e12,  # NVIDIA T4, data sheet: float16, for it has no bfloat16
    "RTX 4090": 165e12,  # NVIDIA Ada architecture white paper, appendix A, float32 accumulate (*)
    "RTX 3090": 71e12,  # NVIDIA GA102 architecture white paper, appendix A, float32 accumulate (*)
}


def peak_flops(device: torch.device | str = "cpu", precision: str = "float32") -> float:
    """Say how many FLOP/s the device can do at most.

    Args:
        device: "cpu" or "cuda".
        precision: "float32" or "bfloat16", the format of the products.

    Returns:
        FLOP/s. On a CPU the best of several products of 768 x 768 matrices with the threads that
        torch uses now, measured once per process. On a GPU in bfloat16 the data sheet's figure,
        or the same measurement where it is not in GPU_PEAKS or the format is float32.

    Cost: about a third of a second the first time, for each device, format and number of threads.
    Lesson: notebooks/24_fsdp.ipynb
    """
    kind = torch.device(device).type
    if kind == "cuda" and precision == "bfloat16":
        name = torch.cuda.get_device_name(device)
        for part, peak in GPU_PEAKS.items():
            if part in name:
                return peak
    return _measured_peak(kind, precision, torch.get_num_threads())


@cache
def _measured_peak(device: str, precision: str, n_threads: int) -> float:
    size = 768 if device == "cpu" else 8192
    a = torch.ones(size, size, device=device, dtype=getattr(torch, precision))
    best, until = float("inf"), time.perf_counter() + 0.3
    while time.perf_counter() < until:
        start = _now(device)
        a @ a
        best = min(best, _now(device) - start)
    return 2 * size**3 / best


def _now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def utilisation(flops_per_token: float, tokens_per_second: float, peak: float) -> float:
    """Say what share of the machine's arithmetic went into the model.

        MFU = flops_per_token * tokens_per_second / peak

    Args:
        flops_per_token: forward and backward, from model.config.flops_per_token.
        tokens_per_second: measured.
        peak: FLOP/s, from peak_flops.

    Returns:
        The share, 0 to 1.

    Raises:
        ValueError: if peak is not positive, or the share is over 1: then FLOPs are counted that
            were not done, the clock was stopped too early, or the peak was measured too low.

    Source: Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, section 4.1.
    Lesson: notebooks/24_fsdp.ipynb
    """
    if not peak > 0:
        raise ValueError(f"peak must be positive, got {peak}")
    share = flops_per_token * tokens_per_second / peak
    if share > 1:
        raise ValueError(
            f"a utilisation of {share:.0%} cannot be: {flops_per_token:.3g} FLOPs a token and "
            f"{tokens_per_second:.3g} tokens/s on a peak of {peak:.3g} FLOP/s; check all three"
        )
    return share
