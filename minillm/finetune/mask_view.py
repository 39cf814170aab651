"""Look at a row before training on it: every token in the colour of what it is there for.

Most bugs of fine-tuning are seen at once in this picture: an end that is not learned, a mask that
is off by one, a prompt that is learned, a row in which nothing is learned.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minillm.tokenizer import Tokenizer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {
    "frame": "#d9d9d9",
    "read": "#f2f2f2",
    "learned": "#b9e3c6",
    "learned frame": "#7cc4f0",
    "padding": "#ffffff",
}
"""What a token is -> its colour: frames are special tokens, learned is what enters the loss."""
STYLES = {
    "frame": "",
    "read": "",
    "learned": "font-weight:bold;border-bottom:2px solid #1b7837",
    "learned frame": "font-weight:bold;border-bottom:2px solid #2166ac",
    "padding": "color:#999999",
}
_SHOWN = str.maketrans({"\n": "↵", "\t": "⇥", "\r": "␍"})


@dataclass(frozen=True)
class SeenToken:
    """One token of a row."""

    text: str
    """As it is shown: ↵ for a newline, · for a blank at its beginning or end."""
    kind: str
    """One of the keys of COLOURS."""


@dataclass(frozen=True)
class MaskView:
    """A row to look at: as text, coloured in a notebook, or as a figure.

    Lesson: notebooks/28_instructions.ipynb
    """

    tokens: tuple[SeenToken, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many tokens of each kind there are, in the order of COLOURS."""
        kinds = [token.kind for token in self.tokens]
        return {kind: kinds.count(kind) for kind in COLOURS if kind in kinds}

    def __str__(self) -> str:
        """The tokens in one line; runs that are learned stand in [[ ]]."""
        parts: list[str] = []
        inside = False
        for token in self.tokens:
            learned = token.kind.startswith("learned")
            if learned != inside:
                parts.append("[[" if learned else "]]")
                inside = learned
            parts.append(token.text)
        return " ".join([*parts, "]]"] if inside else parts)

    def _repr_html_(self) -> str:
        """The tokens as coloured boxes; what is learned is bold and underlined, too."""
        boxes = []
        for token in self.tokens:
            style = f"background:{COLOURS[token.kind]};color:#111111;{STYLES[token.kind]}"
            title = html.escape(token.kind, quote=True)
            boxes.append(
                f'<span title="{title}" style="padding:1px 3px;margin:1px;{style}">'
                f"{html.escape(token.text)}</span>"
            )
            if "↵" in token.text:
                boxes.append("<br>")
        return f'<div style="font-family:monospace;line-height:1.9">{"".join(boxes)}</div>'

    def figure(self, *, width: int = 78) -> "Figure":
        """Draw the row; a new line begins after each newline, and where `width` letters are full.

        Args:
            width: letters in a line.

        Raises:
            ValueError: if width < 8.

        Lesson: notebooks/28_instructions.ipynb
        """
        from matplotlib.figure import Figure
        from matplotlib.patches import Patch

        lines = self.lines(width)
        figure = Figure(figsize=(7.2, 0.34 * len(lines) + 0.5), layout="constrained")
        axes = figure.add_subplot()
        axes.set(xlim=(0, width + 1), ylim=(len(lines), -0.2))
        axes.axis("off")
        for y, line in enumerate(lines):
            x = 0.0
            for token in line:
                size = _columns(token.text)
                learned = token.kind.startswith("learned")
                axes.text(
                    x + 0.3,
                    y + 0.5,
                    token.text.replace("$", r"\$"),
                    family="monospace",
                    fontsize=9,
                    weight="bold" if learned else "normal",
                    va="center",
                    bbox={
                        "boxstyle": "square,pad=0.2",
                        "facecolor": COLOURS[token.kind],
                        "edgecolor": "#1b7837" if learned else "#cccccc",
                    },
                )
                x += size + 1
        marks = [Patch(facecolor=COLOURS[kind], edgecolor="#888888") for kind in self.counts]
        figure.legend(marks, self.counts, loc="outside lower center", ncols=5, fontsize=9)
        return figure

    def lines(self, width: int = 78) -> list[list[SeenToken]]:
        """Break the row into lines, as `figure` draws them.

        Raises:
            ValueError: if width < 8.
        """
        if width < 8:
            raise ValueError(f"width must be at least 8 letters, got {width}")
        lines: list[list[SeenToken]] = [[]]
        used = 0
        for token in self.tokens:
            size = _columns(token.text) + 1
            if lines[-1] and (used + size > width or "↵" in lines[-1][-1].text):
                lines.append([])
                used = 0
            lines[-1].append(token)
            used += size
        return lines


def view_mask(
    ids: Sequence[int],
    loss_mask: Sequence[bool],
    tokenizer: Tokenizer,
    *,
    pad_id: int | None = None,
) -> MaskView:
    """Show what a row teaches.

    Args:
        ids, loss_mask: as `tokenize_chat` returns them.
        tokenizer: that of the ids.
        pad_id: tokens of this id that are not learned are shown as padding.

    Returns:
        The view; a notebook shows it in colours, print in one line.

    Raises:
        ValueError: if ids and mask differ in length, or an id is not in the vocabulary.

    Lesson: notebooks/28_instructions.ipynb
    """
    if len(ids) != len(loss_mask):
        raise ValueError(f"{len(ids)} ids and a loss mask of {len(loss_mask)} do not fit")
    special = {tokenizer.special_id(name) for name in tokenizer.special_tokens}
    seen = []
    for i, learned in zip(ids, loss_mask, strict=True):
        if i == pad_id and not learned:
            kind = "padding"
        elif i in special:
            kind = "learned frame" if learned else "frame"
        else:
            kind = "learned" if learned else "read"
        seen.append(SeenToken(_shown(tokenizer.decode([i])), kind))
    return MaskView(tuple(seen))


def _shown(text: str) -> str:
    """Make blanks and ends of lines visible."""
    inner = text.strip(" ")
    before = len(text) - len(text.lstrip(" "))
    after = len(text) - before - len(inner) if inner else 0
    return "·" * before + inner.translate(_SHOWN) + "·" * after


def _columns(text: str) -> int:
    """Columns of a text in a fixed-width font: a Han character takes two."""
    return sum(2 if "\u2e80" <= character <= "\uffef" else 1 for character in text)
