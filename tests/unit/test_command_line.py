"""The command line's manners: exit codes, streams, sentences."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from ftstudio.__main__ import FLAGS
from ftstudio.cli.group import OR_LIVE, OR_NEWEST, PROJECT, RUN
from ftstudio.cli.main import run
from ftstudio.errors import UnknownNameError
from ftstudio.finding import project_folder
from ftstudio.project import load
from ftstudio.runs.find import address, find_run
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.record import create_run

pytestmark = pytest.mark.usefixtures("fakes")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["chek", "x"], "'chek' is neither a command nor a folder. Did you mean check?"),
        (["zzzz"], "'zzzz' is neither a command nor a folder. Commands: new, check"),
        (["plugins", "lst"], "'lst' is no command of 'plugins'. Did you mean list?"),
        (
            ["plugins", "bogus"],
            "'bogus' is no command of 'plugins'. Commands: check, disable, enable, list, new, show.",
        ),
        (["queue", "withdrw"], "'withdrw' is no command of 'queue'. Did you mean withdraw?"),
        (["queue", "bogus"], "'bogus' is no command of 'queue'. Commands: list, move, withdraw."),
        (["check"], "Missing argument 'PROJECT'"),
        (["check", "gone"], "There is no project 'gone' here"),
        (["run", "lab", "--set", "x"], "'x' is not of the form key.key=VALUE."),
        (["run", "lab", "--each", "seed=1,2", "--each", "seed=3,4"], "'seed' is set twice. Name it once, with all its"),
        (["run", "lab", "--set", "seed=1", "--each", "seed=3,4"], "'seed' is set twice. Name it once, with all its"),
        (["run", "lab", "--device", "gpu"], "'gpu' is no device. Write cpu, cuda, cuda:0 ... or mps."),
        (["run", "lab", "--nonsense"], "No such option"),
        (["--nonsense"], "No such option '--nonsense'."),
        ([], "The studio needs a terminal."),
        (["lab"], "The studio needs a terminal."),
        (["new", "ok", "--model", ""], "There is no model folder ''."),
        (["new", "ok", "--model", "./gone"], "There is no model folder './gone'."),
        (["new", "ok", "--from", "quickstart", "--model", "gpt2"], "--from and --model cannot be combined."),
        (["data", "lab", "--row", "99"], "There is no row 99: the data ends before it."),
        (
            ["new", "ok", "--root", "/dev/null"],
            "'/dev/null' exists already and is no folder. Choose another name or place.",
        ),
        (["new", "../x"], "'../x' is no project name."),
        (["new", "a/b"], "'a/b' is no project name."),
        (["new", "a\x1bb"], "'a\\x1bb' is no project name."),
        (["new", "ok", "--from", "quickstrt"], "There is no example 'quickstrt'. Did you mean quickstart?"),
        (["new", "ok", "--data", "gone.txt"], "There is no '"),
        (["status", "gone"], "There is no project 'gone' here"),
        (["attach", "gone"], "There is no run or project 'gone'"),
        (["status", "lab:0009"], "'lab' has no run '0009'"),
        (["stop", "lab"], "'lab' has no run yet"),
        (["plugins", "show", "fake-modl"], "There is no plugin or component 'fake-modl'. Did you mean fake-model?"),
        (["sample", "lab"], "has no run with a model yet"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(ftstudio_here, make_project, arguments, sentence):
    folder = make_project()
    done = ftstudio_here(*arguments, env={"FTSTUDIO_PROJECTS": str(folder.parent)})
    assert done.code == 2, (done.out, done.err)
    assert sentence in done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    assert not (folder / "runs").exists()
    assert not (folder.parent / "ok").exists()


LONG_NAME = "x" * 300


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["{}"], "No permission for '{}'"),
        (["new", "ok", "--data", "{}"], "No permission for '{}'"),
        (["new", "ok", "--model", "{}"], "No permission for '{}'"),
        ([LONG_NAME], "is neither a command nor a folder."),
        (["new", "ok", "--data", LONG_NAME], "is too long for this file system."),
        (["loop"], "'loop' is neither a command nor a folder."),
        (["new", "ok", "--data", "loop"], "'loop' is a symbolic link, or a loop of symbolic links."),
    ],
)
def test_a_path_that_cannot_be_looked_at_is_one_sentence(ftstudio_here, tmp_path, closed, arguments, sentence):
    (tmp_path / "loop").symlink_to("loop")
    done = ftstudio_here(*(word.format(closed) for word in arguments))
    assert done.code == 2, (done.out, done.err)
    assert sentence.format(closed) in done.err
    assert done.out == ""
    assert not (tmp_path / "ok").exists()


def test_debug_shows_the_traceback(ftstudio):
    done = ftstudio("--debug", "check", "gone")
    assert done.code == 2
    assert "Traceback" in done.err


def test_check_says_problems_with_file_and_line_and_starts_nothing(ftstudio, make_project):
    folder = make_project(trainer={"max_stepz": 3})
    done = ftstudio("check", folder)
    assert done.code == 2
    assert "✗ error: lab/project.toml:14 [trainer]: 'max_stepz' is not an option" in done.err
    assert "Did you mean max_steps?" in done.err
    done = ftstudio("run", folder)
    assert done.code == 2
    assert not (folder / "runs").exists()


def test_check_json_is_one_value(ftstudio, make_project):
    done = ftstudio("check", make_project(), "--json")
    assert done.code == 0
    assert done.json["plan"]["total_steps"] == 10


def test_a_warning_is_said_and_recorded_and_the_run_starts(ftstudio, make_project):
    folder = make_project(trainer={"max_steps": 2, "save_steps": 9})
    done = ftstudio("run", folder)
    assert done.code == 0, done.err
    assert "! warning" in done.err
    assert "save_steps never fires." in (folder / "runs" / "0001" / "run.toml").read_text()


def test_a_run_is_found_by_path_by_name_and_by_project(ftstudio, make_project):
    folder = make_project(trainer={"max_steps": 2})
    env = {"FTSTUDIO_PROJECTS": str(folder.parent)}
    for _ in range(2):
        assert ftstudio("run", folder).code == 0
    for text in ("lab:0001", "lab:1", folder / "runs" / "0001"):
        assert ftstudio("status", text, "--json", env=env).json["run"] == "0001"
    assert [s["run"] for s in ftstudio("status", "--json", env=env).json] == ["0002", "0001"]
    assert ftstudio("show", "lab:2", "--json", env=env).json["trainer"]["max_steps"] == 2


def test_status_without_any_run_says_the_next_step(ftstudio):
    done = ftstudio("status")
    assert done.code == 0
    assert "No runs yet" in done.err
    assert ftstudio("status", "--json").json == []


def test_status_shows_a_pin_and_the_first_words_of_a_note_where_there_is_room(ftstudio_here, make_project):
    folder = make_project()
    for number in ("0001", "0002"):
        run = RunFolder(folder / "runs" / number)
        run.path.mkdir(parents=True)
        run.record.write_text("format = 1")
        run.state.write_text('state = "finished"\nattempt = 1\n')
    text = "lower rate\x1b[31m from step 400 on"
    assert ftstudio_here("note", run.path, text, "--pin").code == 0
    rows = {row["run"]: row for row in ftstudio_here("status", folder, "--json").json}
    assert (rows["0002"]["note"], rows["0002"]["pinned"]) == (text, True)
    assert (rows["0001"]["note"], rows["0001"]["pinned"]) == ("", False)
    assert ftstudio_here("status", run.path, "--json").json == rows["0002"]
    for columns, line in (
        ("100", "✓ lab:0002  finished        pinned  note: lower rate\\x1b[31m from step 400 on"),
        ("60", "✓ lab:0002  finished        pinned  note: lower rate\\x1b[..."),
        ("40", "✓ lab:0002  finished        pinned"),
    ):
        lines = ftstudio_here("status", folder, env={"COLUMNS": columns}).out.splitlines()
        assert sorted(lines) == ["✓ lab:0001  finished", line]
    (folder / "notes.toml").write_text("[")
    assert len(ftstudio_here("status", folder).out.splitlines()) == 2


def test_logs_shows_the_workers_output_without_its_escapes(ftstudio, make_project):
    folder = make_project(trainer={"max_steps": 2, "note": "hello \x1b]0;owned\x07 \u202e"})
    assert ftstudio("run", folder).code == 0
    done = ftstudio("logs", folder)
    assert "hello \\x1b]0;owned\\x07 \\u202e" in done.out
    assert "\x1b" not in done.out


def test_logs_of_a_run_that_printed_nothing_say_so_and_how_it_ended(ftstudio_here, make_project):
    run = RunFolder(make_project() / "runs" / "0001")
    run.path.mkdir(parents=True)
    for file, text in (
        (run.record, ""), (run.console, ""), (run.state, 'state = "failed"\nattempt = 1\nreason = "No \\u001b data."\n')
    ):  # fmt: skip
        file.write_text(text)
    run.events.write_text('{"t":1,"attempt":1,"kind":"message","step":null,"text":"x"}\n')
    done = ftstudio_here("logs", run.path)
    assert (done.code, done.out) == (0, "")
    assert done.err == (
        f"Nothing was printed into {run.console}.\n✗ lab:0001 failed: No \\x1b data.\n"
        f"  What it told stands in {run.events}.\n"
    )


def test_hostile_text_never_reaches_the_terminal_raw(ftstudio, make_project):
    hostile = ["\x1b]0;x\x07", "\x1b[6n", "\x9b31m", "\u202e", "[/red]", "\x1b]52;c;eA==\x07"]
    folder = make_project(
        description=" ".join(hostile),
        dataset={"texts": [*hostile, "b"]},
        generator={"prompts": [text + "x" for text in hostile]},
        trainer={"note": "\n".join(hostile)},
    )
    outputs = [
        ftstudio(*a)
        for a in (
            ("check", folder),
            ("run", folder),
            ("show", folder),
            ("data", folder, "--rows", "9"),
            ("data", folder, "--tokens", "--rows", "9"),
            ("logs", folder),
            ("sample", folder),
        )
    ]
    for done in outputs:
        assert done.code == 0, done.err
        for text in (done.out, done.err):
            assert not any(c in text for c in "\x1b\x9b\x07\u202e")


def test_a_secret_is_never_written(ftstudio, make_project):
    folder = make_project(
        dataset={"use": "fake-secret", "texts": ["x sesame-open-1234 y"]}, generator={"prompts": ["sesame-open-1234"]}
    )
    done = ftstudio("run", folder, env={"FAKE_TOKEN": "sesame-open-1234"})
    assert done.code == 0, done.err
    events = (folder / "runs" / "0001" / "events.jsonl").read_text()
    assert "sesame-open-1234" not in events
    assert "<FAKE_TOKEN>" in events


def test_an_ascii_terminal_gets_escapes_instead_of_an_error(ftstudio, make_project):
    done = ftstudio("check", make_project(), env={"PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0", "LC_ALL": "C"})
    assert done.code == 0, done.err


def test_plugins_list_json_has_the_promised_keys(ftstudio):
    rows = ftstudio("plugins", "list", "--json").json
    fake = next(r for r in rows if r["name"] == "fakes")
    assert fake.keys() >= {"name", "status", "distribution", "version", "components", "reason"}
    assert fake["distribution"] == "ftstudio-fakes"
    assert json.dumps(rows)


@pytest.mark.parametrize("command", [["status"], ["show"], ["logs"], ["resume"], ["check"], ["run"], ["sample"]])
def test_a_name_that_no_file_system_takes_is_a_sentence(ftstudio_here, command):
    done = ftstudio_here(*command, "x" * 5000)
    assert done.code == 2
    assert "Traceback" not in done.err
    assert "There is no" in done.err


def test_what_is_said_to_be_typed_can_be_typed_into_a_shell(ftstudio, make_project):
    folder = make_project("my $HOME lab", trainer={"max_steps": 2})
    env = {"FTSTUDIO_PROJECTS": str(folder.parent)}
    done = ftstudio("run", folder, env=env)
    assert done.code == 0, done.err
    studio = next(line for line in done.out.splitlines() if line.startswith("studio: "))
    assert shlex.split(studio)[-1] == str(folder)
    detached = ftstudio("run", folder, "--detach", env=env)
    follow = next(line for line in detached.err.splitlines() if "attach" in line).partition("Follow it: ")[2]
    assert shlex.split(follow)[-2:] == ["attach", "my $HOME lab:0002"]
    attached = subprocess.run(
        follow, shell=True, capture_output=True, text=True, env={**os.environ, **env}, check=False
    )
    assert attached.returncode == 0, attached.stderr


def test_what_is_said_to_be_typed_leads_back_to_a_project_that_was_given_by_its_path(ftstudio, make_project, tmp_path):
    """It lies where no name is looked for, so its runs have none."""
    (tmp_path / "hand").mkdir()
    folder = make_project("hand/a", trainer={"max_steps": 2})
    detached = ftstudio("run", "hand/a", "--detach")
    _, attach, run = shlex.split(detached.err.partition("Follow it: ")[2])[-3:]
    for place in (tmp_path, folder, folder.parent):
        followed = ftstudio(attach, run, cwd=place)
        assert (followed.code, attach) == (0, "attach"), followed.err
    refused = ftstudio("resume", run)
    command = shlex.split(refused.err.partition("in a new run: ")[2].rstrip(".\n"))[1:]
    forked = ftstudio(*command, "--set", "trainer.max_steps=3")
    assert forked.code == 0, forked.err
    each = ftstudio("run", "hand/a", "--each", "trainer.max_steps=1,2", "--each", "seed=3,4")
    before, _, after = each.err.partition("▸ run a:0003")
    assert "4 runs, one a line:\n  trainer.max_steps=1  seed=3\n  trainer.max_steps=1  seed=4\n" in before
    assert "▸ run a:0006" in after
    *_, status, project, watch = shlex.split(each.err.partition("Watch them: ")[2])
    shown = ftstudio(status, project, "--json")
    assert (watch, {row["run"] for row in shown.json}) == ("--watch", {f"{n:04d}" for n in range(1, 7)})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("slots = 1".encode("utf-16"), "is not UTF-8. Save it as UTF-8, or delete it."),
        (b"slots = ", "is not TOML: "),
    ],
)
def test_settings_that_cannot_be_read_are_named(ftstudio, own_folders, make_project, content, sentence):
    settings = own_folders / "config" / "ftstudio" / "settings.toml"
    settings.parent.mkdir(parents=True)
    settings.write_bytes(content)
    for command in (["check", make_project()], ["run", make_project()]):
        done = ftstudio(*command)
        assert done.code == 2
        assert f"'{settings}' {sentence}" in done.err
        assert "codec" not in done.err


def test_a_run_is_called_by_its_name_only_where_that_name_is_its_own(make_project, tmp_path, monkeypatch):
    project = make_project("a")
    (tmp_path / "b" / "a" / "runs" / "0001").mkdir(parents=True)
    (tmp_path / "b" / "a" / "project.toml").touch()
    run, other = (RunFolder(folder / "runs" / "0001") for folder in (project, tmp_path / "b" / "a"))
    run.path.mkdir(parents=True)
    run.record.touch()
    assert address(run) == str(run.path)
    monkeypatch.setenv("FTSTUDIO_PROJECTS", str(tmp_path))
    assert address(run) == "a:0001"
    other.record.touch()
    assert address(other) == str(other.path)
    monkeypatch.chdir(tmp_path / "b")
    assert (address(run), address(other)) == (str(run.path), "a:0001")


@pytest.mark.parametrize("command", ["show {}", "check {}", "show {} 2>&1", "show /nowhere 2>&1"])
def test_a_reader_who_leaves_ends_a_command_without_a_word(make_project, command):
    ours = f"{shlex.quote(sys.executable)} -m ftstudio {command.format(make_project())}"
    done = subprocess.run(
        ["bash", "-c", f"{ours} | true; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "141\n"  # what a shell gives for SIGPIPE
    assert "BrokenPipe" not in done.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["stop"], OR_LIVE),
        (["attach"], OR_NEWEST),
        (["rm"], OR_NEWEST),
        (["queue", "withdraw"], OR_NEWEST),
        (["check"], PROJECT),
        (["run"], PROJECT),
        (["sample"], f"{PROJECT} {RUN}"),
        (["show"], f"{PROJECT} {RUN}"),
        (["status"], f"{PROJECT} {RUN}"),
    ],
)
def test_the_help_of_a_command_says_what_its_arguments_are(capsys, command, words):
    assert run([*command, "--help"]) == 0
    shown = capsys.readouterr().out
    usage = shown.splitlines()[0]
    assert "PATH" not in usage
    assert all(word in usage for word in re.findall("PROJECT(?= is)|RUN(?= is)", words))
    assert words in " ".join(shown.split())


@pytest.mark.parametrize("group", [[], ["queue"], ["plugins"]])
def test_the_list_of_commands_has_whole_sentences(capsys, group):
    assert run([*group, "--help"]) == 0
    listed = capsys.readouterr().out.partition("Commands:")[2]
    assert len(listed.split()) > 20
    assert "..." not in listed


def test_the_help_names_the_flags_of_the_studio(capsys):
    assert run(["--help"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert {line[0] for line in lines if line} >= set(FLAGS)


def test_what_an_argument_is_said_to_be_is_what_is_taken(make_project, monkeypatch, tmp_path):
    monkeypatch.setenv("FTSTUDIO_PROJECTS", str(tmp_path))
    folder = make_project()
    for number in ("0001", "0002"):
        (folder / "runs" / number).mkdir(parents=True)
        (folder / "runs" / number / "run.toml").touch()
    for text, name in (
        ("lab:0001", "0001"),
        (str(folder / "runs" / "0001"), "0001"),
        ("lab", "0002"),
        (folder, "0002"),
    ):
        assert find_run(str(text), tmp_path).name == name
    assert project_folder("lab") == project_folder(str(folder)) == folder


def test_what_is_no_project_is_told_how_to_become_one(tmp_path, ftstudio_here, make_project):
    folder = make_project()
    run = create_run(load(folder), ["test"])
    (folder / "project.toml").unlink()
    assert f"show {run.path} > {folder}/project.toml" in ftstudio_here("check", folder).err
    shutil.rmtree(folder / "runs")
    assert "is made in a folder of its own: ftstudio new NAME" in ftstudio_here("check", folder).err
    folder.rmdir()
    with pytest.raises(UnknownNameError, match="is no project") as gone:
        load(folder)
    assert gone.value.hint == f"Make one: ftstudio new lab --root {tmp_path}"
