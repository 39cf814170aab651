"""A talk of many turns: one sample with all answers, or one sample for each answer.

    packed      Q1 A1 Q2 A2 Q3 A3                          one sample, learned: A1 A2 A3
    split_all   Q1 A1 | Q1 A1 Q2 A2 | Q1 A1 Q2 A2 Q3 A3    three, learned: every answer in each
    split_last  the same three samples                     learned: the last answer of each

A causal model reads the same text in front of A2 in all of them, so its surprise at A2 is the same
number. What differs is how often it is computed, and how much it weighs once losses are averaged:

    packed      (G_a + (G_a + G_b + G_c)/3) / 2                    for two talks, A and A B C,
    split_all   (G_a + G_a + (G_a + G_b)/2 + (G_a + G_b + G_c)/3) / 4     where G_a is the gradient
    split_last  (G_a + G_a + G_b + G_c) / 4                               of the loss of answer a

The losses that belong to these numbers are in turn_losses.py.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Literal, TypeVar, get_args

from minillm.finetune.chat import CHATML, ChatTemplate, tokenize_chat
from minillm.finetune.roles import ASSISTANT, ChatError, Message, check_messages
from minillm.tokenizer import Tokenizer

Scheme = Literal["packed", "split_all", "split_last"]
Mean = Literal["answer", "sample", "batch"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
Label = TypeVar("Label", bound=Hashable)
Sample = tuple[list[int], list[bool]]
"""Ids and loss mask, as `tokenize_chat` returns them."""


def learned_answers(talk: Sequence[Label], scheme: Scheme) -> list[list[Label]]:
    """Say which answers each sample of a talk teaches.

        "abc":  packed [abc]    split_all [a, ab, abc]    split_last [a, b, c]

    Args:
        talk: a label for each answer, in order.
        scheme: one of SCHEMES.

    Returns:
        For each sample the labels of the answers that are learned in it.

    Raises:
        ValueError: if the talk has no answer, or the scheme is unknown.

    Lesson: notebooks/28_instructions.ipynb
    """
    answers = list(talk)
    if not answers:
        raise ValueError("a talk must have at least one answer")
    if scheme == "packed":
        return [answers]
    if scheme == "split_all":
        return [answers[: k + 1] for k in range(len(answers))]
    if scheme == "split_last":
        return [[answer] for answer in answers]
    raise ValueError(f"scheme must be one of {', '.join(SCHEMES)}; got {scheme!r}")


def answer_weights(
    talks: Sequence[Sequence[Label]],
    scheme: Scheme,
    *,
    lengths: Mapping[Label, int] | None = None,
    mean: Mean = "answer",
) -> dict[Label, Fraction]:
    """How much each answer weighs in the gradient of a batch, exactly.

        gradient of the batch = sum over answers of  weight x gradient of the answer's mean loss

        [a, abc], packed:      2/3, 1/6, 1/6
        [a, abc], split_all:   17/24, 5/24, 1/12
        [a, abc], split_last:  1/2, 1/4, 1/4

    Args:
        talks: of each the labels of its answers; equal labels are the same answer in the same place
            (two talks that open alike).
        scheme: how samples are made of a talk.
        lengths: tokens of each answer; None means that all are equally long.
        mean: "answer": tokens are averaged over each answer, answers over a sample, samples over
            the batch; "sample": tokens over a sample, samples over the batch; "batch": all learned
            tokens of the batch have the same weight.

    Returns:
        Label -> weight. They sum to 1.

    Raises:
        ValueError: if there is no talk, one has no answer, a length is missing or not positive, or
            a name is unknown.

    Source: the weights of the first two schemes stand in the article on ChatGLM2; the third is what
        its own description of the samples gives.
    Lesson: notebooks/28_instructions.ipynb
    """
    samples = [sample for talk in talks for sample in learned_answers(talk, scheme)]
    if not samples:
        raise ValueError("there must be at least one talk")
    labels = dict.fromkeys(label for sample in samples for label in sample)
    size = {label: 1 if lengths is None else lengths.get(label, 0) for label in labels}
    if short := [label for label, n in size.items() if n < 1]:
        raise ValueError(f"lengths must give at least 1 token for {short[0]!r}")
    total = sum(size[label] for sample in samples for label in sample)
    weights = dict.fromkeys(labels, Fraction(0))
    for sample in samples:
        n_tokens = sum(size[label] for label in sample)
        for label in sample:
            if mean == "answer":
                weights[label] += Fraction(1, len(sample) * len(samples))
            elif mean == "sample":
                weights[label] += Fraction(size[label], n_tokens * len(samples))
            elif mean == "batch":
                weights[label] += Fraction(size[label], total)
            else:
                raise ValueError(f"mean must be 'answer', 'sample' or 'batch', got {mean!r}")
    return weights


def turn_samples(
    messages: Sequence[Message],
    tokenizer: Tokenizer,
    scheme: Scheme,
    *,
    template: ChatTemplate = CHATML,
) -> list[Sample]:
    """Make the samples of a talk as tokens.

    Args:
        messages: a talk with at least one answer. What follows the last answer is left out.
        tokenizer, template: as in `tokenize_chat`.
        scheme: one of SCHEMES.

    Returns:
        Ids and loss mask of each sample.

    Raises:
        ChatError: if the messages are no talk, or nobody answers.
        ValueError: if the scheme is unknown.

    Lesson: notebooks/28_instructions.ipynb
    """
    check_messages(messages, template.roles)
    ends = [n + 1 for n, message in enumerate(messages) if message["role"] == ASSISTANT]
    if not ends:
        raise ChatError("unanswered", "the assistant never speaks, so there is nothing to learn")
    n_samples = len(learned_answers(ends, scheme))
    return [
        tokenize_chat(
            messages[:stop],
            tokenizer,
            template=template,
            answers="last" if scheme == "split_last" else "all",
        )
        for stop in ends[-n_samples:]
    ]


@dataclass(frozen=True)
class TurnCosts:
    """What the samples of one or many talks cost, counted.

    Lesson: notebooks/28_instructions.ipynb
    """

    n_samples: int
    n_tokens: int
    """Places that a model computes."""
    n_learned: int
    """Of these, targets."""
    n_pairs: int
    """(query, key) pairs of causal attention, sum of T (T + 1) / 2."""


def count_samples(samples: Sequence[Sample]) -> TurnCosts:
    """Count what samples cost, without padding.

    Args:
        samples: ids and loss mask of each.

    Lesson: notebooks/28_instructions.ipynb
    """
    lengths = [len(ids) for ids, _ in samples]
    return TurnCosts(
        n_samples=len(samples),
        n_tokens=sum(lengths),
        n_learned=sum(sum(mask) for _, mask in samples),
        n_pairs=sum(n * (n + 1) // 2 for n in lengths),
    )


def inflation(n_turns: int) -> Fraction:
    """How many times the tokens of a talk are computed if it is split; turns of equal length.

        (1 + 2 + ... + n) / n = (n + 1) / 2

    Args:
        n_turns: n, questions with answers.

    Raises:
        ValueError: if n_turns < 1.

    Lesson: notebooks/28_instructions.ipynb
    """
    if n_turns < 1:
        raise ValueError(f"n_turns must be at least 1, got {n_turns}")
    return Fraction(n_turns + 1, 2)


def answer_numbers(loss_mask: Sequence[bool]) -> list[int]:
    """Number the answers of a row: -1 where nothing is learned, then 0, 1, ... for each run.

        [0, 1, 1, 0, 1]  ->  [-1, 0, 0, -1, 1]

    Args:
        loss_mask: as `tokenize_chat` returns it; between two answers there is a frame.

    Lesson: notebooks/28_instructions.ipynb
    """
    padded = [False, *map(bool, loss_mask)]
    starts = accumulate(int(m and not before) for before, m in pairwise(padded))
    return [number - 1 if m else -1 for number, m in zip(starts, loss_mask, strict=True)]
