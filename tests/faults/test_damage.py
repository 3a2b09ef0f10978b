"""Files that are not what was written: cut anywhere, flipped anywhere, or made by somebody with other intentions."""

import hashlib
import json
import os
import shutil

import pytest
from lab import at_step, ended, resumed, started, until

from ftstudio.errors import InputError
from ftstudio.files import open_log
from ftstudio.process.launch import resume
from ftstudio.runs import checkpoints as commits
from ftstudio.runs.control import asked
from ftstudio.runs.events import EventReader, EventWriter, read_events
from ftstudio.runs.find import find_run, list_runs
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.manifest import _seal
from ftstudio.runs.status import read_state, read_status

FILES = ["MANIFEST.json", "config.json", "model.safetensors", "state/optimizer.safetensors"]


def newest(run):
    return commits.newest(run / "checkpoints", run / "quarantine")


def put_back(run):
    """The set-aside checkpoint returns, so that one folder serves many damages."""
    for place in (run / "quarantine").iterdir():
        if place.is_dir():
            place.rename(run / "checkpoints" / place.name.partition("-")[0])
        else:
            place.unlink()


def assert_set_aside(run, word):
    found, said = newest(run)
    assert found.step == 1
    assert len(said) == 1
    assert said[0].startswith("Checkpoint 2 is damaged: ")
    assert word in said[0]
    assert f"{run}/quarantine/000002-" in said[0]
    (reason,) = (run / "quarantine").glob("000002-*.reason.txt")
    assert reason.read_text().strip() in said[0]
    put_back(run)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_a_checkpoint_cut_anywhere_is_found(run, name, points):
    path = run / "checkpoints" / "000002" / name
    whole = path.read_bytes()
    for cut in points(len(whole.rstrip())):
        path.write_bytes(whole[: cut - 1])
        assert_set_aside(run, name)
    path.unlink()
    assert_set_aside(run, name)
    path.write_bytes(whole)
    assert newest(run)[0].step == 2


@pytest.mark.parametrize("name", FILES)
def test_any_flipped_bit_in_a_checkpoint_is_found(run, name, points):
    path = run / "checkpoints" / "000002" / name
    whole = path.read_bytes()
    for bit in points(8 * len(whole)):
        data = bytearray(whole)
        data[(bit - 1) // 8] ^= 1 << ((bit - 1) % 8)
        path.write_bytes(data)
        try:
            commits.verify(path.parents[len(path.relative_to(run / "checkpoints").parts) - 2])
        except ValueError:
            continue
        before = json.loads(whole)  # 1e-05 and 1E-05 are one number: nothing else may pass
        assert name == "MANIFEST.json"
        assert json.loads(bytes(data)) == before
    data = bytearray(whole)
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert_set_aside(
        run, "MANIFEST.json" if name == "MANIFEST.json" else f"{name} is not what was written: its sha256 differs"
    )


@pytest.mark.parametrize(
    "change",
    [
        ('"format": 1', '"format": 3'),
        ('"step": 2', '"step": 3'),
        ("false", "true"),
        ('"text"', '"next"'),
        ("0.5", "0.7"),
    ],
)
def test_a_manifest_that_is_still_json_but_not_what_was_written_is_damage(run, change):
    manifest = run / "checkpoints" / "000002" / "MANIFEST.json"
    text = manifest.read_text()
    assert change[0] in text
    manifest.write_text(text.replace(*change, 1))
    assert_set_aside(run, "its seal differs")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["fifo", "folder", "link", "device"])
def test_what_is_no_plain_file_is_damage_and_nobody_waits_for_it(run, name, kind, tmp_path):
    path = run / "checkpoints" / "000002" / name
    if kind == "device" and os.getuid() != 0:
        pytest.skip("only root makes devices")
    path.rename(tmp_path / "kept")
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to(tmp_path / "kept")
        case "device":
            os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero, which has no end
    assert_set_aside(run, name)


