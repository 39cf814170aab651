"""How long a message takes: networks as two numbers, and collectives as formulas of them.

A link is a latency (what even an empty message costs) and a bandwidth in *one direction*. Data
sheets often print the sum of both directions, and of all links of a card: so NVLink's "600 GB/s" of
an A100 are 300 GB/s each way. Networks are sold in gigabits: 200 Gb/s are 25 GB/s.

Bandwidths are of the data sheets. Latencies are orders of magnitude, for the shape of the curves:
measure your own. Real programs reach 70 to 95 % of a bandwidth with large messages.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Link:
    """A connection of one card.

    Attributes:
        name: of the hardware.
        gb_per_s: 1e9 bytes a second, in one direction, of one card.
        latency_us: microseconds that each message costs besides; an order of magnitude.
        printed: the figure as the maker or the article prints it.
        source: where that stands.
    """

    name: str
    gb_per_s: float
    latency_us: float
    printed: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        if not self.gb_per_s > 0 or self.latency_us < 0:
            raise ValueError(
                f"{self.name}: the bandwidth must be positive and the latency not negative, got "
                f"{self.gb_per_s} GB/s and {self.latency_us} us"
            )


AMPERE = "NVIDIA A100 Tensor Core GPU data sheet"
HOPPER = "NVIDIA H100 Tensor Core GPU data sheet"
PCI = "PCI-SIG base specification: 16 lanes, 128b/130b"
ARTICLE = "article 003, section on hardware"
LINKS = {
    "pcie3": Link("PCIe 3.0 x16", 15.8, 5.0, "8 GT/s a lane", PCI),
    "pcie4": Link("PCIe 4.0 x16", 31.5, 5.0, "64 GB/s, both directions", AMPERE),
    "pcie5": Link("PCIe 5.0 x16", 63.0, 5.0, "128 GB/s, both directions", HOPPER),
    "nvlink_a100": Link("NVLink 3, A100", 300.0, 3.0, "600 GB/s, both directions", AMPERE),
    "nvlink_a800": Link("NVLink 3, A800", 200.0, 3.0, "400 GB/s, both directions", ARTICLE),
    "nvlink_h100": Link("NVLink 4, H100", 450.0, 3.0, "900 GB/s, both directions", HOPPER),
    "nvlink_h800": Link("NVLink 4, H800", 200.0, 3.0, "400 GB/s, both directions", ARTICLE),
    "infiniband_hdr": Link("InfiniBand HDR", 25.0, 5.0, "200 Gb/s", "IBTA roadmap, 4 lanes"),
    "infiniband_ndr": Link("InfiniBand NDR", 50.0, 5.0, "400 Gb/s", "IBTA roadmap, 4 lanes"),
    "roce_100": Link("RoCE v2, 100 GbE", 12.5, 6.0, "100 Gb/s", "IEEE 802.3, IBTA annex A17"),
    "tcp_10": Link("TCP/IP, 10 GbE", 1.25, 30.0, "10 Gb/s", "IEEE 802.3"),
}
ROUNDS_AND_SHARE = {  # collective -> messages after one another, and share of V in each
    "reduce_scatter": lambda n: (n - 1, 1 / n),
    "all_gather": lambda n: (n - 1, 1 / n),
    "all_reduce": lambda n: (2 * (n - 1), 1 / n),
    "all_to_all": lambda n: (n - 1, 1 / n),
    "broadcast": lambda n: (math.ceil(math.log2(n)), 1.0),
    "naive_all_reduce": lambda n: (2 * (n - 1), 1.0),
}


def sent_bytes(kind: str, n_bytes: float, size: int) -> float:
    """Count what the busiest rank sends in a collective.

        reduce_scatter, all_gather, all_to_all   (N-1)/N V        all_reduce   2 (N-1)/N V
        broadcast   ceil(log2 N) V (the root)    naive_all_reduce   (N-1) V (rank 0)

    Args:
        kind: one of ROUNDS_AND_SHARE.
        n_bytes: V, of the whole vector (for all_gather: of the result).
        size: N, ranks.

    Returns:
        Bytes.

    Raises:
        ValueError: if the kind is unknown, n_bytes negative, or size below 1.

    Lesson: notebooks/22b_zero.ipynb
    """
    rounds, share = _rounds(kind, n_bytes, size)
    half = 0.5 if kind == "naive_all_reduce" else 1.0  # half of its rounds are receiving
    return half * rounds * share * n_bytes


def seconds(kind: str, n_bytes: float, size: int, link: Link) -> float:
    """Predict how long a collective takes if every rank has one such link.

        rounds (latency + share V / bandwidth)

    Args:
        kind, n_bytes, size: as in sent_bytes.
        link: of each rank; sending and receiving go at once.

    Returns:
        Seconds.

    Raises:
        ValueError: as sent_bytes.

    Source: the alpha-beta model; Thakur, Rabenseifner and Gropp 2005, "Optimization of collective
        communication operations in MPICH".
    Lesson: notebooks/22b_zero.ipynb
    """
    rounds, share = _rounds(kind, n_bytes, size)
    return rounds * (link.latency_us * 1e-6 + share * n_bytes / (link.gb_per_s * 1e9))


def step_bytes(method: str, n_bytes: float, size: int, n_micro: int = 1) -> float:
    """Count what one rank sends in a training step, by how the model state is shared out.

        ddp, zero1   2 (N-1)/N V                 zero2   (k + 1) (N-1)/N V
        zero3        3 k (N-1)/N V

    V are the bytes of the parameters, and k is the number of micro-batches: stages 2 and 3 sum the
    gradients of each, since no rank has the room to keep them whole. At k = 1 stage 3 sends 1.5
    times as much as data parallelism: the parameters are gathered twice.

    Args:
        method: "ddp", "zero1", "zero2" or "zero3".
        n_bytes: V.
        size: N.
        n_micro: k.

    Returns:
        Bytes.

    Raises:
        ValueError: if the method is unknown, or a size is out of range.

    Source: Rajbhandari et al. 2019 (ZeRO), arXiv:1910.02054, section 7.
    Lesson: notebooks/22b_zero.ipynb
    """
    times = {"ddp": 2, "zero1": 2, "zero2": n_micro + 1, "zero3": 3 * n_micro}
    if method not in times:
        raise ValueError(f"method must be one of {', '.join(times)}; got {method!r}")
    if n_micro < 1:
        raise ValueError(f"n_micro must be at least 1, got {n_micro}")
    return times[method] * sent_bytes("all_gather", n_bytes, size)


def _rounds(kind: str, n_bytes: float, size: int) -> tuple[int, float]:
    if kind not in ROUNDS_AND_SHARE:
        raise ValueError(f"kind must be one of {', '.join(ROUNDS_AND_SHARE)}; got {kind!r}")
    if n_bytes < 0 or size < 1:
        raise ValueError(f"need n_bytes >= 0 and size >= 1, got {n_bytes} and {size}")
    return ROUNDS_AND_SHARE[kind](size)
