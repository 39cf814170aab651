"""What the pipeline asks of a generator: any function from requests to answers will do.

    generate(requests) -> answers, one for each, in order

A request carries a seed, so that a generator which uses it gives the same answer to the same
request: then a run that was killed and taken up again ends like one that was not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from minillm.inference import stream
from minillm.tokenizer import Tokenizer


@dataclass(frozen=True)
class Request:
    """A text to be continued.

    Attributes:
        step: what for: "instructions", "kind" or "instances". Most generators do not look at it.
        prompt: the text.
        stop: the answer ends before the first of these.
        max_tokens: it may be no longer than that.
        temperature, top_p: how it is drawn (lesson 19); temperature 0 takes the likeliest token.
        seed: of the draw.

    Lesson: notebooks/29_self_instruct.ipynb
    """

    step: str
    prompt: str
    stop: tuple[str, ...] = ()
    max_tokens: int = 256
    temperature: float = 0.7
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Answer:
    """A continuation.

    Attributes:
        text: it, without the prompt and without what stopped it.
        finished: whether it came to an end by itself; False if it ran into max_tokens, so that its
            last sentence may be cut.
    """

    text: str
    finished: bool = True


Generate = Callable[[Sequence[Request]], Sequence[Answer]]


def cut_at_stop(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """Cut a text before the first stop string in it.

    Returns:
        The text before it, and whether there was one.
    """
    found = [at for s in stop if s and (at := text.find(s)) >= 0]
    return (text[: min(found)], True) if found else (text, False)


def ask(generate: Generate, requests: Sequence[Request]) -> list[Answer]:
    """Ask, and cut each answer at its stop strings if the generator did not.

    Raises:
        ValueError: if there are more or fewer answers than requests.
    """
    answers = list(generate(requests))
    if len(answers) != len(requests):
        raise ValueError(f"{len(requests)} requests got {len(answers)} answers; give one for each")
    cut = []
    for request, answer in zip(requests, answers, strict=True):
        text, stopped = cut_at_stop(answer.text, request.stop)
        cut.append(Answer(text, answer.finished or stopped))
    return cut


def one_by_one(complete: Callable[[str], str]) -> Generate:
    """Make a generator of a plain function from a prompt to its continuation.

    Such a function does not say whether it was cut short, so every answer counts as finished.

    Lesson: notebooks/29_self_instruct.ipynb
    """

    def generate(requests: Sequence[Request]) -> list[Answer]:
        return [Answer(cut_at_stop(complete(r.prompt), r.stop)[0]) for r in requests]

    return generate


def from_model(model: nn.Module, tokenizer: Tokenizer) -> Generate:
    """Make a generator of one of our own models.

    Args:
        model: a Decoder; its context must hold the prompt and at least one token more.
        tokenizer: its tokenizer; the model ends a text with <|endoftext|>.

    Returns:
        A generator. An answer is cut short where the context is full, and says so.

    Raises:
        ValueError: by the generator, if a prompt alone fills the context.

    Cost: one pass for each token of an answer, with a cache.
    Lesson: notebooks/29_self_instruct.ipynb
    """
    end = tokenizer.special_id("<|endoftext|>")
    context = int(model.config.context)  # type: ignore[union-attr, arg-type]

    def answer(request: Request) -> Answer:
        ids = [end, *tokenizer.encode(request.prompt)]
        room = min(request.max_tokens, context - len(ids))
        if room < 1:
            raise ValueError(
                f"a prompt of {len(ids)} tokens fills the context of {context}; show fewer tasks "
                "in it (n_seeds, n_generated, n_examples), or take a model with a longer one"
            )
        new: list[int] = []
        for i in stream(
            model,
            ids,
            room,
            temperature=request.temperature,
            top_p=request.top_p,
            stop_ids=(end,),
            seed=request.seed,
        ):
            if i == end:
                return Answer(tokenizer.decode(new))
            new.append(i)
            text, stopped = cut_at_stop(tokenizer.decode(new), request.stop)
            if stopped:
                return Answer(text)
        return Answer(tokenizer.decode(new), finished=False)

    return lambda requests: [answer(request) for request in requests]
