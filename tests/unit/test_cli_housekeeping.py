"""disk, rm, prune, note and compare from the command line, on runs of real processes."""

import os
import pty
import re
import shutil
import subprocess
import sys

import pytest

from ftstudio.runs.folder import RunFolder

pytestmark = pytest.mark.usefixtures("fakes")


@pytest.fixture
def run(ftstudio, make_project, kept):
    """A run that finished. It ran once; each test has a copy."""
    folder = make_project("lab")
    if not kept.exists():
        done = ftstudio("run", folder, "--set", "trainer.save_steps=2", "--set", "trainer.save_total_limit=9")
        assert done.code == 0, done.err
        shutil.move(folder / "runs", kept)
    subprocess.run(["cp", "-a", kept, folder / "runs"], check=True)  # hard links stay what they are
    return RunFolder(folder / "runs" / "0001")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("kept") / "runs"


def steps_of(run):
    return sorted(int(p.name) for p in run.checkpoints.iterdir())


def test_disk_tells_what_a_run_and_its_project_hold(ftstudio, run):
    whole = ftstudio("disk", "--json", env={"FTSTUDIO_PROJECTS": str(run.project.parent)}).json
    (project,) = whole["projects"]
    assert whole["bytes"] == project["bytes"]
    shown = ftstudio("disk", run.path, "--json").json
    assert shown == project["runs"][0]
    assert shown["bytes"] == sum(h["bytes"] for h in shown["held"])
    checkpoints = [h for h in shown["held"] if h["what"] == "checkpoint"]
    assert [(h["step"], h["last"]) for h in checkpoints] == [(n, n == 10) for n in (2, 4, 6, 8, 10)]
    text = ftstudio("disk", run.path)
    assert "checkpoint 10" in text.out
    assert "last" in text.out
    shown = ftstudio("disk", run.project)
    assert "0001" in shown.out
    assert whole["cache"]["bytes"] > 0
    assert f"the cache, {whole['cache']['path']}, holds " in shown.err


def test_a_pruned_run_is_still_whole(ftstudio, run):
    dry = ftstudio("prune", run.path, "--dry-run")
    assert "would be deleted" in dry.out
    assert steps_of(run) == [2, 4, 6, 8, 10]
    done = ftstudio("prune", run.project)
    assert done.code == 0, done.err
    assert "lab:0001: checkpoints 2, 4, 6, 8 deleted;" in done.out
    assert "before" in done.out
    assert "freed" in done.out
    assert steps_of(run) == [10]
    assert ftstudio("status", run.path, "--json").json["state"] == "finished"
    assert ftstudio("sample", run.path, "--checkpoint", "last").code == 0


def test_a_run_that_lost_its_optimizer_state_goes_on_from_where_it_has_it(ftstudio, make_project):
    folder = make_project("lab", trainer={"ending": "kill", "save_steps": 2, "save_total_limit": 9})
    assert ftstudio("run", folder).code == 3
    run = RunFolder(folder / "runs" / "0001")
    assert steps_of(run) == [2, 4]
    assert ftstudio("prune", run.path).code == 0
    assert steps_of(run) == [4]
    run.record.write_text(run.record.read_text().replace('ending = "kill"', 'ending = "good"'))
    assert ftstudio("resume", run.path).code == 0


def test_a_live_run_is_neither_pruned_nor_removed(ftstudio, make_project):
    folder = make_project("lab", trainer={"step_seconds": 0.2, "max_steps": 500, "save_steps": 1})
    assert ftstudio("run", folder, "--detach").code == 0
    try:
        for command in (("prune", folder / "runs" / "0001"), ("rm", folder)):
            refused = ftstudio(*command)
            assert refused.code == 2
            assert "lab:0001 is " in refused.err
        skipped = ftstudio("prune", folder)
        assert skipped.code == 0
        assert "It was left alone." in skipped.err
    finally:
        assert ftstudio("kill", folder).code == 0
        ftstudio("attach", folder)


