"""Files that are not what was written: cut anywhere, flipped anywhere, or made by somebody with other intentions."""

import json
import os
import shutil

import pytest

from ftstudio.errors import InputError
from ftstudio.runs import checkpoints as commits
from ftstudio.runs.events import EventReader, EventWriter
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


@pytest.mark.parametrize(
    "name", ["../000001/config.json", "/etc/passwd", "a/../../x", "", ".", "MANIFEST.json", "a\0b", "x" * 300]
)
def test_a_hostile_manifest_leads_nowhere(run, name):
    manifest = run / "checkpoints" / "000002" / "MANIFEST.json"
    raw = json.loads(manifest.read_text())
    raw["files"][name] = {"size": 0, "sha256": "0" * 64}
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