def test_a_folder_of_a_checkpoint_that_is_a_link_is_not_followed(run, tmp_path):
    state = run / "checkpoints" / "000002" / "state"
    state.rename(tmp_path / "state")
    state.symlink_to(tmp_path / "state")
    assert_set_aside(run, "symbolic link")


@pytest.mark.parametrize("name", ["../000001/config.json", "OUTSIDE", "state/../config.json", "MANIFEST.json"])
def test_a_hostile_manifest_leads_nowhere(run, name, tmp_path):
    """Though what it names is there, and has the size and the sha256 that it says."""
    folder = run / "checkpoints" / "000002"
    manifest = folder / "MANIFEST.json"
    if name == "OUTSIDE":
        name = str(tmp_path / "outside")
        (tmp_path / "outside").write_text("Something of somebody else.")
    raw = json.loads(manifest.read_text())
    content = (folder / name).read_bytes()
    raw["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest.write_text(json.dumps({**raw, "seal": _seal(raw)}))
    assert_set_aside(run, "which is no file of a checkpoint")


@pytest.mark.parametrize("name", ["", ".", "a\0b", "x" * 300, "not-there"])
def test_a_manifest_of_names_that_no_file_has_is_damage(run, name):
    manifest = run / "checkpoints" / "000002" / "MANIFEST.json"
    raw = json.loads(manifest.read_text())
    raw["files"][name] = {"size": 0, "sha256": hashlib.sha256().hexdigest()}
    manifest.write_text(json.dumps({**raw, "seal": _seal(raw)}))
    assert_set_aside(run, "")


@pytest.mark.parametrize(
    "change",
    [
        {"files": None}, {"files": [1]}, {"files": {"a": None}}, {"files": {"a": {"size": "x", "sha256": ""}}},
        {"step": 7}, {"step": None}, {"metrics": [1]}, {"metrics": {"a": "x"}}, {"base": {"path": 3}}, {"t": "now"},
        {"files": {"a": {"size": float("inf"), "sha256": ""}}},
    ],
)  # fmt: skip
def test_a_manifest_of_odd_values_is_damage_even_when_its_seal_is_right(run, change):
    manifest = run / "checkpoints" / "000002" / "MANIFEST.json"
    raw = {**json.loads(manifest.read_text()), **change}
    manifest.write_text(json.dumps({**raw, "seal": _seal(raw)}))
    assert_set_aside(run, "MANIFEST.json")


@pytest.mark.parametrize("content", [b"", b"\0" * 300, b"[]", b"3", b"[" * 100_000, b"\xff\xfe", b'{"format": 1}'])
def test_a_manifest_of_garbage_is_damage(run, content):
    (run / "checkpoints" / "000002" / "MANIFEST.json").write_bytes(content)
    assert_set_aside(run, "MANIFEST.json")


def test_an_unknown_format_is_refused_not_set_aside(run):
    manifest = run / "checkpoints" / "000002" / "MANIFEST.json"
    raw = {**json.loads(manifest.read_text()), "format": 2}
    manifest.write_text(json.dumps({**raw, "seal": _seal(raw)}))
    with pytest.raises(InputError, match=r"000002' has the unknown format '2'\. This version reads format 1") as caught:
        newest(run)
    assert caught.value.exit_code == 2
    assert (run / "checkpoints" / "000002").is_dir()
    assert not (run / "quarantine").exists()


def test_when_none_verifies_all_are_set_aside_and_none_is_deleted(run):
    for step in (1, 2):
        (run / "checkpoints" / f"{step:06d}" / "config.json").unlink()
    found, said = newest(run)
    assert found is None
    assert len(said) == 2
    assert len([p for p in (run / "quarantine").iterdir() if p.is_dir()]) == 2


def test_left_over_staging_is_ignored_and_cleaned(run):
    root = run / "checkpoints"
    for name in (".000003.1-a.staging", ".000001.1-b.deleted", ".000002.1-c.replaced"):
        shutil.copytree(root / "000002", root / name)
    (run / ".final.1-d.staging").mkdir()
    (root / ".replaced").mkdir()
    (root / ".keep").write_text("somebody's")
    assert [p.name for p in commits.list_checkpoints(root)] == ["000001", "000002"]
    assert newest(run)[0].step == 2
    commits.clean(root)
    assert sorted(p.name for p in root.iterdir()) == [".keep", ".replaced", "000001", "000002"]
    assert not (run / ".final.1-d.staging").exists()


def test_a_stop_between_the_two_renames_loses_neither_folder(run):
    final = run / "final"
    for folder, text in ((run / ".final.1-a.replaced", "old"), (run / ".final.1-a.staging", "new")):
        folder.mkdir()
        (folder / "README.md").write_text(text)
    commits.clean(run / "checkpoints")
    assert (final / "README.md").read_text() == "new"
    final.rename(run / ".final.1-a.replaced")
    commits.clean(run / "checkpoints")
    assert (final / "README.md").read_text() == "new"
    assert not [p for p in run.iterdir() if p.name.startswith(".")]


def test_state_toml_cut_at_every_byte_is_a_state(run):
    folder = RunFolder(run)
    text = b'state = "finished"\nreason = "It \xc3\xa9nded."\nattempt = 1\npid = 7\nhost = "x"\nstarted = 3.5\n'
    for cut in range(len(text) + 1):
        folder.state.write_bytes(text[:cut])
        known = read_state(folder)
        assert known.state in {"finished", "interrupted"}
        assert known.state == "finished" or "state.toml" in known.reason


def test_garbage_in_the_middle_of_the_events_is_counted_and_all_whole_records_are_kept(run):
    path = run / "events.jsonl"
    path.unlink()
    writer = EventWriter(path, 1)
    for step in range(4):
        writer.write("metrics", step, metrics={"loss": 1.0})
    writer.close()
    lines = path.read_bytes().splitlines(keepends=True)
    for garbage in (b"\0" * 500 + b"\n", b"\xff\xfe\n", b"{}\n", b"[" * 5000 + b"\n", lines[0][:20] + b"\n", b"nan\n"):
        for place in range(5):
            path.write_bytes(b"".join([*lines[:place], garbage, *lines[place:]]))
            reader = EventReader(path)
            assert [e.step for e in reader.read()] == [0, 1, 2, 3]
            assert reader.skipped == 1
    assert read_status(RunFolder(run)).metrics == {"loss": 1.0}


@pytest.fixture
def made(run):
    """A run whose supervisor was killed in its second attempt."""
    (run / "run.toml").write_text("format = 1\n")
    (run / "state.toml").write_text('state = "running"\nattempt = 2\n')
    (run / "inputs.toml").touch()
    (run / "console.log").touch()
    (run / "events.jsonl").write_text('{"t":1.5,"attempt":2,"kind":"message","step":null,"text":"Hello."}\n')
    return RunFolder(run)


def put(path, kind):
    """Something that is no plain file, in the place of one."""
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "device":
            os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero, which has no end


NO_PLAIN_FILE = "is no plain file. Move it away, or put the file back that was there."


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["fifo", "folder", "device"])
@pytest.mark.parametrize("name", ["state.toml", "events.jsonl", "console.log", "lock", "control/stop"])
def test_what_is_no_plain_file_in_a_run_keeps_no_reader_waiting(made, name, kind):
    if kind == "device" and os.getuid() != 0:
        pytest.skip("only root makes devices")
    path = made.path / name
    put(path, kind)
    known = read_state(made)
    reason = f"'{path}' {NO_PLAIN_FILE}" if name == "state.toml" else "Its supervisor was killed."
    assert (known.state, known.attempt, known.reason) == ("interrupted", 2, reason)
    assert not asked(made, "stop", 2)
    assert (read_status(made).state, read_status(made).last_event_t) == (
        "interrupted",
        None if name == "events.jsonl" else 1.5,
    )
    assert len(read_events(made.events)) == (0 if name == "events.jsonl" else 1)
    if name == "events.jsonl":
        with pytest.raises(OSError, match="is no plain file"):
            EventWriter(made.events, 2)
    if name == "console.log":
        with pytest.raises(OSError, match="is no plain file"):
            open_log(made.console)


