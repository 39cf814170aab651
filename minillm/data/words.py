"""Words and sentences of English text, cut by rules, so that filters can count them.

What is a word? "don't" is one for a splitter at spaces and two for a linguist; "(see" is a word
with dirt on it. Every rule that says "at least 50 words" hides such a choice. The choice made here
is that of the peer that our filters are compared with (datatrove cuts English with spaCy's rules):
a chunk between two spaces is peeled from both ends - brackets, quotes, commas, a full stop that
ends a sentence - and what is left is cut at hyphens, slashes and dots that stand between letters.
Abbreviations ("e.g.", "Mr.") and contractions ("don't" = "do" + "n't") are looked up first.

Cost: linear in the text, also for a line of a million characters without a space.
Lesson: notebooks/03_quality.ipynb
"""

import unicodedata
from functools import lru_cache

import regex

_PUNCTUATION = ",:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪"
_QUOTES = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉⟦⟧"
_MONEY = r"US\$|C\$|A\$|\p{Sc}"
_MARKS = "[" + regex.escape(_PUNCTUATION + _QUOTES, special_only=False) + r"\p{So}]"
_LOWER, _UPPER, _LETTER = r"[\p{Ll}\p{Lo}]", r"[\p{Lu}\p{Lo}]", r"\p{L}"
_UNITS = (
    "km²|km³|km/h|kmh|km|m²|m³|m/s|mph|mbar|mb|mm²|mm³|mm|mg|m|dm²|dm³|dm|cm²|cm³|cm|ha|µm|nm|yd|in|ft"
    "|kg|kb|kPa|g|µg|t|lb|oz|hPa|Pa|MB|KB|gb|GB|tb|TB|T|G|M|K|%"
)

_PREFIX = regex.compile(rf"[§%=—–]|\+(?![0-9])|……|…|{_MARKS}|\.\.+|{_MONEY}")
_SUFFIX = regex.compile(
    rf"(?:……|…|{_MARKS}|\.\.+|['’][sS]|[—–]|(?<=[0-9])\+|(?<=[0-9])(?:{_MONEY}|{_UNITS})"
    rf"|(?<=°[FfCcKk])\.|(?<=[0-9%²+\-\p{{Ll}}\p{{Lo}}]|{_MARKS})\.|(?<={_UPPER}{{2}})\.)$"
)
_QUOTE = "[" + regex.escape(_QUOTES, special_only=False) + "]"
_INFIX = regex.compile(
    rf"\.\.+|…|\p{{So}}|(?<=[0-9])[+\-*^](?=[0-9-])"
    rf"|(?<={_LOWER}|{_QUOTE})\.(?={_UPPER}|{_QUOTE})|(?<={_LETTER}),(?={_LETTER})"
    rf"|(?<={_LETTER}|[0-9])(?:---|--|——|[-–—~])(?={_LETTER})"
    rf"|(?<={_LETTER}|[0-9])[:<>=/](?={_LETTER})"
)
_ADDRESS = regex.compile(
    r"(?:[\w+.-]{2,}+://)?(?:[^\s@]++@)?(?:[A-Za-z0-9\u00a1-\uffff]"
    rf"[A-Za-z0-9\u00a1-\uffff_-]*+\.)++{_LOWER}{{2,63}}+(?::\d{{2,5}})?(?:[/?#]\S*)?"
)
_LONGEST_ADDRESS = 2048
_TAIL = 16  # a suffix and what must stand before it is no longer, but for a row of dots

