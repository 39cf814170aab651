"""Let a model tell stories of the village, and count how many are grammatical and consistent.

A story begins with the first sentence of one that the model never read, and the model goes on. The
judge (`storyworld.consistency`) reads every sentence with the simulator's grammar and follows what
happens; so the score has no taste, and no opinion: it says how many stories could have happened.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from minillm.data.storyworld.consistency import Judgement, judge_story
from minillm.data.storyworld.parse import read_text
from minillm.evaluate.intervals import Interval
from minillm.evaluate.shares import share_interval
from minillm.inference import generate
from minillm.model import Decoder
from minillm.tokenizer import Tokenizer


@dataclass(frozen=True)
class StoryScores:
    """What a pile of stories is worth.

    Attributes:
        sentences: share of the sentences that the village's grammar has.
        grammatical: share of the stories in which every sentence is one.
        complete: share of the stories with a beginning and an end.
        consistent: share of the stories that are all of this and contradict nothing.
        events: mean number of events of a story.
        distinct: share of the stories that are not a copy of another of the pile.
    """

    sentences: Interval
    grammatical: Interval
    complete: Interval
    consistent: Interval
    events: float
    distinct: float


def story_prompts(texts: Sequence[str], language: str, n_sentences: int = 1) -> list[str]:
    """Take the beginnings of stories, for a model to go on from.

    Args:
        texts: whole stories.
        language: "en" or "zh".
        n_sentences: how much of each.

    Raises:
        ValueError: if n_sentences is below 1, or as `read_text`.

    Lesson: notebooks/27_pretraining.ipynb
    """
    if n_sentences < 1:
        raise ValueError(f"n_sentences must be at least 1, got {n_sentences}")
    space = " " if language == "en" else ""
    return [space.join(s for s, _ in read_text(text, language)[:n_sentences]) for text in texts]


@torch.no_grad()
def tell_stories(
    model: Decoder,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    *,
    temperature: float = 1.0,
    top_p: float | None = None,
    max_tokens: int | None = None,
    seed: int = 0,
) -> list[str]:
    """Let a model go on from each prompt to the end of the text.

    Args:
        model: a base model.
        tokenizer: with an end-of-text token, which also stands before each prompt.
        prompts: not empty.
        temperature, top_p: of the sampling; temperature 0 takes the likeliest token.
        max_tokens: at most so many new ones; None means as many as the context holds.
        seed: of the sampling; story i depends on the seed, i and its prompt only.

    Returns:
        Prompt and continuation, without the end mark. A story that reached max_tokens is cut.

    Raises:
        ValueError: if there is no prompt, or one fills the context.

    Cost: with the cache, one forward pass of one position a token: about 1 s a story of 200
        tokens for 3 M parameters on one core.
    Lesson: notebooks/27_pretraining.ipynb
    """
    if not prompts:
        raise ValueError("give at least one prompt")
    end = tokenizer.special_id("<|endoftext|>")
    told = []
    for i, prompt in enumerate(prompts):
        ids = [end, *tokenizer.encode(prompt)]
        room = model.config.context - len(ids)
        if room < 1:
            raise ValueError(
                f"prompt {i} has {len(ids) - 1} tokens, the model's context is "
                f"{model.config.context}: shorten it"
            )
        out = generate(
            model,
            torch.tensor([ids]),
            min(room, max_tokens or room),
            temperature=temperature,
            top_p=top_p,
            stop_ids=(end,),
            seed=seed * 1_000_003 + i,
        )
        told.append(tokenizer.decode([t for t in out[0, 1:].tolist() if t != end]))
    return told


def story_of(text: str) -> str:
    """Take the story of a text: what stands before its first empty line.

    The base models have read stories with questions below them, and go on with a question.

    Lesson: notebooks/27_pretraining.ipynb
    """
    return text.split("\n\n")[0].strip()


def judge_stories(texts: Sequence[str], language: str) -> tuple[StoryScores, list[Judgement]]:
    """Judge a pile of stories.

    Args:
        texts: one story each; what stands behind an empty line is left out (`story_of`).
        language: "en" or "zh".

    Returns:
        The scores, shares with 95 % intervals (Wilson's), and the judgement on each story.

    Raises:
        ValueError: if there is no story, or as `judge_story`.

    Cost: about 20 ms a story.
    Lesson: notebooks/27_pretraining.ipynb
    """
    if not texts:
        raise ValueError("there is no story to judge")
    judged = [judge_story(story_of(text), language) for text in texts]
    n, n_sentences = len(judged), sum(j.n_sentences for j in judged)
    read = n_sentences - sum(len(j.unread) for j in judged)
    scores = StoryScores(
        sentences=share_interval(read, max(1, n_sentences)),
        grammatical=share_interval(sum(j.grammatical for j in judged), n),
        complete=share_interval(sum(j.complete for j in judged), n),
        consistent=share_interval(sum(j.consistent for j in judged), n),
        events=sum(j.n_events for j in judged) / n,
        distinct=len(set(texts)) / n,
    )
    return scores, judged
