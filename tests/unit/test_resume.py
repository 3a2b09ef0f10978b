"""A run that was stopped or interrupted goes on from its newest good checkpoint, and ends as if nothing had been."""

import json

import pytest

from ftstudio.runs.checkpoints import list_checkpoints
from ftstudio.runs.events import Series, read_events
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.manifest import mark_best

pytestmark = pytest.mark.usefixtures("fakes")


def weights(run):
    (last,) = list_checkpoints(run.checkpoints)[-1:]
    return json.loads((last / "MANIFEST.json").read_text())["files"]["model.safetensors"]["sha256"]


def losses(run):
    series = Series()
    series.add(read_events(run.events))
    return series.values("loss")


@pytest.fixture
def undisturbed(ftstudio, make_project):
    folder = make_project("undisturbed")
    assert ftstudio("run", folder).code == 0
    return RunFolder(folder / "runs" / "0001")


def killed(ftstudio, make_project, **trainer):
    """A run that was killed at step 6, two steps after its checkpoint at 4."""
    folder = make_project("disturbed", trainer={"ending": "kill", **trainer})
    done = ftstudio("run", folder)
    assert done.code == 3
    assert "Go on with it:" in done.err
    run = RunFolder(folder / "runs" / "0001")
    text = run.record.read_text()
    run.record.write_text(text.replace('ending = "kill"', 'ending = "good"'))
    return run


def test_it_ends_with_the_weights_and_the_losses_of_an_undisturbed_run(ftstudio, make_project, undisturbed):
    run = killed(ftstudio, make_project)
    done = ftstudio("resume", run.path, "--json")
    assert done.code == 0, done.err
    assert done.json["state"] == "finished"
    assert weights(run) == weights(undisturbed)
    assert losses(run) == losses(undisturbed)
    assert ftstudio("status", run.path, "--json").json["attempt"] == 2


def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_used(ftstudio, make_project, undisturbed):
    """It is what the trainer goes on from that is damaged, so that a trainer which got it would end elsewhere."""
    run = killed(ftstudio, make_project, save_steps=2)
    before, newest = list_checkpoints(run.checkpoints)[-2:]
    state = newest / "state.json"
    state.write_text(state.read_text().replace('"step": 4', '"step": 3'))
    done = ftstudio("resume", run.path)
    assert done.code == 0, done.err
    assert (
        f"Checkpoint {int(newest.name)} is damaged: state.json is not what was written: its sha256 differs" in done.err
    )
    assert list((run.path / "quarantine").glob("*.reason.txt"))
    assert [e.data["resumed_from"] for e in read_events(run.events) if "resumed_from" in e.data] == [int(before.name)]
    assert weights(run) == weights(undisturbed)


def test_a_damaged_best_checkpoint_is_set_aside_before_anything_is_trained(ftstudio, make_project, undisturbed):
    run = killed(ftstudio, make_project, save_steps=2)
    before, newest = list_checkpoints(run.checkpoints)[-2:]
    mark_best(before)
    (before / "model.safetensors").write_bytes(b"x")
    done = ftstudio("resume", run.path)
    assert done.code == 0, done.err
    later = [event for event in read_events(run.events) if event.attempt == 2]
    said = next(i for i, e in enumerate(later) if f"Checkpoint {int(before.name)} is damaged" in e.data.get("text", ""))
    assert said < next(i for i, event in enumerate(later) if event.kind == "phase")
    assert later[0].data["resumed_from"] == int(newest.name)
    assert weights(run) == weights(undisturbed)


def test_without_any_checkpoint_it_starts_at_the_beginning_and_says_so(ftstudio, make_project, undisturbed):
    run = killed(ftstudio, make_project, save_steps=9)
    done = ftstudio("resume", run.path)
    assert done.code == 0, done.err
    assert "this attempt starts at the beginning" in done.err
    assert weights(run) == weights(undisturbed)


def test_a_finished_run_is_not_resumed(ftstudio, undisturbed):
    done = ftstudio("resume", undisturbed.path)
    assert done.code == 2
    assert "has finished" in done.err


def test_changed_data_is_refused_unless_accepted(ftstudio, make_project):
    run = killed(ftstudio, make_project)
    run.record.write_text(run.record.read_text().replace('"four"', '"another"'))
    refused = ftstudio("resume", run.path)
    assert refused.code == 2
    said = "✗ disturbed:0001 interrupted: Not resumed. The data changed since this run began"
    assert refused.err.splitlines()[-1].startswith(said)
    accepted = ftstudio("resume", run.path, "--accept-changed-data")
    assert accepted.code == 0, accepted.err
    assert "Accepted: The data changed since this run began, so going on would train on something else." in accepted.err


def test_without_the_file_that_tells_the_data_nobody_goes_on_unasked(ftstudio, make_project, undisturbed):
    run = killed(ftstudio, make_project)
    run.inputs.unlink()
    refused = ftstudio("resume", run.path)
    assert refused.code == 2
    assert "inputs.toml, which says what this run was trained on, is missing: nobody can tell whether" in refused.err
    accepted = ftstudio("resume", run.path, "--accept-changed-data")
    assert accepted.code == 0, accepted.err
    assert weights(run) == weights(undisturbed)


def test_what_keeps_it_from_the_same_bits_is_said(ftstudio, make_project):
    run = killed(ftstudio, make_project)
    run.inputs.write_text(run.inputs.read_text().replace('"cpu",', '"cuda:0",'))
    done = ftstudio("resume", run.path)
    assert done.code == 0, done.err
    assert "Not the same to the bit as without the interruption: devices ['cuda:0'] is now ['cpu']." in done.err
