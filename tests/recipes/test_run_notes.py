"""Settings of a run in its folder: written once, and the same ever after."""

import json
from dataclasses import replace

import pytest

from minillm.recipes.finetuning import find_finetune
from minillm.recipes.run_notes import write_settings


def test_what_was_written_is_accepted_again_and_nothing_is_left_beside(tmp_path):
    run, note = find_finetune("lora"), tmp_path / "new" / "run" / "settings.json"
    write_settings(run, note, before=False)
    written = note.read_text("utf-8")
    assert json.loads(written)["adapter"]["rank"] == run.adapter.rank
    write_settings(run, note, before=True)
    assert note.read_text("utf-8") == written
    assert [p.name for p in note.parent.iterdir()] == ["settings.json"]


def test_other_settings_are_refused_and_the_file_stays(tmp_path):
    run, note = find_finetune("full"), tmp_path / "settings.json"
    write_settings(run, note, before=False)
    written = note.read_text("utf-8")
    other = replace(run, train=replace(run.train, steps=run.train.steps + 1))
    with pytest.raises(ValueError, match=r"made with other settings.*stand in settings\.json"):
        write_settings(other, note, before=True)
    assert note.read_text("utf-8") == written


def test_a_file_that_should_be_there_and_is_not_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"another kind: there is no settings\.json"):
        write_settings(find_finetune("full"), tmp_path / "settings.json", before=True)
