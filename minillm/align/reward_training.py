"""Training a reward model: pairs of answers as batches, the ranking loss, and the usual loop.

    encoded = encode_pairs(pairs, tokenizer)
    batches = RewardBatches(encoded, 16, pad=pad, margins=margins_of(pairs, "small"), seed=1)
    train_reward(RewardModel(decoder), batches, TrainConfig(steps=200))
    chosen, rejected = pair_rewards(model, held_out, pad=pad)

Killed anywhere, it goes on from its checkpoint with the very losses it would have had.

Shape letters: B pairs of a batch, R pairs in all, T positions.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from minillm.align.answer_logprobs import EncodedPair, encode_pair
from minillm.align.preferences import Pair
from minillm.align.ranking import reward_loss
from minillm.align.reward import RewardModel, reward_ids, score_rows
from minillm.data.loader import BatchSampler
from minillm.finetune.chat import CHATML, ChatTemplate
from minillm.tokenizer import Tokenizer
from minillm.train import TrainConfig, TrainState, train

_HEAD = 3
"""Numbers before the tokens in a row: which pair it is, and the lengths of its two answers."""


def encode_pairs(
    pairs: Sequence[Pair], tokenizer: Tokenizer, *, template: ChatTemplate = CHATML
) -> list[EncodedPair]:
    """Turn preferences into rows of tokens; see `encode_pair`.

    Raises:
        ValueError: as `encode_pair`, with the number of the pair.

    Lesson: notebooks/33_reward.ipynb
    """
    made = []
    for n, pair in enumerate(pairs):
        try:
            made.append(
                encode_pair(pair.prompt, pair.chosen, pair.rejected, tokenizer, template=template)
            )
        except ValueError as error:
            raise ValueError(f"pair {n}: {error}") from None
    return made


class RewardBatches(BatchSampler):
    """Serves pairs in shuffled order, each once in an epoch, and remembers where it is.

    A batch is x, (2 B, T): the chosen rows, and below them the rejected in the same order, padded
    on the right; and y, (B, 3), float32: length of the chosen row, of the rejected one, and the
    margin. The order is that of `BatchSampler`, so that a run that was stopped goes on with the
    very batches that it would have seen.

    Args:
        pairs: what to learn from.
        batch_size: B.
        pad: id that fills rows up.
        margins: of the pairs, (R,), from `margins_of`; None for 0.
        longest: most tokens of a row; None takes any.
        seed: of the order.

    Raises:
        ValueError: if there is no pair, one is too long, or the margins do not fit.

    Cost: 8 bytes a place of all rows.
    Lesson: notebooks/33_reward.ipynb
    """

    def __init__(
        self,
        pairs: Sequence[EncodedPair],
        batch_size: int,
        *,
        pad: int,
        margins: Tensor | None = None,
        longest: int | None = None,
        seed: int = 0,
    ) -> None:
        if not pairs:
            raise ValueError("there is no pair to learn from")
        self.margins = torch.zeros(len(pairs)) if margins is None else margins.float()
        if self.margins.shape != (len(pairs),):
            raise ValueError(f"margins {tuple(self.margins.shape)} for {len(pairs)} pairs")
        sides = [[reward_ids(one) for one in (pair.chosen, pair.rejected)] for pair in pairs]
        T = max(len(row) for both in sides for row in both)
        if longest is not None and longest < T:
            n = next(n for n, both in enumerate(sides) if max(map(len, both)) > longest)
            raise ValueError(
                f"pair {n} has {max(map(len, sides[n]))} tokens, at most {longest} are allowed; "
                "leave it out, or take a longer context"
            )
        rows = np.full((len(pairs), _HEAD + 2 * T), pad, np.int64)
        for n, both in enumerate(sides):
            rows[n, :_HEAD] = n, len(both[0]), len(both[1])
            for k, row in enumerate(both):
                rows[n, _HEAD + k * T : _HEAD + k * T + len(row)] = row
        width = rows.shape[1]
        super().__init__(rows.ravel(), batch_size, width - 1, seed=seed, stride=width)
        self.n_pairs = len(pairs)
        told = rows.tobytes() + self.margins.numpy().tobytes()
        self.mark = int(hashlib.sha256(told).hexdigest()[:12], 16)

    def __next__(self) -> tuple[Tensor, Tensor]:
        rows = torch.from_numpy(self.take())  # (B, 3 + 2 T)
        index, lengths = rows[:, 0], rows[:, 1:_HEAD]
        chosen, rejected = rows[:, _HEAD:].chunk(2, dim=1)
        x = torch.cat([chosen, rejected])[:, : int(lengths.max())]
        y = torch.cat([lengths.float(), self.margins[index, None]], dim=1)
        return x.contiguous(), y

    def state_dict(self) -> dict[str, int]:
        """Return what a checkpoint must keep; `mark` tells these pairs from others."""
        return {**super().state_dict(), "mark": self.mark}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to where the state was taken.

        Raises:
            ValueError: if it was taken with other pairs, or as `BatchSampler`.
        """
        super().load_state_dict(state)
        if state.get("mark") != self.mark:
            raise ValueError(
                "this state was taken with other pairs or margins, or with the same in another "
                "order; resume with the same rows and the same settings"
            )


