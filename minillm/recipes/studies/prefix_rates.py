"""Does an MLP make prefixes easier to train? With and without, at four learning rates.

Three starts at equal P: free keys and values that begin as noise (as peft begins), free ones that
begin as what the model makes of words, and those that an MLP writes. What counts is how widely the
loss differs over the rates: the spread of the four, of each seed.
"""

from collections.abc import Mapping
from typing import Any

import torch

from minillm.finetune import PrefixedDecoder, count_trained
from minillm.finetune.prompts import Prefix
from minillm.recipes.code_task import lesson_of, mark, speaker
from minillm.recipes.peft_arms import adapt, adapted
from minillm.recipes.records import Job

RATES = (3e-3, 1e-2, 3e-2, 1e-1)
"""Of both, before a number was seen: the four upper rates of peft_compared."""
STARTS = ("noise", "words", "mlp")


def prefixed(start: str, seed: int) -> PrefixedDecoder:
    """The model of a seed with a prefix that begins in one of the three ways."""
    model = adapted("prefix_mlp" if start == "mlp" else "prefix", speaker(seed), seed)
    assert isinstance(model, PrefixedDecoder)
    if start != "noise":
        return model
    keys, values = model.keys_values()
    torch.manual_seed(seed)
    source = Prefix(torch.randn_like(keys), torch.randn_like(values))
    assert 2 * source.keys.numel() == count_trained("prefix", model.config, source.n_tokens)
    return PrefixedDecoder(model.base(), source)


def run(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Carry out one run."""
    questions, test = lesson_of(seed)
    model = adapt(prefixed(settings["start"], seed), questions, settings["lr"], seed)
    marks = mark(model, test)
    return {"nats": marks.nats, "right": marks.right}


JOB = Job(
    name="prefix_rates",
    title="Prefixes as free numbers and written by an MLP, at four learning rates",
    lesson="32",
    arms={f"{start}_{lr}": {"start": start, "lr": lr} for start in STARTS for lr in RATES},
    run=run,
)
