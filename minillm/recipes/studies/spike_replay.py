"""Is a spike the fault of the data, of the weights, or of both? The same batches, replayed.

PaLM's authors took the batches around a spike, trained on them from a different, earlier
checkpoint, and saw no spike (Chowdhery et al. 2022, arXiv:2204.02311, section 5.1). Here a run goes
on until its monitor calls a spike. Then the batches around it, or others, are read from the weights
that stood a few steps before it, or from older ones: four cells, one of them the spike itself.

- `hot`: a learning rate so high that the run spikes by itself. All of its data are good.
- `broken`: a usual rate, and a broken file, as in the study spike_remedies.

The rule, written before any run: the observation is *seen* if, in `hot`, the share of replays with
a spike from older weights minus that from the weights just before is below zero with all of its
interval, five seeds, paired. For `broken` no difference is expected. A run without a spike counts
with 0 in every cell, and so against the observation.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from minillm.data.loader import BatchSampler
from minillm.objectives import causal_loss
from minillm.recipes.records import Job
from minillm.recipes.spike_parts import PoisonedBatches
from minillm.recipes.studies.spike_remedies import KIND, POISON_FOR, SMALL, make, texts
from minillm.train.spikes import SpikeConfig, SpikeMonitor

STEPS, WARMUP, EVERY = 800, 100, 10
"""Steps at most; steps until the rate is constant; a snapshot is kept every so many."""
FIRST = 190
"""Spikes that begin before this step are not looked at: the oldest snapshot of a replay must be
younger than the warm-up."""
BROKEN_AT = 300
NEAR, FURTHER, LENGTH, SKIP = 10, (30, 60), 24, 20
"""A replay starts at least NEAR steps before the spike and is LENGTH batches long; older weights
are FURTHER steps older; other batches begin SKIP batches behind the end of those of the spike."""

Batch = tuple[Tensor, Tensor]


class Run:
    """A model, its optimizer and its monitor, which can be put back to where they were.

    Args:
        settings: "lr", "beta2".
        seed: of the weights.
    """

    def __init__(self, settings: Mapping[str, Any], seed: int) -> None:
        self.model, self.lr, self.step = make({}, seed), settings["lr"], 0
        betas = (0.9, settings.get("beta2", 0.95))
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=self.lr, betas=betas, weight_decay=0.1
        )
        self.monitor = SpikeMonitor(SpikeConfig(window=40, least=20))

    def advance(self, batch: Batch) -> tuple[str, int, float]:
        """Make one update; nothing is clipped.

        Returns:
            The monitor's word, the first step of the spike or this one, and the loss in its units.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * min(1.0, (self.step + 1) / WARMUP)
        self.optimizer.zero_grad()
        loss = causal_loss(self.model, *batch)
        loss.backward()
        norm = nn.utils.get_total_norm([p.grad for p in self.model.parameters()])  # type: ignore[misc]
        self.optimizer.step()
        self.step += 1
        said = self.monitor.add(self.step, loss.item(), norm.item())
        return said.kind, said.since, said.loss_units

    def snapshot(self) -> dict[str, Any]:
        """Give a copy of everything that `restore` needs."""
        parts = (self.model.state_dict(), self.optimizer.state_dict(), self.monitor.state_dict())
        return {"step": self.step, "parts": copy.deepcopy(parts)}

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Go back to a snapshot, which is left as it is."""
        model, optimizer, monitor = copy.deepcopy(kept["parts"])
        self.step = kept["step"]
        self.model.load_state_dict(model)
        self.optimizer.load_state_dict(optimizer)
        self.monitor.load_state_dict(monitor)


def batches_of(settings: Mapping[str, Any], seed: int) -> list[Batch]:
    """All batches that a run and its replays can ask for, in order."""
    inner = BatchSampler(texts()[0], SMALL.batch_size, SMALL.context, seed=seed)
    n = POISON_FOR if settings.get("broken") else 0
    source = PoisonedBatches(inner, BROKEN_AT, n, KIND, seed)
    return [next(source) for _ in range(STEPS + 2 * LENGTH + SKIP)]


def until_spike(
    run: Run, batches: Sequence[Batch], steps: int = STEPS
) -> tuple[int | None, dict[int, dict[str, Any]]]:
    """Train until a spike begins at FIRST or later.

    Returns:
        Its first step, None if there is none; and the snapshots, by steps done.
    """
    kept: dict[int, dict[str, Any]] = {}
    for place in range(steps):
        if place % EVERY == 0:
            kept[place] = run.snapshot()
            kept.pop(place - max(FURTHER) - NEAR - 3 * EVERY, None)
        kind, since, _ = run.advance(batches[place])
        if kind == "spike" and since >= FIRST:
            return since, kept
    return None, kept


def replay(run: Run, kept: Mapping[str, Any], batches: Sequence[Batch]) -> tuple[float, float]:
    """Read batches from a snapshot on.

    Returns:
        1 if a spike is called, and the highest loss in the monitor's units.
    """
    run.restore(kept)
    said = [run.advance(batch) for batch in batches]
    return float(any(kind == "spike" for kind, _, _ in said)), max(units for _, _, units in said)


def measure(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train to a spike, and fill the four cells.

    Returns:
        "found": 1 if there was a spike; "since": its first step. The shares of replays with a
        spike: "same" (the weights just before, the batches of the spike), "older weights" (these
        batches, from weights that are FURTHER steps older), "other batches" (the weights just
        before), "neither". With " units": the highest loss, in the monitor's units, on average.
    """
    torch.set_num_threads(1)
    batches, run = batches_of(settings, seed), Run(settings, seed)
    since, kept = until_spike(run, batches)
    cells = {name: [(0.0, 0.0)] for name in ("same", "older weights", "other batches", "neither")}
    if since is not None:
        mark = (since - NEAR) // EVERY * EVERY
        there = batches[mark : mark + LENGTH]
        beyond = batches[mark + LENGTH + SKIP : mark + 2 * LENGTH + SKIP]
        older = [kept[mark - n] for n in FURTHER]
        cells = {
            "same": [replay(run, kept[mark], there)],
            "older weights": [replay(run, old, there) for old in older],
            "other batches": [replay(run, kept[mark], beyond)],
            "neither": [replay(run, old, beyond) for old in older],
        }
    out = {"found": float(since is not None), "since": float(since or STEPS)}
    for name, found in cells.items():
        out[name] = sum(spiked for spiked, _ in found) / len(found)
        out[f"{name} units"] = min(sum(units for _, units in found) / len(found), 1e6)
    return out


ARMS: dict[str, dict[str, Any]] = {
    "hot": {"lr": 0.6},
    "broken": {"lr": 0.01, "broken": True},
}


PILOT: dict[str, list[int]] = {
    "0.02": [],
    "0.04": [],
    "0.04, beta2 0.999": [],
    "0.08": [],
    "0.16": [],
    "0.3": [],
    "0.6": [370, 374, 378],
    "1.2": [75, 105, 137, 259, 376],
}
"""Seed 101, no broken file: first steps of all spikes within 400 steps, at each rate (up to 0.16
with a warm-up of 20 steps instead of 100, and for 500 steps). Made before the study; no replay.

Only at rates where the model hardly learns more than how frequent bytes are (3.3 nats a byte) does
it spike by itself. The study takes the lowest rate that does, and the warm-up is not in question.
"""


JOB = Job(
    name="spike_replay",
    title="The batches of a spike, replayed from other weights: does it come again?",
    lesson="21",
    arms=ARMS,
    run=measure,
)
