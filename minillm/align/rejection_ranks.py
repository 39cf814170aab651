"""Rounds of rejection sampling on many ranks: what is kept is what one process keeps.

    rejection_run(model, tokenizer, tasks, score, config, train_config, folder,
                  crew=RankRounds(ranks))

- Each rank holds the whole model while it draws (a model that is cut would gather all its weights
  for each token), answers and scores some of the groups of prompts, with the random numbers that
  these groups have on one process; texts and scores go to all ranks, and rank 0 writes the file of
  the round.
- For the fine-tuning a copy of the model is cut over the ranks (FSDP); what it has learned is put
  together again, and the next round draws from it. So a rank holds, for a moment, all weights once,
  and its share of weights, gradients and optimizer.

Shape letters: P prompts, K answers to each, W ranks.
"""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from minillm.align.rejection import Sample, Score, plain_scores, sample_answers, tasks_at_once
from minillm.align.rejection_rounds import RoundCrew
from minillm.distributed.fsdp import ShardingConfig
from minillm.distributed.ranks import Ranks, all_succeed, first_decides
from minillm.distributed.ready import shard_ready, trained_weights
from minillm.distributed.trainer import fit_to_ranks, train_sharded
from minillm.finetune.sft import chat_loss
from minillm.finetune.talks import ChatBatches
from minillm.finetune.tasks import Task
from minillm.model import Decoder
from minillm.tokenizer import Tokenizer
from minillm.train import OptimizerConfig, TrainConfig

T = TypeVar("T")


class RankRounds(RoundCrew):
    """All ranks that share the rounds; every method is called by all of them.

    Args:
        ranks: from joined().

    Lesson: notebooks/35_beyond_ppo.ipynb
    """

    about: ClassVar[dict[str, object]] = {"checkpoints": "of many ranks"}

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks

    def decide(self, action: Callable[[], T]) -> T:
        """Do something on rank 0; its failure is that of all."""
        return first_decides(action)

    def fit(self, config: TrainConfig) -> TrainConfig:
        """Cut the batch; see fit_to_ranks."""
        return fit_to_ranks(config, self.ranks.size, config.batch_size)

    def draw(
        self,
        model: Decoder,
        tokenizer: Tokenizer,
        tasks: Sequence[Task],
        score: Score,
        n_samples: int,
        **how: Any,
    ) -> tuple[list[list[Sample]], Tensor]:
        """Answer and score this rank's groups of prompts; give answers and scores of all."""
        first, last = self.share_of(len(tasks), tasks_at_once(n_samples))
        mine = tasks[first:last]

        def do() -> tuple[list[list[Sample]], list[list[float]]]:
            if not mine:  # fewer groups than ranks
                return [], []
            how_many = {**how, "first_task": first}
            samples = sample_answers(model, tokenizer, mine, n_samples, **how_many)
            return samples, plain_scores(score, mine, samples).tolist()

        found: list[Any] = [None] * self.ranks.size
        dist.all_gather_object(found, all_succeed(do, "drawing and scoring answers"))
        samples = [each for theirs, _ in found for each in theirs]
        scores = [each for _, theirs in found for each in theirs]
        return samples, torch.tensor(scores, dtype=torch.float64)

    def share_of(self, n_tasks: int, group: int) -> tuple[int, int]:
        """Say from which prompt to which this rank answers: whole groups, equally many or nearly.

        Args:
            n_tasks: P.
            group: prompts that are answered at once.
        """
        n_groups = -(-n_tasks // group)
        rank, size = self.ranks.rank, self.ranks.size
        ends = (group * (n_groups * r // size) for r in (rank, rank + 1))
        first, last = (min(n_tasks, end) for end in ends)
        return first, last

    def tune(
        self,
        model: Decoder,
        batches: ChatBatches,
        config: TrainConfig,
        folder: Path,
        optimizer: OptimizerConfig,
    ) -> bool:
        """Fine-tune a copy on all ranks, and bring what it has learned back."""
        loss = partial(_loss, start=batches.start)
        sharded, state = train_sharded(
            partial(_laid_out, copy.deepcopy(model), loss),
            batches,
            config,
            ranks=self.ranks,
            optimizer=optimizer,
            out=folder,
            progress=False,
        )
        if state.step < config.steps:
            return False
        weights = trained_weights(sharded)
        with torch.no_grad():
            for name, param in model.named_parameters():
                if name in weights:
                    param.copy_(weights[name])
        return True


def _loss(model: nn.Module, x: Tensor, y: Tensor, *, start: int) -> Tensor:
    return chat_loss(model, x, y, start=start)


def _laid_out(model: Decoder, loss: Any, sharding: ShardingConfig, mesh: DeviceMesh) -> Decoder:
    return shard_ready(model, sharding, mesh, loss=loss)
