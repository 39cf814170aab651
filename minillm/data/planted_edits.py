"""What is planted and how it gets into a text: edits, inserted lines, invented test items.

`planted.py` decides which document gets what; the functions here do it to one text and say what
is then true of it.
"""

import random
import re

_WORD = re.compile(r"\S+\s*")

BOILERPLATE = (
    "Skip to main content",
    "Home | Products | Support | Blog | Contact us",
    "We use cookies to make this site work better for you.",
    "Accept all cookies or manage your settings",
    "Sign up for our weekly newsletter and never miss an update!",
    "Share this page: Facebook Twitter LinkedIn Email",
    "Read more ...",
    "Back to top",
    "All rights reserved. Terms of use. Privacy policy.",
    "This page was last changed by an unknown user.",
    "You may also like: ten tips for a tidier desk",
    "Please enable JavaScript to see the comments.",
)
"""Invented lines of the sort that one page after another of a web site carries."""

_MARKUP = (
    '<div class="nav-item nav-{n}" data-id="{m}"><a href="/p/{m}.html">next</a></div>',
    '<span style="color:#{n}{m}; font-size:{n}px">&nbsp;&nbsp;</span>',
    "<br/><br/>&lt;!-- slot {m} --&gt;<hr/>",
    "{{{{cite web|url=/ref/{m}|title=none|access={n}}}}} [[Category:Stub {n}]]",
    "function f{n}(a){{var b={m};for(var i=0;i<b;i++){{a.push(i&{n});}}return a;}}",
    ".col-{n}{{margin:0 {n}px;float:left;width:{m}px}}.row::after{{clear:both}}",
    "<script>window.q=window.q||[];q.push(['track',{m}]);</script>",
    '<td align="right" width="{n}%">{m}</td></tr><tr><td>&#{n};</td>',
)

_QUESTIONS = (
    "Question: In which year did the {place} bridge open to carts, and who paid for its {number}"
    " arches?\nAnswer: In {year}; the weaver {name} paid for all of them.",
    "Question: The ferry of {place} carries {number} sheep at a time. How often must it cross for"
    " {big} sheep of farmer {name}?\nAnswer: It crosses {small} times.",
    "Question: Who painted the {number} blue doors of {place}, and what did {name} say about"
    " them in {year}?\nAnswer: {other} did, and was told to begin again.",
    "Question: What grows on the hill behind {place} since {year}, when {name} sold the last"
    " {number} goats?\nAnswer: Only {other} barley grows there.",
    "Question: Why does the clock of {place} strike {number} times at noon, according to {name}"
    " the miller?\nAnswer: Because {other} broke its spring in {year}.",
    "Question: How many letters did {name} send from {place} before {year}, if {other} burned"
    " {number} of them?\nAnswer: There were {big} letters in the end.",
    "Question: Which of the {number} wells at {place} is the deepest, and how did {name} measure"
    " it?\nAnswer: The one of {other}, with {small} ropes in {year}.",
    "Question: When {name} left {place} with {number} coins and met {other}, how many were left"
    " by {year}?\nAnswer: Exactly {small} coins were left.",
)
_HEADS = ("Var", "Tol", "Mer", "Ask", "Bru", "Fen", "Gor", "Hal", "Ost", "Pel", "Ruk", "Sim")
_MIDDLES = ("ni", "lo", "da", "ve", "ri", "mu", "ke", "sa")
_ENDS = ("holm", "wick", "stad", "mere", "gard", "by", "tor", "lund", "ford", "nes")


def words_of(text: str) -> list[str]:
    """Return the words of a text: its longest runs without white space, as they stand."""
    return text.split()


def word_ngrams(text: str, n: int = 5) -> set[tuple[str, ...]]:
    """Return the set of word n-grams of a text; a shorter text has one, of all its words."""
    words = words_of(text)
    if len(words) < n:
        return {tuple(words)} if words else set()
    return set(zip(*(words[i:] for i in range(n)), strict=False))


def jaccard(a: str, b: str, n: int = 5) -> float:
    """Return the Jaccard similarity of the sets of word n-grams of two texts.

        J(A, B) = |A n B| / |A u B|        1 for two texts without words

    Cost: linear in the texts.
    Lesson: notebooks/04_dedup.ipynb
    """
    first, second = word_ngrams(a, n), word_ngrams(b, n)
    union = len(first | second)
    return len(first & second) / union if union else 1.0


