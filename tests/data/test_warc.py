"""Our reader of WARC files: equal to warcio's, and clear about what is broken."""

import gzip
import io
import random

import pytest
from warcio.archiveiterator import ArchiveIterator
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from minillm.data.warc import WarcRecord, make_response, read_warc, write_warc

PAGES = [(f"http://example.com/{i}", f"<p>page {i} 词</p>" * (i + 1)) for i in range(7)]


def theirs(path):
    """(type, url, block) of each record, as warcio reads it."""
    found = []
    with path.open("rb") as file:
        for record in ArchiveIterator(file, no_record_parse=True):
            headers = record.rec_headers
            url = headers.get_header("WARC-Target-URI") or ""
            found.append((record.rec_type, url, record.raw_stream.read()))
    return found


def ours(path):
    return [(record.type, record.url, record.block) for record in read_warc(path)]


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
def test_what_we_write_both_read_alike(tmp_path, name):
    path = tmp_path / name
    assert write_warc([make_response(url, page) for url, page in PAGES], path) == 7
    assert ours(path) == theirs(path)
    assert [url for _, url, _ in ours(path)] == [url for url, _ in PAGES]


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # warcio leaves its buffers open
@pytest.mark.parametrize("packed", [False, True])
def test_what_warcio_writes_we_read_as_it_does(tmp_path, packed):
    path = tmp_path / ("b.warc.gz" if packed else "b.warc")
    draw = random.Random(3)
    with path.open("wb") as file:
        writer = WARCWriter(file, gzip=packed)
        writer.write_record(writer.create_warcinfo_record("b", {"software": "a test"}))
        for url, page in PAGES:
            head = StatusAndHeaders("200 OK", [("Content-Type", "text/html")], protocol="HTTP/1.1")
            body = io.BytesIO(page.encode() + draw.randbytes(draw.choice([0, 9, 70_000])))
            writer.write_record(
                writer.create_warc_record(url, "response", payload=body, http_headers=head)
            )
    assert ours(path) == theirs(path)
    assert [kind for kind, _, _ in ours(path)] == ["warcinfo", *["response"] * 7]
    assert len({len(block) for _, _, block in ours(path)}) > 3


def test_the_true_length_is_written_whatever_the_record_says(tmp_path):
    names = (("WARC-Type", "response"), ("content-length", "999"), ("X", "a"))
    write_warc([WarcRecord("WARC/1.0", names, b"ab")], tmp_path / "a.warc")
    (record,) = read_warc(tmp_path / "a.warc")
    assert record.block == b"ab"
    assert record.headers == (names[0], names[2], ("Content-Length", "2"))


def test_a_header_that_goes_on_and_names_of_any_case(tmp_path):
    path = tmp_path / "c.warc"
    path.write_bytes(
        b"WARC/1.0\r\nwarc-type: Response\r\nWARC-Target-URI: <http://example.com/\r\n  x>\r\n"
        b"content-length: 2\r\n\r\nab\r\n\r\n\r\n\r\n"
    )
    (record,) = read_warc(path)
    assert (record.type, record.url, record.block) == ("response", "http://example.com/ x", b"ab")
    assert record.header("WARC-TYPE") == "Response"
    assert record.header("nothing") is None


def test_an_open_file_is_read_too_and_an_empty_one_has_no_record():
    raw = io.BytesIO()
    record = make_response(*PAGES[0])
    raw.write(b"WARC/1.0\r\nContent-Length: %d\r\n\r\n" % len(record.block))
    raw.write(record.block + b"\r\n\r\n")
    raw.seek(0)
    assert [found.block for found in read_warc(raw)] == [record.block]
    assert list(read_warc(io.BytesIO())) == []


def one(length="2", block=b"ab", ending=b"\r\n\r\n", version=b"WARC/1.0"):
    head = version + b"\r\nWARC-Type: response\r\nContent-Length: " + length.encode() + b"\r\n\r\n"
    return head + block + ending


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (one(version=b"HTTP/1.1"), r"record 2, at byte 58, should begin with WARC/1.0"),
        (one(length="x"), "has no valid Content-Length but 'x'"),
        (one(length="-1"), "has no valid Content-Length but '-1'"),
        (one(length="1"), "Content-Length is wrong"),
        (one(length="3"), "is cut short: 1 of 4 bytes are missing"),
        (one(length="99"), r"is cut short: 93 of 99 bytes are missing"),
        (one(length="99999999999"), "more than max_block"),
        (b"WARC/1.0\r\nno header here\r\n\r\n", "has a line that is no header"),
        (b"WARC/1.0\r\nWARC-Type: resp", "is cut short in its headers"),
        (b"WARC/1.0\r\nX: " + b"x" * 200_000, "has a header line over"),
    ],
)
def test_a_broken_record_is_named_and_the_one_before_is_handed_out(tmp_path, second, said):
    path = tmp_path / "broken.warc"
    path.write_bytes(one() + second)
    assert len(one()) == 58
    found = []
    with pytest.raises(ValueError, match=said) as caught:
        found.extend(iter_into(found, read_warc(path)))
    assert "broken.warc" in str(caught.value)
    assert [record.block for record in found] == [b"ab"]


def test_a_block_of_just_the_bytes_allowed_is_read():
    assert [r.block for r in read_warc(io.BytesIO(one()), max_block=2)] == [b"ab"]
    with pytest.raises(ValueError, match="has 2 bytes, more than max_block=1"):
        next(read_warc(io.BytesIO(one()), max_block=1))


def iter_into(found, records):
    for record in records:
        found.append(record)
    return ()


def test_a_gzip_member_cut_short_or_damaged_is_named(tmp_path):
    members = [gzip.compress(one(), mtime=0) for _ in range(2)]
    path = tmp_path / "cut.warc.gz"
    path.write_bytes(members[0] + members[1][:-9])
    found = []
    with pytest.raises(ValueError, match=f"member at byte {len(members[0])} is cut short"):
        iter_into(found, read_warc(path))
    assert len(found) >= 1
    path.write_bytes(members[0] + members[1] + gzip.compress(one(), mtime=0)[:-9])
    with pytest.raises(ValueError, match=f"at byte {len(members[0] + members[1])} is cut short"):
        iter_into([], read_warc(path))
    broken = bytearray(members[0] + members[1])
    broken[len(members[0]) + 12] ^= 0xFF
    path.write_bytes(bytes(broken))
    found = []
    with pytest.raises(ValueError, match=r"damaged|cut short|should begin|no header"):
        iter_into(found, read_warc(path))
    assert len(found) == 1


@pytest.mark.parametrize("n", [2_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_thousands_of_broken_files_give_records_or_one_clear_error(tmp_path, n):
    draw = random.Random(11)
    whole = one() + one(length="4", block=b"abcd")
    path = tmp_path / "fuzz.warc"
    n_errors = 0
    for _ in range(n):
        raw = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            at = draw.randrange(len(raw))
            raw[at : at + draw.randint(0, 3)] = draw.randbytes(draw.randint(0, 3))
        path.write_bytes(bytes(raw))
        found, error = [], None
        try:
            iter_into(found, read_warc(path))
        except ValueError as caught:
            error = str(caught)
        n_errors += error is not None
        assert error is None or "fuzz.warc" in error
        assert all(isinstance(record, WarcRecord) for record in found)
    assert n / 6 < n_errors < n
