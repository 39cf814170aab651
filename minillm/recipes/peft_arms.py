"""Thirteen ways to adapt one model to one task, at one budget: what lesson 32's studies share.

The task is that of code_task.py: answer in a code what the model knows by heart.

Shape letters: those of minillm/finetune/budget.py.
"""

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import islice, pairwise

import torch
from torch import Tensor, nn

from minillm.finetune import (
    NF4Linear,
    PrefixedDecoder,
    RankAllocator,
    RankSchedule,
    Stretched,
    SVDLinear,
    add_adalora,
    add_adapters,
    add_ia3,
    add_prefix,
    add_prompt,
    apply_qlora,
    count_trainable,
    count_trained,
    materialise,
    merge_ia3,
    only_biases,
    orthogonality,
    size_for,
)
from minillm.finetune.lora import LoRALinear, apply_lora
from minillm.finetune.merge import fold_adapters
from minillm.finetune.parts import parts_of, replace
from minillm.model import Decoder
from minillm.objectives.fused import linear_cross_entropy
from minillm.recipes.code_task import CONTEXT, Question, batches
from minillm.train import OptimizerConfig, TrainConfig, train
from minillm.train.live_memory import peak_bytes
from minillm.train.optimizers import make_optimizer

ARMS = (
    "full", "prompt", "p_tuning_mlp", "p_tuning_lstm", "prefix", "prefix_mlp", "houlsby",
    "pfeiffer", "lora", "adalora", "qlora", "ia3", "bitfit",
)  # fmt: skip
BUDGET = 2320
"""Numbers that a method may add, 2 % of the model: two adapters of width 4 a block, 36 tokens of a
prompt, 9 of a prefix, rank 4 on q and v. Networks that are thrown away afterwards do not count, and
are shown beside it."""
ENCODER_WIDTH = 64
STEPS, BATCH, WARMUP = 200, 16, 10
ORTHOGONAL = 0.1
"""Weight of AdaLoRA's penalty: the lowest that its paper uses."""
LADDER = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
"""Learning rates that a pilot may try; see `tried`."""
BLOCK = 32
"""Numbers of an NF4 block: rows of this model are 64 wide, so that 64 would be one scale a row."""


