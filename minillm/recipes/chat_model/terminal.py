"""Talk with `chat` in the terminal, in English or Chinese."""

from collections.abc import Iterator

import typer

from minillm.recipes.chat_model.measuring import STORY
from minillm.recipes.chat_model.wording import READ
from minillm.recipes.chat_model.worlds import stories
from minillm.recipes.finetuning.talk import answer
from minillm.recipes.shipped import open_model

HELP = {
    "en": "Say something. An empty line ends; /new begins a new talk; /story tells a synthetic\n"
    "story that the model has never read, to ask about.",
    "zh": "说点什么吧。空行结束；/new 开始新的对话；/story 讲一个模型没读过的合成故事，\n"
    "可以就它提问。",
}


def converse_chat(name: str, *, language: str, temperature: float, seed: int) -> None:
    """Answer what is typed until an empty line or Ctrl-D; the talk so far is remembered.

    Args:
        name: a shipped model that has learned from talks.
        language: "en" or "zh", of the help and of the stories; the model answers in both.
        temperature: 0 takes the likeliest token each time.
        seed: of the samples, and which story is the first.

    Raises:
        ValueError: if the language or the model is unknown, or the seed is negative.
    """
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}")
    known = stories("test", language)
    for _ in range(seed):
        next(known)
    model, tokenizer = open_model(name)
    typer.echo(HELP[language])
    said: list[dict[str, str]] = []
    for line in _typed():
        if line == "/new":
            said = []
            continue
        if line == "/story":
            text = next(known)[1]
            typer.echo(f"\n{text}\n")
            said = [
                {"role": "user", "content": text},
                {"role": "assistant", "content": READ[language]},
            ]
            continue
        said.append({"role": "user", "content": line})
        text = answer(model, tokenizer, said, temperature=temperature, seed=seed, longest=STORY)
        typer.echo(text or "(the model ends without a word)")
        if text:
            said.append({"role": "assistant", "content": text})
        else:
            said.pop()


def _typed() -> Iterator[str]:
    """Lines from the keyboard, up to an empty one or its end."""
    while True:
        try:
            line = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            typer.echo("")
            return
        if not line:
            return
        yield line