@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_the_commands_answer_whatever_stands_in_the_place_of_a_file(made, ftstudio, kind):
    for name in ("state.toml", "events.jsonl", "console.log", "inputs.toml"):
        put(made.path / name, kind)
    project, said = made.project, f"'{made.state}' {NO_PLAIN_FILE}"
    (project / "project.toml").touch()
    shown = ftstudio("status", project, timeout=30)
    assert (shown.code, said in shown.out, shown.err) == (0, True, "")
    left = ftstudio("attach", made.path, timeout=30)
    assert (left.code, f"{made.title} interrupted: {said}" in left.err) == (3, True)
    logs = ftstudio("logs", made.path, timeout=30)
    assert (logs.code, logs.out, logs.err) == (2, "", f"✗ '{made.console}' {NO_PLAIN_FILE}\n")


@pytest.mark.usefixtures("fakes")
def test_a_live_run_that_lost_its_settings_is_shown_and_can_be_asked_and_ended(make_project, ftstudio):
    project = make_project(trainer={"max_steps": 5000, "save_steps": 50, "step_seconds": 0.01})
    run = started(project)
    at_step(run, 2)
    kept = run.record.rename(run.path / "elsewhere.toml")
    shown = ftstudio("status", "--json", env={"FTSTUDIO_PROJECTS": str(project.parent)}).json
    assert [(s["run"], s["state"], s["reason"]) for s in shown] == [
        ("0001", "running", "Its run.toml is missing: it cannot be resumed.")
    ]
    asked = ftstudio("stop", project)
    assert (asked.code, asked.err) == (
        0, "lab:0001: It will finish its step, commit a checkpoint and stop.\n"
    )  # fmt: skip
    assert ended(run).state == "stopped"
    refused = ftstudio("resume", run.path)
    assert (refused.code, refused.err) == (2, f"✗ '{run.record}' is missing. {PUT_BACK}\n")
    forked = ftstudio("run", project, "--from", run.path, "--set", "trainer.step_seconds=0.5", "--detach")
    assert forked.code == 0, forked.err
    assert ftstudio("kill", "lab:0002", env={"FTSTUDIO_PROJECTS": str(project.parent)}).code == 0
    kept.rename(run.record)
    resumed(run)
    until(lambda: any(e.attempt == 2 and e.kind == "metrics" for e in read_events(run.events)), "its first step")
    run.record.unlink()
    assert ftstudio("kill", run.path).err == "lab:0001: It is being killed; its last checkpoint stays.\n"
    assert (ended(run).attempt, ended(run).reason) == (2, "Killed on request.")


