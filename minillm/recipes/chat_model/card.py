"""The model card of `chat`: every number of it stands in the manifest, and nothing is typed."""

from collections.abc import Sequence
from typing import Any

from minillm.finetune.tasks import STORY_KINDS
from minillm.recipes.chat_model.card_words import (
    ABOUT,
    CANNOT,
    FIRST_EDITION,
    HEAD,
    LANGUAGE,
    METHOD,
    USE,
)
from minillm.recipes.chat_model.measuring import together
from minillm.recipes.chat_model.settings import LANGUAGES


def share(row: Sequence[float]) -> str:
    """Write a share with its interval: 86 % (82 to 89)."""
    value, low, high = (round(100 * x) for x in row)
    return f"{value} % ({low} to {high})"


def number(row: Sequence[float]) -> str:
    """Write a mean or a difference with its interval."""
    value, low, high = row
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def card_text(manifest: dict[str, Any]) -> str:
    """Write the card of a shipped model.

    Args:
        manifest: of `data/checkpoints/chat`.

    Returns:
        Markdown; the same for the same manifest.

    Lesson: notebooks/42_capstone.ipynb
    """
    told = manifest["chat"]
    parts = [
        HEAD.format(parameters=told["parameters"], megabytes=2 * told["parameters"] / 1e6),
        _exam_table(told["exam"]),
        _sums_up(told["exam"]),
        _cannot(told, manifest["run"]["model"]["context"]),
        _choice(told),
        _samples(told["samples"]),
        _made(told),
        USE,
    ]
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def _exam_table(exam: dict[str, Any]) -> str:
    lines = ["| task | language | n | base | SFT | chat |", "| --- | --- | --- | --- | --- | --- |"]
    for kind, rows in exam["chat"].items():
        for language in LANGUAGES:
            cells = []
            for who in ("base", "sft", "chat"):
                row = exam[who].get(kind, {}).get(language)
                cells.append("" if row is None else share(row["right"]))
            n = rows[language]["n"]
            name = f"**{kind}**: {ABOUT[kind]}" if language == "en" else ""
            lines.append(f"| {name} | {LANGUAGE[language]} | {n} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _sums_up(exam: dict[str, Any]) -> str:
    lines = ["", "The four kinds of story tasks together:", ""]
    for who, name in (
        ("base", "the base, asked in the same frame"),
        ("sft", "SFT"),
        ("chat", "chat"),
    ):
        shares = [
            f"{LANGUAGE[k]} {share(together(exam[who], STORY_KINDS, [k]))}" for k in LANGUAGES
        ]
        lines.append(f"- {name}: {', '.join(shares)}")
    own = exam["base, own form"]
    shares = [f"{LANGUAGE[k]} {share(own[k]['right'])}" for k in LANGUAGES]
    lines.append(
        '- the base, its questions put in the form that it has read ("answer" only): '
        + ", ".join(shares)
    )
    ends = [row for kind in exam["chat"].values() for row in kind.values()]
    ended = sum(row["n"] * row["ended"][0] for row in ends) / sum(row["n"] for row in ends)
    lines.append(f"- answers of chat that end by themselves: {100 * ended:.1f} %")
    gold = [
        f"{LANGUAGE[k]} {_mean_gold(exam['sft'], k):.2f} and {_mean_gold(exam['chat'], k):.2f}"
        for k in LANGUAGES
    ]
    lines.append(
        f"- gold utility of an answer (3.5 for a right one that is whole), SFT and chat: "
        f"{', '.join(gold)}"
    )
    return "\n".join(lines)


def _mean_gold(rows: dict[str, Any], language: str) -> float:
    values = [rows[kind][language]["gold"][0] for kind in STORY_KINDS]
    return float(sum(values) / len(values))


def _cannot(told: dict[str, Any], context: int) -> str:
    rows = told["exam"]["chat"]

    def both(kind: str) -> str:
        return share(together(rows, [kind], LANGUAGES))

    tell = [rows["tell"][k] for k in LANGUAGES]
    n = sum(row["n"] for row in tell)
    consistent = sum(row["n"] * row["consistent"][0] for row in tell)
    return CANNOT.format(
        sums=both("sums"),
        facts=both("facts"),
        long_en=told["longest story"]["en"],
        long_zh=told["longest story"]["zh"],
        longer=both("longer"),
        answer=both("answer"),
        context=context,
        secret=both("secret"),
        absent=both("absent"),
        consistent=f"{round(consistent)} of {n}",
        right_tell=both("tell"),
    )


def _choice(told: dict[str, Any]) -> str:
    choice, bases = told["choice"], told["bases"]
    lines = [
        "## How the best was chosen",
        "",
        "The base, by a short fine-tuning of each, on tasks of validation worlds "
        f"({_n_of(bases)} of each language):",
        "",
    ]
    for name, rows in bases["found"].items():
        shares = [f"{LANGUAGE[k]} {share(rows[k]['right'])}" for k in LANGUAGES]
        chosen = " (chosen)" if name == bases["chosen"] else ""
        lines.append(f"- `{name}`{chosen}: {', '.join(shares)}")
    lines += [
        "",
        f"The method, by the mean gold utility of {choice['n']} answers on validation worlds, "
        "secrets and follow-up questions among them: the likeliest answers (greedy), and answers "
        "drawn at temperature 1; the best is that with the largest sum. Differences are paired, "
        "task by task.",
        "",
        "| method | greedy | more than SFT | drawn | more than SFT |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, row in choice["rows"].items():
        cells = []
        for way in ("greedy", "sampled"):
            more = row[way].get("more than sft")
            cells += [number(row[way]["gold"]), "" if more is None else number(more)]
        mark = " **(shipped)**" if name == choice["best"] else ""
        lines.append(f"| {METHOD[name]}{mark} | {' | '.join(cells)} |")
    tried = [
        f"{method} at {rate}: {number(more)} more than SFT, greedy"
        for method, rates in told["pilot"].items()
        for rate, more in rates.items()
    ]
    lines += ["", _verdict(choice), "", FIRST_EDITION.format(tried="; ".join(tried))]
    lines += [_lengths(told["recipe"]["sizes"])]
    lines += ["The test worlds were looked at after the choice."]
    return "\n".join(lines)


def _n_of(bases: dict[str, Any]) -> int:
    return int(next(iter(bases["found"].values()))["en"]["n"])


def _verdict(choice: dict[str, Any]) -> str:
    best = choice["best"]
    if best == "sft":
        return (
            "No method was better than fine-tuning alone, which is shipped: `chat` and `chat_sft` "
            "hold the same weights."
        )
    words = []
    for way, name in (("greedy", "its likeliest answers"), ("sampled", "its drawn answers")):
        _, low, high = choice["rows"][best][way]["more than sft"]
        says = "are better than" if low > 0 else "are worse than" if high < 0 else None
        words.append(
            f"{name} {says} those of fine-tuning alone (the interval leaves 0 out)"
            if says
            else f"{name} are not told apart from those of fine-tuning alone (the interval holds 0)"
        )
    return f"Of {best}, which is shipped, {words[0]}, and {words[1]}."


def _lengths(sizes: dict[str, Any]) -> str:
    return (
        f"All runs were short: dpo {sizes['dpo_steps']} steps of 4 pairs, rejection "
        f"{sizes['rejection_steps']} of 4 rows, grpo {sizes['grpo_steps']} of 64 answers, ppo "
        f"{sizes['ppo_steps']} of {sizes['ppo_batch']}; longer ones may do better."
    )


def _samples(samples: dict[str, Any]) -> str:
    lines = [
        "## What it says",
        "",
        "The first three tasks of the exam's story tasks in each language, not chosen by hand:",
    ]
    for rows in samples.values():
        for row in rows:
            asked = row["asked"].replace("\n", "\n> ")
            mark = "right" if row["accepted"] else f"the right answer was: {row['right']}"
            lines += ["", f"> {asked}", "", f"**{row['said']}** ({mark})"]
    return "\n".join(lines)


def _made(told: dict[str, Any]) -> str:
    sizes, spent = told["recipe"]["sizes"], told["spent"]
    minutes = {name: seconds / 60 for name, seconds in spent.items()}
    parts = ", ".join(f"{name} {value:.1f}" for name, value in minutes.items())
    recipe = told["recipe"]
    sft, more, seed = recipe["sft_rate"], recipe["more_rate"], recipe["seed"]
    base, agrees = told["base"], 100 * told["reward"]["accuracy"]
    return f"""## How it was made

    make chat-model          the whole recipe; stopped, it goes on with the same command

- Base: `{base["name"]}` (lesson 27), weights sha256 `{base["sha256"][:16]}`.
- Supervised fine-tuning in two parts (shipped as `chat_sft`): {sizes["talks"]:,} talks in each
  language, {sizes["sft_steps"]:,} steps of 4 rows of 256 tokens, peak rate {sft:g}; then
  {sizes["more_talks"]:,} others, {sizes["more_steps"]:,} steps of 8 rows, peak rate {more:g}, every
  answer counting alike. Questions, lists of people, endings, translations, talks of several turns,
  stories, secrets, small talk, and things that it does not know.
- Reward model (shipped as `chat_reward`, for lesson 34b; no method above reads it):
  {sizes["reward_steps"]} steps from the base on {told["n_pairs"]:,} pairs, of which
  {told["n_own"]:,} are answers that the fine-tuned model itself had given; it agrees with
  {agrees:.0f} % of {told["reward"]["n"]} pairs that it had not seen (the annotator has noise).
- Alignment: {METHOD[told["choice"]["best"]]}.
- Seed {seed} throughout; every number stands in `manifest.json` and
  `minillm/recipes/chat_model/settings.py`.
- CPU minutes, one core: {sum(minutes.values()):.0f} in all ({parts}).
"""
