"""A loss spike provoked on purpose, and twelve ways to live with it.

A small model reads prose. Somewhere in the middle of the run a few batches in a row come from a
broken file; then the prose goes on. Every arm changes one thing against `nothing`, which neither
clips nor looks. `clean` is `nothing` without the broken file.

- Skipping the batch is a rewind by no step at all: a mark is kept at every step, the monitor calls
  a single high loss a spike, and the run goes back to the weights that it still has. So the same
  feature of the loop carries out `skip`, `rewind` and `rewind_lower`.
- `rewind` is told what PaLM did, in small: back `BACK` steps or more, and `SKIP` batches left out.
  `rewind_lower` goes on at half the learning rate besides, as OPT did by hand.
- Costs are counted in passes: forward and backward through one batch, also those whose update was
  undone. A batch that is left out costs nothing.

What is measured: see `run`. What was settled before the study: see `PILOT`.

Shape letters: B windows, T context.
"""

import dataclasses
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from minillm.data.corpora import load_corpus
from minillm.data.loader import BatchSampler, windows
from minillm.model import Decoder
from minillm.objectives import causal_loss
from minillm.recipes.records import Job
from minillm.recipes.runs import decoder
from minillm.recipes.small import N_BYTES_VOCAB, SmallConfig, stream
from minillm.recipes.spike_parts import PoisonedBatches, norm_queries_and_keys, z_loss
from minillm.train import OptimizerConfig, RecoveryConfig, TrainConfig, train
from minillm.train.gradient_shrink import shrink_embedding
from minillm.train.recovery import SpikeError
from minillm.train.rewind import RewindConfig
from minillm.train.spikes import SpikeConfig

CORPUS, TRAIN_BYTES, TEST_BYTES = "prose", 400_000, 40_000
SMALL = SmallConfig(d_model=64, n_layers=2, n_heads=4, context=64, batch_size=8, steps=300)
LR = 0.01
POISON_AT, POISON_FOR, KIND = 150, 5, "shifted"
"""The first broken batch, how many there are, and what is in them; see `broken`."""
EVERY, N_TEST = 5, 24
"""The test loss is looked at every so many updates, on so many windows of unseen text."""
BACK, SKIP = 10, 20
"""The rewind, in the proportions of PaLM's 100 steps and 200 batches, a tenth of them."""


@lru_cache(maxsize=1)
def texts() -> tuple[np.ndarray, tuple[Tensor, Tensor]]:
    """Tokens to train on, (N,), and (x, y), (N_TEST, T), of texts that are not among them."""
    found = load_corpus(CORPUS, max_bytes=TRAIN_BYTES + 2 * TEST_BYTES, progress=False).texts
    found = [found[i] for i in np.random.default_rng(21).permutation(len(found))]
    test: list[str] = []
    while sum(len(text) for text in test) < TEST_BYTES:
        test.append(found.pop())
    unseen = stream(test)
    starts = np.linspace(0, len(unseen) - SMALL.context - 1, N_TEST).astype(int)
    cut = windows(unseen, starts, SMALL.context)
    return stream(found)[:TRAIN_BYTES], cut


def make(settings: Mapping[str, Any], seed: int) -> Decoder:
    """Build the model of an arm: with a norm on the embedding, or normed queries and keys."""
    torch.manual_seed(seed)
    shape = decoder(N_BYTES_VOCAB, d_model=64, n_layers=2, n_heads=4, context=64)
    normed = bool(settings.get("embedding_norm", False))
    shape = dataclasses.replace(shape, norm=dataclasses.replace(shape.norm, embedding=normed))
    model = Decoder(shape)
    if settings.get("qk_norm"):
        norm_queries_and_keys(model)
    if "shrink" in settings:
        shrink_embedding(model.embedding, settings["shrink"])
    return model


def recovery_of(settings: Mapping[str, Any]) -> RecoveryConfig | None:
    """What the loop does about a spike, in an arm."""
    kind = settings.get("recovery")
    if kind is None:
        return None
    if kind == "skip":  # patience 1, back 0: the weights of this very step
        spikes = SpikeConfig(window=40, least=20, patience=1)
        rewind = RewindConfig(back=0, skip=0, near=0, widen=1.0, tries=1000)
        return RecoveryConfig(mark_every=1, spikes=spikes, rewind=rewind)
    rewind = RewindConfig(
        back=BACK, skip=SKIP, near=50, widen=1.0, tries=5, lr_factor=settings.get("lr_factor", 1.0)
    )
    return RecoveryConfig(mark_every=5, spikes=SpikeConfig(window=40, least=20), rewind=rewind)


