"""The tokenizer: text to ids and back, special tokens, a stream, and plain text on disk."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import index
from pathlib import Path

from minillm.tokenizer import storage
from minillm.tokenizer.encode_fast import WordCache
from minillm.tokenizer.pretokenize import (
    pieces_of,
    repair,
    resolve,
    safe_pieces,
    split_at_specials,
)

Merge = tuple[bytes, bytes]
COURSE_FOLDER = Path(__file__).resolve().parents[2] / "data" / "tokenizer"


class Tokenizer:
    """A byte-level BPE tokenizer.

    Every str can be encoded, since the 256 bytes are in the vocabulary: nothing is unknown. Every
    sequence of its ids can be decoded. The text of a special token is ordinary text unless the
    caller allows that token, so nothing a user types turns into one by itself.

    Args:
        vocab: id -> bytes. It must hold the 256 single bytes and both parts and the result of each
            merge.
        merges: pairs of byte strings, in the order in which they were learned.
        special_tokens: in order. One that is not in the vocabulary gets the next free id.
        pattern: how text is cut into pre-tokens; see `pretokens`.

    Raises:
        ValueError: if the vocabulary lacks a byte or a part of a merge, a merge is given twice, or
            a special token is empty or given twice.

    Source: Sennrich et al. 2016, arXiv:1508.07909; on bytes: Radford et al. 2019, section 2.2.
    Lesson: notebooks/06_bpe.ipynb
    """

    def __init__(
        self,
        vocab: Mapping[int, bytes],
        merges: Iterable[Merge],
        special_tokens: Sequence[str] = (),
        pattern: str = "gpt2",
    ) -> None:
        if isinstance(special_tokens, str):
            raise TypeError(f"special_tokens must be a list, write [{special_tokens!r}]")
        self.vocab: dict[int, bytes] = {index(i): bytes(vocab[i]) for i in sorted(vocab)}
        self.merges: list[Merge] = [(bytes(a), bytes(b)) for a, b in merges]
        self.pattern = pattern
        self._split = resolve(pattern)
        self.ordinary: dict[bytes, int] = _ordinary_ids(self.vocab, self.merges)
        self._specials = _special_ids(self.vocab, self.ordinary, special_tokens)
        self.vocab |= {i: token.encode("utf-8") for token, i in self._specials.items()}
        ranks = {merge: rank for rank, merge in enumerate(self.merges)}
        if len(ranks) < len(self.merges):
            raise ValueError("a merge is given twice; each pair can be learned only once")
        self._words = WordCache(ranks, self.ordinary)

    @property
    def n_vocab(self) -> int:
        """One more than the largest id: the rows that an embedding needs."""
        return max(self.vocab) + 1

    @property
    def special_tokens(self) -> list[str]:
        """The special tokens, in order."""
        return list(self._specials)

    @property
    def hash(self) -> str:
        """A sha256 of everything that decides ids: vocabulary, merges, special tokens, pattern."""
        return storage.fingerprint(self)

    def __repr__(self) -> str:
        return (
            f"Tokenizer({self.n_vocab} entries, {len(self.merges)} merges, "
            f"{len(self._specials)} special, pattern {self.pattern!r})"
        )

    def special_id(self, name: str) -> int:
        """The id of a special token.

        Raises:
            ValueError: if there is none of that name.
        """
        if name not in self._specials:
            raise ValueError(f"no special token {name!r}; there are {self.special_tokens}")
        return self._specials[name]

    def encode(self, text: str, allowed_special: str | Collection[str] = ()) -> list[int]:
        """Encode a text.

        Args:
            text: any str. Lone surrogates are encoded as U+FFFD, as tiktoken does.
            allowed_special: special tokens that the text may contain as such: a collection of
                names, or "all". The text of any other is encoded like ordinary text.

        Returns:
            The ids. `decode` of them is the text again (with surrogates repaired).

        Raises:
            ValueError: if allowed_special names a token that does not exist.

        Cost: linear in the text for pre-tokens seen before; O(n log n) for a new one of n bytes.
        """
        allowed = self._allowed(allowed_special)
        ids: list[int] = []
        for piece, special in split_at_specials(repair(text), allowed):
            ids += self._encode_piece(piece)
            if special:
                ids.append(allowed[special])
        return ids

    def encode_iterable(
        self, chunks: Iterable[str], allowed_special: str | Collection[str] = ()
    ) -> Iterator[int]:
        """Encode a stream: the ids of `encode("".join(chunks))`, without ever joining them.

        Args:
            chunks: the text, cut anywhere: an open file, a generator.
            allowed_special: as for `encode`; a token may be cut by a chunk's end.

        Returns:
            An iterator over ids. Memory: see `pretokenize.safe_pieces`.
        """
        allowed = self._allowed(allowed_special)
        for piece, special in safe_pieces(chunks, allowed, self.pattern):
            yield from self._encode_piece(piece)
            if special:
                yield allowed[special]

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of the ids, joined.

        Raises:
            ValueError: if an id is not in the vocabulary.
        """
        ids = [index(i) for i in ids]
        try:
            return b"".join([self.vocab[i] for i in ids])
        except KeyError as error:
            raise ValueError(
                f"id {error.args[0]} is not in this vocabulary (0 to {self.n_vocab - 1})"
            ) from None

    def decode(self, ids: Iterable[int], errors: str = "replace") -> str:
        """The text of the ids.

        A token may hold part of a character. Bytes that are not UTF-8 become U+FFFD, so that every
        sequence of ids has a text; errors="strict" raises UnicodeDecodeError instead.

        Raises:
            ValueError: if an id is not in the vocabulary.
        """
        return self.decode_bytes(ids).decode("utf-8", errors)

    def save(self, folder: str | Path) -> None:
        """Write vocab.txt, merges.txt and tokenizer.json, all plain text; see `storage`."""
        storage.save(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> "Tokenizer":
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if a file was altered; the message names it.
        """
        return cls(*storage.load(Path(folder)))

    def _encode_piece(self, piece: str) -> Iterable[int]:
        return chain.from_iterable(map(self._words.__getitem__, pieces_of(self._split, piece)))

    def _allowed(self, names: str | Collection[str]) -> dict[str, int]:
        if names == "all":
            return self._specials
        if isinstance(names, str):
            raise ValueError(f'allowed_special must be "all" or a collection, got {names!r}')
        return {name: self.special_id(name) for name in names}


def _ordinary_ids(vocab: Mapping[int, bytes], merges: Sequence[Merge]) -> dict[bytes, int]:
    """The id of each byte and of each merge's result: the first that has these bytes."""
    first: dict[bytes, int] = {}
    for i, token in vocab.items():
        first.setdefault(token, i)
    missing = [i for i in range(256) if bytes([i]) not in first]
    if missing:
        raise ValueError(f"the vocabulary must hold all 256 bytes; it lacks {bytes(missing[:8])!r}")
    ordinary = {bytes([i]): first[bytes([i])] for i in range(256)}
    for a, b in merges:
        if a not in ordinary or b not in ordinary or a + b not in first:
            raise ValueError(
                f"merge ({a!r}, {b!r}) does not fit: its parts must be bytes or results of earlier "
                f"merges, and {a + b!r} must be in the vocabulary"
            )
        ordinary[a + b] = first[a + b]
    return ordinary


def _special_ids(
    vocab: Mapping[int, bytes], ordinary: Mapping[bytes, int], names: Sequence[str]
) -> dict[str, int]:
    """The id of each special token: its own entry of the vocabulary, or else the next free id."""
    last = {token: i for i, token in vocab.items()}
    free = max(vocab) + 1
    ids: dict[str, int] = {}
    for name in names:
        if not name or name in ids:
            raise ValueError(f"special tokens must be distinct and not empty; got {name!r}")
        token = name.encode("utf-8")
        if token in last and last[token] != ordinary.get(token):
            ids[name] = last[token]
        else:
            ids[name], free = free, free + 1
    return ids


def course_tokenizer() -> Tokenizer:
    """The course's one tokenizer, `data/tokenizer/`: English, Chinese and code, 6 144 entries.

    Raises:
        FileNotFoundError: if it has not been built; `python -m tools.course_tokenizer` builds it.
    """
    if not (COURSE_FOLDER / storage.HEADER).exists():
        raise FileNotFoundError(
            f"no tokenizer in {COURSE_FOLDER.parent.name}/{COURSE_FOLDER.name}; build it with: "
            f"python -m tools.course_tokenizer"
        )
    return Tokenizer.load(COURSE_FOLDER)
