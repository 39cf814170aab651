"""What a cleaning run does to each document; the same settings give the same corpus."""

from dataclasses import dataclass

RULES = ("c4", "gopher", "repetition", "code")


@dataclass(frozen=True)
class CleanConfig:
    """Settings of `clean_folder`.

    Lesson: notebooks/04_dedup.ipynb
    """

    rules: tuple[str, ...] = ("gopher", "repetition")
    """Which rules a document must pass, of RULES; see lesson 03. C4's also cut lines out."""

    languages: tuple[str, ...] = ()
    """Codes of the languages that stay, such as ("en", "zh"); none means all."""

    near: float = 0.8
    """Documents at or above this Jaccard similarity are one; 0 removes exact duplicates only."""

    ngram: int = 5
    """Words in a shingle, for near duplicates."""

    n_hashes: int = 128
    """Length of a MinHash signature."""

    test_set: str = ""
    """A file of test items, one a line: documents that hold one of them are removed."""

    redact: bool = True
    """Put placeholders where personal data stands."""

    max_document_bytes: int = 10_000_000
    """Longer documents, lines and pages are left out and counted."""

    def __post_init__(self) -> None:
        for rule in self.rules:
            if rule not in RULES:
                raise ValueError(f"there are no rules {rule!r}; take some of {', '.join(RULES)}")
        if not 0 <= self.near <= 1:
            raise ValueError(f"near must lie between 0 and 1 (0: exact only), got {self.near}")
        for name in ("ngram", "n_hashes", "max_document_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
