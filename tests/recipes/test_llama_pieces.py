"""LLaMA's pieces: the counts by hand, the committed record, and what is refused."""

import base64
import json

import pytest

from minillm.recipes.llama_pieces import describe, entries_of, main
from minillm.recipes.records import RESULTS


def test_counts_by_hand():
    entries = ["<unk>", "<0x00>", "<0x35>", "5", "a1", "12", "▁", "了"]
    assert describe(entries) == {"entries": 8, "digits": 1, "digit_with_more": 2, "bytes": 2}


def test_the_list_is_read_from_the_source():
    coded = base64.b64encode("<unk>\n<0x0A>\n了".encode()).decode()
    assert entries_of(f'x\nconst llama_vocab_base64 = "{coded}"\n') == ["<unk>", "<0x0A>", "了"]
    with pytest.raises(ValueError, match="no llama_vocab_base64"):
        entries_of("const something = 1")


def test_the_record_is_whole():
    note = json.loads((RESULTS / "fertility" / "llama_pieces.json").read_text("utf-8"))
    assert note["counts"]["entries"] == 32_000
    assert len(note["source_sha256"]) == 64
    for text, pieces in note["encoded"].items():
        spelled = b"".join(
            bytes([int(p[3:5], 16)]) if p.startswith("<0x") else p.encode() for p in pieces
        )
        assert spelled == text.encode()


def test_a_missing_file_is_one_clear_line(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path / "nothing.js")])
    assert "there is no file" in capsys.readouterr().err
