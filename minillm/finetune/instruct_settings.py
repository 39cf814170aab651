"""The settings of a Self-Instruct run, all in one place."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from minillm.finetune.instruct_filter import FilterConfig
from minillm.finetune.instruct_journal import Record
from minillm.finetune.instruct_prompts import NUMBERINGS
from minillm.finetune.instruct_tasks import InstructTask


@dataclass(frozen=True)
class PromptConfig:
    """How much is shown in each prompt; fewer for a model with a short context.

    Attributes:
        n_seeds, n_generated: instructions of each kind in a list; while too few are generated,
            seeds take their places, so that a list always has n_seeds + n_generated.
        n_new: a list ends after so many new ones.
        n_kind: tasks shown where the kind is asked: (of classification, of generation).
        n_examples: tasks shown where instances are asked for.
        max_instances: at most so many instances are taken of a task, the first ones.
        numbering: "plain" or "task"; see list_prompt.

    Raises:
        ValueError: if a number is out of range, or the numbering is unknown.

    Source: Wang et al. 2022, Self-Instruct, arXiv:2212.10560, section 2.2; n_new and
        max_instances from the released code.
    Lesson: notebooks/29_self_instruct.ipynb
    """

    n_seeds: int = 6
    n_generated: int = 2
    n_new: int = 7
    n_kind: tuple[int, int] = (12, 19)
    n_examples: int = 8
    max_instances: int = 5
    numbering: str = "plain"

    def __post_init__(self) -> None:
        if self.n_seeds < 1 or self.n_generated < 0:
            raise ValueError(
                f"need n_seeds >= 1 and n_generated >= 0, got {self.n_seeds}, {self.n_generated}"
            )
        if min(self.n_new, *self.n_kind, self.n_examples, self.max_instances) < 1:
            raise ValueError(
                "n_new, both numbers of n_kind, n_examples and max_instances must be at least 1"
            )
        if self.numbering not in NUMBERINGS:
            raise ValueError(f"numbering must be one of {NUMBERINGS}, got {self.numbering!r}")


@dataclass(frozen=True)
class SelfInstructConfig:
    """A run.

    Attributes:
        n_instructions: rounds go on until so many are kept; the last one may bring a few more.
        n_calls: requests of a round; the lists of a round do not yet know what it brings.
        max_rounds: or until so many rounds are over.
        list_tokens, instance_tokens: longest answer, in the generator's tokens.
        temperature, top_p: of the lists. Kinds and instances are not sampled.
        cut: of a list that was cut short drop "all", as the released code, or only the "last" item.
        seed: of what is shown, and of the sampling.
        prompts, filter: see there.

    Raises:
        ValueError: if a number is out of range, or cut is neither "all" nor "last".

    Source: Wang et al. 2022, Self-Instruct, arXiv:2212.10560; numbers from the released code, which
        adds a presence penalty of 2 that not every generator has.
    Lesson: notebooks/29_self_instruct.ipynb
    """

    n_instructions: int = 100
    n_calls: int = 5
    max_rounds: int = 200
    list_tokens: int = 1024
    instance_tokens: int = 350
    temperature: float = 0.7
    top_p: float = 0.5
    cut: str = "all"
    seed: int = 0
    prompts: PromptConfig = field(default_factory=PromptConfig)
    filter: FilterConfig = field(default_factory=FilterConfig)

    def __post_init__(self) -> None:
        for name in ("n_instructions", "n_calls", "max_rounds", "list_tokens", "instance_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.temperature < 0 or not 0 < self.top_p <= 1:
            raise ValueError(
                f"need temperature >= 0 and 0 < top_p <= 1, got {self.temperature} and {self.top_p}"
            )
        if self.cut not in ("all", "last"):
            raise ValueError(f"cut must be 'all' or 'last', got {self.cut!r}")


def as_record(config: SelfInstructConfig, seeds: Sequence[InstructTask], generator: str) -> Record:
    """Write down all that decides the outcome of a run, for claim_folder."""
    text = json.dumps([dataclasses.asdict(task) for task in seeds], ensure_ascii=False)
    values = dataclasses.asdict(config)
    values["filter"] |= {name: values["filter"][name].__name__ for name in ("count", "split")}
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
    return values | {"seeds_sha256": digest, "generator": generator}
