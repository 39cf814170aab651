"""What a run is: one frozen tree that says everything, so that the same tree gives the same run."""

from dataclasses import dataclass, field

from minillm.model import DecoderConfig
from minillm.train import OptimizerConfig, TrainConfig


@dataclass(frozen=True)
class DataConfig:
    """Which text a run reads, and how it becomes tokens."""

    mixture: tuple[tuple[str, int], ...] = (("stories-en", 4_000_000),)
    """(corpus, bytes) pairs: how many bytes are taken from each corpus of `minillm.data`."""

    tokenizer: str = "course"
    """`course` (the shipped one, 6 144 entries), or a folder written by `Tokenizer.save`."""

    validation_share: float = 0.02
    """Share of the documents, after shuffling, that training never sees."""

    seed: int = 0
    """Seed of the shuffle of the documents."""

    packing: str = "overlap"
    """How documents become rows: `overlap` or `once`; see `minillm/recipes/tokens.py`."""

    def __post_init__(self) -> None:
        if self.packing not in ("overlap", "once"):
            raise ValueError(f"data.packing must be overlap or once, got {self.packing!r}")
        if not self.mixture:
            raise ValueError('mixture is empty; name at least one, as (("stories-en", 1000000),)')
        for name, n_bytes in self.mixture:
            if n_bytes < 1:
                raise ValueError(f"mixture takes {n_bytes} bytes of {name!r}; take at least 1")
        if not 0 < self.validation_share < 1:
            raise ValueError(
                f"validation_share must lie between 0 and 1, got {self.validation_share}"
            )


@dataclass(frozen=True)
class Run:
    """A whole run: the model, how it is optimised, for how long, and on which text.

    The run is written beside its result, and `from_dict` reads it back, so a checkpoint says how it
    came to be.

    Lesson: notebooks/00_tour.ipynb
    """

    name: str
    """Also the folder below `runs/` that the run writes into."""

    model: DecoderConfig
    """The shape of the decoder."""

    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """AdamW and its settings; `lr` is the largest learning rate."""

    train: TrainConfig = field(default_factory=TrainConfig)
    """Steps, batch, schedule, clipping, logging, saving, seed and precision."""

    data: DataConfig = field(default_factory=DataConfig)
    """The text."""

    def __post_init__(self) -> None:
        if self.train.context > self.model.context:
            raise ValueError(
                f"train.context={self.train.context} is longer than model.context="
                f"{self.model.context}; raise model.context or shorten train.context"
            )
