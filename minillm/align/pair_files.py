"""A file of preferences, one JSON object a line; of each line that is no preference it is said why.

    {"prompt": [{"role": "user", "content": "Who?"}], "chosen": "Mia.", "rejected": "No idea.",
     "rating": 2}

Besides "rating" there may be a "margin" (see preferences.py); other keys are allowed and ignored.
Rows of other forms are turned into this one by a function, such as those of pair_forms.py.

No line is dropped in silence: every line of the file is a row, or a bad row with its number and a
reason, or blank; and the three are counted, as in `finetune.read_rows`.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minillm.align.preferences import REASONS, Pair, check_prompt
from minillm.finetune.chat import CHATML, ChatTemplate, tokenize_chat
from minillm.finetune.roles import ASSISTANT, ChatError
from minillm.tokenizer import Tokenizer

Form = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Turns the object of a line into one of ours; raises ChatError where it cannot."""


@dataclass(frozen=True)
class PairRow:
    """One good line: its number in the file, from 1, and the pair."""

    line: int
    pair: Pair


@dataclass(frozen=True)
class BadPair:
    """One line that is no preference: its number from 1, one of REASONS, and the detail."""

    line: int
    reason: str
    detail: str

    def __str__(self) -> str:
        return f"line {self.line}: {REASONS[self.reason]} ({self.detail})"


@dataclass(frozen=True)
class PairFile:
    """What became of the lines of a file: n_lines = len(rows) + len(bad) + n_blank.

    Lesson: notebooks/33_reward.ipynb
    """

    path: Path
    n_lines: int
    n_blank: int
    rows: tuple[PairRow, ...]
    bad: tuple[BadPair, ...]

    @property
    def pairs(self) -> list[Pair]:
        """The pairs of the good lines."""
        return [row.pair for row in self.rows]

    @property
    def counts(self) -> dict[str, int]:
        """Reason -> number of bad rows, in the order of REASONS."""
        found = Counter(row.reason for row in self.bad)
        return {reason: found[reason] for reason in REASONS if found[reason]}

    def __str__(self) -> str:
        good, bad = len(self.rows), len(self.bad)
        head = f"{self.path.name}: {good:,} of {self.n_lines:,} lines are preferences, "
        head += f"{bad:,} are not"
        if self.n_blank:
            head += f", {self.n_blank:,} are blank"
        return "\n".join([head, *(f"  {row}" for row in self.bad)])

    def strict(self, *, longest: int = 10) -> "PairFile":
        """Give the file back if all is well; `longest` is how many bad rows are shown at most.

        Raises:
            ValueError: if there is a bad row, or no row at all.
        """
        if self.bad:
            shown = [str(row) for row in self.bad[:longest]]
            left = len(self.bad) - len(shown)
            lines = "\n  ".join([*shown, *([f"and {left:,} more"] if left > 0 else [])])
            raise ValueError(
                f"{self.path.name} has {len(self.bad):,} bad rows; mend them, or leave them out "
                f"on purpose:\n  {lines}"
            )
        if not self.rows:
            raise ValueError(f"{self.path.name} holds no preference; each line must be one")
        return self


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
    if longest is not None and longest < 1:
        raise ValueError(f"longest must be at least 1, got {longest}")
    template.opening_ids(ASSISTANT, tokenizer)  # a tokenizer that does not fit is no fault of a row
    tokenizer.special_id(template.end)
    special = () if allow_special_text else tuple(tokenizer.special_tokens)
    lines = Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not lines[-1]:
        lines.pop()  # the newline that ends the last line begins no other
    rows: list[PairRow] = []
    bad: list[BadPair] = []
    for number, raw in enumerate(lines, start=1):
        if not raw.strip():
            continue
        try:
            pair = _pair_of(raw, form)
            _check_names(pair, special)
            if longest is not None:
                _check_length(pair, tokenizer, longest, template)
        except ChatError as error:
            bad.append(BadPair(number, error.kind, str(error)))
        else:
            rows.append(PairRow(number, pair))
    n_blank = len(lines) - len(rows) - len(bad)
    return PairFile(Path(path), len(lines), n_blank, tuple(rows), tuple(bad))


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


def _pair_of(raw: bytes, form: Form | None) -> Pair:
    try:
        row = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ChatError("utf8", f"byte {error.start + 1} of the line") from None
    except (ValueError, RecursionError) as error:
        raise ChatError("json", str(error)) from None
    if not isinstance(row, Mapping):
        raise ChatError("row", 'the line must be {"prompt": [...], "chosen": "", "rejected": ""}')
    row = row if form is None else form(row)
    prompt: Any = row.get("prompt")
    check_prompt(prompt)
    missing = [side for side in ("chosen", "rejected") if row.get(side) is None]
    if missing:
        raise ChatError("missing", f"there is no {' and no '.join(missing)}")
    return Pair(tuple(prompt), row["chosen"], row["rejected"], row.get("rating"), row.get("margin"))


def _check_names(pair: Pair, special: Sequence[str]) -> None:
    texts = {f"prompt message {n}": m["content"] for n, m in enumerate(pair.prompt)}
    for place, text in {**texts, "chosen": pair.chosen, "rejected": pair.rejected}.items():
        found = next((name for name in special if name in text), None)
        if found is not None:
            raise ChatError("special", f"{place}: {found}")


def _check_length(pair: Pair, tokenizer: Tokenizer, longest: int, template: ChatTemplate) -> None:
    for side, talk in zip(("chosen", "rejected"), pair.talks(), strict=True):
        n = len(tokenize_chat(talk, tokenizer, template=template)[0])
        if n > longest:
            raise ChatError("long", f"{n:,} tokens with {side}, at most {longest:,} are allowed")
