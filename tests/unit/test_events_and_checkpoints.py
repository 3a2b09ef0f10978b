"""The stream of events and the committed checkpoints: what a reader may believe."""

import json
import math
import os
from dataclasses import replace

import pytest

from ftstudio.errors import ContractError, InputError
from ftstudio.runs import checkpoints as commits
from ftstudio.runs import manifest, staging
from ftstudio.runs.events import EventReader, EventWriter, Series, parse_event, read_events


def test_an_event_comes_back_as_it_was_written(tmp_path):
    writer = EventWriter(tmp_path / "e", attempt=2)
    writer.write("metrics", 7, metrics={"loss": 1.5, "bad": float("nan"), "worse": float("-inf")})
    writer.close()
    (event,) = read_events(tmp_path / "e")
    assert (event.seq, event.attempt, event.kind, event.step) == (1, 2, "metrics", 7)
    series = Series()
    series.add([event])
    assert series.last()["loss"] == 1.5
    assert series.last()["bad"] != series.last()["bad"]
    assert series.last()["worse"] == float("-inf")
    assert "NaN" not in (tmp_path / "e").read_text()


def test_a_stream_cut_at_every_byte_loses_only_the_torn_line(tmp_path):
    path = tmp_path / "e"
    writer = EventWriter(path, attempt=1)
    for step in range(3):
        writer.write("metrics", step, metrics={"loss": float(step)}, text="é\n[/")
    writer.close()
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        events = read_events(path)
        assert len(events) == whole[:cut].count(b"\n")
        again = EventWriter(path, attempt=2)
        again.write("message", text="after")
        again.close()
        reader = EventReader(path)
        events = reader.read()
        assert events[-1].data == {"text": "after"}
        torn = whole[:cut].split(b"\n")[-1]
        complete = torn != b"" and whole[cut : cut + 1] == b"\n"  # only its newline was lost: ending the line saves it
        assert reader.skipped == (torn != b"" and not complete)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"t": 1}',
        b'{"t":"x","attempt":1,"kind":"a","step":1}',
        b'{"t":1,"attempt":1,"kind":3,"step":1}',
        b'{"t":1,"attempt":1,"kind":"a","step":"1"}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_garbage_is_no_event(line):
    assert parse_event(line, 1) is None


def test_a_half_written_line_is_left_for_the_next_look(tmp_path):
    path = tmp_path / "e"
    reader = EventReader(path)
    assert reader.read() == []
    path.write_bytes(b'{"t":1,"attempt":1,"kind":"a","step":null}\n{"t":2,"att')
    assert [e.t for e in reader.read()] == [1.0]
    with path.open("ab") as file:
        file.write(b'empt":1,"kind":"a","step":null}\n')
    assert [(e.seq, e.t) for e in reader.read()] == [(2, 2.0)]


def test_the_highest_attempt_wins_and_a_resume_hides_what_came_after_its_step(tmp_path):
    path = tmp_path / "e"
    first = EventWriter(path, attempt=1)
    for step in (1, 2, 3, 4):
        first.write("metrics", step, metrics={"loss": 1.0})
    second = EventWriter(path, attempt=2)
    second.write("state", state="running", resumed_from=2)
    second.write("metrics", 3, metrics={"loss": 2.0})
    series = Series()
    series.add(read_events(path))
    assert series.values("loss") == [(1, 1.0), (2, 1.0), (3, 2.0)]


def commit(root, step, *, best=False, content=b"weights", loss=None):
    root.mkdir(exist_ok=True)
    draft = commits.stage(root, step)
    (draft.path / "config.json").write_text("{}")
    (draft.path / "model.safetensors").write_bytes(content)
    metrics = {"loss": 1.0} if loss is None else {"loss": 1.0, "eval_loss": loss}
    return commits.commit(draft, step, metrics=metrics, best=best, shape="text", base=None)


