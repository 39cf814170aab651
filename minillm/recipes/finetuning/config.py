"""What a fine-tuning run is: one frozen tree that says everything, as `recipes.run.Run` does."""

from dataclasses import dataclass, field

from minillm.data.storyworld.story import check_language
from minillm.finetune.sft import Normalise, check_normalise
from minillm.finetune.talks import PACKINGS
from minillm.finetune.token_rows import Start
from minillm.train import OptimizerConfig, TrainConfig

METHODS = ("full", "lora", "qlora")
STORYWORLD = "storyworld"


@dataclass(frozen=True)
class TalksConfig:
    """Which talks a run learns from, and how they become rows of tokens."""

    rows: str = STORYWORLD
    """A JSONL file of {"messages": [{"role", "content"}]}; or `storyworld`: tasks made on the spot,
    whose answers a checker decides, so that the run ends with a score."""

    n_rows: int = 1_500
    """Tasks that are made; read for storyworld only."""

    n_held_out: int = 60
    """Tasks in worlds of their own that are answered at the end; read for storyworld only."""

    language: str = "en"
    """`en` or `zh`, of the tasks; read for storyworld only."""

    bad_rows: str = "refuse"
    """What is done about lines of the file that are no talks: `refuse` reports them all and stops,
    `skip` reports them all and goes on with the others."""

    validation_share: float = 0.05
    """Share of the talks, after shuffling, that training never sees; at least one talk."""

    packing: str = "best_fit"
    """`pad`: one talk a row; `first_fit`, `best_fit`: several, which do not see one another."""

    answers: str = "all"
    """Learn `all` answers of a talk, or only the `last`."""

    seed: int = 0
    """Seed of the shuffle of the talks."""

    def __post_init__(self) -> None:
        check_language(self.language)
        for name, known in (
            ("bad_rows", ("refuse", "skip")),
            ("packing", PACKINGS),
            ("answers", ("all", "last")),
        ):
            if getattr(self, name) not in known:
                words = " or ".join((", ".join(known[:-1]), known[-1]))
                raise ValueError(f"data.{name} must be {words}, got {getattr(self, name)!r}")
        if self.n_rows < 2 or self.n_held_out < 1:
            raise ValueError(
                f"data.n_rows must be at least 2 and data.n_held_out at least 1, got {self.n_rows} "
                f"and {self.n_held_out}"
            )
        if not 0 < self.validation_share < 1:
            raise ValueError(
                f"data.validation_share must lie between 0 and 1, got {self.validation_share}"
            )


@dataclass(frozen=True)
class AdapterConfig:
    """The low-rank updates of the methods lora and qlora; not read by full."""

    targets: str = "q,v"
    """Ends of the names of the matrices that get one, with commas between; or `all`."""

    rank: int = 8
    """Rank of each update."""

    alpha: float = 16.0
    """An update counts alpha / rank."""

    dropout: float = 0.0
    """Share of its inputs that an update does not see in training."""

    frame_rows: str = "auto"
    """Rows of the tokens that frame a talk: `mean` lets them learn from the mean of all rows, `own`
    from what they are, `frozen` leaves them. A base model never saw these tokens and holds them for
    impossible, so `auto` is mean; for a base that was tuned on talks it is frozen."""

    def __post_init__(self) -> None:
        if self.rank < 1 or not self.alpha > 0:
            raise ValueError(
                f"adapter.rank must be at least 1 and adapter.alpha positive, got {self.rank} and "
                f"{self.alpha}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"adapter.dropout must lie in [0, 1), got {self.dropout}")
        if self.frame_rows not in ("auto", "mean", "own", "frozen"):
            raise ValueError(
                f"adapter.frame_rows must be auto, mean, own or frozen, got {self.frame_rows!r}"
            )
        if not self.names():
            raise ValueError("adapter.targets is empty; name matrices, such as q,v, or say all")

    def start_of_frame(self, *, tuned: bool) -> Start | None:
        """How the rows of the frame begin to learn; None if they do not."""
        asked = {"auto": "frozen" if tuned else "mean"}.get(self.frame_rows, self.frame_rows)
        starts: dict[str, Start] = {"mean": "mean", "own": "own"}
        return starts.get(asked)

    def names(self) -> str | tuple[str, ...]:
        """The targets as `apply_lora` takes them."""
        names = tuple(name.strip() for name in self.targets.split(",") if name.strip())
        return "all" if names == ("all",) else names


@dataclass(frozen=True)
class FinetuneRun:
    """A whole fine-tuning run: from which model, how, for how long, and on which talks.

    Lesson: notebooks/28_instructions.ipynb
    """

    name: str
    """Also the folder below `runs/` that the run writes into."""

    method: str = "full"
    """`full`: every weight; `lora`: low-rank updates; `qlora`: the same, on a base of four bits."""

    base: str = "small"
    """A shipped model, or the folder of a run of `minillm train`."""

    data: TalksConfig = field(default_factory=TalksConfig)
    """The talks."""

    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    """The updates of lora and qlora."""

    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """How weights, or updates, are moved."""

    train: TrainConfig = field(default_factory=TrainConfig)
    """Steps, batch, schedule and so on; context is the longest row, and batch_size counts rows."""

    normalise: Normalise = "tokens"
    """How much each token of an answer counts; see `finetune.sft.target_weights`."""

    neftune: float = 0.0
    """Strength of NEFTune's noise on the embeddings while training; 0 is none."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}; got {self.method!r}")
        if not self.neftune >= 0:
            raise ValueError(f"neftune must not be negative, got {self.neftune}")
        check_normalise(self.normalise, self.train)
