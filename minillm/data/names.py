"""Names of languages and countries in many languages: a small parallel corpus with a known truth.

The names come from the Unicode CLDR as babel carries it. The same key (`language de`,
`territory JP`) has a name in each language, so the texts are parallel, and the language of every
line is known: enough to teach and to test language identification without a network.
"""

MINIMUM = 300


def parallel_names(minimum: int = MINIMUM) -> dict[str, dict[str, str]]:
    """Return what each language calls the languages and territories of the world.

    Args:
        minimum: leave out a language that names fewer things than this.

    Returns:
        {language code: {key: name}}, both sorted; a key is `language xx` or `territory XX`.

    Raises:
        ValueError: if minimum < 1.

    Cost: about a second; `load_corpus("names")` keeps the result.
    Source: Unicode CLDR, through babel.
    """
    if minimum < 1:
        raise ValueError(f"minimum must be at least 1, got {minimum}")
    from babel import Locale, localedata

    found: dict[str, dict[str, str]] = {}
    for code in sorted(localedata.locale_identifiers()):
        if "_" in code or code == "root":
            continue  # a language as spoken in one country, or in a second script
        locale = Locale(code)
        names = {f"language {key}": str(name) for key, name in locale.languages.items()}
        names |= {f"territory {key}": str(name) for key, name in locale.territories.items()}
        names = {key: name for key, name in names.items() if name != key.split()[1]}
        if len(names) >= minimum:
            found[code] = dict(sorted(names.items()))
    return found


def as_text(code: str, names: dict[str, str]) -> str:
    """Write the names of one language as the text that `load_corpus("names")` hands out.

    Args:
        code: the language that the names are written in, such as `de`.
        names: {key: name}.

    Returns:
        A first line `# de`, then a line `key<TAB>name` for each name.
    """
    return "\n".join([f"# {code}", *(f"{key}\t{name}" for key, name in names.items())])


def from_text(text: str) -> tuple[str, dict[str, str]]:
    """Read one text of `load_corpus("names")` back: the inverse of `as_text`.

    Raises:
        ValueError: if the text does not begin with `# code`.
    """
    first, *lines = text.split("\n")
    if not first.startswith("# "):
        raise ValueError(f"a text of names begins with '# code', got {first[:40]!r}")
    return first[2:], dict(tuple(line.split("\t", 1)) for line in lines)  # type: ignore[misc]
