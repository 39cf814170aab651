"""A file of preferences, one JSON object a line; of each line that is no preference it is said why.

    {"prompt": [{"role": "user", "content": "Who?"}], "chosen": "Mia.", "rejected": "No idea.",
     "rating": 2}

Besides "rating" there may be a "margin" (see preferences.py); other keys are allowed and ignored.
Rows of other forms are turned into this one by a function, such as those of pair_forms.py.

Every line of the file is accounted for, as `finetune/json_lines.py` has it.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minillm.align.preferences import REASONS, Pair, check_prompt
from minillm.finetune.chat import CHATML, ChatTemplate, tokenize_chat
from minillm.finetune.json_lines import BadLine, LineFile, check_reading, read_lines, refuse_names
from minillm.finetune.roles import ChatError
from minillm.tokenizer import Tokenizer

Form = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Turns the object of a line into one of ours; raises ChatError where it cannot."""


@dataclass(frozen=True)
class PairRow:
    """One good line: its number in the file, from 1, and the pair."""

    line: int
    pair: Pair


class BadPair(BadLine):
    """One line that is no preference; its `reason` is one of REASONS."""

    meanings = REASONS


class PairFile(LineFile[PairRow, BadPair]):
    """What became of the lines of a file: n_lines = len(rows) + len(bad) + n_blank.

    Lesson: notebooks/33_reward.ipynb
    """

    meanings = REASONS
    noun = "preference"

    @property
    def pairs(self) -> list[Pair]:
        """The pairs of the good lines."""
        return [row.pair for row in self.rows]


def read_pairs(
    path: str | Path,
    tokenizer: Tokenizer,
    *,
    longest: int | None = None,
    allow_special_text: bool = False,
    template: ChatTemplate = CHATML,
    form: Form | None = None,
) -> PairFile:
    """Read a JSONL file of preferences.

    Args:
        path: UTF-8, one JSON object a line. A byte order mark at its beginning is no harm.
        tokenizer: its special tokens are looked for, and it counts.
        longest: most tokens that the prompt with either answer may have; None for no limit.
        allow_special_text: take rows whose text names a special token; see `finetune.read_rows`.
        template: how the talks are framed.
        form: turns the object of a line into one of ours; None if it is one.

    Returns:
        The rows, the bad rows, and how many lines there were.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if longest < 1 or the tokenizer lacks the template's special tokens.

    Cost: with a limit each talk is encoded twice, once for each answer.
    Lesson: notebooks/33_reward.ipynb
    """
    check_reading(tokenizer, template, longest)
    special = () if allow_special_text else tuple(tokenizer.special_tokens)

    def row_of(number: int, value: Any) -> PairRow:
        pair = _pair_of(value, form)
        texts = {f"prompt message {n}": m["content"] for n, m in enumerate(pair.prompt)}
        refuse_names({**texts, "chosen": pair.chosen, "rejected": pair.rejected}, special)
        if longest is not None:
            _check_length(pair, tokenizer, longest, template)
        return PairRow(number, pair)

    return PairFile(Path(path), *read_lines(path, row_of, BadPair))


def read_pair_folder(folder: str | Path, tokenizer: Tokenizer, **settings: Any) -> list[PairFile]:
    """Read all files *.jsonl of a folder, in the order of their names.

    Args:
        folder: with preferences; folders in it are not looked into.
        tokenizer, settings: as `read_pairs`.

    Raises:
        FileNotFoundError: if there is no such folder, or no such file in it.

    Lesson: notebooks/33_reward.ipynb
    """
    paths = sorted(Path(folder).glob("*.jsonl"))
    if not paths:
        raise FileNotFoundError(f"there is no *.jsonl in {folder}; put files of preferences there")
    return [read_pairs(path, tokenizer, **settings) for path in paths]


def write_pairs(path: str | Path, pairs: Iterable[Pair]) -> int:
    """Write preferences as `read_pairs` reads them; the file is written anew.

    Returns:
        How many were written.

    Lesson: notebooks/33_reward.ipynb
    """
    lines = [json.dumps(pair.row(), ensure_ascii=False) + "\n" for pair in pairs]
    Path(path).write_text("".join(lines), encoding="utf-8", newline="\n")
    return len(lines)


def _pair_of(row: Any, form: Form | None) -> Pair:
    if not isinstance(row, Mapping):
        raise ChatError("row", 'the line must be {"prompt": [...], "chosen": "", "rejected": ""}')
    row = row if form is None else form(row)
    prompt: Any = row.get("prompt")
    check_prompt(prompt)
    missing = [side for side in ("chosen", "rejected") if row.get(side) is None]
    if missing:
        raise ChatError("missing", f"there is no {' and no '.join(missing)}")
    return Pair(tuple(prompt), row["chosen"], row["rejected"], row.get("rating"), row.get("margin"))


def _check_length(pair: Pair, tokenizer: Tokenizer, longest: int, template: ChatTemplate) -> None:
    for side, talk in zip(("chosen", "rejected"), pair.talks(), strict=True):
        n = len(tokenize_chat(talk, tokenizer, template=template)[0])
        if n > longest:
            raise ChatError("long", f"{n:,} tokens with {side}, at most {longest:,} are allowed")
