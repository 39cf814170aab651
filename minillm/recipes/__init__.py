"""The runs of the course: what a run is, which there are, and how one is carried out."""

from minillm.recipes.execution import execute
from minillm.recipes.overrides import from_dict, override, to_dict
from minillm.recipes.plan import Plan, find_plan
from minillm.recipes.run import DataConfig, Run
from minillm.recipes.runs import RUNS, decoder, draft, find_run, laptop, tiny
from minillm.recipes.shipped import base, open_model, shipped_models
from minillm.recipes.tokens import Rows, find_tokenizer, prepare_rows

__all__ = [
    "RUNS",
    "DataConfig",
    "Plan",
    "Rows",
    "Run",
    "base",
    "decoder",
    "draft",
    "execute",
    "find_plan",
    "find_run",
    "find_tokenizer",
    "from_dict",
    "laptop",
    "open_model",
    "override",
    "prepare_rows",
    "shipped_models",
    "tiny",
    "to_dict",
]
