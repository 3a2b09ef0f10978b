"""Writes are whole or not at all, names and texts are safe, locks tell who holds them."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ftstudio.errors import InputError
from ftstudio.explain import explain
from ftstudio.files import LineAppender, make_usable, refuse_symlinks, tail_bytes, toml_text, write_atomic
from ftstudio.locks import RecordLock, held_for, lock_holder  # fmt: skip
from ftstudio.text import is_safe_name, prompt_text, quote, safe_text, size_text

HOSTILE = [
    "\x1b]0;title\x07", "\x1b[31m", "\x1bP1$r", "\x1b_x", "\x1bc", "\x1b[6n", "\x9b31m", "\x90", "\x9d0;x\x9c",
    "\u202egnp.exe", "\u2066x\u2069", "\ud800", "a\rb", "\x00", "\x7f", "\x08\x08", "\u2028", "\ufeff",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_steers_a_terminal_is_left(text):
    shown = safe_text(text)
    shown.encode()
    assert not any(
        ord(c) < 32 or 0x7F <= ord(c) <= 0x9F or ord(c) in {0x202E, 0x2066, 0x2069, 0x2028, 0xFEFF} for c in shown
    )


def test_ordinary_text_stays():
    text = "Grüße,\n\tπ ≈ 3 😀 漢字 [bold] [/"
    assert safe_text(text) == text
    assert safe_text("a\nb\tc", one_line=True) == "a\\nb\\tc"
    assert quote("x" * 100) == "'" + "x" * 59 + "…'"


ASKS, ANSWERS = {"role": "user", "content": "Who?"}, {"role": "assistant", "content": "I."}


@pytest.mark.parametrize(
    ("prompt", "shown"),
    [
        ("Once\n\x1b", "Once\n\x1b"), ([ANSWERS, ASKS], "Who?"), ((ASKS, ANSWERS), "I."),  # a project has tuples
        ("", ""), (None, ""), ([], ""), (7, ""), (["Who?"], ""), ([{"role": "user"}], ""), ([{"content": 7}], "7"),
    ],
)  # fmt: skip
def test_of_a_conversation_is_shown_what_was_said_last_and_nothing_of_what_is_no_prompt(prompt, shown):
    assert prompt_text(prompt) == shown


@pytest.mark.parametrize("name", ["..", ".hidden", "a/b", "a\nb", "a b", "", "x" * 65, "a\n", "\u202ea", "-x", "é"])
def test_odd_names_are_refused(name):
    assert not is_safe_name(name)


def test_a_file_is_replaced_whole_and_keeps_its_mode(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o640)
    write_atomic(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_when_a_call_fails_the_old_file_is_untouched_and_nothing_is_left_behind(tmp_path, monkeypatch, call):
    path = tmp_path / "a"
    path.write_text("old")

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_appending_first_ends_a_torn_line(tmp_path):
    path = tmp_path / "log"
    path.write_text('{"whole": 1}\n{"to')
    lines = LineAppender(path)
    lines.append('{"next": 2}')
    lines.close()
    assert path.read_text().splitlines() == ['{"whole": 1}', '{"to', '{"next": 2}']


def test_the_tail_starts_at_a_line(tmp_path):
    path = tmp_path / "log"
    path.write_text("first line\nsecond line\nthird\n")
    assert tail_bytes(path, 10) == b"third\n"
    assert tail_bytes(path, 1000) == path.read_bytes()
    assert tail_bytes(tmp_path / "none", 10) == b""


def test_a_lock_tells_who_holds_it_and_probing_takes_nothing(tmp_path):
    path = tmp_path / "lock"
    assert lock_holder(path) is None
    code = (
        "import sys; from pathlib import Path; from ftstudio.locks import RecordLock\n"
        f"lock = RecordLock(Path({str(path)!r})); print(lock.acquire(), flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "True\n"
    for _ in range(100):
        assert lock_holder(path) == child.pid
    mine = RecordLock(path)
    assert not mine.acquire()
    child.communicate("")
    assert lock_holder(path) is None
    assert mine.acquire()
    mine.release()


def test_what_a_lock_is_held_for_is_read_by_its_holder_too_and_drops_nothing(tmp_path):
    path = tmp_path / "lock"
    lock = RecordLock(path)
    assert lock.acquire()
    lock.note("lab:0007")
    assert held_for(path) == "lab:0007"
    code = f"from pathlib import Path; from ftstudio.locks import *; print(lock_holder(Path({str(path)!r})), held_for(Path({str(path)!r})))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == f"{os.getpid()} lab:0007\n"
    lock.release()
    assert held_for(path) is None


def test_nothing_is_written_through_a_symlink_or_outside(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    refuse_symlinks(tmp_path / "real" / "x", tmp_path)
    with pytest.raises(InputError, match="symbolic link"):
        refuse_symlinks(tmp_path / "link" / "x", tmp_path)
    with pytest.raises(InputError, match="outside"):
        refuse_symlinks(tmp_path.parent, tmp_path)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (28, "disk is full"),
        (122, "disk is full"),
        (30, "read-only"),
        (13, "No permission"),
        (40, "loop of symbolic links"),
        (36, "too long"),
        (24, "No more files"),
        (2, "There is no"),
        (17, "exists already and is no folder"),
        (20, "part of its path is a file"),
        (21, "is a folder, not a file"),
        (5, "Input/output error"),
    ],
)
def test_errors_of_the_file_system_are_sentences(number, words, tmp_path):
    explained = explain(OSError(number, os.strerror(number)), tmp_path / "a")
    assert words in explained.message
    assert "a'" in explained.message
    assert explained.hint.endswith("."), "it says what to do"


def test_permission_errors_name_the_mode(tmp_path):
    path = tmp_path / "a"
    path.write_text("")
    path.chmod(0o400)
    assert "mode 0400" in str(explain(OSError(13, "x"), path))


def test_toml_has_no_null_and_sizes_are_for_people():
    assert toml_text({"a": None, "b": [1, None], "c": {"d": None}}) == "b = [\n    1,\n]\n\n[c]\n"
    assert [size_text(n) for n in (0, 999, 1500, 512_000_000, 4.5e9)] == ["0 B", "999 B", "1.5 kB", "512 MB", "4.5 GB"]


def test_a_name_that_is_no_utf8_is_written_into_toml_as_a_visible_escape(tmp_path):
    text = toml_text({"\udc80": ["caf\u00e9", "\udc9b6n", tmp_path / "\udcff"]})
    assert tomllib.loads(text) == {"\\udc80": ["caf\u00e9", "\\udc9b6n", f"{tmp_path}/\\udcff"]}


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="no folder that root cannot write either")
def test_a_folder_that_is_there_and_takes_no_file_is_no_usable_one():
    with pytest.raises(InputError, match=r"The cache folder cannot be used. No permission for '/sys/kernel'") as raised:
        make_usable(Path("/sys/kernel"), "cache folder", "XDG_CACHE_HOME")
    assert raised.value.hint == "Set XDG_CACHE_HOME to a folder that you can write."


def test_trying_a_folder_makes_it_and_leaves_nothing_in_it(tmp_path):
    make_usable(tmp_path / "a" / "b", "state folder", "XDG_STATE_HOME")
    assert list((tmp_path / "a" / "b").iterdir()) == []
