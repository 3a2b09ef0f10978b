"""Full and read-only disks, for real (a tmpfs in a mount namespace): the sentence, what is left, and going on after."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from operations import create

pytestmark = pytest.mark.usefixtures("namespaces", "fakes")
PROGRAM = Path(__file__).parent / "small_disk.py"


@pytest.fixture
def on_small_disk(tmp_path, run):
    """Run a mode of small_disk.py on a copy of the project with the committed run."""
    disk = tmp_path / "disk"
    disk.mkdir()
    run.parent.parent.rename(disk / "lab")
    create(disk / "lab")

    def go(mode):
        done = subprocess.run(
            ["unshare", "-m", sys.executable, PROGRAM, mode, disk], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return go


def test_each_writer_says_that_the_disk_is_full_leaves_all_as_it_was_and_works_when_there_is_room(on_small_disk):
    answers = on_small_disk("space")
    assert len(answers) == 5
    for name, answer in answers.items():
        assert answer["said"].startswith("The disk is full: '"), (name, answer)
        assert "Free some space and try again." in answer["said"]
        assert answer["untouched"], name
        assert answer["again"] == "", name
    assert "lab/runs/0001/checkpoints' could not be written: a checkpoint takes" in answers["commit"]["said"]
    assert "and 0 B are free" in answers["commit"]["said"]
    assert "lab/project.toml' could not be written" in answers["project.toml"]["said"]


def test_every_event_that_was_said_to_be_written_is_read_back_and_no_other(on_small_disk):
    answer = on_small_disk("events")
    assert len(answer["failed"]) >= 3
    assert all("events.jsonl' could not be written" in said for said in answer["failed"])
    assert all(said.startswith("The disk is full") for said in answer["failed"])
    assert answer["read"] == answer["written"]
    assert answer["written"][-1] == 399
    assert answer["skipped"] == 0


def test_a_worker_on_a_full_disk_is_interrupted_and_goes_on_when_there_is_room(on_small_disk):
    answers = on_small_disk("worker")
    for answer in answers:
        assert answer["first"] == [75, ""] or answer["first"][0] is None, answer
        said = [word["state"] for word in answer["last"]]  # none where not even that fitted: exit code 75 says it
        assert "disk is full" in answer["first"][1] or said in ([], ["interrupted"]), answer
        assert answer["second"] == [0, ""], answer
    assert answers[0]["last"] == []
    assert answers[-1]["last"][0]["reason"].startswith("The disk is full: '")


def test_of_a_copy_that_does_not_fit_the_place_is_named_and_not_the_original(on_small_disk):
    answer = on_small_disk("tokenizer")
    assert re.match(
        r"The disk is full: '\S+/disk/lab/runs/0001/checkpoints/\.000003\.\S+\.staging/tokenizer\.json' could not be written\. ",
        answer["said"],
    )
    assert answer["untouched"]


def test_how_a_run_ended_is_written_into_the_room_that_was_kept_for_it(on_small_disk):
    answer = on_small_disk("ending")
    assert "state.toml' could not be written" in answer.pop("refused")
    assert answer == {"state": "interrupted", "reason": "The worker said so.", "code": 75, "left": []}


def test_a_disk_without_inodes_says_so(on_small_disk):
    answer = on_small_disk("inodes")
    for said in answer["said"].values():
        assert "no more files fit on it (inodes). Delete some files" in said, answer
    assert answer["untouched"]


def test_a_file_system_that_became_read_only_is_named_and_can_still_be_read(on_small_disk):
    answer = on_small_disk("read_only")
    found = answer["said"].pop("newest")
    assert found == [[2, []], ""]
    for said in answer["said"].values():
        assert "lies on a file system that is read-only" in said, answer
    assert answer["untouched"]
