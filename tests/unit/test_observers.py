"""Observers in settings, projects and run records; cursors; and what readers say of an observer."""

import re
import sys
from dataclasses import dataclass

import pytest

from ftstudio.api import option
from ftstudio.errors import ContractError, InputError, ProblemsError
from ftstudio.options import check_reserved
from ftstudio.plan import look_ahead
from ftstudio.process.secrecy import redact, secrets_of
from ftstudio.project import load
from ftstudio.runs.events import EventWriter
from ftstudio.runs.observers import STARTED, Cursor, ObserverFiles, frozen_observers, names_of, troubles
from ftstudio.runs.record import changes_since, create_run, frozen_project, read_record
from ftstudio.settings import edit_settings, read_settings

pytestmark = pytest.mark.usefixtures("fakes")

WATCH = {"use": "fake-watch"}
BUILT_IN = {
    "format": 1,
    "model": {"use": "starter"},
    "dataset": {"use": "inline", "texts": ["a b", "c d"]},
    "tokenizer": {"use": "pretrained"},
    "trainer": {"use": "native"},
    "generator": {"use": "sample"},
}


def uses(project):
    return [part.use for part in project.observers]


# ---------------------------------------------------------------------------------------------- settings


def test_observers_of_the_settings_are_added_to_a_run_and_frozen_into_it(make_project, settings_file):
    settings_file('[[observers]]\nuse = "fake-watch"\nat = 7')
    project = load(make_project())
    run = create_run(project, ["test"])
    assert read_record(run).settings["observers"][0]["at"] == 7
    assert read_record(run).components["observers[0]"]["distribution"] == "ftstudio-fakes"
    assert uses(frozen_project(run)) == ["fake-watch"]
    assert changes_since(run, load(project.folder)) == {}
    settings_file("")
    assert uses(frozen_project(run)) == ["fake-watch"]
    assert changes_since(run, load(project.folder))["observers[0].use"] == ("fake-watch", None)


def test_a_table_of_the_project_takes_the_place_of_the_settings_one(make_project, settings_file):
    settings_file('[[observers]]\nuse = "fake-watch"\nat = 7\n[[observers]]\nuse = "csv"')
    project = load(make_project(observers=[{**WATCH, "at": 3}]))
    assert [(p.use, p.options.at if p.use == "fake-watch" else None) for p in project.observers] == [
        ("fake-watch", 3),
        ("csv", None),
    ]


def test_a_project_switches_an_observer_off(make_project, settings_file):
    settings_file('[[observers]]\nuse = "fake-watch"\n[[observers]]\nuse = "csv"\nenabled = false')
    project = load(make_project(observers=[{**WATCH, "enabled": False}]))
    assert not project.errors
    assert project.observers == ()
    assert "observers" not in project.resolved()


def test_an_observer_that_is_switched_off_may_be_one_that_is_not_installed(make_project):
    assert not load(make_project(observers=[{"use": "gone", "enabled": False}])).errors
    assert load(make_project(observers=[{"use": "gone", "enabled": True}])).errors


@pytest.mark.parametrize(
    ("text", "line", "key", "message"),
    [
        ('[[observers]]\nuse = "fake-wach"', 2, "use", "There is no observer 'fake-wach'."),
        ('[[observers]]\nuse = "fake-watch"\natt = 1', 3, "att", "'att' is not an option of observer fake-watch"),
        ('[[observers]]\nuse = "fake-watch"\nenabled = 1', 3, "enabled", "enabled must be true or false."),
        ("[[observers]]\nat = 1", 1, "use", "use is missing."),
        ("observers = 3", 1, "", "observers must be a list of tables."),
    ],
)
def test_what_is_wrong_with_an_observer_of_the_settings_is_said_at_its_line(
    make_project, settings_file, own_folders, text, line, key, message
):
    settings_file(text)
    (problem,) = load(make_project()).problems
    assert (problem.level, problem.option) == ("error", key)
    assert problem.message.startswith(message)
    assert (problem.file, problem.line) == (own_folders / "config" / "ftstudio" / "settings.toml", line)


