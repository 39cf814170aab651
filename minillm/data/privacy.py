"""Personal data in text: e-mail addresses, telephone numbers, IP addresses, author lines.

Each mask puts a fixed word where the personal data stood and says how often, so that the reader
can see both that something was there and how much of it there was. The masks are deliberately
simple: a pattern each, no model. Lesson 05 measures what such patterns miss and what they hit by
mistake; the harvest applies them to everything it reads before it stores or prints a line.
"""

import re
from collections.abc import Callable

EMAIL, PHONE, IP, NAME = (
    "|||EMAIL_ADDRESS|||",
    "|||PHONE_NUMBER|||",
    "|||IP_ADDRESS|||",
    "|||NAME|||",
)

# A match may start only where the run of local characters starts, and runs over at most 64 of
# them (RFC 5321, 4.5.3.1.1): without the two limits a minified file of one long line would take
# quadratic time.
_EMAIL = re.compile(
    r"(?<![\w.%+'-])[A-Za-z0-9_%+'-][A-Za-z0-9._%+'-]{0,63}@"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,6}[A-Za-z]{2,24}(?![A-Za-z0-9-])"
)
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = re.compile(rf"(?<![\w.])(?:{_OCTET}\.){{3}}{_OCTET}(?!\w|\.\d)")
_NORTH_AMERICAN = r"(?:\+?1[ .-]?)?(?:\(\d{3}\)[ .-]?\d{3}[ .-]?\d{4}|\d{3}[.-]\d{3}[.-]\d{4})"
_SPACED = r"\d{3} \d{3}[ -]\d{4}"
_BARE = r"\d{10}"
_INTERNATIONAL = r"\+[1-9]\d{0,2}(?:[ .-]\(?\d{1,7}\)?){2,6}"
_EDGE, _END = r"(?<![\w.+-])", r"(?![\w-]|\.\d)"
_PHONE_WRITTEN = re.compile(f"{_EDGE}(?:{_INTERNATIONAL}|{_NORTH_AMERICAN}){_END}")
_PHONE_ANY = re.compile(f"{_EDGE}(?:{_INTERNATIONAL}|{_NORTH_AMERICAN}|{_SPACED}|{_BARE}){_END}")
_AUTHOR = re.compile(
    r"^(?P<head>[ \t#*/:.;%\"'<!-]{0,20}_{0,2}(?:"
    r"(?:original |initial |current |main )?(?:authors?|maintainers?|contributors?)_{0,2}"
    r"(?:\[\])?[ \t]{0,8}[:=]"
    r"|(?:originally )?(?:written|created|contributed|maintained) by\b"
    r"|(?:portions )?copyright\b)[ \t]*)(?P<who>\S[^\n]{0,400})$",
    re.IGNORECASE | re.MULTILINE,
)


def mask_emails(text: str) -> tuple[str, int]:
    """Put |||EMAIL_ADDRESS||| in the place of each e-mail address.

    Args:
        text: any text.

    Returns:
        The masked text and the number of addresses masked. A second call finds none.

    Cost: linear in the text.
    Lesson: notebooks/05_privacy.ipynb
    """
    return _EMAIL.subn(EMAIL, text) if "@" in text else (text, 0)


def mask_phones(text: str, *, bare: bool = True) -> tuple[str, int]:
    """Put |||PHONE_NUMBER||| in the place of each telephone number.

    Seen are the North American forms 283-182-3829, (283) 182-3829, +1 283.182.3829 and the
    international +41 44 268 12 12.

    Args:
        text: any text.
        bare: mask also ten digits that stand alone (2831823829) and groups parted by spaces
            (283 182 3829). Texts about numbers are full of both, so the harvest says False.

    Returns:
        The masked text and the number of telephone numbers masked.

    Lesson: notebooks/05_privacy.ipynb
    """
    return (_PHONE_ANY if bare else _PHONE_WRITTEN).subn(PHONE, text)


def mask_ips(text: str) -> tuple[str, int]:
    """Put |||IP_ADDRESS||| in the place of each IPv4 address (four numbers from 0 to 255).

    A version number of four parts (1.2.3.4) cannot be told from an address and is masked too.
    IPv6 is left to lesson 05.

    Args:
        text: any text.

    Returns:
        The masked text and the number of addresses masked.

    Lesson: notebooks/05_privacy.ipynb
    """
    return _IPV4.subn(IP, text)


def mask_authors(text: str) -> tuple[str, int]:
    """Put |||NAME||| in the place of who is named on a line `Author: ...` or `Copyright ...`.

    Args:
        text: any text, a line of which may name its authors, maintainers or copyright holders.

    Returns:
        The masked text and the number of lines masked. Of a copyright line years, (c) and the
        words that are no name ("notice", "holders") stay: a line without a capital is left alone.

    Lesson: notebooks/05_privacy.ipynb
    """
    n_masked = 0

    def masked(match: re.Match[str]) -> str:
        nonlocal n_masked
        years = re.match(r"(?:\(c\)|©|[\d ,.–-]|\bto\b|present)*", match["who"], re.IGNORECASE)
        kept = years.group() if years else ""
        who = match["who"][len(kept) :]
        if NAME in who or not re.search(r"[A-Z\u00c0-\uffff]", who):
            return match.group()
        n_masked += 1
        return f"{match['head']}{kept}{NAME}"

    return _AUTHOR.sub(masked, text), n_masked


def mask_personal(text: str) -> tuple[str, dict[str, int]]:
    """Apply every mask of this file, as the harvest does.

    Args:
        text: any text.

    Returns:
        The masked text, and the count under each of `authors`, `emails`, `phones`, `ips`.
        Telephone numbers are masked only where they are written as such (bare=False).

    Lesson: notebooks/05_privacy.ipynb
    """
    masks: dict[str, Callable[[str], tuple[str, int]]] = {
        "authors": mask_authors,
        "emails": mask_emails,
        "phones": lambda text: mask_phones(text, bare=False),
        "ips": mask_ips,
    }
    counts = {}
    for name, mask in masks.items():
        text, counts[name] = mask(text)
    return text, counts
