"""Rules that find personal data (个人信息, PII): a pattern proposes, a check decides.

Each kind has a regular expression for how the datum is written and, where there is one, a check
of what the expression cannot say: the Luhn digit of a card, the check sign and the birth date of a
Chinese identity number, the eight groups of an IP address. `privacy.mask_personal`, which the
harvest applies, has the patterns only; these rules go further in four ways:

- Chinese signs are no border. To Python a Chinese character is a word character (\\w), so a
  pattern that wants no word character beside a number misses 请拨打283-555-0142。
- IP addresses of version 6, cards, Chinese identity and mobile numbers, postal addresses.
- Numbers behind "version" are no addresses.
- Matches of different kinds never overlap: the kind that stands first in RULES has the first say.

Names have no written form. The rule for them looks for a title (Dr Mara Quillby, 陈安柏先生), and
finds no others; that is what `tagger.py` is for.
"""

import re
from collections.abc import Callable, Collection
from typing import NamedTuple

from minillm.data.identity import cn_id_ok, luhn_ok, parse_ip


class Span(NamedTuple):
    """A place in a text, text[start:end], and what kind of datum stands there."""

    start: int
    end: int
    kind: str


class Rule(NamedTuple):
    """How one kind of datum is written, and what else must hold."""

    pattern: re.Pattern[str]
    needs: str
    """At least one of these signs stands in every match: a fast way to say no."""
    check: Callable[[str], bool] | None = None


# No letter, digit or mark of a larger number on either side; nor the bars of a placeholder
# (privacy.EMAIL and its like), so that a text that was masked once is not masked again.
_EDGE = r"(?<![A-Za-z0-9_.+-])(?<!\|\|\|)"
_END = r"(?![A-Za-z0-9_-]|\.\d|\|\|\|)"
_HAN = r"\u4e00-\u9fff"
# A Chinese sign, but not one that commonly stands before a place (in, to, from, live, send ...):
# without spaces nothing else tells where the address begins.
_PLACE = rf"(?:(?![在于到往从住寄为是至的了和与请去自向给])[{_HAN}])"

_EMAIL = (
    r"(?<![A-Za-z0-9_.%+'-])(?<!\|\|\|)[A-Za-z0-9_%+'-][A-Za-z0-9._%+'-]{0,63}@"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,6}[A-Za-z]{2,24}(?![A-Za-z0-9-]|\|\|\|)"
)
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = (
    rf"{_EDGE}(?<![Vv]ersion )(?<![Rr]elease )(?<!版本)(?<!版本号)(?:{_OCTET}\.){{3}}{_OCTET}{_END}"
)
_IPV6 = (
    r"(?<![A-Za-z0-9_.:])(?<!\|\|\|)(?:[0-9A-Fa-f]{1,4}:|::[0-9A-Fa-f])[0-9A-Fa-f:]{1,37}"
    r"(?:[0-9A-Fa-f]|::)(?:\.\d{1,3}){0,3}(?![A-Za-z0-9_:]|\.\d|\|\|\|)"
)
_CARD = (
    rf"{_EDGE}(?:[2-6]\d{{12,18}}|[2-6]\d{{3}}([ -])\d{{4}}\1\d{{4}}\1\d{{4}}"
    rf"|3\d{{3}}([ -])\d{{6}}\2\d{{5}}){_END}"
)
_CN_ID = rf"{_EDGE}[1-9]\d{{16}}[0-9Xx]{_END}"
_CN_MOBILE = rf"{_EDGE}(?:\+?86[ -]?)?1[3-9]\d(?:\d{{8}}|([ -])\d{{4}}\1\d{{4}}){_END}"
_AREA, _REST = r"[2-9]\d\d", r"[2-9]\d\d"
_PHONE = (
    rf"(?:{_EDGE}\+?1[ .-])?(?:{_EDGE}{_AREA}[ .-]|\({_AREA}\)[ .-]?){_REST}[ .-]\d{{4}}{_END}"
    rf"|{_EDGE}(?:{_AREA}{_REST}\d{{4}}|0\d{{2,3}}-\d{{7,8}}"
    rf"|\+[1-9]\d{{0,2}}(?:[ .-]\(?\d{{1,7}}\)?){{2,6}}){_END}"
)
_STREET = r"(?:Street|Lane|Road|Avenue|Drive|Court|Place|Square|Terrace|St|Rd|Ave|Ln|Dr)"
_WORD = r"[A-Z][a-z'-]{1,20}"
_ADDRESS = (
    rf"{_EDGE}\d{{1,5}}[A-Za-z]? (?:{_WORD} ){{1,3}}{_STREET}\b\.?"
    rf"(?:,? (?:Apt|Flat|Unit|Suite)\.? \d{{1,4}}[A-Za-z]?)?"
    rf"(?:, {_WORD}(?: {_WORD})?(?:, [A-Z]{{2}} \d{{5}}\b)?)?(?!\|\|\|)"
    rf"|(?:{_PLACE}{{2,4}}省)?(?:{_PLACE}{{2,4}}[市县])?(?:{_PLACE}{{1,4}}区)?"
    rf"{_PLACE}{{2,4}}(?:大道|路|街|巷|弄)\d{{1,5}}号(?:\d{{1,3}}单元)?(?:\d{{1,5}}室)?"
)
_NAME = (
    rf"(?<![A-Za-z0-9_])(?<!\|\|\|)(?:Mr|Mrs|Ms|Miss|Dr|Prof)\.? {_WORD}(?: {_WORD})?"
    r"(?![a-z]|\|\|\|)"
    rf"|[{_HAN}]{{2,3}}(?=先生|女士|小姐|老师|教授)"
)