def test_a_secret_that_an_observer_needs_is_missed_before_the_start(make_project, settings_file, monkeypatch):
    monkeypatch.delenv("FAKE_TOKEN", raising=False)
    settings_file('[[observers]]\nuse = "fake-secret-watch"')
    (problem,) = look_ahead(load(make_project())).errors
    assert "needs the environment variable FAKE_TOKEN" in problem.message
    assert (problem.file.name, problem.line) == ("settings.toml", 2)
    monkeypatch.setenv("FAKE_TOKEN", "abcdef")
    assert not look_ahead(load(make_project())).errors


def test_the_fix_for_logging_dir_works_when_it_is_followed(make_project):
    pytest.importorskip("tensorboard")
    trainer = {"use": "native", "logging_dir": "logs"}
    folder = make_project(base=BUILT_IN, trainer=trainer)
    (problem,) = look_ahead(load(folder)).errors
    assert problem.option == "logging_dir"
    heading, use = re.findall(r'\[\[\w+\]\]|use = "\w+"', problem.fix)
    file = folder / "project.toml"
    kept = [line for line in file.read_text().splitlines() if "logging_dir" not in line]
    file.write_text("\n".join([*kept, heading, use, ""]))
    followed = load(folder)
    assert not look_ahead(followed).errors
    assert uses(followed) == ["tensorboard"]


