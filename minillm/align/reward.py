"""A reward model: a language model whose last layer says one number instead of a next token.

- The body is a Decoder, started from the model that is to be judged; the number is read from its
  features at the last token of the answer, which has seen all of it.
- Only differences of rewards are learned, so the head needs no bias. `offset` moves all rewards
  alike, for those who want the good answers to have a mean of 0 (`centre`).
- Rows are padded on the right: a causal model does not see what comes later, so the padding changes
  nothing.

    model = RewardModel(decoder)
    rewards = score_texts(model, tokenizer, prompts, texts)

Shape letters: B rows, T positions, D model width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from minillm.finetune.chat import CHATML, ChatTemplate, prompt_ids
from minillm.finetune.roles import Message
from minillm.finetune.talks import PAD, START, Example
from minillm.model import Decoder, DecoderConfig
from minillm.model.layers import Linear
from minillm.tokenizer import Tokenizer
from minillm.train.checkpoint import CheckpointError, load_checkpoint, save_checkpoint


class RewardModel(nn.Module):
    """Say how good an answer is.

        r[b] = w . features(ids)[b, lengths[b] - 1] + offset

    Args:
        decoder: the body; trained in place. Its own output matrix is not used.

    Cost: one forward pass of the body, without its logits.
    Source: Ouyang et al. 2022, arXiv:2203.02155, section 3.5; Touvron et al. 2023 (Llama 2),
        arXiv:2307.09288, section 3.2.2. The head starts as in Stiennon et al. 2020,
        arXiv:2009.01325: normal, with variance 1 / (D + 1).
    Lesson: notebooks/33_reward.ipynb
    """

    offset: Tensor

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        weight, D = decoder.embedding.weight, decoder.config.d_model
        self.decoder = decoder
        self.head = Linear(D, 1, device=weight.device, dtype=weight.dtype)
        self.register_buffer("offset", torch.zeros((), device=weight.device, dtype=weight.dtype))
        with torch.no_grad():
            self.head.weight.normal_(std=(D + 1) ** -0.5)

    @property
    def config(self) -> DecoderConfig:
        """The shape of the body."""
        return self.decoder.config

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Score rows of tokens.

        Args:
            ids: prompt, answer, padding on the right, (B, T), int64.
            lengths: tokens of each row without the padding, (B,), integers in 1 .. T.

        Returns:
            Rewards, (B,), at least float32. Gradients flow.

        Raises:
            ValueError: if the lengths are no such integers, or the ids as in `Decoder.forward`.
        """
        B, T = ids.shape
        if lengths.shape != (B,) or lengths.is_floating_point():
            raise ValueError(
                f"lengths must be integers ({B},), one for each row of ids; got "
                f"{tuple(lengths.shape)} {lengths.dtype}"
            )
        if B and not 1 <= int(lengths.min()) <= int(lengths.max()) <= T:
            raise ValueError(f"lengths must be in 1 .. {T}, got {lengths.tolist()}")
        rows = torch.arange(B, device=ids.device)
        last = self.decoder.features(ids)[rows, lengths - 1]  # (B, D)
        rewards = self.head(last)[:, 0] + self.offset
        return rewards.to(torch.promote_types(rewards.dtype, torch.float32))

    @torch.no_grad()
    def centre(self, rewards: Tensor) -> None:
        """Move all rewards alike, so that these would have had a mean of 0.

        Args:
            rewards: that this model gave, for example to the answers of demonstrations.

        Raises:
            ValueError: if there is none, or one is not finite.

        Source: Ouyang et al. 2022, arXiv:2203.02155, section 3.5.
        """
        if not rewards.numel():
            raise ValueError("there is no reward to take the mean of")
        check_rewards(rewards)
        self.offset -= rewards.mean().to(self.offset)


def check_rewards(rewards: Tensor) -> None:
    """Refuse rewards that are no numbers: whoever learns from one has NaN in all weights.

    Raises:
        ValueError: if one is not finite; the first such is named.

    Lesson: notebooks/33_reward.ipynb
    """
    wrong = (~rewards.isfinite()).nonzero()
    if len(wrong):
        row = int(wrong[0, 0])
        raise ValueError(
            f"the reward of answer {row} is {rewards[row].item()} ({len(wrong)} of {len(rewards)} "
            "are not finite): the reward model has diverged. Go back to a checkpoint from before, "
            "and train on with a lower learning rate"
        )


def lengths_of(mask: Tensor) -> Tensor:
    """Tokens of each row up to the last that is marked: where its reward is read.

    Args:
        mask: True at the tokens of the answers, (B, T), bool; as in `rollout` and `lay_pairs`.

    Returns:
        (B,), int64.

    Raises:
        ValueError: if the mask is not (B, T) bool, or a row has no answer.

    Lesson: notebooks/33_reward.ipynb
    """
    if mask.ndim != 2 or mask.dtype != torch.bool:
        raise ValueError(f"mask must be (B, T) bool, got {tuple(mask.shape)} {mask.dtype}")
    if not mask.any(dim=1).all():
        row = int((~mask.any(dim=1)).nonzero()[0])
        raise ValueError(f"row {row} has no answer to score; leave it out")
    places = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    return torch.where(mask, places, 0).amax(dim=1)