def test_a_commit_verifies_and_leaves_no_staging(tmp_path):
    committed = commit(tmp_path, 5)
    assert committed.path.name == "000005"
    assert commits.open_checkpoint(committed.path) == committed
    assert [p.name for p in tmp_path.iterdir()] == ["000005"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_who_may_read_the_folder_may_read_what_a_library_wrote_for_its_owner_alone(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        checkpoints, final = tmp_path / "checkpoints", tmp_path / "final"
        checkpoints.mkdir()
        draft = commits.stage(checkpoints, 5)
        staged = staging.make(final)
        for place in (draft.path, staged):
            (place / "deeper").mkdir()
            for name in ("config.json", "model.safetensors", "deeper/state.safetensors"):
                (place / name).write_text("{}")
                (place / name).chmod(0o600)
        commits.commit(draft, 5, metrics={}, best=False, shape="text", base=None)
        staging.sync(staged)
        staging.put_in_place(staged, final)
    finally:
        os.umask(before)
    files = [path for place in (checkpoints, final) for path in place.rglob("*") if path.is_file()]
    assert len(files) == 7
    assert {path.stat().st_mode & 0o777 for path in files} == {mode}


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "MANIFEST.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "halved", "flipped"])
def test_every_damage_is_found_and_the_one_before_is_used(tmp_path, name, damage):
    root, quarantine = tmp_path / "checkpoints", tmp_path / "quarantine"
    good, bad = commit(root, 1), commit(root, 2, content=b"other weights")
    file = bad.path / name
    data = bytearray(file.read_bytes())
    match damage:
        case "missing":
            file.unlink()
        case "empty":
            file.write_bytes(b"")
        case "halved":
            file.write_bytes(data[: len(data) // 2])
        case "flipped":
            place = data.index(b'"sha256"') + 14 if name == "MANIFEST.json" else len(data) // 2
            data[place] ^= 1
            file.write_bytes(data)
    found, said = commits.newest(root, quarantine)
    assert found is not None
    assert found.path == good.path
    assert len(said) == 1
    assert "Checkpoint 2 is damaged" in said[0]
    assert len(list(quarantine.glob("000002-*/"))) >= 1
    assert len(list(quarantine.glob("*.reason.txt"))) == 1


def test_rotation_keeps_the_newest_and_the_best(tmp_path):
    commit(tmp_path, 1, best=True)
    for step in (2, 3, 4):
        commit(tmp_path, step)
        commits.rotate(tmp_path, tmp_path / "quarantine", 2)
    assert [p.name for p in commits.list_checkpoints(tmp_path)] == ["000001", "000003", "000004"]
    commit(tmp_path, 5, best=True)
    commits.rotate(tmp_path, tmp_path / "quarantine", 2)
    assert [p.name for p in commits.list_checkpoints(tmp_path)] == ["000004", "000005"]


@pytest.fixture
def judged(tmp_path):
    """Checkpoints and quarantine of a run whose best is step 2, the next best step 4, and the newest step 5."""
    root = tmp_path / "checkpoints"
    for step, loss in [(2, 2.0), (3, 2.6), (4, 2.2), (5, 2.4)]:
        commit(root, step, best=step == 2, loss=loss)
    return root, tmp_path / "quarantine"


def flip(folder, name="model.safetensors"):
    """Another bit in a file whose size and time stay, as a disk does it; to this process it is unknown."""
    file = folder / name
    info, data = file.stat(), bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(info.st_atime_ns, info.st_mtime_ns))
    manifest._hashed.clear()


def names(root):
    return [p.name for p in commits.list_checkpoints(root)]


@pytest.mark.parametrize("name", ["model.safetensors", "MANIFEST.json"])
def test_a_damaged_best_is_set_aside_and_the_best_of_the_others_takes_its_place(judged, name):
    root, quarantine = judged
    flip(root / "000002", name)
    said = commits.check_best(root, quarantine)
    assert said[0].startswith("Checkpoint 2 is damaged: ")
    assert name in said[0]
    assert said[1:] == ["The best checkpoint that is left is that of step 4."]
    assert [p.name.partition("-")[0] for p in quarantine.glob("*.reason.txt")] == ["000002"]
    assert names(root) == ["000003", "000004", "000005"]
    assert commits.best_of(root).name == "000004"
    assert commits.check_best(root, quarantine) == []
    commits.rotate(root, quarantine, 2)
    commit(root, 6, loss=2.5)
    commits.rotate(root, quarantine, 2)
    assert names(root) == ["000004", "000005", "000006"]


def test_a_best_that_took_the_others_place_is_looked_at_too(judged):
    root, quarantine = judged
    flip(root / "000002")
    flip(root / "000004")
    commits.check_best(root, quarantine)
    assert commits.best_of(root).name == "000005"
    assert len([*quarantine.glob("*.reason.txt")]) == 2


def test_what_has_no_number_for_a_loss_takes_no_bests_place(tmp_path):
    root = tmp_path / "checkpoints"
    for step, loss in [(1, 3.0), (2, math.nan), (3, 2.0), (4, math.nan), (5, 1.0)]:
        commit(root, step, best=step == 5, loss=loss)
    for step, left in ((5, "000003"), (3, "000001"), (1, None)):
        flip(root / f"{step:06d}")
        commits.check_best(root, tmp_path / "quarantine")
        best = commits.best_of(root)
        assert (best and best.name) == left


def test_a_best_that_was_the_newest_and_damaged_leaves_its_mark_to_another(judged):
    root, quarantine = judged
    commit(root, 6, best=True, loss=1.9)
    (root / "000002").rename(root.parent / "gone")
    flip(root / "000006")
    found, said = commits.newest(root, quarantine)
    assert (found.step, commits.best_of(root)) == (5, None)
    commits.check_best(root, quarantine, lost=bool(said))
    assert commits.best_of(root).name == "000004"


def test_rotation_finds_a_damaged_best_and_keeps_the_next(judged):
    root, quarantine = judged
    flip(root / "000002")
    commit(root, 6, loss=2.5)
    said = commits.rotate(root, quarantine, 2)
    assert "The best checkpoint that is left is that of step 4." in said
    assert names(root) == ["000004", "000005", "000006"]


@pytest.mark.parametrize(("step", "instead"), [(2, 4), (5, 4), (4, 2)])
def test_a_result_that_is_damaged_is_not_the_result(judged, step, instead):
    """Of the best the next best; of the newest, the one before; of any other one, the best."""
    root, quarantine = judged
    result = replace(commits.open_checkpoint(root / f"{step:06d}"), tokenizer=root)
    assert commits.sound(result, quarantine) == (result, [])
    flip(result.path)
    found, said = commits.sound(result, quarantine)
    assert (found.step, found.path.name, found.tokenizer) == (instead, f"{instead:06d}", root)
    assert found.metrics["eval_loss"] == {2: 2.0, 4: 2.2}[instead]
    assert said[0].startswith(f"Checkpoint {step} is damaged: model.safetensors is not what was written")
    assert said[-1] == f"The result is checkpoint {instead} instead."
    assert not result.path.exists()


def test_without_any_sound_checkpoint_there_is_no_result(judged):
    root, quarantine = judged
    result = commits.open_checkpoint(root / "000005")
    for folder in commits.list_checkpoints(root):
        flip(folder)
    with pytest.raises(InputError, match="Checkpoint 5, with which training ended, is damaged, and no other one"):
        commits.sound(result, quarantine)
    assert len([*quarantine.glob("*.reason.txt")]) == 4


def test_a_failed_commit_leaves_the_old_ones_and_nothing_half_written(tmp_path, monkeypatch):
    commit(tmp_path, 1)

    def full(*args):
        raise OSError(28, "No space left on device")

    draft = commits.stage(tmp_path, 2)
    (draft.path / "config.json").write_text("{}")
    monkeypatch.setattr("ftstudio.runs.manifest.write_atomic", full)
    with pytest.raises(OSError, match="No space"):
        commits.commit(draft, 2, metrics={}, best=False, shape="text", base=None)
    assert [p.name for p in tmp_path.iterdir()] == ["000001"]


def test_the_same_step_may_be_committed_again(tmp_path):
    commit(tmp_path, 1, content=b"first")
    again = commit(tmp_path, 1, content=b"second")
    assert (again.path / "model.safetensors").read_bytes() == b"second"
    assert [p.name for p in tmp_path.iterdir()] == ["000001"]


def test_what_a_crash_left_is_cleaned_and_a_displaced_commit_returns(tmp_path):
    commit(tmp_path, 1)
    (tmp_path / ".000002.1-a.staging").mkdir()
    (tmp_path / "000001").rename(tmp_path / ".000001.abc.replaced")
    commits.clean(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["000001"]


def test_a_checkpoint_without_weights_or_config_breaks_the_contract(tmp_path):
    draft = commits.stage(tmp_path, 1)
    (draft.path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(ContractError, match="without config.json"):
        commits.check_content(draft.path, "trainer x")
    (draft.path / "model.safetensors").rename(draft.path / "config.json")
    with pytest.raises(
        ContractError, match=r"without model.safetensors or adapter_model.safetensors; it holds config.json"
    ):
        commits.check_content(draft.path, "trainer x")
    with pytest.raises(ContractError, match="before the checkpoint was committed"):
        _ = draft.checkpoint


def test_an_unknown_format_is_refused_and_left_where_it_is(tmp_path):
    root, quarantine = tmp_path / "checkpoints", tmp_path / "quarantine"
    for step in (1, 2, 3):
        commit(root, step)
    manifest = json.loads((root / "000003" / "MANIFEST.json").read_text())
    del manifest["seal"]
    (root / "000003" / "MANIFEST.json").write_text(json.dumps({**manifest, "format": 99}))
    for read in (lambda: commits.open_checkpoint(root / "000003"), lambda: commits.newest(root, quarantine)):
        with pytest.raises(InputError, match="has the unknown format '99'. This version reads format 1"):
            read()
    assert commits.rotate(root, quarantine, 2) == []
    assert not quarantine.exists()
    assert [p.name for p in commits.list_checkpoints(root)] == ["000001", "000002", "000003"]
