"""PPO on many ranks: the numbers of one process, whatever the number of ranks.

    model, reference, crew = share_ppo(actor_critic, reference, ranks, temperature=1.0)
    ppo(model, reference, prompts, reward, config, optimizer=..., crew=crew)

- Drawing. A model that is cut would gather all its weights anew for each token. So each rank puts
  together a whole copy of the policy, once a step, draws its own rows from it, with the random
  numbers that these rows have on one process, and lets the copy go. That costs the traffic of one
  forward pass, and while it draws the memory of all weights of the policy, besides keys and values.
  Systems for large models do the same, with ranks (or machines) that only draw, to which the new
  weights are sent after each step.
- Judging and learning. Actor, critic and reference are cut over the ranks (FSDP); each rank reads
  its rows. What is found, (B, T) numbers of each kind, is sent to all ranks, so that prices,
  whitening, advantages, statistics and the order of the minibatches are those of one process.
- A minibatch is that of one process, too, dealt out. Each rank's loss weighs as much as its share
  of what the loss is averaged over, so that the sum of the gradients is the gradient of the whole.

Shape letters: B answers of a step, M answers of a minibatch, T positions, V vocabulary, W ranks.
"""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn import functional as F

from minillm.align.answer_logprobs import response_logprobs
from minillm.align.crew import Crew, Part, weights_mark
from minillm.align.experience import one_each
from minillm.align.rollouts import Rollouts, rollout
from minillm.align.value import ActorCritic, Judged
from minillm.align.whiten import Average, n_counted
from minillm.distributed.fsdp import ShardingConfig, let_go, make_mesh
from minillm.distributed.ranks import Ranks, agree, all_succeed, gather_numbers
from minillm.distributed.ready import shard_ready
from minillm.model import Decoder

torch.export.register_dataclass(Judged)  # or FSDP would not find the tensors in it


class OpenActorCritic(ActorCritic):
    """Policy and critic that show their blocks, so that they can be laid over ranks one by one."""

    @property
    def blocks(self) -> list[nn.Module]:
        """Those of the policy, and of the critic if it has a body of its own."""
        bodies = [self.policy, *([] if self.critic is None else [self.critic])]
        return [block for body in bodies for block in body.blocks]


def share_ppo(
    model: OpenActorCritic,
    reference: Decoder,
    ranks: Ranks,
    *,
    temperature: float = 1.0,
    agree: Callable[[bool], bool] = agree,
) -> tuple[OpenActorCritic, nn.Module, "RankCrew"]:
    """Cut actor, critic and reference over the ranks, in place, and make the crew.

    Args:
        model: policy and critic, the same on every rank, on the device of the rank.
        reference: likewise.
        ranks: from joined().
        temperature: of the draws.
        agree: asked once a step on every rank; see RankTeam.agree.

    Returns:
        Model and reference, cut; and the crew that ppo asks.

    Cost: every rank holds all three as a whole for a moment.
    Lesson: notebooks/34b_ppo.ipynb
    """
    mark = weights_mark(reference)
    shell = copy.deepcopy(model.policy).to("meta").requires_grad_(False)
    sharding = ShardingConfig()
    mesh = make_mesh(sharding, ranks.size, ranks.device.type)
    cut: Any = shard_ready(model, sharding, mesh, loss=_no_loss)  # type: ignore[arg-type]
    judge = partial(_reference_logprobs, temperature=temperature)
    there = shard_ready(reference, sharding, mesh, loss=judge)
    return cut, there, RankCrew(ranks, cut, shell, mark, agree)


