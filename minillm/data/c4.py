"""C4's rules: keep the lines that are sentences, drop the pages that are none.

    of a line                                                 reason (in `lines`)
    a word of more than 1 000 characters                      long_word
    no . ! ? " ' at its end, or three dots there              no_end_mark
    fewer than three words                                    few_words
    the word javascript                                       javascript
    "terms of use", "privacy policy", "uses cookies", ...     policy

    of a page                                                 reason
    lorem ipsum                                               lorem_ipsum
    a curly bracket (in a line that came so far)              curly_bracket
    a word of the list given                                  bad_word
    fewer than five sentences in the lines that are left      few_sentences

Citation marks such as [3] or [edit] are cut out of lines first.

Source: Raffel et al. 2020, Exploring the Limits of Transfer Learning (T5), arXiv:1910.10683,
section 2.2. The rules on long words, policies and citations are not in the paper but in the
authors' program (c4_utils.py of tensorflow_datasets). Decisions are those of datatrove 0.10's
C4QualityFilter, with which a test holds this file equal. C4's removal of repeated three-sentence
spans is deduplication (lesson 04), its language test is lesson 03's language identification.
"""

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from minillm.data.filters import Splitter
from minillm.data.words import split_sentences

END_MARKS = (".", "?", "!", '"', "'")
POLICY_PHRASES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
_CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")


@dataclass(frozen=True)
class C4Limits:
    """Thresholds of the C4 rules; None switches a rule off.

    Source: Raffel et al. 2020, section 2.2; max_word_length: their program.
    """

    min_sentences: int | None = 5
    min_words_a_line: int | None = 3
    max_word_length: int | None = 1000
    end_marks: bool = True
    lorem_ipsum: bool = True
    javascript: bool = True
    curly_bracket: bool = True
    policy: bool = True
    citations: bool = True
    """Cut citation marks out."""


def line_reason(line: str, limits: C4Limits | None = None) -> str | None:
    """Say why a line is dropped: the first rule of the table's upper half that it breaks.

    Args:
        line: a line without white space at its ends.
        limits: the thresholds; None takes those of the paper.

    Returns:
        The reason; None if the line is kept.

    Source: Raffel et al. 2020, section 2.2.
    Lesson: notebooks/03_quality.ipynb
    """
    limits = limits or C4Limits()
    return _early_reason(line, _cut(line, limits), limits) or _late_reason(line.lower(), limits)


def _cut(line: str, limits: C4Limits) -> str:
    return _CITATION.sub("", line) if limits.citations and "[" in line else line


def _early_reason(line: str, cut: str, limits: C4Limits) -> str | None:
    """Return the reasons that go before the rules on pages. Words are counted before the cut."""
    words = line.split()
    longest = limits.max_word_length
    if longest is not None and any(len(word) > longest for word in words):
        return "long_word"
    if limits.end_marks and (not cut.endswith(END_MARKS) or cut.endswith("...")):
        return "no_end_mark"
    if limits.min_words_a_line is not None and len(words) < limits.min_words_a_line:
        return "few_words"
    return None


def _late_reason(lower: str, limits: C4Limits) -> str | None:
    if limits.javascript and "javascript" in lower:
        return "javascript"
    if limits.policy and any(phrase in lower for phrase in POLICY_PHRASES):
        return "policy"
    return None


def c4_clean(
    text: str,
    limits: C4Limits | None = None,
    *,
    sentences: Splitter = split_sentences,
    bad_words: Collection[str] = (),
    lines: Counter[str] | None = None,
) -> tuple[str | None, str | None]:
    """Keep the good lines of a page, or drop the page.

    Args:
        text: a page.
        limits: the thresholds; None takes those of the paper.
        sentences: cuts a line into sentences, which are counted.
        bad_words: a page with one of these words or phrases is dropped, whatever else it holds
            (the paper's list is by others and not part of this package: give your own).
        lines: a Counter to which the reason of every line dropped is added, `kept` for the others.

    Returns:
        (the lines kept, None), or (None, the reason for dropping the page).

    Cost: linear in the text.
    Source: Raffel et al. 2020, arXiv:1910.10683, section 2.2.
    Lesson: notebooks/03_quality.ipynb
    """
    limits = limits or C4Limits()
    if bad_words and has_bad_word(text, bad_words):
        return None, "bad_word"
    kept, n_sentences = [], 0
    for whole in map(str.strip, text.splitlines()):
        line = _cut(whole, limits)
        reason = _early_reason(whole, line, limits)
        if reason is None:
            lower = line.lower()
            if limits.lorem_ipsum and "lorem ipsum" in lower:
                return None, "lorem_ipsum"
            # a javascript line is passed over before its brackets are looked at, as by the peer
            if limits.javascript and "javascript" in lower:
                reason = "javascript"
            elif limits.curly_bracket and "{" in line:
                return None, "curly_bracket"
            else:
                reason = _late_reason(lower, limits)
        if lines is not None:
            lines[reason or "kept"] += 1
        if reason is None:
            kept.append(line)
            n_sentences += len(sentences(line)) if limits.min_sentences is not None else 0
    if limits.min_sentences is not None and n_sentences < limits.min_sentences:
        return None, "few_sentences"
    return "\n".join(kept).strip(), None


def c4_reason(
    text: str,
    limits: C4Limits | None = None,
    *,
    sentences: Splitter = split_sentences,
    bad_words: Collection[str] = (),
) -> str | None:
    """Say why a page is dropped; None if something of it is kept (see c4_clean).

    Lesson: notebooks/03_quality.ipynb
    """
    return c4_clean(text, limits, sentences=sentences, bad_words=bad_words)[1]


def has_bad_word(text: str, bad_words: Collection[str]) -> bool:
    """Say whether a word or phrase of the list stands in the text, apart from other letters.

    Args:
        text: any text; case does not matter.
        bad_words: words or phrases.

    Raises:
        ValueError: if one of them is empty.

    Source: Raffel et al. 2020, section 2.2; the test between non-letters is that of their program.
    Lesson: notebooks/05_privacy.ipynb tells why such lists fail.
    """
    wanted = sorted({word.strip().lower() for word in bad_words})
    if "" in wanted:
        raise ValueError("an empty bad word is in every text: take it out of bad_words")
    pattern = rf"(?<!\w)(?:{'|'.join(map(re.escape, wanted))})(?!\w)"
    return bool(wanted) and re.search(pattern, text.lower()) is not None
