"""Cards, machines and links as numbers, and the two walls: memory and communication.

Arithmetic became faster than memory, and memory faster than the links between cards. Each ratio is
a wall: an operation that does too little arithmetic for each byte it moves runs at the speed of the
bytes, whatever the card's peak.

Link speeds are those of one direction. Data sheets print NVLink's both directions added up.
"""

from dataclasses import dataclass

from minillm.distributed.links import LINKS, Link


@dataclass(frozen=True)
class Card:
    """An accelerator.

    Attributes:
        name: as its maker writes it.
        memory: bytes.
        peak: FLOP/s in 16 bits, without sparsity.
        bandwidth: of its memory, bytes/s.
        nvlink: to the other cards of the machine.
    """

    name: str
    memory: float
    peak: float
    bandwidth: float
    nvlink: Link

    @property
    def link(self) -> float:
        """What the card can send to others of its machine, bytes/s in one direction."""
        return 1e9 * self.nvlink.gb_per_s


@dataclass(frozen=True)
class Cluster:
    """Equal machines with equal cards.

    Attributes:
        card: the accelerator.
        n_machines: how many.
        cards_per_machine: in each.
        between: what a card can send to another machine when all cards of its machine send, bytes/s
            in one direction.
        source: where the network's figure comes from, or that it is assumed.
    """

    card: Card
    n_machines: int
    cards_per_machine: int
    between: float
    source: str

    @property
    def n_cards(self) -> int:
        """All cards."""
        return self.n_machines * self.cards_per_machine


A100_40 = Card("A100 SXM 40 GB", 40e9, 312e12, 1.555e12, LINKS["nvlink_a100"])
A100_80 = Card("A100 SXM 80 GB", 80e9, 312e12, 2.039e12, LINKS["nvlink_a100"])
A800_80 = Card("A800 SXM 80 GB", 80e9, 312e12, 2.039e12, LINKS["nvlink_a800"])
H100_80 = Card("H100 SXM 80 GB", 80e9, 989e12, 3.35e12, LINKS["nvlink_h100"])
H800_80 = Card("H800 SXM 80 GB", 80e9, 989e12, 3.35e12, LINKS["nvlink_h800"])
H200_141 = Card("H200 SXM 141 GB", 141e9, 989e12, 4.8e12, LINKS["nvlink_h100"])
CARDS = (A100_40, A100_80, A800_80, H100_80, H800_80, H200_141)
"""From NVIDIA's data sheets: peak in bfloat16 without sparsity; memory in 1e9 bytes."""


def ridge(peak: float, bandwidth: float) -> float:
    """Say how much arithmetic a byte has to bring with it so that it is not waited for.

    Args:
        peak: FLOP/s.
        bandwidth: bytes/s, of the memory or of a link.

    Returns:
        FLOPs a byte: the corner of the roofline.

    Raises:
        ValueError: if a number is not positive.

    Source: Williams et al. 2009, Roofline, doi:10.1145/1498765.1498785.
    Lesson: notebooks/23_parallel.ipynb
    """
    if min(peak, bandwidth) <= 0:
        raise ValueError(f"peak and bandwidth must be positive, got {peak} and {bandwidth}")
    return peak / bandwidth


def attainable(intensity: float, peak: float, bandwidth: float) -> float:
    """The FLOP/s that an operation can reach at most.

        min(peak, intensity * bandwidth)

    Args:
        intensity: FLOPs for each byte that the operation moves.
        peak: FLOP/s.
        bandwidth: bytes/s.

    Returns:
        FLOP/s.

    Raises:
        ValueError: if intensity is negative, or another number is not positive.

    Source: Williams et al. 2009, Roofline, doi:10.1145/1498765.1498785.
    Lesson: notebooks/23_parallel.ipynb
    """
    if intensity < 0:
        raise ValueError(f"intensity must not be negative, got {intensity}")
    return min(1.0, intensity / ridge(peak, bandwidth)) * peak


def product_intensity(m: int, k: int, n: int, *, bytes_per_number: int = 2) -> float:
    """FLOPs for each byte of memory that the product of an (m, k) and a (k, n) matrix moves.

        2 m k n / (bytes (m k + k n + m n))

    Args:
        m, k, n: sizes.
        bytes_per_number: 2 for 16 bits.

    Returns:
        FLOPs a byte, each matrix read or written once; m / bytes for a small m: decoding.

    Raises:
        ValueError: if a size is not positive.

    Lesson: notebooks/23_parallel.ipynb
    """
    if min(m, k, n, bytes_per_number) < 1:
        raise ValueError(f"sizes must be at least 1, got {(m, k, n, bytes_per_number)}")
    return 2 * m * k * n / (bytes_per_number * (m * k + k * n + m * n))


def tensor_intensity(d_model: int, width: int, n_ranks: int, *, bytes_per_number: int = 2) -> float:
    """FLOPs for each byte on the link when a feed-forward layer is spread over ranks, forward.

        each rank works 4 D F / t a token, and sends 2 (t - 1) / t D numbers in the all-reduce:
        intensity = 2 F / (bytes (t - 1))

    Args:
        d_model: D; it cancels.
        width: F.
        n_ranks: t, at least 2.
        bytes_per_number: 2 for 16 bits.

    Returns:
        FLOPs a byte: falls as 1 / (t - 1), and grows with the width of the model only.

    Raises:
        ValueError: if there are fewer than two ranks.

    Source: Shoeybi et al. 2019, arXiv:1909.08053, section 3.
    Lesson: notebooks/23_parallel.ipynb
    """
    if n_ranks < 2 or min(d_model, width) < 1:
        raise ValueError(
            f"needs at least 2 ranks and sizes of at least 1, got n_ranks={n_ranks}, "
            f"d_model={d_model}, width={width}"
        )
    flops = 4 * d_model * width / n_ranks
    return flops / (bytes_per_number * ring_share(n_ranks) * d_model)


def ring_share(n_ranks: int) -> float:
    """The share of a message that each rank sends in a ring all-reduce of it.

        2 (n - 1) / n

    Half of it is the reduce-scatter, half the all-gather. links.sent_bytes is the same for all
    collectives.

    Raises:
        ValueError: if there is no rank.

    Lesson: notebooks/22b_zero.ipynb
    """
    if n_ranks < 1:
        raise ValueError(f"n_ranks must be at least 1, got {n_ranks}")
    return 2 * (n_ranks - 1) / n_ranks