def edited(text: str, target: float, spare: list[str], rng: random.Random) -> tuple[str, float]:
    """Edit a text until its Jaccard similarity to what it was has come down to a target.

    Words are replaced, left out and added one run after another, at random places. Runs have at
    most twelve words, so that two edited texts share no 13-gram by their new words.

    Args:
        text: at least a few dozen words.
        target: the similarity aimed at, between 0 and 1.
        spare: words of other texts; new words are runs of it.
        rng: moves on.

    Returns:
        The edited text that came nearest to the target, and its true similarity.

    Cost: one pass over the text for each edit.
    """
    words, best, nearest = _WORD.findall(text), text, 1.0
    for _ in range(4 * len(words)):
        words = _one_edit(words, spare, rng)
        new = "".join(words).rstrip()
        similarity = jaccard(text, new)
        if new != text and abs(similarity - target) <= abs(nearest - target):
            best, nearest = new, similarity
        if similarity <= target or len(words) < 20:
            break
    return best, nearest


def _one_edit(words: list[str], spare: list[str], rng: random.Random) -> list[str]:
    """Replace one word, leave out a run of up to six, or add a run of up to twelve."""
    place = rng.randrange(len(words))
    kind = rng.choice(("replace", "replace", "leave out", "add"))
    if kind == "leave out":
        return words[:place] + words[place + rng.randint(1, 6) :]
    n_new = 1 if kind == "replace" else rng.randint(1, 12)
    first = rng.randrange(len(spare) - n_new + 1)
    new = [f"{word} " for word in spare[first : first + n_new]]
    if kind == "replace" and words[place].endswith("\n"):
        new[-1] = new[-1].rstrip() + "\n"
    return words[:place] + new + words[place + (kind == "replace") :]


def insert_lines(
    text: str, lines: list[str], rng: random.Random, *, edges: bool = False
) -> tuple[str, list[int]]:
    """Put lines between the lines of a text.

    Args:
        text: any text.
        lines: what is put in; each becomes a line (or lines) of its own.
        rng: chooses the places.
        edges: put them only above or below the text, as the frame of a web page.

    Returns:
        The new text, and where each line starts in it.
    """
    old = text.split("\n")
    choices = (0, len(old)) if edges else range(len(old) + 1)
    places = [rng.choice(choices) for _ in lines]
    starts, out, length = [0] * len(lines), [], 0
    for i in range(len(old) + 1):
        here = [j for j, place in enumerate(places) if place == i]
        for j in here:
            starts[j] = length
            out.append(lines[j])
            length += len(lines[j]) + 1
        if i < len(old):
            out.append(old[i])
            length += len(old[i]) + 1
    return "\n".join(out), starts


def markup_noise(rng: random.Random) -> str:
    """Invent what bad extraction leaves: a piece of HTML, wiki markup, style sheet or script."""
    return rng.choice(_MARKUP).format(n=rng.randint(10, 99), m=rng.randint(1000, 9999))


def invent_items(n_items: int, rng: random.Random) -> list[str]:
    """Invent test items, a question and its answer each, about places that do not exist.

    Args:
        n_items: how many.
        rng: moves on.

    Returns:
        Texts of at least 20 words. No two share a run of 13 words, so a 13-gram that a document
        shares with an item tells which item has leaked.
    """
    items: list[str] = []
    taken: set[tuple[str, ...]] = set()
    while len(items) < n_items:
        item = rng.choice(_QUESTIONS).format(
            place=_name(rng),
            name=_name(rng),
            other=_name(rng),
            number=rng.randint(3, 99),
            small=rng.randint(3, 99),
            big=rng.randint(100, 999),
            year=rng.randint(1500, 1899),
        )
        grams = word_ngrams(item, 13)
        if not grams & taken:
            taken |= grams
            items.append(item)
    return items


def lightly_edited(text: str, rng: random.Random) -> str:
    """Change two words of a text: one is left out, one loses or gets its capital."""
    words = _WORD.findall(text)
    del words[rng.randrange(1, len(words) - 1)]
    place = rng.choice([i for i, word in enumerate(words) if word[0].isalpha()])
    words[place] = words[place][0].swapcase() + words[place][1:]
    return "".join(words)


def _name(rng: random.Random) -> str:
    return rng.choice(_HEADS) + rng.choice(_MIDDLES) + rng.choice(_ENDS)
