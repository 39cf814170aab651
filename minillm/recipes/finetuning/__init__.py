"""`python -m minillm finetune`: a base model learns from talks, as a whole or through an adapter.

The ladder: `config` (what a run is), `named` (full, lora, qlora), `material` (talks to examples),
`opening` (the base, and what came of it), `execution` (one process), `sharded` (many).
"""

from minillm.recipes.finetuning.config import AdapterConfig, FinetuneRun, TalksConfig
from minillm.recipes.finetuning.execution import execute_finetune
from minillm.recipes.finetuning.named import FINETUNES, find_finetune
from minillm.recipes.finetuning.opening import open_finetuned

__all__ = [
    "FINETUNES",
    "AdapterConfig",
    "FinetuneRun",
    "TalksConfig",
    "execute_finetune",
    "find_finetune",
    "open_finetuned",
]
