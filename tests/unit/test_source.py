"""Reading and editing a person's TOML file."""

import os
import time

import pytest

from ftstudio.errors import FileChangedError, InputError, ProblemsError
from ftstudio.source import edit_source, parse_value, read_source


def read(tmp_path, content):
    path = tmp_path / "project.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_source(path)


def test_what_is_no_file_is_said_and_waited_for_by_nobody(tmp_path):
    pipe, loop = tmp_path / "pipe", tmp_path / "loop"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    for path, sentence in (
        (pipe, "is a named pipe, not a file."),
        (loop, "is a symbolic link, or a loop of symbolic links."),
    ):
        with pytest.raises(InputError, match=sentence):
            read_source(path)


def test_every_key_knows_its_line(tmp_path):
    source = read(
        tmp_path,
        'a = 1\nb.c = 2\n[t] # x\nx = """\n[no]\nk = 1\n"""\ny = [\n 1,\n [2],\n]\nz = 3\n[[observers]]\nuse = "a"\n[[observers]]\nuse = "b"\n',
    )
    assert source.line_of("", "a") == 1
    assert source.line_of("b", "c") == 2
    assert source.line_of("t", "y") == 8
    assert source.line_of("t", "z") == 12
    assert source.line_of("observers[1]", "use") == 16
    assert source.line_of("t", "unknown") == 3
    assert source.line_of("nowhere", "x") is None


@pytest.mark.parametrize(
    ("content", "sentence", "line"),
    [
        (b"\xef\xbb\xbfformat = 1", "starts with a byte order mark", 1),
        ("format = 1".encode("utf-16"), "is UTF-16", 1),
        (b'name = "a"\nx = "\xe9"', "Byte 0xe9 is not UTF-8", 2),
        (b"format = 1\nname = \x00", "holds a NUL byte", 2),
        (b"format = 1\nformat = 2", "It is not TOML: the key stands twice.", 2),
        (b"[t]\na = 1\n[t]\nb = 1", "It is not TOML: the table stands twice.", 3),
        (b"a = " + b"[" * 5000 + b"]" * 5000, "nested more than 32 deep", 1),
        (b"a." * 20_000 + b"a = 1", "more than 16 dotted parts", 1),
        (b"a = " + b"9" * 5000, "more than 400 digits", 1),
        (b"#" * 300_000, "larger than 262 kB", None),
        (b"a = 1979-13-01", "not TOML", 1),
        (b'a = "', "not TOML", 1),
        (b"[t\na = 1", "not TOML", 1),
    ],
)
def test_what_cannot_be_read_is_said_in_one_sentence_at_once(tmp_path, content, sentence, line):
    started = time.process_time()
    with pytest.raises(ProblemsError) as caught:
        read(tmp_path, content)
    assert time.process_time() - started < 0.2
    (problem,) = caught.value.problems
    assert sentence in problem.message
    assert problem.line == line


def test_an_empty_file_is_an_empty_table(tmp_path):
    assert read(tmp_path, "").table == {}


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="There is no '.*gone.toml'"):
        read_source(tmp_path / "gone.toml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1e-4", 1e-4),
        ("true", True),
        ('"x"', "x"),
        ("[1, 2]", [1, 2]),
        ("gpt2", "gpt2"),
        ("1\n2", "1\n2"),
        ("", ""),
    ],
)
def test_a_value_of_the_command_line_is_toml_else_a_text(text, value):
    assert parse_value(text) == value


PERSONAL = """# mine
format = 1   # the format

[trainer]    # careful
use = "native"
# a comment in between
learning_rate = 5e-5  # tried 1e-4
"""


def test_an_edit_keeps_comments_and_order(tmp_path):
    seen = read(tmp_path, PERSONAL)
    after = edit_source(seen, {"trainer.learning_rate": 1e-4, "trainer.max_steps": 5})
    assert after.text == PERSONAL.replace("5e-5", "0.0001") + "max_steps = 5\n"
    assert edit_source(after, {"trainer.max_steps": None}).text == PERSONAL.replace("5e-5", "0.0001")


def test_a_list_of_tables_is_edited_by_places_and_comments_stay(tmp_path):
    file = tmp_path / "project.toml"
    file.write_text(
        'seed = 1\n[[observers]] # first\nuse = "csv"\n\n[[observers]]\nuse = "b" # second\n[trainer]\nx = 1\n'
    )
    seen = edit_source(read_source(file), {"observers[1].use": "c", "observers[0].every": 5, "observers[2].use": "d"})
    assert seen.table["observers"] == [{"use": "csv", "every": 5}, {"use": "c"}, {"use": "d"}]
    assert seen.table["trainer"] == {"x": 1}
    assert "# first" in seen.text
    assert "# second" in seen.text
    seen = edit_source(seen, {"observers[1]": None, "observers[7]": None, "nobody[0].x": None})
    assert [one["use"] for one in seen.table["observers"]] == ["csv", "d"]
    seen = edit_source(seen, {"observers[1]": None})
    seen = edit_source(seen, {"observers[0]": None})
    assert seen.table == {"seed": 1, "trainer": {"x": 1}}
    with pytest.raises(InputError, match="cannot be edited"):
        edit_source(edit_source(seen, {"observers[0].use": "csv"}), {"observers[2].use": "b"})
    assert seen.path.read_text().endswith('[[observers]]\nuse = "csv"\n')


def test_inline_tables_in_a_list_are_edited_by_places_too(tmp_path):
    file = tmp_path / "project.toml"
    file.write_text('observers = [{use = "csv"}]\nseed = 1\n')
    seen = edit_source(read_source(file), {"observers[0].every": 5, "observers[1].use": "b"})
    assert seen.table == {"observers": [{"use": "csv", "every": 5}, {"use": "b"}], "seed": 1}


def test_a_change_by_somebody_else_is_never_overwritten_and_is_shown(tmp_path):
    seen = read(tmp_path, PERSONAL)
    seen.path.write_text(PERSONAL.replace("5e-5", "3e-5"))
    with pytest.raises(FileChangedError, match="changed by someone else") as caught:
        edit_source(seen, {"trainer.learning_rate": 1e-4})
    assert "-learning_rate = 5e-5" in caught.value.difference
    assert "+learning_rate = 3e-5" in caught.value.difference
    assert "3e-5" in seen.path.read_text()


def test_of_two_editors_at_once_one_loses_and_is_told(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    seen = read(tmp_path, PERSONAL)

    def edit(number):
        try:
            return edit_source(seen, {"trainer.max_steps": number}) and number
        except FileChangedError:
            return None

    with ThreadPoolExecutor(8) as pool:
        winners = [n for n in pool.map(edit, range(1, 9)) if n]
    assert len(winners) == 1
    assert read_source(seen.path).table["trainer"]["max_steps"] == winners[0]


def test_a_file_is_not_written_through_a_symlink(tmp_path):
    seen = read(tmp_path, PERSONAL)
    link = tmp_path / "link.toml"
    link.symlink_to(seen.path)
    with pytest.raises(InputError, match="symbolic link"):
        edit_source(read_source(link), {"trainer.max_steps": 1})