def _is_long_ipv6(text: str) -> bool:
    """Say whether text is an address of version 6 with at least three groups that are written.

    The short ones (`::1`, `::2`) are no persons', and a slice in Python looks the same.
    """
    return parse_ip(text) is not None and len(text.split(":")) > 3


RULES: dict[str, tuple[Rule, ...]] = {
    "email": (Rule(re.compile(_EMAIL), "@"),),
    "cn_id": (Rule(re.compile(_CN_ID), "0123456789", cn_id_ok),),
    "card": (Rule(re.compile(_CARD), "0123456789", luhn_ok),),
    "ip": (Rule(re.compile(_IPV6), ":", _is_long_ipv6), Rule(re.compile(_IPV4), ".")),
    "cn_mobile": (Rule(re.compile(_CN_MOBILE), "1"),),
    "phone": (Rule(re.compile(_PHONE), "0123456789"),),
    "address": (Rule(re.compile(_ADDRESS), "0123456789"),),
    "name": (Rule(re.compile(_NAME), " 先女小老教"),),
}


def find_personal(
    text: str, kinds: Collection[str] = tuple(RULES), *, check: bool = True
) -> list[Span]:
    """Find personal data by rules.

    Args:
        text: any text.
        kinds: which kinds to look for, of RULES.
        check: look at check digits, too. Without them one sees what the check is worth.

    Returns:
        Spans from left to right that do not overlap: the kinds are sought in the order of RULES,
        and what one has found is hidden from the next.

    Raises:
        ValueError: if a kind is unknown.

    Cost: linear in the text, also in a line of a million digits: a match starts only where a run
        of its signs starts, and every repetition is bounded.
    Source: the patterns are ours; the forms are those of RFC 5321 (mail), RFC 4291 (IPv6), the
        North American numbering plan, ITU-T E.123 (+41 44 ...), ISO/IEC 7812, GB 11643.
    Lesson: notebooks/05_privacy.ipynb
    """
    if unknown := set(kinds) - set(RULES):
        raise ValueError(f"no rule for {sorted(unknown)}, choose from {', '.join(RULES)}")
    found: list[Span] = []
    wanted = [(kind, rule) for kind in RULES if kind in kinds for rule in RULES[kind]]
    for kind, rule in wanted:
        if any(sign in text for sign in rule.needs):
            spans = [Span(*match.span(), kind) for match in rule.pattern.finditer(text)]
            if check and rule.check is not None:
                spans = [span for span in spans if rule.check(text[span.start : span.end])]
            text = _barred(text, spans)
            found += spans
    return sorted(found)


def _barred(text: str, spans: list[Span]) -> str:
    """Put bars over what was found, as many as it has characters: later rules stop there."""
    parts, done = [], 0
    for start, end, _ in spans:
        parts += [text[done:start], "|" * (end - start)]
        done = end
    return "".join([*parts, text[done:]]) if spans else text


def merge_spans(first: list[Span], second: list[Span]) -> list[Span]:
    """Lay two lists of spans together; where they overlap, the first list wins.

    Args:
        first, second: each from left to right and without overlaps.

    Returns:
        All of `first` and what of `second` overlaps none of it, from left to right.

    Cost: linear in the number of spans.
    """
    merged: list[Span] = []
    place = 0
    for span in second:
        while place < len(first) and first[place].end <= span.start:
            merged.append(first[place])
            place += 1
        if place == len(first) or span.end <= first[place].start:
            merged.append(span)
    return merged + first[place:]
