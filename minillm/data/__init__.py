"""Where text comes from, how it is cleaned, and how it reaches the model.

Names are looked up when they are first used: reading a corpus does not import torch.
"""

from importlib import import_module

_FILE_OF = {
    "Corpus": "corpora",
    "load_corpus": "corpora",
    "Doctest": "doctests",
    "load_doctests": "doctests",
    "run_doctest": "doctests",
    "parallel_names": "names",
    "download": "fetch",
    "mask_authors": "privacy",
    "mask_emails": "privacy",
    "mask_ips": "privacy",
    "mask_personal": "privacy",
    "mask_phones": "privacy",
    "LinearClassifier": "classifier",
    "NgramModel": "ngram",
    "c4_clean": "c4",
    "dedup_lines": "exact",
    "gopher_keep": "filters",
    "gopher_reason": "filters",
    "html_text": "html_text",
    "make_planted": "planted",
    "minhash_dedup": "near_duplicates",
    "read_warc": "warc",
    "redact": "redact",
    "MixtureSampler": "mixture",
    "BatchSampler": "loader",
    "TokenShard": "loader",
    "get_batch": "loader",
    "Question": "storyworld",
    "Story": "storyworld",
    "check_story": "storyworld",
    "make_corpus": "storyworld",
    "make_story": "storyworld",
}

__all__ = list(_FILE_OF)


def __getattr__(name: str) -> object:
    if name not in _FILE_OF:
        raise AttributeError(f"module 'minillm.data' has no attribute {name!r}")
    return getattr(import_module(f"minillm.data.{_FILE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
