"""A text without special tokens: what passes, and what is refused by name."""

import numpy as np
import pytest

from minillm.objectives.text_ids import text_ids


def test_a_copy_in_int64():
    ids = np.array([3, 1, 2], dtype=np.uint16)
    text = text_ids(ids, mask_id=7, sentinels=[8, 9], end_id=None)
    assert text.tolist() == [3, 1, 2]
    assert text.dtype == np.int64
    text[0] = 0
    assert ids[0] == 3
    assert text_ids([3, 1]).tolist() == [3, 1]
    assert text_ids([3, 1], mask_id=np.int64(7), sentinels=range(8, 20)).tolist() == [3, 1]


@pytest.mark.parametrize(
    ("ids", "special", "words"),
    [
        ([1, 2, 7], {"mask_id": 7}, "mask_id=7 occurs in the text, at position 2"),
        ([1, 9, 9], {"sentinels": [8, 9]}, "sentinels=9 occurs in the text, at position 1"),
        ([1], {"mask_id": 7, "end_id": 7}, "end_id and mask_id both hold the id 7"),
        ([1], {"sentinels": [7, 7]}, "sentinels and sentinels both hold the id 7"),
        ([1], {"mask_id": -1}, "mask_id must not be negative, got -1"),
        ([1, -1], {}, "ids must not be negative, got -1 at 1"),
        ([], {}, r"got shape \(0,\)"),
        ([[1, 2]], {}, r"got shape \(1, 2\)"),
        ([1.0], {}, "float64"),
    ],
)
def test_refused(ids, special, words):
    with pytest.raises(ValueError, match=words):
        text_ids(ids, **special)
