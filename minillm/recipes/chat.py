"""Talk with a model about a story of storyworld, in the terminal.

The base models are not chat models yet (that is part 4 of the course). They have read stories with
questions below them, so a question is put to them in that form, and they continue it:

    <story>

    Question: Where is the key?
    Answer:
"""

import typer

from minillm.data.storyworld import make_story
from minillm.inference import stream
from minillm.recipes.shipped import open_model
from minillm.tokenizer import Tokenizer

ASK = {"en": ("Question:", "Answer:"), "zh": ("问：", "答：")}


def question_prompt(story: str, question: str, language: str) -> str:
    """The text that a base model continues with its answer.

    Args:
        story: the text the question is about.
        question: one sentence, in the same language.
        language: `en` or `zh`.

    Returns:
        Story, empty line, question, and the word that the answer follows, without a space at the
        end: the space belongs to the answer's first token.

    Lesson: notebooks/00_tour.ipynb
    """
    ask, answer = ASK[language]
    space = " " if language == "en" else ""
    return f"{story.strip()}\n\n{ask}{space}{question.strip()}\n{answer}"


def converse(name: str, *, language: str, temperature: float, seed: int) -> None:
    """Print a story, then answer questions about it until an empty line or Ctrl-D.

    Args:
        name: a shipped model, or the folder of a run.
        language: `en` or `zh`, of the story.
        temperature: 0 takes the likeliest token each time.
        seed: chooses the story and the samples.

    Raises:
        ValueError: if the language or the model is unknown.
    """
    if language not in ASK:
        raise ValueError(f"no stories in {language!r}; choose en or zh")
    model, tokenizer = open_model(name)
    story = make_story(seed).tell(language)
    typer.echo(f"A synthetic story (seed {seed}):\n\n{story}\n")
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
            seed += 1
            story = make_story(seed).tell(language)
            typer.echo(f"\n{story}\n")
            continue
        _answer(model, tokenizer, question_prompt(story, question, language), temperature, seed)


def _answer(model, tokenizer: Tokenizer, prompt: str, temperature: float, seed: int) -> None:  # type: ignore[no-untyped-def]
    """Print an answer token by token, up to the end of its line."""
    ids = tokenizer.encode(prompt)
    room = model.config.context - 32
    if len(ids) > room:
        typer.echo(f"(the model sees the last {room} of {len(ids)} tokens)")
        ids = ids[-room:]
    end = tokenizer.special_id("<|endoftext|>")
    for i in stream(
        model, ids, max_new_tokens=31, temperature=temperature, seed=seed, stop_ids=(end,)
    ):
        piece = tokenizer.decode_bytes([i]) if i != end else b""
        head, newline, _ = piece.partition(b"\n")
        typer.echo(head.decode("utf-8", errors="replace"), nl=False)
        if newline:
            break
    typer.echo("")
