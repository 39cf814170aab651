"""How many examples is a packed row of a talk? How alike the gradients of its answers are.

A group is 16 talks about short stories of the village; of each the first three answers are kept.
The gradient of every answer's mean loss is taken in the shipped draft model, and `turn_noise` says
how many answers of different talks are worth as much as one row. A seed is a group of its own
stories. As a control the answers of a group are dealt out anew, so that each "row" holds a first,
a second and a third answer of three different talks: such a row must be worth about three.

What is judged is the rule of PAK-010 in the ledger: `effective` minus 1 over the five groups.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from minillm.data.storyworld.dialogue import dialogue
from minillm.data.storyworld.quiz import short_stories
from minillm.finetune import losses_by_answer, tokenize_chat, turn_noise
from minillm.recipes.records import Job
from minillm.recipes.shipped import base

MODEL, TALKS, ANSWERS = "draft", 16, 3


@lru_cache(maxsize=1)
def gradients(seed: int, n_talks: int = TALKS) -> Tensor:
    """The gradients of the first three answers of so many talks, (N, 3, P), float32."""
    torch.set_num_threads(1)
    model, tokenizer = base(MODEL)
    found: list[Tensor] = []
    for story, _ in short_stories(seed, "en"):
        talk = dialogue(story, "en")[: 2 * ANSWERS]
        ids, mask = tokenize_chat(talk, tokenizer)
        if len(talk) == 2 * ANSWERS and len(ids) <= model.config.context:
            losses = losses_by_answer(model, ids, mask)
            found.append(torch.stack([_slope(loss, model) for loss in losses]))
        if len(found) == n_talks:
            return torch.stack(found)
    raise AssertionError("short_stories never ends")


def _slope(loss: Tensor, model: torch.nn.Module) -> Tensor:
    parts = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
    return torch.cat([part.flatten() for part in parts])


def dealt(rows: Tensor) -> Tensor:
    """Rows of three strangers: answer k of talk n goes to row n + k."""
    return torch.stack([rows[:, k].roll(k, dims=0) for k in range(rows.shape[1])], dim=1)


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Measure one group, as it is or dealt out anew."""
    rows = gradients(seed)
    noise = turn_noise(rows if settings["rows"] == "talks" else dealt(rows))
    return {"correlation": noise.correlation, "effective": noise.effective}


JOB = Job(
    name="turn_worth",
    title="How many answers of different talks is a row of three answers of one talk worth?",
    lesson="28",
    arms={name: {"rows": name} for name in ("talks", "strangers")},
    run=run,
)