def test_tensorboard_that_is_not_installed_is_an_error_before_the_start(make_project, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    (problem,) = look_ahead(load(make_project(observers=[{"use": "tensorboard"}]))).errors
    assert problem.message == "observer tensorboard needs the package tensorboard, which is not installed."
    assert problem.fix == "Install it: pip install 'ftstudio[tensorboard]'"
    assert problem.table == "observers[0]"


@pytest.mark.parametrize(
    ("options", "seconds", "message"),
    [
        ({}, 30.0, ""),
        ({"timeout_seconds": 60.0, "retries": 6}, 30.0, "may take 483 s, and an observer is cut off after 30 s."),
        ({"timeout_seconds": 60.0, "retries": 6}, 500.0, ""),
        ({}, 10.0, "may take 18 s, and an observer is cut off after 10 s."),
    ],
)
def test_a_webhook_that_would_be_cut_off_while_it_tries_is_a_warning(
    make_project, settings_file, monkeypatch, options, seconds, message
):
    monkeypatch.setenv("FTSTUDIO_WEBHOOK_URL", "https://example.org")
    settings_file(f"observer_seconds = {seconds}")
    found = look_ahead(load(make_project(observers=[{"use": "webhook", **options}]))).problems
    said = [p for p in found if p.option == "timeout_seconds"]
    assert [p.level for p in said] == (["warning"] if message else [])
    assert message in "".join(p.message for p in said)


@pytest.mark.parametrize("before", ["probe_seconds = 3.0\n\n# mine\n", "# mine\n", "", "[slots]\ncpu = 2\n"])
def test_editing_a_setting_keeps_the_observers(make_project, settings_file, own_folders, before):
    settings_file(f'{before}[[observers]]\nuse = "csv"')
    edit_settings({"observer_seconds": 5.0})
    assert read_settings().observer_seconds == 5.0
    text = (own_folders / "config" / "ftstudio" / "settings.toml").read_text()
    assert ("# mine" in text) == ("# mine" in before)
    assert uses(load(make_project())) == ["csv"]


@pytest.mark.parametrize("value", ["0", "-1.0", "true", "1e9"])
def test_the_time_that_an_observer_may_take_is_bounded(settings_file, value):
    settings_file(f"observer_seconds = {value}")
    with pytest.raises(InputError, match="observer_seconds must be"):
        read_settings()


def test_a_worker_knows_the_secrets_of_observers_so_that_it_tells_none(make_project, monkeypatch):
    monkeypatch.setenv("FAKE_TOKEN", "s3cr3t-token")
    secrets = secrets_of(load(make_project(observers=[{"use": "fake-secret-watch"}])))
    assert secrets == {"FAKE_TOKEN": "s3cr3t-token"}
    assert redact(secrets, "to https://x/s3cr3t-token") == "to https://x/<FAKE_TOKEN>"


def test_an_observer_may_not_have_an_option_that_switches_it_off():
    @dataclass(frozen=True, kw_only=True)
    class Options:
        enabled: bool = option(True, help="Ours.")

    with pytest.raises(ContractError, match="'enabled', a name that the core owns in .observer."):
        check_reserved("observer", Options)


def test_a_worker_does_without_what_is_wrong_with_observers(make_project):
    project = load(make_project(observers=[{"use": "gone"}], trainer={"max_steps": 3}))
    with pytest.raises(ProblemsError):
        project.require()
    project.without_observers().require()
    broken = load(make_project(observers=[{"use": "gone"}], trainer={"max_steps": -3}))
    with pytest.raises(ProblemsError):
        broken.without_observers().require()


# ----------------------------------------------------------------------------------- names, cursors, words


def test_each_observer_of_a_run_has_a_name_of_its_own_that_is_a_files_too():
    assert list(names_of(["csv", "webhook", "csv", "csv-2", "csv"])) == ["csv", "webhook", "csv-2", "csv-2-2", "csv-3"]
    assert list(names_of(["my-dist/ntfy", "../x"])) == ["my-dist.ntfy", "...x"]


@pytest.fixture
def run(make_project):
    return create_run(load(make_project(observers=[WATCH, {**WATCH, "at": 5}])), ["test"])


@pytest.fixture
def files(run):
    run.observers.mkdir()
    return ObserverFiles(run, "fake-watch")


def test_the_frozen_observers_have_their_names_and_options(run):
    found = frozen_observers(run)
    assert list(found) == ["fake-watch", "fake-watch-2"]
    assert found["fake-watch-2"]["at"] == 5
    run.record.write_text("no toml")
    assert frozen_observers(run) == {}


def test_a_cursor_is_read_as_it_was_written(files):
    cursor = Cursor(state="failed", reason='It "said" so.\x1b', attempt=3, seq=9, t=1.5, offset=700, line=8)
    files.write(cursor)
    assert files.read() == cursor


@pytest.mark.parametrize("text", ["", "seq = 'x'\noffset = true", "seq = -4", "no toml", "\x00"])
def test_a_damaged_cursor_means_from_the_beginning(files, text):
    (files.run.observers / "fake-watch.toml").write_text(text)
    found = files.read() or Cursor()
    assert (found.seq, found.offset, found.line) == (0, 0, 0)


def events(run, *states):
    writer = EventWriter(run.events, 1)
    for state in states:
        writer.write("state", state=state)
    writer.close()


def test_nothing_is_said_of_a_run_that_never_ran(run):
    assert troubles(run) == []


def test_an_observer_that_was_not_started_is_said_once_the_run_is_over(run, files):
    events(run, "running", "finished")
    first, second = troubles(run)
    assert str(first) == (
        f"Observer fake-watch was not started. It gets the rest by: ftstudio replay {run.path} --to fake-watch"
    )
    assert str(second).endswith("--to fake-watch-2")


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", "ended without a word; see observers/fake-watch.log."),
        (
            "Timeout (0:01:30)!\nThread 0x7f (most recent call first):\n",
            "was cut off: it did not come back from a call within 90 s",
        ),
        ("Timeout (0:00:00.500000)!\n", "back from a call within 1 s; see observers/"),
        (f"Timeout (0:01:30)!\n{STARTED}attempt 2, process 9]\nwords\n", "ended without a word"),
    ],
)
def test_how_an_observer_died_is_read_from_its_log(run, files, log, words):
    files.write(Cursor(seq=4, t=1.0))
    files.log.write_text(f"{STARTED}attempt 1, process 8]\n{log}")
    assert words in files.trouble().words


