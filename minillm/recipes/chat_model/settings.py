"""Every number of the recipe, in one frozen tree; a miniature of it serves the tests."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from minillm.align.grpo_training import GRPOConfig, GRPOLossConfig
from minillm.align.ppo_settings import PPOConfig, RewardConfig, SamplingConfig
from minillm.align.rejection_rounds import RejectionConfig
from minillm.recipes.aligning.config import AlignRun, MaterialConfig
from minillm.recipes.aligning.named import dpo, reward
from minillm.recipes.finetuning.config import FinetuneRun, TalksConfig
from minillm.train import OptimizerConfig, TrainConfig

LANGUAGES = ("en", "zh")
BASES = ("small", "tiny")
"""Candidates for the base; the better one on validation worlds is taken."""
METHODS = ("dpo", "rejection", "grpo", "ppo")
"""What is tried after SFT; the best one on validation worlds is shipped."""
PILOT = {"rejection": {5e-4: (-0.128, -0.236, -0.021)}}
"""Method -> learning rate -> gold utility more than SFT's, with its interval, on the 400 tasks of
the choice of the first edition: what was tried before the rate of the recipe. The others had one
rate each."""
ROWS = 256
"""Tokens of a row, in every training."""
LONGEST_ANSWER = 32
"""Tokens of an answer that is drawn; stories are longer, and are not drawn in alignment."""


@dataclass(frozen=True)
class Sizes:
    """How much of everything; all numbers are of each language, but steps.

    Attributes:
        talks, more_talks: that the first and the second part of SFT learn from.
        pilot_talks: of at most 128 tokens, for the choice of the base.
        sft_steps, more_steps, and the other steps: updates; of ppo and grpo, rounds of drawing.
        ppo_batch: answers of a step of ppo.
        written: pairs of answers of known kinds.
        drawn: prompts whose answers the SFT model draws, for pairs.
        prompts: of rejection, ppo and grpo.
        validation: tasks by which a choice is made.
        test: tasks of each kind in the exam.
    """

    talks: int = 12_400
    more_talks: int = 13_200
    pilot_talks: int = 1_400
    sft_steps: int = 3_600
    more_steps: int = 2_000
    pilot_steps: int = 150
    reward_steps: int = 300
    dpo_steps: int = 150
    ppo_steps: int = 60
    rejection_steps: int = 100
    grpo_steps: int = 20
    ppo_batch: int = 32
    written: int = 800
    drawn: int = 400
    prompts: int = 400
    validation: int = 200
    test: int = 100


@dataclass(frozen=True)
class ChatRecipe:
    """How `chat` is made.

    Attributes:
        bases: what it may start from.
        methods: what is tried after SFT.
        sft_rate, more_rate, dpo_rate, rejection_rate, grpo_rate, ppo_rate: of the learning; that
            of the reward model is `aligning.named`'s.
        noise: of the annotator who compares the written pairs.
        secrets: share of the written pairs that are secrets.
        seed: of everything.
        sizes: how much of everything.
    """

    bases: tuple[str, ...] = BASES
    methods: tuple[str, ...] = METHODS
    sft_rate: float = 2e-3
    more_rate: float = 1e-3
    dpo_rate: float = 1e-4
    rejection_rate: float = 1e-4
    grpo_rate: float = 3e-4
    ppo_rate: float = 1e-4
    noise: float = 1.0
    secrets: float = 0.1
    seed: int = 0
    sizes: Sizes = field(default_factory=Sizes)

    def pilot(self, base: str, root: Path) -> FinetuneRun:
        """The short SFT of a base, on talks that fit into the smallest context."""
        run, steps = self.sft(base, root), self.sizes.pilot_steps
        small = replace(
            run.train, steps=steps, batch_size=8, context=128, warmup_steps=min(20, steps),
            min_lr_ratio=0.1, eval_every=0, save_every=100,
        )  # fmt: skip
        data = replace(run.data, rows=str(root / "short.jsonl"))
        return replace(run, name=f"chat-{base}", data=data, train=small)

    def second(self, root: Path) -> FinetuneRun:
        """The second part of SFT: other talks, twice as many a step, every answer alike."""
        run, steps = self.sft(str(root / "sft-1"), root), self.sizes.more_steps
        data = replace(run.data, rows=str(root / "talks-2.jsonl"))
        train = replace(run.train, steps=steps, batch_size=8, warmup_steps=min(50, steps))
        optimizer = replace(run.optimizer, lr=self.more_rate)
        return replace(
            run, name="chat-sft-2", data=data, train=train, optimizer=optimizer,
            normalise="answers",
        )  # fmt: skip

    def sft(self, base: str, root: Path) -> FinetuneRun:
        """The first part of SFT."""
        steps = self.sizes.sft_steps
        return FinetuneRun(
            name="chat-sft",
            base=base,
            data=TalksConfig(
                rows=str(root / "talks.jsonl"), validation_share=0.02, seed=self.seed
            ),
            optimizer=OptimizerConfig(lr=self.sft_rate, weight_decay=0.01),
            train=TrainConfig(
                steps=steps, batch_size=4, context=ROWS, warmup_steps=min(50, steps),
                min_lr_ratio=0.02, eval_every=300, save_every=100, log_every=100, seed=self.seed,
            ),
        )  # fmt: skip

    def reward(self, base: str, root: Path) -> AlignRun:
        """The reward model: from the base, on pairs of both kinds."""
        run, steps = reward(), self.sizes.reward_steps
        train = replace(
            run.train, steps=steps, batch_size=8, warmup_steps=min(30, steps), seed=self.seed,
            eval_every=100, save_every=100, log_every=50,
        )  # fmt: skip
        rows = MaterialConfig(rows=str(root / "pairs.jsonl"), seed=self.seed)
        return replace(run, name="chat-reward", base=base, data=rows, train=train)

    def dpo(self, root: Path) -> AlignRun:
        """DPO on the model's own answers."""
        run, steps = dpo(), self.sizes.dpo_steps
        train = replace(run.train, steps=steps, warmup_steps=min(15, steps), seed=self.seed)
        rows = MaterialConfig(rows=str(root / "own.jsonl"), seed=self.seed)
        return replace(
            run, name="chat-dpo", base=str(root / "sft"), data=rows, train=train,
            optimizer=replace(run.optimizer, lr=self.dpo_rate),
        )  # fmt: skip

    def ppo(self, *, start: int, pad: int, end: int) -> tuple[PPOConfig, OptimizerConfig]:
        """PPO on the gain in gold utility, with the settings of lesson 34b and twice the batch."""
        n = self.sizes.ppo_batch
        config = PPOConfig(
            steps=self.sizes.ppo_steps,
            sampling=SamplingConfig(LONGEST_ANSWER, pad, (end, start)),
            batch_size=n,
            minibatch_size=n // 2,
            epochs=2,
            reward=RewardConfig(kl_coef=0.1),
            save_every=5,
            seed=self.seed,
        )
        return config, OptimizerConfig(lr=self.ppo_rate, weight_decay=0.0)

    def rejection(self) -> tuple[RejectionConfig, TrainConfig, OptimizerConfig]:
        """Rejection sampling by the gold utility: keep the best of eight, learn, once."""
        steps = self.sizes.rejection_steps
        train = TrainConfig(
            steps=steps, batch_size=4, context=ROWS, warmup_steps=min(10, steps), save_every=50
        )
        config = RejectionConfig(n_samples=8, max_tokens=LONGEST_ANSWER, least=1.0, seed=self.seed)
        return config, train, OptimizerConfig(lr=self.rejection_rate, weight_decay=0.01)

    def grpo(self) -> tuple[GRPOConfig, OptimizerConfig]:
        """GRPO with the gold utility, which a checker decides: groups of eight answers."""
        config = GRPOConfig(
            steps=self.sizes.grpo_steps, prompts=8, group_size=8, max_tokens=LONGEST_ANSWER,
            save_every=10, seed=self.seed, max_kl=20.0, loss=GRPOLossConfig(kl_coef=0.04),
        )  # fmt: skip
        return config, OptimizerConfig(lr=self.grpo_rate, weight_decay=0.0)
