"""The search for a plan: try every one, refuse what breaks a rule or does not fit, rank the rest.

There are some thousand plans for a few hundred cards, and a bill takes no time, so nothing clever
is needed; what is hard is to say *why* the winner wins. So a search keeps what it refused, with the
reason, and can tell for each single change of the winner what it would cost.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from minillm.distributed.bill import Bill, bill
from minillm.distributed.card_seconds import Assumptions
from minillm.distributed.layout import AXES, Layout
from minillm.distributed.plan import Job, Plan, Recompute, broken_rule

RECOMPUTE: tuple[Recompute, ...] = ("none", "selective", "full")


@dataclass(frozen=True)
class Candidate:
    """A plan that was looked at.

    Attributes:
        plan: it.
        bill: what it costs; None if it breaks a rule.
        refused: why it cannot be; None if it can.
    """

    plan: Plan
    bill: Bill | None
    refused: str | None

    @property
    def seconds(self) -> float:
        """Of a step; infinite if it cannot be."""
        return float("inf") if self.bill is None or self.refused else self.bill.time.total


@dataclass(frozen=True)
class Search:
    """All plans that were looked at, the fastest first, then the refused ones.

    Attributes:
        job: what is to be trained.
        candidates: all of them.
        assume: what the bills take for granted.
    """

    job: Job
    candidates: tuple[Candidate, ...]
    assume: Assumptions

    @property
    def fitting(self) -> list[Candidate]:
        """Those that can be, the fastest first."""
        return [c for c in self.candidates if c.refused is None]

    @property
    def best(self) -> Candidate | None:
        """The fastest; None if there is none."""
        return self.candidates[0] if self.candidates and not self.candidates[0].refused else None

    def refusals(self) -> Counter[str]:
        """How many plans were refused, by the kind of reason."""
        return Counter(_kind(c.refused) for c in self.candidates if c.refused)

    def report(self, n: int = 5) -> str:
        """The n fastest plans, one a line, and why the others were refused."""
        card = self.job.cluster.card
        lines = [
            f"{self.job.name} on {self.job.cluster.n_cards} x {card.name}, batch "
            f"{self.job.batch_size} x {self.job.context}: {len(self.candidates)} plans, "
            f"{len(self.fitting)} possible"
        ]
        lines += [told(self.job, c) for c in self.fitting[:n]]
        lines += [f"refused {n:>6}  {why}" for why, n in self.refusals().most_common()]
        return "\n".join(lines)


def consider(job: Job, plan: Plan, assume: Assumptions | None = None) -> Candidate:
    """Look at one plan: its rules, its bill, and whether that fits.

    Args:
        job: what is to be trained.
        plan: how.
        assume: what the bill takes for granted.

    Returns:
        The candidate. If only the memory is too small, it has a bill and a reason.

    Lesson: notebooks/23_parallel.ipynb
    """
    assume = assume or Assumptions()
    rule = broken_rule(job, plan)
    if rule is not None:
        return Candidate(plan, None, rule)
    cost = bill(job, plan, assume)
    need, have = cost.memory.total, assume.room * job.cluster.card.memory
    if need > have:
        part, size = max(vars(cost.memory).items(), key=lambda item: item[1])
        why = f"needs {need / 1e9:.1f} GB of {have / 1e9:.1f} GB, {size / 1e9:.1f} of it for {part}"
        return Candidate(plan, cost, why)
    return Candidate(plan, cost, None)


@dataclass(frozen=True)
class Space:
    """Where a search looks.

    Attributes:
        micro_batches, zero, recompute: to try.
        chunks: to try with a pipeline; more than 1 interleaves.
        context, experts: sizes of these two axes to try; 1 leaves an axis out.
        sequence: use sequence parallelism wherever there is a tensor axis.
        uneven: allow stages with different numbers of blocks.
    """

    micro_batches: tuple[int, ...] = (1, 2, 4, 8)
    zero: tuple[int, ...] = (0, 1, 2, 3)
    recompute: tuple[Recompute, ...] = RECOMPUTE
    chunks: tuple[int, ...] = (1, 2, 3, 4)
    context: tuple[int, ...] = (1,)
    experts: tuple[int, ...] = (1,)
    sequence: bool = True
    uneven: bool = False

    def plans(self, n_cards: int) -> Iterator[Plan]:
        """Every plan for a number of cards, whether it can be or not."""
        for c in (c for c in self.context if n_cards % c == 0):
            for box in layouts(n_cards // c):
                layout = replace(box, context=c)
                for m, zero, r, v, e in product(
                    self.micro_batches,
                    self.zero,
                    self.recompute,
                    self.chunks if layout.pipeline > 1 else (1,),
                    self.experts,
                ):
                    sequence = self.sequence and layout.tensor > 1
                    yield Plan(layout, m, zero, r, sequence, self.uneven, v, e)


def search(job: Job, space: Space | None = None, assume: Assumptions | None = None) -> Search:
    """Look at every plan for a job.

    Data x pipeline x tensor over all divisors of the cards, and what the space adds. With
    Space(recompute=("full",), sequence=False) it searches among what was known in early 2022.

    Args:
        job: what is to be trained.
        space: where to look.
        assume: what the bills take for granted.

    Returns:
        The search. Of equally fast plans the one that needs less memory comes first.

    Cost: up to 192 plans for each way to write the number of cards as a product of three.
    Lesson: notebooks/23_parallel.ipynb
    """
    space, assume = space or Space(), assume or Assumptions()
    found = [consider(job, plan, assume) for plan in space.plans(job.cluster.n_cards)]

    def order(c: Candidate) -> tuple[float, float]:
        return c.seconds, c.bill.memory.total if c.bill else 0.0

    return Search(job, tuple(sorted(found, key=order)), assume)


def layouts(n_cards: int) -> Iterator[Layout]:
    """List every way to write a number of cards as data x pipeline x tensor.

    Raises:
        ValueError: if there is no card.
    """
    if n_cards < 1:
        raise ValueError(f"n_cards must be at least 1, got {n_cards}")
    for tensor in _divisors(n_cards):
        for pipeline in _divisors(n_cards // tensor):
            yield Layout(n_cards // tensor // pipeline, pipeline, tensor)


def changes(job: Job, plan: Plan, assume: Assumptions | None = None) -> dict[str, Candidate]:
    """Change one thing of a plan at a time, and look at what comes of it.

    Args:
        job: what is to be trained.
        plan: where to start.
        assume: what the bills take for granted.

    Returns:
        What was changed, and the candidate: another stage of ZeRO, other recomputation, half and
        twice the micro batch and the chunks, and cards moved by a factor of 2 between axes.

    Lesson: notebooks/23_parallel.ipynb
    """
    a = plan.layout
    found = {f"ZeRO-{z}": replace(plan, zero=z) for z in range(4) if z != plan.zero}
    found |= {f"recompute {r}": replace(plan, recompute=r) for r in RECOMPUTE}
    del found[f"recompute {plan.recompute}"]
    found["micro batch x 2"] = replace(plan, micro_batch=2 * plan.micro_batch)
    if plan.micro_batch % 2 == 0:
        found["micro batch / 2"] = replace(plan, micro_batch=plan.micro_batch // 2)
    if a.pipeline > 1:
        found["chunks x 2"] = replace(plan, chunks=2 * plan.chunks)
    for more, less in product(AXES, AXES):
        if more != less and getattr(a, less) % 2 == 0 and "context" not in (more, less):
            sizes = {more: 2 * getattr(a, more), less: getattr(a, less) // 2}
            moved = replace(a, **sizes)
            found[f"{more} x 2, {less} / 2"] = replace(
                plan,
                layout=moved,
                sequence=plan.sequence and moved.tensor > 1,
                chunks=plan.chunks if moved.pipeline > 1 else 1,
            )
    return {what: consider(job, changed, assume) for what, changed in found.items()}


def told(job: Job, candidate: Candidate) -> str:
    """One line on a candidate: seconds, utilisations, memory; or why not."""
    c, cost = candidate, candidate.bill
    if cost is None or c.refused:
        return f"{'-':>8}  {c.plan}: {c.refused}"
    return (
        f"{cost.time.total:>7.3g} s  MFU {cost.mfu:.1%}  HFU {cost.hfu:.1%}  "
        f"{cost.memory.total / 1e9:>5.1f} GB  {c.plan}"
    )


_KINDS = (
    (" GB of ", "too much memory"),
    ("ZeRO shares", "ZeRO without a data axis"),
    ("ZeRO-", "ZeRO-2 or ZeRO-3 with a pipeline"),
    ("a batch", "batch no multiple of DP x micro batch"),
    ("cannot be shared", "heads or inner units not divisible by TP"),
    ("leaves the machine", "tensor parallelism across machines"),
    ("stages", "blocks do not fill the stages"),
    ("as chunks need", "micro batches no multiple of PP, for chunks"),
    ("CP ", "context cannot be cut, or would keep scores"),
    ("EP ", "experts cannot be shared"),
)


def _kind(reason: str | None) -> str:
    """A reason without its numbers."""
    return next((kind for part, kind in _KINDS if part in str(reason)), str(reason))


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]