def test_a_removed_run_is_put_back_by_what_was_said(ftstudio, run):
    removed = ftstudio("rm", run.path)
    assert removed.code == 0, removed.err
    assert removed.out.strip() == str(run.project / ".trash" / "0001")
    assert ftstudio("status", run.project, "--json").json == []
    (said,) = [line for line in removed.err.splitlines() if "--restore" in line]
    back = ftstudio(*said.split("ftstudio ", 1)[1].split())
    assert back.code == 0, back.err
    assert back.out.strip() == str(run.path)
    assert ftstudio("sample", run.path).code == 0


def test_a_purge_asks_and_without_a_terminal_refuses(ftstudio, run):
    ftstudio("rm", run.path)
    refused = ftstudio("rm", "--purge", run.project)
    assert refused.code == 2
    assert "Nothing was deleted: this would delete 1 entry" in refused.err
    assert (run.project / ".trash" / "0001" / "run.toml").exists()
    done = ftstudio("rm", "--purge", run.project, "--yes")
    assert done.code == 0, done.err
    assert "lab/.trash/0001" in done.out
    assert "freed" in done.err
    assert list((run.project / ".trash").iterdir()) == []
    assert "The trash is empty." in ftstudio("rm", "--purge", run.project).err


def test_what_is_removed_put_back_and_purged_is_told_as_json(ftstudio_here, run):
    place, project = str(run.project / ".trash" / "0001"), run.project
    (removed,) = ftstudio_here("rm", run.path, "--json").json
    assert removed.pop("bytes") > 100
    assert removed == {"project": "lab", "run": "0001", "path": place}
    back = ftstudio_here("rm", "--restore", project, "--json").json
    assert back == [{"project": "lab", "run": "0001", "path": str(run.path)}]
    assert ftstudio_here("note", run.path, "x", "--pin", "--json").json == {
        "project": "lab", "run": "0001", "note": "x", "pinned": True
    }  # fmt: skip
    (pruned,) = ftstudio_here("prune", project, "--dry-run", "--json").json
    assert (pruned["kept"], pruned["changed"]) == ([10], [2, 4, 6, 8])
    assert ftstudio_here("rm", run.path).code == 0
    purged = ftstudio_here("rm", "--purge", project, "--yes", "--json").json
    assert purged["deleted"] == [place]
    assert purged["freed_bytes"] > 100
    assert ftstudio_here("rm", "--purge", project, "--json").json == {"deleted": [], "freed_bytes": 0}


def test_a_prompt_may_come_through_a_pipe(ftstudio, run):
    command = [sys.executable, "-m", "ftstudio", "sample", str(run.path), "--prompt", "-"]
    done = subprocess.run(command, input="The\n\nriver\n", capture_output=True, text=True, check=True)
    assert re.match(r"The\n\nriver[^\n]", done.stdout)
    empty = ftstudio("sample", run.path, "--prompt", "-")
    assert (empty.code, empty.out) == (2, "")
    assert "There is no prompt: stdin is empty." in empty.err


@pytest.mark.parametrize(("answer", "left"), [(b"n\n", 1), (b"y\n", 0)])
def test_a_purge_at_a_terminal_does_what_is_answered(ftstudio, run, answer, left):
    ftstudio("rm", run.path)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "ftstudio", "rm", "--purge", str(run.project)]
    child = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.write(ours, answer)
    _, err = child.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert b"for good?" in err
    assert len(list((run.project / ".trash").iterdir())) == left


def test_a_note_is_shown_escaped_and_keeps_to_its_run(ftstudio, run):
    assert "has no note" in ftstudio("note", run.path).err
    assert ftstudio("note", run.path, "red", "\x1b[31m", "--pin").code == 0
    shown = ftstudio("note", run.path)
    assert shown.out == "red \\x1b[31m\n"
    assert "is pinned" in shown.err
    ftstudio("rm", run.path)
    ftstudio("rm", "--restore", run.project)
    assert ftstudio("note", run.path).out == "red \\x1b[31m\n"