def how_to_train(settings: Mapping[str, Any], steps: int) -> tuple[TrainConfig, OptimizerConfig]:
    """Settings of the loop and of AdamW, in an arm."""
    how = TrainConfig(
        steps=steps,
        batch_size=SMALL.batch_size,
        context=SMALL.context,
        warmup_steps=SMALL.warmup_steps,
        clip=settings.get("clip", math.inf),
        log_every=0,
        eval_every=EVERY,
        precision="float32",
        recovery=recovery_of(settings),
    )
    betas = (0.9, settings.get("beta2", 0.95))
    lr, eps = settings.get("lr", LR), settings.get("eps", 1e-8)
    return how, OptimizerConfig(lr=lr, betas=betas, eps=eps, weight_decay=0.1)


def train_arm(
    settings: Mapping[str, Any], seed: int, *, steps: int = SMALL.steps
) -> tuple[Decoder, list[dict[str, Any]], PoisonedBatches]:
    """Train one model; equal seeds read equal windows in equal order, whatever the arm.

    Returns:
        The model, what the loop has logged, and the batches. Records of the test loss hold
        "passes", the batches that were read up to then.
    """
    torch.set_num_threads(1)
    tokens, (x, y) = texts()
    n = settings.get("poison", POISON_FOR)
    inner = BatchSampler(tokens, SMALL.batch_size, SMALL.context, seed=seed)
    batches = PoisonedBatches(inner, POISON_AT, n, settings.get("kind", KIND), seed)
    model = make(settings, seed)
    records: list[dict[str, Any]] = []

    def evaluate(model: nn.Module) -> dict[str, float]:
        return {"test": causal_loss(model, x, y).item(), "passes": batches.n_read}

    how, optimizer = how_to_train(settings, steps)
    try:
        train(
            model, batches, how, optimizer=optimizer, evaluate=evaluate, log=records.append,
            objective=z_loss if settings.get("z_loss") else causal_loss, progress=False,
        )  # fmt: skip
    except SpikeError as error:  # the run gave up; what it had reached counts
        records.append({"gave up": str(error)})
    return model.eval(), records, batches


def curve(records: list[dict[str, Any]]) -> list[tuple[int, float]]:
    """Give (passes, test loss) of a run, in the order of the looks."""
    looks = [r["evaluate"] for r in records if "evaluate" in r]
    return [(int(look["passes"]), float(look["test"])) for look in looks]


