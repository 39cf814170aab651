"""Let the rows of a batch change places in the middle of decoding.

A search that keeps several texts copies some and drops others after each token; what a reader
(readers.py) or a cache remembers has to follow.

Shape letters: B rows before, R rows after.
"""

import torch

from minillm.inference.readers import CachedReader, FusedReader, Reader
from minillm.model import KVCache


def follow_rows(reader: Reader, rows: list[int]) -> None:
    """Make row i of a reader what row rows[i] was.

    Args:
        reader: one that has read its prompt; it is changed.
        rows: R indices in 0 to B - 1; a row may come several times, or not at all.

    Raises:
        ValueError: if the reader has read nothing, or an index is out of range or rows is empty.

    Cost: copies the memory of R rows.
    Lesson: notebooks/19_decoding.ipynb
    """
    if isinstance(reader, CachedReader):
        follow_cache_rows(reader.cache, rows)
    elif isinstance(reader, FusedReader):
        _check_rows(rows, len(reader.memory[0]) if reader.memory else 0)
        reader.memory = [memory[rows] for memory in reader.memory]
    else:
        _check_rows(rows, 0 if reader.text is None else len(reader.text))
        assert reader.text is not None  # 0 rows are refused above
        reader.text = reader.text[rows]


def follow_cache_rows(cache: KVCache, rows: list[int]) -> None:
    """Make row i of a cache what row rows[i] was; from now on it holds R sequences.

    Args:
        cache: it is changed.
        rows: R indices in 0 to B - 1.

    Raises:
        ValueError: if the cache holds nothing, or an index is out of range or rows is empty.

    Cost: copies keys and values of R rows, the room that is still empty included.
    Lesson: notebooks/19_decoding.ipynb
    """
    _check_rows(rows, cache.batch_size if cache.length else 0)
    index = torch.tensor(rows, device=cache.keys.device)
    cache.keys = cache.keys.index_select(1, index)
    cache.values = cache.values.index_select(1, index)
    cache.batch_size = len(rows)


def _check_rows(rows: list[int], held: int) -> None:
    if held == 0:
        raise ValueError("there are no rows yet: read the prompt first")
    if not rows or min(rows) < 0 or max(rows) >= held:
        raise ValueError(f"rows must be some of 0 to {held - 1}, got {rows}")
