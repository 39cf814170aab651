import json

import numpy as np
import pytest

from minillm.data import TokenShard
from minillm.data.shard import as_array


def write(path, tokens, vocab_size=1_000):
    return TokenShard.write(path, tokens, vocab_size=vocab_size, tokenizer="abc", source="by hand")


def test_the_file_by_hand(tmp_path):
    shard = write(tmp_path / "a.bin", [1, 258, 999])
    assert (tmp_path / "a.bin").read_bytes() == bytes([1, 0, 2, 1, 231, 3])  # 258 = 2 + 1 * 256
    header = json.loads((tmp_path / "a.json").read_text("utf-8"))
    assert header == {
        "dtype": "uint16",
        "byte_order": "little",
        "n_tokens": 3,
        "tokenizer": "abc",
        "source": "by hand",
        # sha256sum of the six bytes
        "sha256": "c967508a2e6d3f0979f9206c05358b0263ff8dc907c1e400dd787f871dd61932",
    }
    assert shard.tokens.tolist() == [1, 258, 999]
    assert len(shard) == 3
    assert shard[1] == 258
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.bin", "a.json"]


@pytest.mark.parametrize(
    ("vocab_size", "dtype", "width"),
    [(65_535, "uint16", 2), (65_536, "uint16", 2), (65_537, "uint32", 4)],
)
def test_ids_below_65536_take_two_bytes(tmp_path, vocab_size, dtype, width):
    shard = write(tmp_path / "a", np.array([0, vocab_size - 1]), vocab_size)
    assert shard.header.dtype == dtype
    assert (tmp_path / "a.bin").stat().st_size == 2 * width
    assert TokenShard(tmp_path / "a.bin").tokens.tolist() == [0, vocab_size - 1]


def test_pieces_equal_the_whole(tmp_path):
    tokens = np.random.default_rng(0).integers(0, 1_000, 777)
    whole = write(tmp_path / "whole", tokens)
    pieces = write(tmp_path / "pieces", (tokens[i : i + 100] for i in range(0, 777, 100)))
    lists = write(tmp_path / "lists", [tokens[:5].tolist(), tokens[5:].tolist()])
    assert whole.header == pieces.header == lists.header
    assert np.array_equal(pieces.tokens, tokens)


def test_an_empty_shard_is_one_of_no_tokens(tmp_path):
    assert len(write(tmp_path / "a", [])) == 0
    assert TokenShard(tmp_path / "a").tokens.tolist() == []


@pytest.mark.parametrize("bad", [-1, 1_000])
def test_an_id_outside_the_vocabulary_is_refused_and_nothing_written(tmp_path, bad):
    with pytest.raises(ValueError, match=rf"{bad} is not in 0 \.\. 999"):
        write(tmp_path / "a", iter([np.array([1, 2]), np.array([3, bad])]))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda raw: raw[:-1], "cut short: 19 bytes, its header says 20"),
        (lambda raw: raw + b"\0", "too long: 21 bytes"),
        (lambda raw: b"\7" + raw[1:], "was altered"),
    ],
)
def test_a_harmed_file_is_refused_by_name(tmp_path, harm, words):
    write(tmp_path / "part-3", np.arange(10))
    file = tmp_path / "part-3.bin"
    TokenShard(file)
    file.write_bytes(harm(file.read_bytes()))
    with pytest.raises(ValueError, match=rf"part-3\.bin (is )?{words}"):
        TokenShard(file)


def test_verification_can_be_left_out_but_the_size_is_always_seen(tmp_path):
    write(tmp_path / "a", np.arange(10))
    file = tmp_path / "a.bin"
    file.write_bytes(b"\7" + file.read_bytes()[1:])
    assert TokenShard(file, verify=False)[0] == 7
    file.write_bytes(file.read_bytes()[:-2])
    with pytest.raises(ValueError, match="cut short"):
        TokenShard(file, verify=False)


@pytest.mark.parametrize("header", ["no json", "[1]", "{}", '{"dtype": "int8"}'])
def test_a_header_that_is_none_is_named(tmp_path, header):
    write(tmp_path / "a", np.arange(10))
    (tmp_path / "a.json").write_text(header, "utf-8")
    with pytest.raises(ValueError, match=r"a\.json is not the header"):
        TokenShard(tmp_path / "a")


@pytest.mark.parametrize("n", ['"10"', "10.0", "null", "true", "[]"])
def test_a_number_of_tokens_that_is_none_is_named(tmp_path, n):
    write(tmp_path / "a", np.arange(10))
    text = (tmp_path / "a.json").read_text("utf-8").replace('"n_tokens": 10', f'"n_tokens": {n}')
    (tmp_path / "a.json").write_text(text, "utf-8")
    with pytest.raises(ValueError, match=r"a\.json is not the header.*n_tokens must be a whole"):
        TokenShard(tmp_path / "a")


def test_an_unknown_dtype_is_refused(tmp_path):
    write(tmp_path / "a", np.arange(10))
    text = (tmp_path / "a.json").read_text("utf-8").replace("uint16", "int64")
    (tmp_path / "a.json").write_text(text, "utf-8")
    with pytest.raises(ValueError, match="int64"):
        TokenShard(tmp_path / "a")


@pytest.mark.parametrize("lost", ["a.bin", "a.json"])
def test_a_missing_half_is_named(tmp_path, lost):
    write(tmp_path / "a", np.arange(10))
    (tmp_path / lost).unlink()
    with pytest.raises(FileNotFoundError, match=lost.replace(".", r"\.")):
        TokenShard(tmp_path / "a")


def test_a_shard_is_mapped_and_not_read(tmp_path):
    shard = write(tmp_path / "a", np.arange(10))
    assert isinstance(shard.tokens, np.memmap)
    assert np.shares_memory(as_array(shard), shard.tokens)
    with pytest.raises(ValueError, match="read-only"):
        shard.tokens[0] = 1
