"""The time model of data parallelism beside the clock: predicted and measured steps.

Two and four processes of this machine, over its loopback interface and over a slow network
(SlowGroup: real waiting, invented cable). The loopback's latency and bandwidth are fitted to
all-reduces just before; a message there is work for a processor, so its prediction hides nothing.
One line for each number of ranks, network and way: the median over turns of measured / predicted,
with the lowest and the highest turn. The prediction of a turn is made of the turn's own step that
sent nothing, so that a machine that others use, too, is as busy in both.

    python -m benchmarks.ddp_step            # prints
    python -m benchmarks.ddp_step two_cores  # and writes data/results/ddp_step/two_cores.json

Lesson 22b shows that file. Let nothing else run meanwhile.
"""

import json
import platform
import statistics
import sys
import time
from dataclasses import asdict

import torch

from benchmarks.compare import commit, machine
from minillm.distributed.collectives import all_reduce, barrier
from minillm.distributed.ddp_clock import ClockedStep, clock_ways, middle, predict_step
from minillm.distributed.group import Group
from minillm.distributed.links import Link
from minillm.distributed.processes import run_processes
from minillm.distributed.slow import SlowGroup
from minillm.model import AttentionConfig, DecoderConfig, FeedForwardConfig
from minillm.recipes.records import RESULTS

CONFIG = DecoderConfig(256, 64, 4, 64, AttentionConfig(4), FeedForwardConfig("swiglu", 128))
ROWS, BUCKET, TURNS, SEED = 32, 2**17, 9, 22
SLOW = Link("3 ms, 10 MB/s", 0.01, 3000.0)
SIZES = (2**10, 2**18, 2**21)  # numbers in the all-reduces to which the loopback is fitted


def work(group: Group, ids: torch.Tensor, link: Link | None) -> tuple[Link, dict]:
    """Measure on one rank; the link too, if none is given."""
    if link is not None:
        slow = SlowGroup(group, link)
        return link, clock_ways(slow, CONFIG, ids, bucket_bytes=BUCKET, n_turns=TURNS)
    found = fitted(group)
    return found, clock_ways(group, CONFIG, ids, bucket_bytes=BUCKET, n_turns=TURNS)


def fitted(group: Group) -> Link:
    """Fit rounds (latency + V / N / bandwidth) to all-reduces of a few sizes, least squares."""
    rounds = 2 * (group.size - 1)
    rows, times = [], []
    for n in SIZES:
        took = []
        for _ in range(7):
            x = torch.ones(n)
            barrier(group)
            start = time.perf_counter()
            all_reduce(group, x)
            took.append(time.perf_counter() - start)
        weight = 1 / statistics.median(took)  # so that each size counts alike
        rows.append([rounds * weight, rounds * 4 * n / group.size * weight])
        times.append(1.0)
    answer = torch.linalg.lstsq(
        torch.tensor(rows, dtype=torch.float64), torch.tensor(times, dtype=torch.float64)[:, None]
    ).solution.squeeze()
    latency, a_byte = (max(float(v), 1e-12) for v in answer)
    return Link("loopback", 1e-9 / a_byte, 1e6 * latency)


def lines_of(size: int, network: str, link: Link, told: dict[str, list[ClockedStep]]) -> list[dict]:
    """Compare what was measured with what is predicted, a line for each way."""
    lines = []
    for way in ("naive", "buckets", "overlap"):
        hides = way == "overlap" and network == "slow"
        ratios = []
        for alone, clock in zip(told["alone"], told[way], strict=True):
            step = predict_step(alone, clock.sizes, link, size, overlap=hides)
            ratios.append(clock.total / step.total)
        line = {
            "ranks": size,
            "network": network,
            "latency_us": round(link.latency_us, 1),
            "mb_per_s": round(1000 * link.gb_per_s, 1),
            "way": way,
            "measured_ms": round(1000 * middle(told[way]).total, 1),
            "over_predicted": round(statistics.median(ratios), 3),
            "lowest": round(min(ratios), 3),
            "highest": round(max(ratios), 3),
            "turns": TURNS,
        }
        print(json.dumps(line), flush=True)
        lines.append(line)
    return lines


def main() -> None:
    """Print a line for each number of ranks, network and way."""
    ids = torch.randint(0, 256, (ROWS, 65), generator=torch.Generator().manual_seed(SEED))
    measured: list[dict] = []
    steps: dict[str, dict] = {}
    for size in (2, 4):
        for network, given in (("slow", SLOW), ("loopback", None)):
            link, told = run_processes(size, work, ids, given, timeout=300)[0]
            measured += lines_of(size, network, link, told)
            if not steps:
                steps = {way: asdict(middle(clocks)) for way, clocks in told.items()}
    if sys.argv[1:]:
        record = {
            "config": {"rows": ROWS, "bucket_bytes": BUCKET, "turns": TURNS} | asdict(CONFIG),
            "seed": SEED,
            "machine": machine(),
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "commit": commit(),
            "slow": {k: getattr(SLOW, k) for k in ("name", "gb_per_s", "latency_us")},
            "measured": measured,
            "steps": steps,  # of rank 0 of 2, over the slow network
        }
        path = RESULTS / "ddp_step" / f"{sys.argv[1]}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    from benchmarks import ddp_step  # so that other processes find work by the module's name

    ddp_step.main()