_ABBREVIATIONS = (
    "a.m. p.m. e.g. E.g. E.G. i.e. I.e. I.E. vs. v.s. Ph.D. D.C. Adm. Bros. co. Co. Corp. Dr. "
    "Gen. Gov. Inc. Jr. Ltd. Md. Messrs. Mo. Mont. Mr. Mrs. Ms. Prof. Rep. Rev. Sen. St. Mt. "
    "Jan. Feb. Mar. Apr. Jun. Jul. Aug. Sep. Sept. Oct. Nov. Dec. Ak. Ala. Ariz. Ark. Calif. "
    "Colo. Conn. Del. Fla. Ga. Ia. Id. Ill. Ind. Kan. Kans. Ky. La. Mass. Mich. Minn. Miss. "
    "N.C. N.D. N.H. N.J. N.M. N.Y. Neb. Nebr. Nev. Okla. Ore. Pa. S.C. Tenn. Va. Wash. Wis. "
    "and/or w/o ma'am Ma'am o'clock 're 'd 's 'S ' '' 'em 'll 'nuff 'cause 'Cause 'cos 'Cos "
    "'coz 'Coz 'cuz 'Cuz 'bout C++ \\t \\n <space> \\\")"
)
_FACES = (  # so that "def f(x):" ends in a sad face: with the peer, and so with us
    ":) :-) :)) :-)) :))) :-))) (: (-: =) (= :] :-] [: [-: [= =] :o) (o: :} :-} 8) 8-) (-8 ;) ;-) "
    "(; (-; :( :-( :(( :-(( :((( :-((( ): )-: =( >:( :') :'-) :'( :'-( :/ :-/ =/ =| :| :-| ]= =[ "
    ":1 :P :-P :p :-p :O :-O :o :-o :0 :-0 :() >:o :* :-* :3 :-3 =3 :> :-> :X :-X :x :-x :D :-D "
    ";D ;-D =D xD XD xDD XDD 8D 8-D ^_^ ^__^ ^___^ >.< >.> <.< ._. ;_; -_- -__- v.v V.V v_v V_V "
    "o_o o_O O_o O_O 0_o o_0 0_0 o.O O.o O.O o.o 0.0 o.0 0.o @_@ <3 <33 <333 </3 (^_^) (-_-) (._.) "
    "(>_<) (*_*) (¬_¬)"
)
_PRONOUNS = "i you he she it we they"
_QUESTIONS = "who what when where why how there"
_MODALS = "could might must should would"
_VERBS = f"ca do does did had may need ought sha wo {_MODALS}"
_CONTRACTIONS = (  # stems and endings; | parts the pieces of an ending
    ("i", "'m 'm|a"),
    (f"{_PRONOUNS} {_QUESTIONS} that this these those", "'ll 'll|'ve 'd 'd|'ve"),
    (f"i you we they {_QUESTIONS} these those {_MODALS} not", "'ve"),
    (f"you we they {_QUESTIONS} these those", "'re"),
    (f"he she it {_QUESTIONS} that this", "'s"),
    (_VERBS, "n't n't|'ve"),
    ("ai are is was were have has dare", "n't"),
)
_NOT_CONTRACTED = "ill its hell shell shed were well whore"
_OTHERS = "can|not gon|na got|ta let|'s c'm|on y'|all"
_END = frozenset("!.?։؟۔।॥။።！．？｡。‼‽⁇⁈⁉⸮")


def _lookup_table() -> dict[str, tuple[str, ...]]:
    """Chunks that are not cut by the rules: the chunk -> its pieces."""
    table: dict[str, tuple[str, ...]] = {
        word: (word,) for word in [*_ABBREVIATIONS.split(), *_FACES.split()]
    }
    table |= {f"{letter}.": (f"{letter}.",) for letter in "abcdefghijklmnopqrstuvwxyzäöü"}
    for stems, endings in _CONTRACTIONS:
        for stem in stems.split():
            for ending in endings.split():
                for pieces in (ending.split("|"), ending.replace("'", "").split("|")):
                    for form in (stem, stem.title()):
                        table[form + "".join(pieces)] = (form, *pieces)
    for other in _OTHERS.split():
        for form in (other, other.capitalize()):
            table[form.replace("|", "")] = tuple(form.split("|"))
    for word in _NOT_CONTRACTED.split():
        for form in (word, word.title()):
            table.pop(form, None)
    for hour in range(1, 13):
        table |= {f"{hour}{half}": (str(hour), half) for half in ("am", "pm", "a.m.", "p.m.")}
    table |= {f"°{scale}.": ("°", scale, ".") for scale in "cfkCFK"}
    curly = {k.replace("'", "’"): tuple(p.replace("'", "’") for p in v) for k, v in table.items()}
    return curly | table


_WHOLE = _lookup_table()
_GLUED = frozenset(word for word, pieces in _WHOLE.items() if len(pieces) == 1)
_LONGEST = max(map(len, _WHOLE))


