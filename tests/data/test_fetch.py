"""Downloads against a server on loopback that can break off, ignore ranges, lie and be gone."""

import hashlib
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from minillm.data import fetch
from minillm.data.fetch import download, file_sha256

K = 1 << 14  # what is read at once
BODY = bytes(range(256)) * 4_096  # 64 K = 1 048 576 bytes
SHA = hashlib.sha256(BODY).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves BODY; `break_at` are the bytes after which each answer in turn breaks off."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.etag, self.ranges, self.wrong_range = BODY, '"one"', True, False
        self.break_at, self.asked, self.sent, self.announce = [], [], [], True
        self.url = f"http://127.0.0.1:{self.server_port}/folder/book.txt"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        server.asked.append(dict(self.headers))
        if "missing" in self.path or "broken" in self.path:
            self.send_error(404 if "missing" in self.path else 503)
            return
        start = 0
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted and server.ranges and self.headers.get("If-Range", server.etag) == server.etag:
            start = int(wanted[1])
        if wanted and start >= len(server.body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            told = 5 if server.wrong_range else start
            total = len(server.body)
            self.send_header("Content-Range", f"bytes {told}-{total - 1}/{total}")
        if server.announce:
            self.send_header("Content-Length", str(len(server.body) - start))
        if server.etag:
            self.send_header("ETag", server.etag)
        self.end_headers()
        body = server.body[start:]
        if server.break_at:
            body = body[: server.break_at.pop(0)]
        server.sent.append(len(body))
        self.wfile.write(body)
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def get(server, tmp_path, **options):
    options = {"sha256": SHA, "size": len(BODY), "progress": False, "timeout": 10} | options
    return download(server.url, tmp_path / "below" / "book.txt", **options)


def files(tmp_path):
    return sorted(p.name for p in (tmp_path / "below").iterdir() if p.suffix != ".lock")


def test_a_whole_transfer(server, tmp_path):
    got = get(server, tmp_path)
    assert (got.sha256, got.n_bytes, got.n_fetched) == (SHA, len(BODY), len(BODY))
    assert got.path.read_bytes() == BODY
    assert files(tmp_path) == ["book.txt"]
    assert "Range" not in server.asked[0]
    assert server.asked[0]["Accept-Encoding"] == "identity"


def test_what_is_there_and_right_is_not_fetched_again(server, tmp_path):
    get(server, tmp_path)
    assert get(server, tmp_path, sha256=SHA.upper()).n_fetched == 0
    assert get(server, tmp_path, sha256=None).sha256 == SHA
    assert len(server.asked) == 1
    (tmp_path / "below" / "book.txt").write_bytes(b"altered")
    assert get(server, tmp_path).n_fetched == len(BODY)


def test_a_piece_that_did_not_arrive_whole_is_asked_for_again(server, tmp_path):
    server.break_at = [20 * K + 100]
    assert get(server, tmp_path).path.read_bytes() == BODY
    assert server.asked[1]["Range"] == f"bytes={20 * K}-"


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(server, tmp_path):
    server.break_at = [20 * K]
    got = get(server, tmp_path)
    assert got.path.read_bytes() == BODY
    assert len(server.asked) == 2
    assert server.asked[1]["Range"] == f"bytes={20 * K}-"
    assert server.asked[1]["If-Range"] == '"one"'
    assert server.sent == [20 * K, 44 * K]
    assert got.n_fetched == len(BODY)  # and not a byte twice


def test_a_short_answer_is_seen_where_requests_does_not_see_it(server, tmp_path, monkeypatch):
    """Before version 2.32 `requests` took a short answer for a whole one."""
    asked = fetch.requests.get

    def lenient(*arguments, **settings):
        answer = asked(*arguments, **settings)
        answer.raw.enforce_content_length = False
        return answer

    monkeypatch.setattr(fetch.requests, "get", lenient)
    server.break_at = [20 * K]
    assert get(server, tmp_path).path.read_bytes() == BODY
    assert server.sent == [20 * K, 44 * K]


def test_after_three_breaks_it_says_so_and_the_next_run_goes_on(server, tmp_path):
    server.break_at = [7 * K] * 3
    with pytest.raises(ConnectionError, match=f"broke off after {21 * K} bytes, which are kept"):
        get(server, tmp_path)
    assert files(tmp_path) == ["book.txt.part", "book.txt.part.json"]
    got = get(server, tmp_path)
    assert server.asked[3]["Range"] == f"bytes={21 * K}-"
    assert got.n_fetched == 43 * K
    assert got.path.read_bytes() == BODY
    assert files(tmp_path) == ["book.txt"]


def test_a_server_that_ignores_ranges_is_read_from_the_beginning(server, tmp_path):
    server.break_at, server.ranges = [20 * K], False
    got = get(server, tmp_path)
    assert server.asked[1]["Range"] == f"bytes={20 * K}-"
    assert server.sent == [20 * K, 64 * K]
    assert got.path.read_bytes() == BODY
    assert got.n_fetched == 84 * K


def test_a_file_that_changed_between_two_runs_is_read_from_the_beginning(server, tmp_path):
    server.break_at = [7 * K] * 3
    with pytest.raises(ConnectionError):
        get(server, tmp_path)
    server.body, server.etag = BODY[::-1], '"two"'
    got = get(server, tmp_path, sha256=None)
    assert got.path.read_bytes() == BODY[::-1]


@pytest.mark.parametrize("etag", ["", 'W/"one"'])
def test_without_a_strong_tag_the_range_is_asked_for_unguarded(server, tmp_path, etag):
    server.break_at, server.etag = [20 * K], etag
    assert get(server, tmp_path).path.read_bytes() == BODY
    assert server.asked[1]["Range"] == f"bytes={20 * K}-"
    assert "If-Range" not in server.asked[1]


def test_a_part_from_another_address_is_not_gone_on_with(server, tmp_path):
    server.break_at = [7 * K] * 3
    with pytest.raises(ConnectionError):
        get(server, tmp_path)
    server.url += "?version=2"
    get(server, tmp_path)
    assert "Range" not in server.asked[3]


def test_an_answer_with_another_range_than_asked_is_thrown_away(server, tmp_path):
    server.break_at, server.wrong_range = [20 * K], True
    got = get(server, tmp_path)
    assert got.path.read_bytes() == BODY
    assert ["Range" in headers for headers in server.asked] == [False, True, False]


def test_a_part_that_is_longer_than_the_file_is_thrown_away(server, tmp_path):
    server.break_at = [7 * K] * 3
    with pytest.raises(ConnectionError):
        get(server, tmp_path)
    part = tmp_path / "below" / "book.txt.part"
    part.write_bytes(BODY + b"more")
    assert get(server, tmp_path).path.read_bytes() == BODY
    assert ["Range" in headers for headers in server.asked[3:]] == [True, False]


def test_a_whole_part_is_only_checked(server, tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "book.txt.part").write_bytes(BODY)
    assert get(server, tmp_path).n_fetched == 0
    assert server.asked == []


def test_a_server_that_does_not_announce_the_length(server, tmp_path):
    server.announce = False
    assert get(server, tmp_path, size=None).path.read_bytes() == BODY


def test_a_wrong_checksum_is_refused_with_both_hashes_and_the_file_removed(server, tmp_path):
    with pytest.raises(ValueError, match="was removed") as caught:
        get(server, tmp_path, sha256="0" * 64, name="alice")
    assert SHA in str(caught.value)
    assert "0" * 64 in str(caught.value)
    assert str(caught.value).startswith("alice from http://127.0.0.1")
    assert files(tmp_path) == []


@pytest.mark.parametrize("size", [len(BODY) - 1, len(BODY) + 1])
def test_a_wrong_size_is_refused(server, tmp_path, size):
    with pytest.raises(ValueError, match=f"1048576 bytes, wanted {size}"):
        get(server, tmp_path, size=size)
    assert files(tmp_path) == []


def test_a_missing_file_is_not_called_a_network_error(server, tmp_path):
    server.url = server.url.replace("book", "missing")
    with pytest.raises(FileNotFoundError, match=r"book\.txt is no longer at http.*HTTP 404"):
        get(server, tmp_path)
    assert len(server.asked) == 1  # asking again would not help
    assert files(tmp_path) == []


def test_a_server_in_trouble_is_named(server, tmp_path):
    server.url = server.url.replace("book", "broken")
    with pytest.raises(ConnectionError, match="HTTP 503"):
        get(server, tmp_path)


def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_no_network_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    port = closed_port()
    with pytest.raises(ConnectionError) as caught:
        download(f"http://127.0.0.1:{port}/x", tmp_path / "x", name="alice", progress=False)
    words = str(caught.value)
    assert words.startswith(f"alice cannot be fetched because 127.0.0.1:{port} cannot be reached")
    assert "connect to the network" in words
    assert "load_corpus('prose')" in words
    assert "\n" not in words
    assert not (tmp_path / "x").exists()


def test_the_bar_counts_what_was_there_before(server, tmp_path, capsys):
    server.break_at = [20 * K]
    get(server, tmp_path, progress=True, name="alice")
    shown = capsys.readouterr().err
    assert "alice" in shown
    assert "1.05M/1.05M" in shown
    get(server, tmp_path, progress=True)
    assert capsys.readouterr().err == ""


def test_a_hash_by_hand(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_sha256(tmp_path / "a") == wanted
    assert fetch._ATTEMPTS == 3