PUT_BACK = "Put it back from a copy, or go on from one of its checkpoints in a new run, with --from."


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "is damaged: it holds no settings"),
        ("format = 1\n", "is damaged: it holds no settings"),
        ("format = 1\nsettings = 3\n", "is damaged: it holds no settings"),
        ("form", "is damaged: "),
    ],
)
def test_a_run_with_half_its_settings_is_not_resumed_and_no_attempt_is_counted(made, content, what):
    made.record.write_text(content)
    before = made.state.read_bytes()
    with pytest.raises(InputError) as refused:
        resume(made)
    assert str(refused.value).startswith(f"'{made.record}' {what}")
    assert str(refused.value).endswith(PUT_BACK)
    assert (made.state.read_bytes(), made.lock.exists()) == (before, False)
    assert read_status(made).reason.endswith("Its run.toml is empty: it cannot be resumed.") == (not content)


def test_a_folder_that_is_just_being_made_is_no_run_yet(made, tmp_path):
    coming = made.path.with_name("0002")
    (coming / "control").mkdir(parents=True)
    assert [run.name for run in list_runs(made.project)] == ["0001"]
    made.record.unlink()
    for name in ("state.toml", "events.jsonl"):
        assert [run.name for run in list_runs(made.project)] == ["0001"]
        assert find_run(str(made.path), tmp_path) == RunFolder(made.path.resolve())
        (made.path / name).unlink()
    assert list_runs(made.project) == []
