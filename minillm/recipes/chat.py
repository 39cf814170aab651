"""Talk with a model about a story of storyworld, in the terminal.

The base models are not chat models yet (that is part 4 of the course). They have read stories with
questions below them, so a question is put to them in that form, and they continue it:

    <story>

    Question: Where is the key?
    Answer:
"""

import codecs
from itertools import islice

import typer

from minillm.data.storyworld.quiz import question_prompt, short_stories
from minillm.inference import stream
from minillm.model import Decoder
from minillm.recipes.publish import VALIDATION_SEED
from minillm.recipes.shipped import open_model
from minillm.tokenizer import Tokenizer

LONGEST_ANSWER = 31


def converse(name: str, *, language: str, temperature: float, seed: int) -> None:
    """Print a story, then answer questions about it until an empty line or Ctrl-D.

    Args:
        name: a shipped model, or the folder of a run.
        language: `en` or `zh`, of the story.
        temperature: 0 takes the likeliest token each time.
        seed: which story, and of the samples.

    Raises:
        ValueError: if the language or the model is unknown, or the seed is negative.
    """
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}")
    model, tokenizer = open_model(name)
    stories = islice(short_stories(VALIDATION_SEED, language), seed, None)
    _, story = next(stories)
    typer.echo(f"A synthetic story that the model has never read:\n\n{story}\n")
    typer.echo("Ask about it. An empty line ends; /story tells another one.")
    while True:
        try:
            question = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            typer.echo("")
            return
        if not question:
            return
        if question == "/story":
            _, story = next(stories)
            typer.echo(f"\n{story}\n")
            continue
        _answer(model, tokenizer, question_prompt(story, question, language), temperature, seed)


def _answer(
    model: Decoder, tokenizer: Tokenizer, prompt: str, temperature: float, seed: int
) -> None:
    """Print an answer token by token, up to the end of its line."""
    ids = tokenizer.encode(prompt)
    room = model.config.context - LONGEST_ANSWER
    if len(ids) > room:
        typer.echo(f"(the model sees the last {room} of {len(ids)} tokens)")
        ids = ids[-room:]
    end = tokenizer.special_id("<|endoftext|>")
    characters = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for i in stream(
        model, ids, LONGEST_ANSWER, temperature=temperature, seed=seed, stop_ids=(end,)
    ):
        head, newline, _ = tokenizer.decode_bytes([] if i == end else [i]).partition(b"\n")
        typer.echo(characters.decode(head), nl=False)  # a character may need several tokens
        if newline:
            break
    typer.echo("")