def reward_objective(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The ranking loss of a batch of RewardBatches: what the loop lowers.

    Args:
        model: a RewardModel, or anything that maps (ids, lengths) to rewards.
        x: ids, (2 B, T).
        y: lengths and margin, (B, 3).

    Returns:
        A scalar, nats a pair.

    Raises:
        ValueError: if x and y do not fit.

    Lesson: notebooks/33_reward.ipynb
    """
    if y.ndim != 2 or y.shape[1] != _HEAD or x.shape[0] != 2 * y.shape[0]:
        raise ValueError(
            f"need x (2 B, T) and y (B, 3) from RewardBatches, got {tuple(x.shape)} and "
            f"{tuple(y.shape)}"
        )
    lengths = y[:, :2].T.reshape(-1).long()  # (2 B,): of the chosen rows, then of the rejected
    chosen, rejected = model(x, lengths).chunk(2)
    return reward_loss(chosen, rejected, y[:, 2])


def train_reward(
    model: RewardModel, batches: RewardBatches, config: TrainConfig, **loop: Any
) -> TrainState:
    """Train a reward model on pairs, by the loop of every other training.

    Args:
        model: trained in place, as far as its parameters require a gradient.
        batches: the pairs.
        config: steps, schedule and so on; its batch_size and context are not read.
        loop: optimizer, state, evaluate, save, log, folder, progress: as `minillm.train.train`.

    Returns:
        The state at the end.

    Raises:
        NotFiniteError: if a loss or a gradient is no number, before the weights change.
        ValueError: as `train`.

    Source: one epoch over the pairs, more overfit: Ouyang et al. 2022, arXiv:2203.02155, 3.5.
    Lesson: notebooks/33_reward.ipynb
    """
    return train(model, batches, config, objective=reward_objective, **loop)


def pair_rewards(
    model: RewardModel, pairs: Sequence[EncodedPair], *, pad: int, batch_size: int = 16
) -> tuple[Tensor, Tensor]:
    """Score both answers of pairs, without gradients.

    Args:
        model, pad, batch_size: as `score_rows`.
        pairs: N of them, such as those held out.

    Returns:
        Rewards of the chosen and of the rejected answers, (N,) each.

    Raises:
        ValueError: if a reward is not finite; the answer is named, chosen ones counted first.

    Lesson: notebooks/33_reward.ipynb
    """
    sides = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
    rewards = score_rows(model, [reward_ids(one) for one in sides], pad=pad, batch_size=batch_size)
    chosen, rejected = rewards.chunk(2)
    return chosen, rejected