def test_a_replay_of_an_observer_that_the_run_has_not_takes_options(run, ftstudio):
    events(run, "running", "finished")
    done = ftstudio("replay", run.path, "--to", "csv", "--set", 'metrics=["loss"]')
    assert done.code == 0, done.err
    assert (run.path / "metrics.csv").read_text() == "step\n"
    assert ObserverFiles(run, "csv").read().state == "done"
    assert "✓ csv has all 2 events." in done.err
    again = ["replay", run.path, "--to", "csv", "--set", "metrics = ['loss']"]
    assert "from event 3 to the end" in ftstudio(*again).err
    assert "from event 1 to the end" in ftstudio(*again, "--from-start").err


def test_with_other_options_a_replay_begins_anew_and_says_so(run, ftstudio):
    writer = EventWriter(run.events, 1)
    writer.write("state", state="running")
    writer.write("metrics", 1, metrics={"loss": 2.0, "speed": 7.0})
    writer.write("state", state="finished")
    writer.close()
    ftstudio("replay", run.path, "--to", "csv", "--set", 'metrics=["loss"]')
    assert (run.path / "metrics.csv").read_text() == "step,loss\n1,2.0\n"
    done = ftstudio("replay", run.path, "--to", "csv")
    assert "csv had other options before. With these it begins anew." in done.err
    assert "from event 1 to the end" in done.err
    assert "✓ csv has all 3 events." in done.err
    assert (run.path / "metrics.csv").read_text() == "step,loss,speed\n1,2.0,7.0\n"


def test_how_far_an_observer_is_counts_for_the_options_that_it_was_told_with(files):
    assert files.told('use = "csv"') == Cursor(options='use = "csv"')
    files.write(Cursor(seq=4, offset=90, line=3, options='use = "csv"'))
    assert files.told('use = "csv"').seq == 4
    assert files.told('use = "csv"\nmetrics = ["loss"]') == Cursor(options='use = "csv"\nmetrics = ["loss"]')


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--to", "cvs"], "There is no observer 'cvs'. Did you mean csv?"),
        (["--to", "csv", "--set", "metric=3"], "observer csv: 'metric' is not an option. Did you mean metrics?"),
        (["--to", "csv", "--set", "metrics"], "'metrics' is not of the form KEY=VALUE."),
        (["--to", "fake-watch", "--set", "at=3"], "has the observer 'fake-watch' with the options of its run.toml."),
    ],
)
def test_a_replay_that_cannot_be_leaves_nothing(run, ftstudio, arguments, said):
    events(run, "running", "finished")
    done = ftstudio("replay", run.path, *arguments)
    assert (done.code, said in done.err) == (2, True), done.err
    assert not run.observers.exists()


def test_nothing_of_an_observer_is_written_through_a_link(run, ftstudio, tmp_path):
    events(run, "running", "finished")
    (tmp_path / "elsewhere").mkdir()
    run.observers.symlink_to(tmp_path / "elsewhere")
    done = ftstudio("replay", run.path, "--to", "csv")
    assert done.code == 2
    assert "is a symbolic link; ftstudio does not write or delete through one." in done.err
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_replay_to_an_observer_that_fails_is_exit_1_with_the_sentence(run, ftstudio):
    events(run, "running", "running", "running", "running", "finished")
    done = ftstudio("replay", run.path, "--to", "fake-watch-2")
    assert done.code == 1
    assert re.search("failed in on_event with event 5 .state.: ZeroDivisionError: a bug in the observer", done.err)
    assert "Traceback" not in done.err


def test_a_replay_without_the_secret_says_so(run, ftstudio, monkeypatch):
    monkeypatch.delenv("FAKE_TOKEN", raising=False)
    events(run, "running", "finished")
    done = ftstudio("replay", run.path, "--to", "fake-secret-watch")
    assert done.code == 1
    assert "needs the environment variable FAKE_TOKEN, which is not set. Set it: export FAKE_TOKEN=..." in done.err
