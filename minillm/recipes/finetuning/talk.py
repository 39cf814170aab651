"""Talk with a fine-tuned model, in the terminal."""

from collections.abc import Callable
from pathlib import Path

import torch
import typer

from minillm.finetune.chat import CHATML, prompt_ids, reply_text
from minillm.finetune.talks import START
from minillm.inference import generate
from minillm.model import Decoder
from minillm.recipes.finetuning.opening import open_finetuned
from minillm.tokenizer import Tokenizer

LONGEST_ANSWER = 48


def talk(
    folder: str | Path,
    *,
    temperature: float,
    seed: int,
    opened: Callable[[str | Path], tuple[Decoder, Tokenizer]] = open_finetuned,
) -> None:
    """Answer what is typed until an empty line or Ctrl-D; the talk so far is remembered.

    Args:
        folder: of a run of `python -m minillm finetune`.
        temperature: 0 takes the likeliest token each time.
        seed: of the samples.
        opened: opens the folder; `open_aligned` for one of `python -m minillm align`.

    Raises:
        ValueError: if the folder holds no such run, or the seed is negative.
    """
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}")
    model, tokenizer = opened(folder)
    typer.echo("Say something. An empty line ends; /new begins a new talk.")
    said: list[dict[str, str]] = []
    while True:
        try:
            line = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            typer.echo("")
            return
        if not line:
            return
        if line == "/new":
            said = []
            continue
        said.append({"role": "user", "content": line})
        text = answer(model, tokenizer, said, temperature=temperature, seed=seed)
        typer.echo(text or "(the model ends without a word)")
        if text:
            said.append({"role": "assistant", "content": text})
        else:
            said.pop()


def answer(
    model: Decoder,
    tokenizer: Tokenizer,
    said: list[dict[str, str]],
    *,
    temperature: float = 0.0,
    seed: int = 0,
    longest: int = LONGEST_ANSWER,
) -> str:
    """Let a model answer a talk; what does not fit into its context is forgotten, oldest first.

    Args:
        model, tokenizer: from open_finetuned.
        said: the talk, which ends with a user's message; its oldest turns are taken out if they
            do not fit.
        temperature, seed: of the sampling.
        longest: tokens of the answer, for which room is kept.

    Returns:
        The answer; "" for none, or where the message alone does not fit.
    """
    start = tokenizer.special_id(START)
    room = model.config.context - longest
    ids = [start, *prompt_ids(said, tokenizer)]
    while len(ids) > room and len(said) > 2:
        del said[:2]
        ids = [start, *prompt_ids(said, tokenizer)]
    if len(ids) > room:
        typer.echo(f"(that has {len(ids)} tokens, the model reads at most {room} at once)")
        return ""
    stops = (tokenizer.special_id(CHATML.end), start)
    rows = torch.tensor([ids])
    with torch.no_grad():
        out = generate(model, rows, longest, temperature=temperature, seed=seed, stop_ids=stops)
    return reply_text(out[0, len(ids) :].tolist(), tokenizer).strip()