class RankCrew(Crew):
    """All ranks that share each step of PPO; every method is called by all of them.

    Args:
        ranks: from joined().
        model: cut over them.
        shell: the policy without its weights, on the meta device.
        mark: names the reference, as a whole.
        agree: see share_ppo.

    Lesson: notebooks/34b_ppo.ipynb
    """

    def __init__(
        self,
        ranks: Ranks,
        model: ActorCritic,
        shell: Decoder,
        mark: str,
        agree: Callable[[bool], bool],
    ) -> None:
        self.ranks, self.model, self.shell, self.of_reference = ranks, model, shell, mark
        self.ask_all = agree

    def rows(self, n: int) -> slice:
        """Say which of n rows are those of this rank.

        Raises:
            ValueError: if they cannot be dealt out, on all ranks.
        """
        each, rest = divmod(n, self.ranks.size)
        if rest or not each:
            raise ValueError(
                f"{n} answers cannot be dealt out to {self.ranks.size} ranks; make the batch and "
                f"the minibatch of ppo multiples of {self.ranks.size}"
            )
        return slice(self.ranks.rank * each, (self.ranks.rank + 1) * each)

    def draw(
        self, policy: Decoder, prompts: Sequence[Sequence[int]], max_new_tokens: int, **how: Any
    ) -> Rollouts:
        """Answer this rank's prompts with a whole copy of the policy; give the answers of all."""
        mine = self.rows(len(prompts))
        how = {**how, "first_row": mine.start}
        whole = self.whole_policy()
        found = all_succeed(
            lambda: rollout(whole, prompts[mine], max_new_tokens, **how), "drawing the answers"
        )
        self.shell.to("meta")  # let the copy go
        return Rollouts(
            gather_rows(found.ids, fill=how["pad_id"]),
            gather_rows(found.mask),
            gather_rows(found.logprobs),
            gather_rows(found.prompt_lengths),
            gather_rows(found.ended),
        )

    @torch.no_grad()
    def whole_policy(self) -> Decoder:
        """Put the weights of the policy together, one after the other, into the shell."""
        let_go(self.model)
        weights = {
            name: w.full_tensor() if isinstance(w, DTensor) else w
            for name, w in self.model.policy.state_dict().items()
        }
        self.shell.load_state_dict(weights, assign=True)
        return self.shell

    def judge(
        self, model: ActorCritic, reference: nn.Module, drawn: Rollouts, temperature: float
    ) -> tuple[Judged, Tensor]:
        """Judge the answers of this rank; give what is found of all."""
        mine = drawn.rows(self.rows(len(drawn)))
        with torch.no_grad():
            found: Judged = model(mine.ids, mine.mask, temperature=temperature)
            there = reference.loss(mine.ids, mine.mask)  # type: ignore[operator]
        for one in (model, reference):
            let_go(one)
        parts = (found.logprobs, found.entropy, found.values, there)
        logprobs, entropy, values, ref_logprobs = (gather_rows(x) for x in parts)
        return Judged(logprobs, entropy, values), ref_logprobs

    def score(self, reward: Callable[[Rollouts], Tensor], drawn: Rollouts, step: int) -> Tensor:
        """Score the answers of this rank; give the scores of all."""
        mine = drawn.rows(self.rows(len(drawn)))
        return gather_rows(
            all_succeed(lambda: one_each(reward(mine), mine, step), "scoring the answers")
        )

    def part(self, mask: Tensor, average: Average) -> Part:
        """Deal a minibatch out; n is what the loss is averaged over, n_r this rank's part of it.

            loss = sum over ranks of  n_r / n loss_r        gradient_r = W n_r / n

        since FSDP averages the gradients of W ranks.
        """
        rows = self.rows(len(mask))
        share = n_counted(mask[rows], average) / n_counted(mask, average)
        tokens = n_counted(mask[rows]) / n_counted(mask)
        return Part(rows, loss=share, tokens=tokens, gradient=self.ranks.size * share)

    def total(self, numbers: dict[str, float]) -> dict[str, float]:
        """Add up over the ranks, in their order: the same on all, to the last bit."""
        columns = zip(*gather_numbers(*numbers.values()), strict=True)
        return {name: sum(column) for name, column in zip(numbers, columns, strict=True)}

    def agree(self, wish: bool) -> bool:
        """Tell whether any rank wishes it."""
        return self.ask_all(wish)

    def mark(self, reference: nn.Module) -> str:
        """Name the reference as one process does."""
        return self.of_reference


def gather_rows(x: Tensor, *, fill: float = 0) -> Tensor:
    """Let every rank know the rows of every rank.

    Args:
        x: of this rank, (B / W,) or (B / W, T); T may differ between the ranks.
        fill: what shorter rows are filled up with, on the right.

    Returns:
        (B,) or (B, T), in the order of the ranks; the same on all.

    Cost: B T numbers to each rank.
    """
    if x.ndim == 2:
        T = int(max(n for (n,) in gather_numbers(x.shape[1])))
        x = F.pad(x, (0, T - x.shape[1]), value=fill)
    sent = (x.to(torch.uint8) if x.dtype == torch.bool else x).contiguous()
    found = [torch.empty_like(sent) for _ in range(dist.get_world_size())]
    dist.all_gather(found, sent)
    return torch.cat(found).to(x.dtype)


def _reference_logprobs(
    model: nn.Module, ids: Tensor, mask: Tensor, *, temperature: float
) -> Tensor:
    return response_logprobs(model, ids, mask, temperature=temperature)


def _no_loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    raise AssertionError("an actor and critic is called, it has no loss of its own")
