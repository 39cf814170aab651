"""Which generated instructions are kept: the rules of the released code, and what we changed.

    rule          dropped is                                     reason in the report
    length        up to 3 words, or more than 150                "short", "long"
    keyword       what a text model cannot do (an image, a map)  "keyword: map"
    program       "Write a program ..."                          "program"
    punctuation   what begins with a punctuation mark            "punctuation"
    script        what begins with a character beyond ASCII      "script"

The released code (RELEASED) is for English alone, in more places than its last rule: it counts
words at spaces, where a Chinese sentence is one word and so "short"; and its ROUGE-L sees a-z and
0-9 only, so that two equal Chinese instructions have nothing in common. Its `capitalize` also makes
"read JSON from GitHub" into "Read json from github". Ours (FilterConfig()) has these as parameters.
"""

import re
import string
import unicodedata
from dataclasses import dataclass

from minillm.evaluate.overlap import Splitter, ascii_words, words_of_any_script

KEYWORDS = (
    "image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps",
    "draw", "plot", "go to",
)  # fmt: skip
KEYWORDS_ZH = ("图片", "图像", "图画", "照片", "图表", "地图", "文件", "画一", "画出", "绘制")
"""The same in Chinese, where words are not parted: found anywhere in the text."""
_BOUNDED = re.compile(r"[\w ]+", re.ASCII)


def find_word(word: str, text: str) -> bool:
    """Say whether a word stands in a text as a whole word, in upper or lower case.

    find_word("graph", "Graph the line") is true, find_word("graph", "a photograph") is false. A
    word of a script without spaces is found anywhere.

    Source: `find_word_in_string` of the released code, which the article calls and does not show.
    Lesson: notebooks/29_self_instruct.ipynb
    """
    edge = r"\b" if _BOUNDED.fullmatch(word) else ""
    return re.search(f"{edge}{re.escape(word)}{edge}", text, re.IGNORECASE) is not None


def words_at_spaces(text: str) -> list[str]:
    """Cut a text at its spaces, as the released code counts words."""
    return text.split()


@dataclass(frozen=True)
class FilterConfig:
    """The rules for an instruction.

    Attributes:
        min_words, max_words: how many words it may have, both included.
        count: how words are counted.
        keywords: none of these may be in it.
        not_programs: drop what begins with "write a program", in any case.
        ascii_only: drop what begins with a character beyond ASCII.
        capitalize: upper-case the first letter *and lower-case the rest*, as the released code.
        threshold: dropped is what has a ROUGE-L of *more* than this with an instruction of the
            pool; exactly as much stays. 1.0 switches the rule off.
        split: how words are cut for ROUGE-L.

    Raises:
        ValueError: if a number is out of range, or a keyword is empty.

    Source: Wang et al. 2022, Self-Instruct, arXiv:2212.10560, section 2.2 and the released
        bootstrap_instructions.py (github.com/yizhongw/self-instruct).
    Lesson: notebooks/29_self_instruct.ipynb
    """

    min_words: int = 4
    max_words: int = 150
    count: Splitter = words_of_any_script
    keywords: tuple[str, ...] = (*KEYWORDS, *KEYWORDS_ZH)
    not_programs: bool = True
    ascii_only: bool = False
    capitalize: bool = False
    threshold: float = 0.7
    split: Splitter = words_of_any_script

    def __post_init__(self) -> None:
        if not 0 <= self.min_words <= self.max_words:
            raise ValueError(
                f"need 0 <= min_words <= max_words, got {self.min_words} and {self.max_words}"
            )
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold must lie in 0 to 1, got {self.threshold}")
        if not all(word.strip() for word in self.keywords):
            raise ValueError("an empty keyword is found in every text; leave it out")


RELEASED = FilterConfig(
    count=words_at_spaces, keywords=KEYWORDS, ascii_only=True, capitalize=True, split=ascii_words
)
"""The rules as the released code has them."""


def tidy(text: str, *, capitalize: bool = False) -> str:
    """Make white space single and give the first letter upper case.

    With capitalize, the rest is lower-cased too (str.capitalize), as in the released code.
    """
    text = " ".join(text.split())
    return text.capitalize() if capitalize else text[:1].upper() + text[1:]


def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")


def why_dropped(instruction: str, config: FilterConfig | None = None) -> str | None:
    """Say which rule drops an instruction, looked at alone; None if it may stay.

    Args:
        instruction: one that tidy has made neat.
        config: the rules; FilterConfig() by default. Its threshold is the pool's business.

    Returns:
        The reason, as in the table of this module, or "empty".

    Lesson: notebooks/29_self_instruct.ipynb
    """
    config = config or FilterConfig()
    if not instruction:
        return "empty"
    n = len(config.count(instruction))
    if n < config.min_words:
        return "short"
    if n > config.max_words:
        return "long"
    for word in config.keywords:
        if find_word(word, instruction):
            return f"keyword: {word}"
    if config.not_programs and instruction.lower().startswith("write a program"):
        return "program"
    if _is_punctuation(instruction[0]):
        return "punctuation"
    if config.ascii_only and not instruction[0].isascii():
        return "script"
    return None
