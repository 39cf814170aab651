"""`python -m minillm`: train, fine-tune and align, chat, plan a bigger run, and measure.

Each verb only reads its arguments and hands them on; the work is in the rooms. A wrong argument
ends with one line that names the value and the remedy, and with exit status 2.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="The command line of minillm: the same code as in the lessons, without the notebook.",
)

Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="changes to the run, such as optimizer.lr=1e-3 train.steps=200"),
]


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="a run of minillm.recipes, such as laptop")],
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="folder to write (default runs/<name>)")] = None,
    resume: Annotated[bool, typer.Option(help="go on from the last checkpoint in --out")] = False,
) -> None:
    """Train a run; Ctrl-C saves a checkpoint that --resume goes on from.

    Under torchrun the model is sharded over all ranks, and the run goes on by itself.
    """
    from minillm.recipes import execute, find_run, override
    from minillm.recipes.runs import is_full_size

    run = override(find_run(recipe), overrides or [])
    out = out if out is not None else Path("runs") / run.name
    if "RANK" not in os.environ and not is_full_size(recipe):
        execute(run, out, resume_run=resume)
        return
    from minillm.recipes.sharded import execute_sharded

    execute_sharded(run, out)


@app.command()
def finetune(
    recipe: Annotated[str, typer.Argument(help="full, lora or qlora")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="changes, such as data.rows=talks.jsonl base=tiny train.steps=100"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder to write (default runs/<name>)")] = None,
    resume: Annotated[bool, typer.Option(help="go on from the last checkpoint in --out")] = False,
) -> None:
    """Teach a base model from talks: a JSONL of messages, or tasks made on the spot.

    Bad rows are told by line and reason. Ctrl-C saves a checkpoint that --resume goes on from.
    Under torchrun the model is sharded over all ranks, and the run goes on by itself.
    """
    from minillm.recipes import override
    from minillm.recipes.finetuning import execute_finetune, find_finetune

    run = override(find_finetune(recipe), overrides or [])
    out = out if out is not None else Path("runs") / run.name
    if "RANK" not in os.environ:
        execute_finetune(run, out, resume_run=resume)
        return
    from minillm.recipes.finetuning.sharded import execute_finetune_sharded

    execute_finetune_sharded(run, out)


@app.command()
def align(
    recipe: Annotated[str, typer.Argument(help="reward, ppo, dpo or rejection")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="changes, such as data.rows=pairs.jsonl base=runs/full train.steps=50"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder to write (default runs/<name>)")] = None,
    resume: Annotated[bool, typer.Option(help="go on from the last checkpoint in --out")] = False,
) -> None:
    """Learn what people prefer: a reward model, or a model that answers so.

    From a JSONL of preferences (reward, dpo) or of talks (ppo, rejection), or from stories. Bad
    rows are told by line and reason. Ctrl-C saves what --resume goes on from. Under torchrun the
    model is sharded over all ranks, and the run goes on by itself.
    """
    from minillm.align import DriftError
    from minillm.recipes import override
    from minillm.recipes.aligning import execute_align, find_align

    run = override(find_align(recipe), overrides or [])
    out = out if out is not None else Path("runs") / run.name
    if "RANK" not in os.environ:
        try:
            execute_align(run, out, resume_run=resume)
        except DriftError as error:
            raise ValueError(str(error)) from None
        return
    from minillm.recipes.aligning.sharded import execute_align_sharded

    execute_align_sharded(run, out)


@app.command()
def tokenize(
    text: Annotated[str | None, typer.Argument(help="the text; without it, standard input")] = None,
    tokenizer: Annotated[
        str, typer.Option(help="course, or a folder of Tokenizer.save")
    ] = "course",
) -> None:
    """Show how a text is cut into tokens, one line a token: id and piece."""
    from minillm.recipes import find_tokenizer

    cutter = find_tokenizer(tokenizer)
    text = sys.stdin.read() if text is None else text
    ids = cutter.encode(text)
    for i in ids:
        typer.echo(f"{i:>6}  {cutter.decode_bytes([i])!r}")
    typer.echo(f"{len(ids)} tokens, {len(text)} characters, {len(text.encode())} bytes")


@app.command()
def clean(
    folder: Annotated[Path, typer.Argument(help="holds .txt, .md, .html, .jsonl, .warc or .gz")],
    out: Annotated[Path, typer.Option(help="folder for the corpus and the report")],
    rules: Annotated[
        str, typer.Option(help="of c4, gopher, repetition, code; commas between; none: ''")
    ] = "gopher,repetition",
    languages: Annotated[str, typer.Option(help="that stay, such as en,zh; default: all")] = "",
    near: Annotated[
        float, typer.Option(help="similarity of near duplicates; 0: exact ones only")
    ] = 0.8,
    test_set: Annotated[
        str, typer.Option(help="file of test items, one a line, that must not occur")
    ] = "",
    redact: Annotated[bool, typer.Option(help="put placeholders for personal data")] = True,
) -> None:
    """Clean a folder of text: rules, duplicates, personal data, with a report.

    Stopped by Ctrl-C, the same command goes on where it was.
    """
    from minillm.recipes.cleaning import CleanConfig, clean_folder
    from minillm.recipes.cleaning.report import summary

    config = CleanConfig(
        rules=_listed(rules),
        languages=_listed(languages),
        near=near,
        test_set=test_set,
        redact=redact,
    )
    try:
        report = clean_folder(folder, out, config)
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on from here", err=True)
        raise typer.Exit(130) from None
    typer.echo(summary(report))
    typer.echo(f"corpus {out / 'clean'}, report {out / 'report.html'}")


@app.command()
def plan(
    recipe: Annotated[
        str | None, typer.Argument(help="a run (laptop) or a model (llama_7b)")
    ] = None,
    overrides: Overrides = None,
    memory_gb: Annotated[
        float | None, typer.Option(help="memory to fit into, GB; default: this machine's")
    ] = None,
    n_tokens: Annotated[
        float | None,
        typer.Option(help="training tokens; default: the run's own, else 20 a parameter"),
    ] = None,
    flops: Annotated[
        float | None, typer.Option(help="instead of a recipe: a budget, such as 1e21")
    ] = None,
    law: Annotated[
        str | None, typer.Option(help="of the budget, such as besiroglu or kaplan; default: all")
    ] = None,
    gpu: Annotated[
        str | None,
        typer.Option(help="such as H100; default: H100 for a budget, the paper's for a recipe"),
    ] = None,
    n_gpus: Annotated[
        int | None, typer.Option(help="how many; default: 8 for a budget, the paper's for a recipe")
    ] = None,
    mfu: Annotated[float, typer.Option(help="share of their peak that is reached")] = 0.4,
) -> None:
    """Print what a run costs, and whether it fits; or with --flops what a budget buys.

    With --n-gpus the run is sharded over so many, and refused if it does not fit.
    """
    from minillm.recipes import find_plan
    from minillm.recipes.plan import plan_sharded
    from minillm.recipes.runs import is_full_size
    from minillm.recipes.spend import spend

    if (recipe is None) == (flops is None):
        raise ValueError(
            "name a recipe (minillm plan laptop) or a budget (minillm plan --flops 1e21)"
        )
    if flops is not None:
        typer.echo(
            spend(flops, law, gpu=gpu or "H100", n_gpus=n_gpus or 8, utilisation=mfu).report()
        )
    elif recipe is not None and (gpu is not None or n_gpus is not None):
        typer.echo(plan_sharded(recipe, overrides or [], gpu=gpu, n_gpus=n_gpus))
    elif recipe is not None:
        found = find_plan(recipe, overrides or [], memory_gb=memory_gb, n_tokens=n_tokens)
        typer.echo(found.report())
        if is_full_size(recipe):
            typer.echo("\nsharded over the cards of its paper (lesson 24):")
            typer.echo(plan_sharded(recipe, overrides or []))


@app.command()
def chat(
    model: Annotated[
        str, typer.Argument(help="a shipped model (chat, small, tiny, draft) or a run's folder")
    ] = ("chat"),
    language: Annotated[str, typer.Option(help="of stories and help: en or zh")] = "en",
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token")] = 0.0,
    seed: Annotated[int, typer.Option(help="of the story and of the sampling")] = 0,
) -> None:
    """Talk with `chat` or another fine-tuned model, or ask a base model about a story.

    An empty line or Ctrl-D ends. `chat` understands English and Chinese.
    """
    if any((Path(model) / note).is_file() for note in ("finetune.json", "align.json")):
        from minillm.recipes.aligning import open_aligned
        from minillm.recipes.finetuning import open_finetuned
        from minillm.recipes.finetuning.talk import talk

        aligned = (Path(model) / "align.json").is_file()
        opened = open_aligned if aligned else open_finetuned
        talk(model, temperature=temperature, seed=seed, opened=opened)
        return
    from minillm.recipes.chat_model.shipping import speaks

    if speaks(model):
        from minillm.recipes.chat_model.terminal import converse_chat

        converse_chat(model, language=language, temperature=temperature, seed=seed)
        return
    from minillm.recipes.chat import converse

    converse(model, language=language, temperature=temperature, seed=seed)


@app.command()
def bench(
    names: Annotated[
        list[str] | None, typer.Argument(help="which; without a name, all are listed")
    ] = None,
) -> None:
    """Run benchmarks: each prints one JSON line with its ratio to a named peer."""
    from minillm.recipes.bench import run_benchmarks

    raise typer.Exit(run_benchmarks(names or []))


def _listed(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def main() -> None:
    """Run the command line; user errors become one line on standard error."""
    try:
        app(standalone_mode=True)
    except (ValueError, OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and type(error) is not RuntimeError:
            raise
        words = str(error)
        if isinstance(error, FileNotFoundError) and error.filename:
            words = f"no such file: {error.filename}"
        typer.echo(f"minillm: {words}", err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    if "RANK" not in os.environ:
        main()
    else:
        from minillm.distributed.leaving import leaving_at_once

        with leaving_at_once():
            main()
