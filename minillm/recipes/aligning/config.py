"""What an alignment run is: one frozen tree that says everything, as `FinetuneRun` does."""

from dataclasses import dataclass, field, replace

from minillm.align.direct_training import DirectConfig
from minillm.align.ppo_loss import LossConfig
from minillm.align.ppo_settings import PPOConfig, RewardConfig, SamplingConfig
from minillm.align.ranking import MARGINS
from minillm.align.rejection_rounds import RejectionConfig
from minillm.data.storyworld.story import check_language
from minillm.train import OptimizerConfig, TrainConfig

METHODS = ("reward", "ppo", "dpo", "rejection")
ON_PAIRS = ("reward", "dpo")
STORYWORLD = "storyworld"
CHECKED = ("gold", "checker")
"""Rewards that are computed from the story, and not by a model."""


@dataclass(frozen=True)
class MaterialConfig:
    """Which preferences a run learns from, or which prompts it answers."""

    rows: str = STORYWORLD
    """A JSONL file: for reward and dpo of preferences, {"prompt", "chosen", "rejected"}; for ppo
    and rejection of talks, {"messages"}, whose last answer is left out. Or `storyworld`: pairs of
    answers with a known utility, and tasks with a checker, made on the spot."""

    n_rows: int = 1_000
    """Pairs or prompts that are made; read for storyworld only."""

    n_held_out: int = 60
    """Tasks in worlds of their own that are answered at the end; read for storyworld only, and not
    by reward."""

    language: str = "en"
    """`en` or `zh`, of the tasks; read for storyworld only."""

    noise: float = 1.0
    """Of the annotator who compares the answers, in utilities; read for storyworld only."""

    bad_rows: str = "refuse"
    """What is done about lines of the file that are no rows: `refuse` reports them all and stops,
    `skip` reports them all and goes on with the others."""

    validation_share: float = 0.1
    """Share of the pairs that training never sees; at least one. Read by reward and dpo."""

    seed: int = 0
    """Of the pairs that are made, the annotator, and the shuffle."""

    def __post_init__(self) -> None:
        check_language(self.language)
        if self.bad_rows not in ("refuse", "skip"):
            raise ValueError(f"data.bad_rows must be refuse or skip, got {self.bad_rows!r}")
        if self.n_rows < 2 or self.n_held_out < 1:
            raise ValueError(
                f"data.n_rows must be at least 2 and data.n_held_out at least 1, got {self.n_rows} "
                f"and {self.n_held_out}"
            )
        if not 0 <= self.noise < float("inf"):
            raise ValueError(f"data.noise must be finite and not negative, got {self.noise}")
        if not 0 < self.validation_share < 1:
            raise ValueError(
                f"data.validation_share must lie between 0 and 1, got {self.validation_share}"
            )


@dataclass(frozen=True)
class PPOSettings:
    """What ppo reads besides `train`; see align.ppo_settings.PPOConfig."""

    max_new_tokens: int = 32
    """The longest answer."""

    temperature: float = 1.0
    """Of the draws."""

    minibatch_size: int = 16
    """Answers an update; divides train.batch_size, the answers of a step."""

    epochs: int = 2
    """How often a step reads its answers."""

    gamma: float = 1.0
    """How much a reward one token later counts."""

    lam: float = 0.95
    """Of the advantages; see align.gae."""

    own_critic: bool = True
    """The values come from a copy of the policy, not from the policy's own body."""

    reward: RewardConfig = field(default_factory=RewardConfig)
    """What leaving the reference costs."""

    loss: LossConfig = field(default_factory=LossConfig)
    """How the policy and its values learn."""

    def whole(self, train: TrainConfig, *, pad_id: int, stop_ids: tuple[int, ...]) -> PPOConfig:
        """Put together what `align.ppo` reads; steps, batch, clipping, seed and saving are
        those of `train`.

        Raises:
            ValueError: as PPOConfig.
        """
        return PPOConfig(
            steps=train.steps,
            sampling=SamplingConfig(self.max_new_tokens, pad_id, stop_ids, self.temperature),
            batch_size=train.batch_size,
            minibatch_size=self.minibatch_size,
            epochs=self.epochs,
            reward=self.reward,
            loss=self.loss,
            gamma=self.gamma,
            lam=self.lam,
            max_grad_norm=train.clip,
            seed=train.seed,
            save_every=train.save_every,
        )