def reward_ids(example: Example) -> list[int]:
    """The row that a reward model reads: up to the token that ends the last answer.

    Raises:
        ValueError: if the example has no answer.
    """
    learned = [t for t, is_learned in enumerate(example.learned) if is_learned]
    if not learned:
        raise ValueError("the example has no answer to score")
    return list(example.ids[: learned[-1] + 1])


def pad_rows(rows: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Lay rows of tokens below one another; ids (B, T) and lengths (B,), both int64."""
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.full((len(rows), int(lengths.max())), pad)
    for n, row in enumerate(rows):
        ids[n, : len(row)] = torch.tensor(row)
    return ids, lengths


@torch.no_grad()
def score_rows(
    model: RewardModel, rows: Sequence[Sequence[int]], *, pad: int, batch_size: int = 16
) -> Tensor:
    """Score rows of tokens without gradients, those of like length together.

    Args:
        model: left in the mode (training or evaluation) in which it was.
        rows: tokens of prompt and answer, as `reward_ids` gives them.
        pad: id that fills rows up.
        batch_size: rows in a forward pass.

    Returns:
        Rewards in the order of the rows, (N,), on the CPU.

    Raises:
        ValueError: if batch_size < 1, a row is empty, or a reward is not finite (its row is
            named).

    Lesson: notebooks/33_reward.ipynb
    """
    if batch_size < 1 or not all(rows):
        raise ValueError(f"need rows with tokens and batch_size >= 1, got {batch_size}")
    device, training = model.head.weight.device, model.training
    order = sorted(range(len(rows)), key=lambda n: len(rows[n]))
    found = torch.zeros(
        len(rows), dtype=torch.promote_types(model.head.weight.dtype, torch.float32)
    )
    model.eval()
    try:
        for first in range(0, len(order), batch_size):
            some = order[first : first + batch_size]
            ids, lengths = pad_rows([rows[n] for n in some], pad)
            found[some] = model(ids.to(device), lengths.to(device)).cpu()
    finally:
        model.train(training)
    check_rewards(found)
    return found


def score_texts(
    model: RewardModel,
    tokenizer: Tokenizer,
    prompts: Sequence[Sequence[Message]],
    texts: Sequence[str],
    *,
    batch_size: int = 16,
    template: ChatTemplate = CHATML,
) -> Tensor:
    """Score answers that are texts, blank ones too; arguments and errors as `score_rows`.

    Args:
        prompts: the talk before each answer.
        texts: the answers.

    Returns:
        Rewards, (N,), on the CPU.

    Raises:
        ValueError: if there are not as many prompts as texts.

    Lesson: notebooks/33_reward.ipynb
    """
    start, end = tokenizer.special_id(START), tokenizer.special_id(template.end)
    rows = [
        [start, *prompt_ids(prompt, tokenizer, template=template), *tokenizer.encode(text), end]
        for prompt, text in zip(prompts, texts, strict=True)
    ]
    return score_rows(model, rows, pad=tokenizer.special_id(PAD), batch_size=batch_size)


def save_reward(
    folder: str | Path, model: RewardModel, *, manifest: Mapping[str, Any] | None = None
) -> Path:
    """Write a reward model, whole or not at all: a checkpoint whose manifest has the config.

    Lesson: notebooks/33_reward.ipynb
    """
    told = {**(manifest or {}), "kind": "reward", "config": asdict(model.config)}
    return save_checkpoint(folder, model, manifest=told)


def load_reward(folder: str | Path, config: DecoderConfig) -> RewardModel:
    """Read what `save_reward` wrote, every byte checked.

    Args:
        folder: the checkpoint.
        config: of the body, as it was.

    Returns:
        The model, in evaluation mode.

    Raises:
        CheckpointError: (a ValueError) as `load_checkpoint`; or if the checkpoint is none of a
            reward model, or of another config (the settings that differ are named).

    Lesson: notebooks/33_reward.ipynb
    """
    told = load_checkpoint(folder).manifest
    if told.get("kind") != "reward":
        raise CheckpointError(f"{folder} holds no reward model; save one with save_reward")
    mine, theirs = asdict(config), told["config"]
    wrong = [k for k in {**mine, **theirs} if _plain(mine.get(k)) != _plain(theirs.get(k))]
    if wrong:
        raise CheckpointError(f"{folder} has another config: {', '.join(wrong)} differ")
    model = RewardModel(Decoder(config))
    load_checkpoint(folder, model)
    return model.eval()


def _plain(value: Any) -> Any:
    """A setting as JSON would give it back: tuples are lists."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value
