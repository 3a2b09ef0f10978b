"""What was measured is found again for the same settings and the same files, and for no others."""

import os
import shutil

import pytest

from ftstudio.api import Encoded
from ftstudio.project import load
from ftstudio.runs import measured

BASE = {
    "format": 1,
    "model": {"use": "hub", "name": "./model"},
    "dataset": {"use": "hub", "name": "data"},
    "tokenizer": {"use": "pretrained", "chat_template": "talk.jinja"},
    "trainer": {"use": "native"},
    "generator": {"use": "sample", "prompts": ["The"]},
}


@pytest.fixture
def folder(make_project):
    made = make_project("lab", BASE)
    for name in ("model/tokenizer.json", "model/config.json", "data/deep/a.jsonl", "talk.jinja", "runs/0001/run.toml"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(f"{name} of {{}}")
    return made


@pytest.mark.parametrize("name", ["model/tokenizer.json", "data/deep/a.jsonl", "data/deep/b.jsonl", "talk.jinja"])
def test_another_file_in_a_folder_that_an_option_names_is_another_project(folder, name):
    before = measured.data_key(load(folder))
    assert measured.data_key(load(folder)) == before
    (folder / name).write_text("Another one.")
    assert measured.data_key(load(folder)) != before


def test_a_file_of_another_time_counts_and_what_no_option_names_does_not(folder):
    before = measured.data_key(load(folder))
    (folder / "notes.toml").write_text("")
    (folder / "data" / ".hidden").write_text("")
    assert measured.data_key(load(folder)) == before
    os.utime(folder / "model" / "config.json", (1, 1))
    assert measured.data_key(load(folder)) != before


def test_a_projects_own_runs_are_no_data_of_it(folder):
    project = load(folder, ['dataset.name="."'])
    before = measured.data_key(project)
    (folder / "runs" / "0002").mkdir()
    (folder / "runs" / "0002" / "run.toml").write_text("")
    assert measured.data_key(project) == before
    assert str(folder / "data" / "deep" / "a.jsonl") in [name for name, _, _ in measured.data_files(project)]
    shutil.rmtree(folder / "data")
    assert measured.data_key(project) != before


def test_that_there_are_no_validation_rows_is_remembered(folder):
    rows = [{"input_ids": [1, 2], "labels": [1, 2]}]
    encoded = Encoded(train=rows, validation=None, tokenizer=folder, vocab_size=3, pad_token_id=0, shape="text")
    measured.keep(load(folder), encoded)
    assert measured.recall(load(folder), "cpu").validation_rows == 0