@dataclass(frozen=True)
class AlignRun:
    """A whole alignment run: from which model, by which method, for how long, and on what.

    Lesson: notebooks/33_reward.ipynb
    """

    name: str
    """Also the folder below `runs/` that the run writes into."""

    method: str
    """`reward`: a model that scores answers; `dpo`: a policy from pairs, without one; `ppo` and
    `rejection`: a policy from its own answers and their scores."""

    base: str = "small"
    """A shipped model, or the folder of a run of `train`, `finetune full` or `align`."""

    reward: str = "gold"
    """Who scores the answers of ppo and rejection: `gold`, the utility that the pairs of storyworld
    have; `checker`, 1 for a right answer; the folder of a run of `align reward`, or chat_reward."""

    margins: str = "none"
    """By how much the chosen answer is to win, by rating; read by reward. See align.ranking."""

    data: MaterialConfig = field(default_factory=MaterialConfig)
    """The pairs or prompts."""

    direct: DirectConfig = field(default_factory=DirectConfig)
    """The loss of dpo: dpo, or one of its relatives."""

    ppo: PPOSettings = field(default_factory=PPOSettings)
    """Of ppo."""

    rejection: RejectionConfig = field(default_factory=RejectionConfig)
    """Of rejection; its seed is not read, train.seed is."""

    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """How weights are moved."""

    train: TrainConfig = field(default_factory=TrainConfig)
    """Steps, batch and so on. batch_size counts pairs, answers a step (ppo) or rows of a round
    (rejection); context is the longest row. ppo keeps its learning rate: it reads no schedule."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}; got {self.method!r}")
        if self.margins not in MARGINS:
            raise ValueError(f"margins must be one of {', '.join(MARGINS)}; got {self.margins!r}")
        if self.method == "dpo" and (self.train.accumulate > 1 or self.train.ramp is not None):
            raise ValueError(
                "pairs need the whole batch in one pass; set train.accumulate=1 and train.ramp=None"
            )
        if self.method == "dpo" and self.direct.method == "kto" and self.train.batch_size < 2:
            raise ValueError("kto compares pairs of a batch; set train.batch_size to at least 2")
        if self.method not in ON_PAIRS and self.data.rows != STORYWORLD and self.scored_by_story:
            raise ValueError(
                f"reward={self.reward!r} is computed from storyworld's tasks, and data.rows is "
                f"{self.data.rows}; give the folder of a run of `align reward`"
            )
        if self.method == "ppo":
            self._check_plain()
            self.ppo.whole(self.train, pad_id=0, stop_ids=())  # refuses what does not go together

    def _check_plain(self) -> None:
        """Refuse settings of the loop that ppo, which has a loop of its own, would not read."""
        t = self.train
        if t.warmup_steps or t.accumulate > 1 or t.ramp is not None or t.recovery is not None:
            raise ValueError(
                "ppo keeps its learning rate and has a loop of its own; leave train.warmup_steps, "
                ".accumulate, .ramp and .recovery at their defaults"
            )

    @property
    def scored_by_story(self) -> bool:
        """Whether the reward is computed, and not a model's."""
        return self.reward in CHECKED

    @property
    def longest_answer(self) -> int:
        """Tokens of the longest answer that is drawn, in training and at the end."""
        lengths = {"ppo": self.ppo.max_new_tokens, "rejection": self.rejection.max_tokens}
        return lengths.get(self.method, 32)

    def rounds(self) -> RejectionConfig:
        """What `align.rejection_run` reads."""
        return replace(self.rejection, seed=self.train.seed)
