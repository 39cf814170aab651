"""From the mixture of a run to rows of tokens on disk, made once and found again by hash.

Documents are shuffled, encoded, and laid into rows of context + 1 tokens. A row begins where a
document begins, goes on through the whole document, piece after piece if it is long, and is filled
up with the beginnings of the documents that follow. So a model sees a story together with the
question below it, which windows cut anywhere would mostly tear apart.

Two packings: "overlap" gives every document a row of its own, so that short documents are read
several times, as fillers too; "once" puts each document into one row, whole if it fits there.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from minillm.data.corpora import load_corpus
from minillm.data.harvest import data_home
from minillm.data.shard import TokenShard
from minillm.data.storyworld.quiz import make_quiz_corpus
from minillm.data.storyworld.story import make_story, story_seed
from minillm.recipes.overrides import to_dict
from minillm.recipes.run import DataConfig
from minillm.tokenizer import Tokenizer, course_tokenizer

QUIZ = {"questions-en": ("en", 419), "questions-zh": ("zh", 412)}
"""Corpora of short stories with questions: language, and bytes of an average text."""
TALES = {"tales-en": ("en", 828), "tales-zh": ("zh", 789)}
"""Corpora of stories without end: language, and bytes of an average text."""
TALES_FROM = 1_000_000
"""First story of the tales in corpus 0, behind all that `stories` and the questions are made of."""
_LAYOUT = 1  # raise it when the way rows are made changes, so that old ones are not found


@dataclass(frozen=True)
class Rows:
    """Token rows of one run: two shards, and how long a token is."""

    train: TokenShard
    validation: TokenShard
    row: int
    """Tokens in a row: context + 1."""
    bytes_per_token: float


def find_tokenizer(name: str) -> Tokenizer:
    """Open a tokenizer: `course`, or a folder that `Tokenizer.save` wrote.

    Raises:
        ValueError: if it is neither.
    """
    if name == "course":
        return course_tokenizer()
    if not Path(name).is_dir():
        raise ValueError(f"no tokenizer {name!r}; use course, or a folder of Tokenizer.save")
    return Tokenizer.load(name)


def documents(name: str, n_bytes: int, *, progress: bool = True) -> list[str]:
    """Take about n_bytes of text from a corpus of `minillm.data`, or of stories made on the spot.

    Raises:
        ValueError: if there is no such corpus.
    """
    if name in QUIZ:
        language, average = QUIZ[name]
        return make_quiz_corpus(0, max(1, n_bytes // average), language)
    if name in TALES:
        language, average = TALES[name]
        places = range(TALES_FROM, TALES_FROM + max(1, n_bytes // average))
        return [make_story(story_seed(0, place)).tell(language) for place in places]
    return load_corpus(name, max_bytes=n_bytes, progress=progress).texts


def pack_rows(encoded: list[list[int]], end: int, row: int) -> Iterator[np.ndarray]:
    """Lay documents into rows that begin with a document; see the top of the file.

        [[1, 2, 3], [4, 5]], end 9, rows of 6:   1 2 3 9 4 5   (4 5 9 fills no row and is cut)

    Args:
        encoded: the token ids of each document.
        end: id of the end-of-text token, put behind each document.
        row: tokens in a row.

    Returns:
        Rows, (row,), int64. What does not fill a row at the very end is left out.
    """
    ended = [[*ids, end] for ids in encoded]
    for i, ids in enumerate(ended):
        start = 0
        while start < len(ids):
            tokens, following = ids[start : start + row], i + 1
            while len(tokens) < row and following < len(ended):
                tokens = tokens + ended[following][: row - len(tokens)]
                following += 1
            if len(tokens) == row:
                yield np.array(tokens, dtype=np.int64)
            start += row
            if len(ids) - start < row // 4:
                break  # the last few tokens of a long document do not get a row of their own


def pack_once(encoded: list[list[int]], end: int, row: int) -> Iterator[np.ndarray]:
    """Lay documents into rows one behind another, each whole in one row if it is short enough.

        [[1, 2, 3], [4, 5, 6], [7]], end 9, rows of 6:   1 2 3 9 4 5   4 5 6 9 7 9

    The document that no longer fits fills its row with its beginning, and is read again from the
    next row on, whole. A document longer than a row goes on in the following ones.

    Args:
        encoded: the token ids of each document.
        end: id of the end-of-text token, put behind each document.
        row: tokens in a row.

    Returns:
        Rows, (row,), int64. What does not fill a row at the very end is left out.

    Lesson: notebooks/27_pretraining.ipynb
    """
    tokens: list[int] = []
    for ids in encoded:
        ended = [*ids, end]
        if tokens and len(tokens) + len(ended) > row:
            yield np.array(tokens + ended[: row - len(tokens)], dtype=np.int64)
            tokens = []
        tokens += ended
        while len(tokens) >= row:
            yield np.array(tokens[:row], dtype=np.int64)
            tokens = tokens[row:]


PACKINGS = {"overlap": pack_rows, "once": pack_once}


def prepare_rows(
    data: DataConfig, tokenizer: Tokenizer, context: int, *, progress: bool = True
) -> Rows:
    """Make the token rows of a run, or find them where an earlier run left them.

    Args:
        data: mixture, share for validation, seed.
        tokenizer: that encodes the texts.
        context: of the model.
        progress: show bars.

    Returns:
        Training and validation rows, memory-mapped; no document is in both.

    Raises:
        ValueError: if a corpus is unknown, or too small for a single validation row.

    Cost: about 3 MB of text a second the first time, nothing after.
    """
    told = {"data": to_dict(data), "tokenizer": tokenizer.hash, "row": context + 1, "v": _LAYOUT}
    if data.packing == "overlap":
        del told["data"]["packing"]  # type: ignore[attr-defined]  # rows of before it was a choice
    key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
    folder = data_home() / "rows" / key
    note = folder / "rows.json"
    if not note.is_file():
        _write_rows(folder, data, tokenizer, context + 1, progress)
    train, validation = (TokenShard(folder / f"{part}.bin") for part in ("train", "validation"))
    bytes_per_token = json.loads(note.read_text("utf-8"))["bytes_per_token"]
    return Rows(train, validation, context + 1, bytes_per_token)


def split_documents(data: DataConfig, *, progress: bool = True) -> dict[str, list[tuple[str, str]]]:
    """Take the documents of a run, shuffle them, and part them as its rows do.

    Args:
        data: mixture, share for validation, seed.
        progress: show bars.

    Returns:
        "validation" and "train": pairs of the corpus and the text, in the order of the rows.

    Lesson: notebooks/27_pretraining.ipynb
    """
    texts = [(name, t) for name, n in data.mixture for t in documents(name, n, progress=progress)]
    return {part: [texts[i] for i in places] for part, places in _parts(data, len(texts)).items()}


def _parts(data: DataConfig, n_texts: int) -> dict[str, np.ndarray]:
    """Numbers of the texts of either part, shuffled."""
    order = np.random.default_rng(data.seed).permutation(n_texts)
    n_validation = max(1, round(n_texts * data.validation_share))
    return {"validation": order[:n_validation], "train": order[n_validation:]}


def part_texts(data: DataConfig, corpus: str) -> dict[str, list[str]]:
    """Take the texts of one corpus of a run, parted as its rows are.

    Unlike `split_documents` it tells no story that is not asked for: how many there are is known
    from their bytes.

    Args:
        data: of the run.
        corpus: one of its mixture.

    Returns:
        "validation" and "train": texts, in the order of the corpus.

    Raises:
        ValueError: if the run does not read this corpus.

    Lesson: notebooks/27_pretraining.ipynb
    """
    if corpus not in dict(data.mixture):
        raise ValueError(f"the run reads no {corpus!r}, but {', '.join(dict(data.mixture))}")
    start, n_texts, texts = 0, 0, []
    for name, n_bytes in data.mixture:
        made = QUIZ.get(name) or TALES.get(name)
        if name == corpus or made is None:
            found = documents(name, n_bytes, progress=False)
            n = len(found)
        else:
            n = max(1, n_bytes // made[1])
        if name == corpus:
            start, texts = n_texts, found
        n_texts += n
    parts = {}
    for part, places in _parts(data, n_texts).items():
        mine = sorted(int(i) - start for i in places if start <= i < start + len(texts))
        parts[part] = [texts[i] for i in mine]
    return parts


def _write_rows(
    folder: Path, data: DataConfig, tokenizer: Tokenizer, row: int, progress: bool
) -> None:
    split = split_documents(data, progress=progress)
    texts = [text for part in ("validation", "train") for _, text in split[part]]
    bar = tqdm(texts, desc="tokens", unit=" texts", disable=not progress, mininterval=1.0)
    encoded = [tokenizer.encode(text) for text in bar]
    bytes_per_token = sum(len(t.encode()) for t in texts) / sum(map(len, encoded))
    n_validation = len(split["validation"])
    parts = {"validation": encoded[:n_validation], "train": encoded[n_validation:]}
    end = tokenizer.special_id("<|endoftext|>")
    folder.mkdir(parents=True, exist_ok=True)
    for part, ids in parts.items():
        rows = list(PACKINGS[data.packing](ids, end, row))
        if not rows:
            raise ValueError(
                f"the {part} texts do not fill one row of {row} tokens; take more bytes in "
                "data.mixture, or a shorter train.context"
            )
        TokenShard.write(
            folder / f"{part}.bin",
            rows,
            vocab_size=tokenizer.n_vocab,
            tokenizer=tokenizer.hash,
            source=", ".join(f"{name} {n}" for name, n in data.mixture),
        )
    note = {"bytes_per_token": bytes_per_token, "n_texts": len(texts)}
    (folder / "rows.json").write_text(json.dumps(note), encoding="utf-8")
