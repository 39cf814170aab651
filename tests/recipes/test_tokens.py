"""Rows begin with a document, hold what they should, and are found again."""

import numpy as np
import pytest

from minillm.recipes import DataConfig, find_tokenizer, prepare_rows
from minillm.recipes.tokens import (
    documents,
    pack_once,
    pack_rows,
    part_texts,
    split_documents,
)
from minillm.tokenizer import Tokenizer, course_tokenizer


def rows_of(encoded, row, end=9):
    return [r.tolist() for r in pack_rows(encoded, end, row)]


def test_a_row_starts_with_a_document_and_is_filled_by_the_next():
    assert rows_of([[1, 2, 3], [4, 5], [6]], row=4) == [[1, 2, 3, 9], [4, 5, 9, 6]]
    assert rows_of([[1, 2, 3], [4, 5]], row=6) == [[1, 2, 3, 9, 4, 5]]


def test_a_filler_document_still_gets_its_own_row():
    assert rows_of([[1], [2, 3], [4, 5, 6]], row=4) == [[1, 9, 2, 3], [2, 3, 9, 4], [4, 5, 6, 9]]


def test_a_long_document_goes_on_in_the_next_row():
    ids = list(range(1, 9))
    assert rows_of([ids, [11] * 9], row=5)[:2] == [[1, 2, 3, 4, 5], [6, 7, 8, 9, 11]]


def test_the_last_few_tokens_of_a_long_document_get_no_row():
    ids = list(range(10, 26))  # 16 and the end: two rows of 8, one token left over
    rows = rows_of([ids, [1] * 30], row=8)
    assert rows[:2] == [ids[:8], ids[8:]]
    assert rows[2] == [1] * 8


def test_every_row_has_the_same_length():
    rng = np.random.default_rng(0)
    encoded = [rng.integers(10, 99, rng.integers(1, 40)).tolist() for _ in range(50)]
    assert {len(row) for row in rows_of(encoded, 17)} == {17}


def test_rows_are_made_once_and_found_again(small_run, monkeypatch):
    tokenizer = course_tokenizer()
    first = prepare_rows(small_run.data, tokenizer, 16, progress=False)
    assert first.row == 17
    assert len(first.train) % 17 == 0
    assert 2 < first.bytes_per_token < 6
    monkeypatch.setattr("minillm.recipes.tokens.documents", None)  # may not be asked again
    again = prepare_rows(small_run.data, tokenizer, 16, progress=False)
    assert np.array_equal(again.train[:], first.train[:])


def test_train_and_validation_share_no_document(small_run):
    tokenizer = course_tokenizer()
    rows = prepare_rows(small_run.data, tokenizer, 40, progress=False)

    def first_words(shard):
        grid = np.asarray(shard[:]).reshape(-1, rows.row)
        return {tokenizer.decode(r[:6].tolist()).split(".")[0] for r in grid}

    starts = [
        {w for w in first_words(s) if w.startswith("Text")} for s in (rows.train, rows.validation)
    ]
    assert starts[0]
    assert starts[1]
    assert not starts[0] & starts[1]


def test_another_setting_gives_other_rows(small_run, change):
    tokenizer = course_tokenizer()
    one = prepare_rows(small_run.data, tokenizer, 16, progress=False)
    two = prepare_rows(change(small_run, "data", seed=1).data, tokenizer, 16, progress=False)
    assert not np.array_equal(one.train[:200], two.train[:200])


def test_another_tokenizer_gets_rows_of_its_own(small_run):
    prepare_rows(small_run.data, course_tokenizer(), 16, progress=False)
    single_bytes = Tokenizer({i: bytes([i]) for i in range(256)}, [], ["<|endoftext|>"])
    rows = prepare_rows(small_run.data, single_bytes, 16, progress=False)
    assert rows.train.header.tokenizer == single_bytes.hash
    assert rows.bytes_per_token == 1
    assert max(rows.train[:]) == single_bytes.special_id("<|endoftext|>") == 256


def test_stories_with_questions_are_a_corpus():
    texts = documents("questions-en", 4_190)
    assert len(texts) == 10
    assert all(t.count("\nAnswer:") == 1 for t in texts)


def test_clear_errors(small_run, change):
    with pytest.raises(ValueError, match="no tokenizer 'nothere'; use course"):
        find_tokenizer("nothere")
    with pytest.raises(ValueError, match="do not fill one row of 100001 tokens"):
        prepare_rows(small_run.data, course_tokenizer(), 100_000, progress=False)
    with pytest.raises(ValueError, match="mixture is empty"):
        DataConfig(mixture=())
    with pytest.raises(ValueError, match="takes 0 bytes of 'prose'"):
        DataConfig(mixture=(("prose", 0),))
    with pytest.raises(ValueError, match="between 0 and 1, got 1"):
        DataConfig(validation_share=1)


def once(encoded, row, end=9):
    return [r.tolist() for r in pack_once(encoded, end, row)]


def test_once_tears_a_document_and_reads_it_again_whole():
    assert once([[1, 2, 3], [4, 5, 6], [7]], row=6) == [[1, 2, 3, 9, 4, 5], [4, 5, 6, 9, 7, 9]]
    assert once([[1, 2], [3, 4, 5]], row=3) == [[1, 2, 9], [3, 4, 5]]  # an end fills no row
    assert once([list(range(10, 20)), [1, 2]], row=4)[:2] == [[10, 11, 12, 13], [14, 15, 16, 17]]


def test_once_holds_every_document_that_fits_whole_in_one_row():
    rng = np.random.default_rng(0)
    encoded = [[*rng.integers(10, 99, rng.integers(1, 12)).tolist(), i + 100] for i in range(60)]
    rows = once([*encoded, [1] * 30], row=16)
    for ids in encoded:
        wanted = [*ids, 9]
        places = [(r, r.index(ids[-1])) for r in rows if ids[-1] in r]
        assert any(r[at - len(ids) + 1 : at + 2] == wanted for r, at in places)


def test_tales_are_not_the_stories_of_the_questions():
    tales, stories = documents("tales-en", 9_000), documents("stories-en", 9_000, progress=False)
    assert len(tales) == 10
    assert not set(tales) & set(stories)
    assert documents("tales-en", 4_000) == tales[:4]
    assert len(documents("tales-zh", 1)) == 1


@pytest.mark.parametrize("corpus", ["tales-zh", "questions-en", "prose"])
def test_the_texts_of_a_part_are_those_of_the_rows(corpus):
    data = DataConfig(
        mixture=(("tales-zh", 9_000), ("prose", 9_000), ("questions-en", 9_000)),
        validation_share=0.2,
    )
    split = split_documents(data, progress=False)
    found = part_texts(data, corpus)
    for part in ("validation", "train"):
        wanted = [text for name, text in split[part] if name == corpus]
        assert sorted(found[part]) == sorted(wanted)
    assert found["train"]
    with pytest.raises(ValueError, match="the run reads no 'code'"):
        part_texts(data, "code")


def test_an_unknown_packing_is_refused():
    with pytest.raises(ValueError, match="packing must be overlap or once, got 'tight'"):
        DataConfig(packing="tight")
