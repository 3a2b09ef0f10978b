"""Notes on runs: kept beside the runs they are on, and none is lost to another writer."""

import subprocess
import sys

import pytest

from ftstudio.errors import InputError
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.notes import Note, forget, note_of, read_notes, write_note


@pytest.fixture
def run(make_project):
    folder = make_project("lab")
    run = RunFolder(folder / "runs" / "0001")
    run.path.mkdir(parents=True)
    return run


def test_a_note_and_a_pin_are_written_shown_and_taken_away(run):
    assert note_of(run) == Note()
    assert write_note(run, "a good one") == Note("a good one")
    assert write_note(run, pinned=True) == Note("a good one", pinned=True)
    assert note_of(run) == Note("a good one", pinned=True)
    assert write_note(run, "") == Note("", pinned=True)
    assert write_note(run, pinned=False) == Note()
    assert read_notes(run.project) == {}


@pytest.mark.parametrize(
    "text",
    ['"""', "a\nb\tc", "\x1b[31mred\x00", "\u202e", "[x]\n[runs.0002]\nnote = 'y'", "é" * 4000, "'''\\", "\udc80"],
)
def test_any_text_comes_back_as_it_was_and_stays_in_its_place(run, text):
    write_note(run, text)
    assert list(read_notes(run.project)) == ["0001"]
    assert note_of(run).text == text.replace("\udc80", "\\udc80")


def test_two_writers_at_once_lose_nothing(run):
    code = (
        "import sys; from pathlib import Path; from ftstudio.runs.folder import RunFolder;"
        "from ftstudio.runs.notes import write_note;"
        "[write_note(RunFolder(Path(sys.argv[1]) / 'runs' / f'{int(sys.argv[2]) + i:04d}'), f'note {i}') for i in range(10)]"
    )
    children = [subprocess.Popen([sys.executable, "-c", code, str(run.project), str(100 * n)]) for n in (1, 2)]
    assert [child.wait() for child in children] == [0, 0]
    assert len(read_notes(run.project)) == 20


def test_what_this_version_does_not_know_stays(run):
    (run.project / "notes.toml").write_text('format = 1\nlater = 3\n[runs.0001]\ncolour = "red"\n')
    write_note(run, "x")
    assert "later = 3" in (run.project / "notes.toml").read_text()
    assert 'colour = "red"' in (run.project / "notes.toml").read_text()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("no toml [", "cannot be read"),
        ("\x00", "cannot be read"),
        ("x = " + "[" * 5000, "cannot be read"),
        ("format = 9", "unknown format '9'"),
        ("runs = 3", "unknown format"),
    ],
)
def test_a_file_that_cannot_be_read_is_never_overwritten(run, content, sentence):
    path = run.project / "notes.toml"
    path.write_text(content)
    for action in (
        lambda: read_notes(run.project),
        lambda: write_note(run, "x"),
        lambda: forget(run.project, ["0001"]),
    ):
        with pytest.raises(InputError, match=sentence):
            action()
    assert path.read_text() == content


@pytest.mark.parametrize("content", ["runs = 3", "[runs]\n0001 = 'x'", "[runs.0001]\nnote = 3\npinned = 'yes'"])
def test_entries_of_another_shape_are_no_notes(run, content):
    (run.project / "notes.toml").write_text(f"format = 1\n{content}\n")
    assert note_of(run) == Note()
    assert write_note(run, "x") == Note("x")


def test_notes_are_not_written_through_a_link_nor_without_bounds(run, tmp_path):
    with pytest.raises(InputError, match="4,000 are allowed"):
        write_note(run, "x" * 4001)
    (tmp_path / "precious.toml").write_text("format = 1\n")
    (run.project / "notes.toml").symlink_to(tmp_path / "precious.toml")
    with pytest.raises(InputError, match="is a symbolic link"):
        write_note(run, "x")
    assert (tmp_path / "precious.toml").read_text() == "format = 1\n"


def test_the_file_never_grows_beyond_what_can_be_read_again(run):
    def fill():
        for number in range(100):
            write_note(RunFolder(run.path.with_name(f"{number:04d}")), "x" * 4000)

    with pytest.raises(InputError, match="would be larger than"):
        fill()
    assert len(read_notes(run.project)) > 50