def measure(records: list[dict[str, Any]], steps: int = SMALL.steps) -> dict[str, float]:
    """Boil a run down to a few numbers; see `run`."""
    looks = curve(records)
    before = min(loss for passes, loss in looks if passes <= POISON_AT)
    after = [(passes, loss) for passes, loss in looks if passes > POISON_AT]
    back = [passes - POISON_AT for passes, loss in after if loss <= before]
    rewinds = [r for r in records if "rewind" in r]
    return {
        "before": before / math.log(2),
        "final": looks[-1][1] / math.log(2),
        "jump": (max(loss for _, loss in after) - before) / math.log(2),
        "passes to recover": float(back[0] if back else steps),
        "recovered": float(bool(back)),
        "rewinds": float(len(rewinds)),
        "gave up": float("gave up" in records[-1]),
    }


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train one model through the broken file.

    Returns:
        "before": the lowest bits a byte of unseen text until the first broken batch (an arm that
        learns slowly has less to lose); "final": those at the end; "jump": the highest loss on
        unseen text after the first broken batch, minus the lowest before it, in bits; "passes to
        recover": from the first broken batch until the loss on unseen text is as low as it ever
        was before (all steps of the run if it never was); "recovered", "gave up": 1 for yes;
        "rewinds": how many.
    """
    return measure(train_arm(settings, seed)[1])


ARMS: dict[str, dict[str, Any]] = {
    "clean": {"poison": 0},
    "nothing": {},
    "clip": {"clip": 1.0},
    "skip": {"recovery": "skip"},
    "rewind": {"recovery": "rewind"},
    "rewind_lower": {"recovery": "rewind", "lr_factor": 0.5},
    "shrink": {"shrink": 0.1},
    "embedding_norm": {"embedding_norm": True},
    "qk_norm": {"qk_norm": True},
    "z_loss": {"z_loss": True},
    "eps": {"eps": 1e-5},
    "long_memory": {"beta2": 0.999},
}

PILOT: dict[str, dict[str, float]] = {
    "clean_0.005": {"final": 4.2515, "jump": -0.0071, "passes to recover": 5.0},
    "noise_0.005": {"final": 4.4148, "jump": 0.2288, "passes to recover": 40.0},
    "constant_0.005": {"final": 4.3895, "jump": 0.1619, "passes to recover": 40.0},
    "shifted_0.005": {"final": 4.3768, "jump": 0.4501, "passes to recover": 30.0},
    "clean_0.01": {"final": 3.95, "jump": -0.0155, "passes to recover": 5.0},
    "noise_0.01": {"final": 4.0478, "jump": 0.7785, "passes to recover": 30.0},
    "constant_0.01": {"final": 4.1978, "jump": 0.5245, "passes to recover": 35.0},
    "shifted_0.01": {"final": 4.2353, "jump": 1.2869, "passes to recover": 50.0},
    "clean_0.02": {"final": 4.2827, "jump": -0.0006, "passes to recover": 5.0},
    "noise_0.02": {"final": 4.4333, "jump": 0.3771, "passes to recover": 45.0},
    "constant_0.02": {"final": 4.3956, "jump": 0.2442, "passes to recover": 40.0},
    "shifted_0.02": {"final": 4.5434, "jump": 0.3196, "passes to recover": 50.0},
}
"""Seed 101, arm `nothing`: what each broken file does at each rate, as `pilot` printed it.

The rate is the one at which the clean run ends best; the file the one that is felt longest there.
"""

PILOT_ARMS: dict[str, dict[str, float]] = {
    "clean": {"final": 3.95, "jump": -0.0155, "passes to recover": 5.0},
    "nothing": {"final": 4.2353, "jump": 1.2869, "passes to recover": 50.0},
    "clip": {"final": 4.2547, "jump": 0.46, "passes to recover": 25.0},
    "skip": {"final": 3.9352, "jump": -0.0147, "passes to recover": 10.0},
    "rewind": {"final": 3.9686, "jump": 0.0451, "passes to recover": 22.0},
    "rewind_lower": {"final": 4.2238, "jump": 0.0311, "passes to recover": 22.0},
    "shrink": {"final": 4.5726, "jump": 0.3205, "passes to recover": 25.0},
    "embedding_norm": {"final": 4.332, "jump": 0.4013, "passes to recover": 35.0},
    "qk_norm": {"final": 4.6083, "jump": 0.5111, "passes to recover": 30.0},
    "z_loss": {"final": 4.2376, "jump": 1.4989, "passes to recover": 70.0},
    "eps": {"final": 4.0528, "jump": 1.1985, "passes to recover": 45.0},
    "long_memory": {"final": 4.5992, "jump": 0.7366, "passes to recover": 50.0},
}
"""Seed 101, every arm with the settings of the study: made once before it, to see that they run."""


def pilot(
    seed: int = 101,
    kinds: tuple[str, ...] = ("noise", "constant", "shifted"),
    rates: tuple[float, ...] = (0.005, 0.01, 0.02),
) -> None:
    """Print what the broken files do to `nothing`, on a seed outside the study."""
    for lr in rates:
        clean = run({"poison": 0, "lr": lr}, seed)
        print(f'"clean_{lr}": {_rounded(clean)},', flush=True)
        for kind in kinds:
            print(f'"{kind}_{lr}": {_rounded(run({"kind": kind, "lr": lr}, seed))},', flush=True)


def _rounded(measured: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in measured.items()}


JOB = Job(
    name="spike_remedies",
    title="A spike provoked by a broken file: twelve remedies, final loss and passes to recover",
    lesson="21",
    arms=ARMS,
    run=run,
)