def adapted(arm: str, model: Decoder, seed: int, *, budget: int = BUDGET) -> Decoder:
    """Copy a model and make it ready for one method, sized to the budget where it has a size.

    Raises:
        ValueError: if the arm is unknown.
    """
    model, config = copy.deepcopy(model), model.config
    torch.manual_seed(seed)

    def size(method: str) -> int:
        return size_for(method, config, budget).size or 0

    tokens, inside, rank = size("prompt"), size("prefix"), size("lora")
    ways: dict[str, Callable[[], Decoder]] = {
        "full": lambda: model,
        "prompt": lambda: add_prompt(model, tokens),
        "p_tuning_mlp": lambda: add_prompt(model, tokens, encoder="mlp", width=ENCODER_WIDTH),
        "p_tuning_lstm": lambda: add_prompt(model, tokens, encoder="lstm", width=ENCODER_WIDTH),
        "prefix": lambda: add_prefix(model, inside),
        "prefix_mlp": lambda: add_prefix(model, inside, width=ENCODER_WIDTH),
        "houlsby": lambda: add_adapters(model, size("houlsby")),
        "pfeiffer": lambda: add_adapters(model, size("pfeiffer"), places="pfeiffer"),
        "lora": lambda: apply_lora(model, ("q", "v"), rank=rank, alpha=2.0 * rank),
        "adalora": lambda: add_adalora(model, ("q", "v"), rank=rank * 3 // 2, alpha=3.0 * rank),
        "qlora": lambda: apply_qlora(model, ("q", "v"), rank=rank, alpha=2.0 * rank, block=BLOCK),
        "ia3": lambda: add_ia3(model),
        "bitfit": lambda: only_biases(model, add=True),
    }
    if arm not in ways:
        raise ValueError(f"arm must be one of {', '.join(ARMS)}; got {arm!r}")
    return ways[arm]()


def kept_numbers(arm: str, model: Decoder, *, budget: int = BUDGET) -> int:
    """Count what has to be kept of a method once it is trained, beside the model."""
    if arm in ("p_tuning_mlp", "p_tuning_lstm"):
        return count_trained("prompt", model.config, size_for("prompt", model.config, budget).size)
    if arm == "prefix_mlp":
        return count_trained("prefix", model.config, size_for("prefix", model.config, budget).size)
    if arm == "adalora":
        rank = size_for("lora", model.config, budget).size
        return count_trained("adalora", model.config, rank)
    return count_trainable(model)


def has(model: nn.Module, kind: type) -> bool:
    """Whether a model has a part of a kind."""
    return any(isinstance(part, kind) for part in model.modules())


def answers_loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Mean surprise at the words of the answers; with AdaLoRA's penalty where there is one."""
    assert isinstance(model, Decoder)
    loss = linear_cross_entropy(model.features(x), model.output_matrix(), y)
    if has(model, SVDLinear):
        loss = loss + ORTHOGONAL * orthogonality(model)
    return loss


def adapt(
    model: Decoder, questions: Sequence[Question], lr: float, seed: int, *, steps: int = STEPS,
    milliseconds: list[float] | None = None,
) -> Decoder:  # fmt: skip
    """Train what is to be trained; no weight decay, in any arm.

    Args:
        model: from `adapted`; changed in place.
        questions: to tune on.
        lr: the highest learning rate.
        seed: of the order.
        steps: of BATCH questions each.
        milliseconds: a list to which the CPU time of every step is added; a busy neighbour on the
            machine does not count.
    """
    torch.set_num_threads(1)
    settings = TrainConfig(
        steps=steps, batch_size=BATCH, context=CONTEXT, warmup_steps=min(WARMUP, steps - 1),
        log_every=0, precision="float32",
    )  # fmt: skip
    optimizer = make_optimizer(model, OptimizerConfig(lr=lr, weight_decay=0.0))
    svd = [part for _, part in parts_of(model, SVDLinear)]
    if svd:
        rank = svd[0].rank
        schedule = RankSchedule(
            initial=rank * len(svd), target=rank * 2 // 3 * len(svd), total=steps,
            warmup=steps // 5, final=steps * 3 // 10,
        )  # fmt: skip
        RankAllocator(model, schedule).attach(optimizer)
    marks = [time.process_time()]
    train(
        model, batches(questions, BATCH, seed), settings, optimizer=optimizer,
        objective=answers_loss, progress=False, log=lambda _: marks.append(time.process_time()),
    )  # fmt: skip
    if milliseconds is not None:
        milliseconds += [1e3 * (b - a) for a, b in pairwise(marks)]
    return model.eval()


@torch.no_grad()
def served(model: Decoder) -> Decoder:
    """The model in the form in which it would be used: computed prefixes, merged updates.

    Adapters, added biases and updates of a quantised matrix stay what they are.
    """
    model = copy.deepcopy(model)
    if isinstance(model, PrefixedDecoder):
        return materialise(model)
    svd = [name for name, _ in parts_of(model, SVDLinear)]
    if svd:
        replace(model, svd, lambda part: part.merged())  # type: ignore[operator]
    elif has(model, Stretched):
        merge_ia3(model)
    elif has(model, LoRALinear) and not has(model, NF4Linear):
        fold_adapters(model)
    return model


def tried(measure: Callable[[float], float], rates: Sequence[float]) -> dict[float, float]:
    """Measure a loss at some learning rates, and go on along LADDER while the best is at an end.

    So no arm is judged at a rate only because the list ended there.

    Args:
        measure: learning rate -> loss.
        rates: of LADDER, to begin with.

    Returns:
        Rate -> loss, in rising order of the rates. The best has both its neighbours beside it,
        unless LADDER itself ends there.
    """
    found: dict[float, float] = {}
    todo = list(rates)
    while todo:
        found |= {lr: measure(lr) for lr in todo}
        best = LADDER.index(min(found, key=lambda lr: found[lr]))
        todo = [lr for lr in LADDER[max(best - 1, 0) : best + 2] if lr not in found]
    return dict(sorted(found.items()))


def step_bytes(model: Decoder, questions: Sequence[Question]) -> int:
    """Bytes of a training step at its peak: all weights, and what the step makes.

    The step is taken by a copy, with Adam's two means made in it.
    """
    model = copy.deepcopy(model)
    ((x, y),) = islice(batches(questions, BATCH, 0), 1)
    optimizer = make_optimizer(model, OptimizerConfig(weight_decay=0.0))

    def step() -> torch.optim.Optimizer:
        answers_loss(model, x, y).backward()
        optimizer.step()
        return optimizer

    tensors = {t.data_ptr(): t for t in (*model.parameters(), *model.buffers())}
    return sum(t.numel() * t.element_size() for t in tensors.values()) + peak_bytes(step)


@torch.no_grad()
def slower(model: Decoder, plain: Decoder, *, repeats: int = 20) -> float:
    """CPU time of a forward pass over that of the plain model, medians of alternating runs."""
    ids = torch.randint(0, plain.config.vocab_size, (64, CONTEXT))
    spent: dict[str, list[float]] = {"model": [], "plain": []}
    for _ in range(repeats):
        for name, one in (("model", model), ("plain", plain)):
            begun = time.process_time()
            one(ids)
            spent[name].append(time.process_time() - begun)
    return statistics.median(spent["model"][2:]) / statistics.median(spent["plain"][2:])


def ranks_left(model: Decoder) -> dict[str, int]:
    """Ranks that AdaLoRA left, by matrix; empty for any other method."""
    return {n: int(part.values.count_nonzero()) for n, part in parts_of(model, SVDLinear)}