def split_words(text: str) -> list[str]:
    """Cut a text into words and punctuation marks.

    Args:
        text: any text.

    Returns:
        The words in order. Joined without spaces they are the text without its white space.

    Cost: linear in the text; words seen before are not cut again.
    Source: the rules are those of spaCy's English tokenizer (spacy.io/usage/linguistic-features,
        "Tokenization"), written anew and shortened; on the harvest 99.9 % of the decisions of the
        filters are the same as with spaCy itself (tests/data/test_filters.py).
    Lesson: notebooks/03_quality.ipynb
    """
    words: list[str] = []
    for chunk in text.split():
        words += _remembered(chunk) if len(chunk) <= 64 else _cut(chunk)
    return words


def split_sentences(text: str) -> list[str]:
    """Cut a text into sentences: behind `.`, `!`, `?` and the quotes and brackets that follow them.

    A full stop inside a word (3.5, e.g.) is part of the word and ends nothing; three dots end
    nothing either.

    Args:
        text: any text.

    Returns:
        The sentences; joined they are the text. At least one, the empty text included.

    Cost: linear in the text.
    Source: the rule of spaCy's sentencizer, which datatrove's C4 filter counts sentences with.
    Lesson: notebooks/03_quality.ipynb
    """
    starts, place, ended = [0], 0, False
    for token in _tokens_with_spaces(text):
        place = text.index(token, place)
        if ended and token not in _END and not _is_punctuation(token):
            starts.append(place)
            ended = False
        ended = ended or token in _END
        place += len(token)
    return [text[a:b] for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]


def _tokens_with_spaces(text: str) -> list[str]:
    """Words, and the white space beyond the one space that parts two words."""
    tokens: list[str] = []
    for run in regex.finditer(r"\s+|\S+", text):
        chunk = run.group()
        if not chunk.isspace():
            tokens += _remembered(chunk) if len(chunk) <= 64 else _cut(chunk)
        elif extra := chunk[1:] if chunk[0] == " " and run.start() else chunk:
            tokens.append(extra)
    return tokens


@lru_cache(maxsize=1 << 16)
def _remembered(chunk: str) -> tuple[str, ...]:
    return tuple(_cut(chunk))


def _cut(chunk: str) -> list[str]:
    """Cut what stands between two spaces."""
    low, high = 0, len(chunk)
    front: list[str] = []
    back: list[str] = []
    while low < high and not _known(chunk, low, high):
        head = _PREFIX.match(chunk, low, high)
        a = head.end() if head else low
        if a > low and _known(chunk, a, high):
            front.append(chunk[low:a])
            low = a
            break
        b = _suffix_start(chunk, a, high)
        if b < high and _known(chunk, low, b):
            back.append(chunk[b:high])
            high = b
            break
        if a == low and b == high:
            break
        front += [chunk[low:a]] if a > low else []
        back += [chunk[b:high]] if b < high else []
        low, high = a, b
    pieces = front + _middle(chunk[low:high]) + back[::-1]
    return _glued(pieces) if len(pieces) > 1 else pieces


def _glued(pieces: list[str]) -> list[str]:
    """Glue pieces that are known together: `)` and `:` are a face, two single quotes a double."""
    glued, i = [], 0
    while i < len(pieces):
        n = next((n for n in (5, 4, 3, 2) if "".join(pieces[i : i + n]) in _GLUED), 1)
        glued.append("".join(pieces[i : i + n]))
        i += n
    return glued


def _known(chunk: str, low: int, high: int) -> bool:
    return 0 < high - low <= _LONGEST and chunk[low:high] in _WHOLE


def _suffix_start(chunk: str, low: int, high: int) -> int:
    """Where the mark at the end of chunk[low:high] begins; high if there is none."""
    first = max(low, high - _TAIL)
    found = _SUFFIX.search(chunk[first:high])
    if found is None:
        return high
    start = first + int(found.start())
    if chunk.startswith("..", start):
        while start > low and chunk[start - 1] == ".":
            start -= 1
    return start


def _middle(core: str) -> list[str]:
    """Cut what is left between the marks: at hyphens, slashes, dots between letters."""
    if not core:
        return []
    if core in _WHOLE:
        return list(_WHOLE[core])
    cuts = list(_INFIX.finditer(core))
    if not cuts or (len(core) <= _LONGEST_ADDRESS and _ADDRESS.fullmatch(core)):
        return [core]
    pieces, start = [], 0
    for cut in cuts:
        if cut.start() > 0:
            pieces += [core[start : cut.start()], cut.group()]
            start = cut.end()
    return [piece for piece in [*pieces, core[start:]] if piece]


def _is_punctuation(token: str) -> bool:
    return all(unicodedata.category(character)[0] == "P" for character in token)