def test_compare_shows_differences_results_and_doubts(ftstudio, run):
    done = ftstudio("run", run.project, "--set", "trainer.max_steps=3", "--set", 'dataset.texts=["a","bb"]')
    assert done.code == 0, done.err
    runs = (run.path, run.path.with_name("0002"))
    text = ftstudio("compare", *runs)
    assert text.code == 0, text.err
    assert "trainer.max_steps" in text.out
    assert "trainer.save_steps" in text.out
    assert "trainer.ending" not in text.out
    assert "! loss cannot be compared: other data. lab:0001: one two thre; lab:0002: a bb" in text.out
    found = ftstudio("compare", *runs, "--json").json
    assert found["settings"]["trainer.max_steps"] == [10, 3]
    assert [r["state"] for r in found["runs"]] == ["finished", "finished"]
    assert [r["best"]["loss"] for r in found["runs"]] == [{"step": 10, "value": 1.0}, {"step": 3, "value": 10 / 3}]
    assert [r["step"] for r in found["runs"]] == [10, 3]
    table = ftstudio("compare", *runs, "--md").out
    assert "| trainer.max_steps | 10 | 3 |" in table
    assert "- loss cannot be compared" in table
    ranked = ftstudio("compare", run.project)
    head, first, *more = ranked.out.splitlines()
    assert head.split() == ["loss", "at", "step", "state", "settings", "that", "differ"]
    assert first.split()[:5] == ["lab:0001", "1", "best", "10", "finished"]
    assert any(line.startswith("lab:0002  3.333") for line in more)
    assert ranked.out.count("max_steps=") == 2
    assert "! loss cannot be compared" in ranked.out


def test_a_run_folder_that_was_copied_elsewhere_is_read_like_any_other(ftstudio, run, tmp_path):
    copy = shutil.copytree(run.path, tmp_path / "a [b] \x1b[31m" / "0001")
    assert ftstudio("disk", copy, "--json").json["bytes"] > 0
    compared = ftstudio("compare", run.path, copy)
    assert compared.code == 0, compared.err
    assert "settings that differ: none" in compared.out
    assert ftstudio("prune", copy, "--keep", "2").code == 0
    refused = ftstudio("rm", copy)
    assert refused.code == 2
    assert "is in no project" in refused.err
    for done in (compared, refused):
        assert "\x1b" not in done.out + done.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["disk", "gone"], "There is no project 'gone'"),
        (["disk", "."], "is no project and holds none"),
        (["disk", "x" * 5000], "is too long"),
        (["rm"], "No run is named."),
        (["rm", "lab"], "'lab' is a project and has no run. To remove the project itself, delete its folder: rm -r /"),
        (["rm", "gone"], "There is no run or project 'gone'"),
        (["rm", "--restore"], "No run is named."),
        (["rm", "--restore", "--purge"], "cannot be combined"),
        (["rm", "--restore", "lab"], "The trash of 'lab' has 0 runs. It is empty."),
        (["rm", "--restore", "lab:7"], "The trash of 'lab' has no run '0007'"),
        (["rm", "--purge", "gone"], "There is no project 'gone'"),
        (["prune"], "Missing argument"),
        (["prune", "lab", "--keep", "bst"], "'bst' is nothing that --keep knows"),
        (["prune", "lab", "--keep", "7"], "--keep with a step is for one run"),
        (["note", "gone", "x"], "There is no run or project 'gone'"),
        (["note", "lab", "x"], "has no run yet"),
        (["compare", "lab"], "has no run yet"),
        (["compare"], "Missing argument"),
        (["compare", "a\x1b[31m", "b"], "'a\\x1b[31m'"),
        (["compare", "x", "y", "--md", "--json"], "cannot be combined"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(ftstudio_here, make_project, arguments, sentence):
    root = make_project("lab").parent
    (root / "empty").mkdir()
    done = ftstudio_here(*arguments, cwd=root / "empty", env={"FTSTUDIO_PROJECTS": str(root)})
    assert done.code == 2, done.err
    assert sentence in done.err
    assert len(done.err.splitlines()) == 1
    assert "\x1b" not in done.err
    assert done.out == ""
