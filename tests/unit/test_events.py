"""Reading a stream that is being written, was cut, or holds what is no event."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftstudio.runs.events import EventReader, EventWriter, iter_events, parse_event, read_events


def event_line(number, **data):
    return json.dumps({"t": 1.5, "attempt": 1, "kind": "message", "step": None, "n": number, **data}).encode() + b"\n"


@pytest.mark.parametrize("size", [1, 7, 64, 1000, 1 << 20])
def test_a_stream_read_in_pieces_of_any_size_is_the_same_stream(tmp_path, size):
    path = tmp_path / "e"
    path.write_bytes(b"".join(event_line(n, text="é" * n) for n in range(20)))
    reader, found = EventReader(path), []
    while events := reader.read(max(size, 300)):
        found += events
    assert [(e.seq, e.data["n"]) for e in found] == [(n + 1, n) for n in range(20)]
    assert [e.data["n"] for e in iter_events(path)] == list(range(20))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.one_of(st.integers(0, 9), st.binary(max_size=30).map(lambda b: b.replace(b"\n", b""))), max_size=12),
    st.integers(0, 600),
)
def test_every_whole_event_is_read_and_every_bad_line_counted(tmp_path_factory, lines, cut):
    path = tmp_path_factory.mktemp("run") / "e"
    data = b"".join(event_line(x) if isinstance(x, int) else x + b"\n" for x in lines)[:cut]
    path.write_bytes(data)
    reader = EventReader(path)
    events = reader.read()
    complete = data.split(b"\n")[:-1]
    good = [line for line in complete if line + b"\n" in {event_line(n) for n in range(10)}]
    assert [e.data["n"] for e in events] == [json.loads(line)["n"] for line in good]
    assert reader.skipped == sum(bool(line.strip()) for line in complete) - len(good)
    assert reader.read() == []


def test_more_garbage_than_is_read_at_once_hides_nothing_behind_it(tmp_path):
    path = tmp_path / "e"
    path.write_bytes(event_line(1) + b"garbage\n" * 1000 + b"\0" * 5000 + b"\n" + event_line(2))
    reader = EventReader(path)
    found = [e.data["n"] for _ in range(2) for e in reader.read(500)]
    assert found == [1, 2]
    assert reader.skipped == 1001
    assert reader.seq == 1003


def test_a_line_longer_than_what_is_read_at_once_is_skipped_while_it_is_written(tmp_path):
    path = tmp_path / "e"
    path.write_bytes(event_line(1) + b'{"t":' + b"x" * 5000)
    reader = EventReader(path)
    assert [e.data["n"] for e in reader.read(400)] == [1]
    assert reader.read(400) == []
    with path.open("ab") as file:
        file.write(b"y" * 3000 + b"\n" + event_line(2))
    assert [e.data["n"] for e in reader.read(400)] == [2]
    assert reader.skipped == 1


def test_a_file_that_became_shorter_is_another_file(tmp_path):
    path = tmp_path / "e"
    path.write_bytes(event_line(1) + event_line(2))
    reader = EventReader(path)
    assert len(reader.read()) == 2
    path.write_bytes(event_line(3))
    assert [(e.seq, e.data["n"]) for e in reader.read()] == [(1, 3)]


def test_a_step_of_numpy_is_a_step(tmp_path):
    class Int64:
        def __int__(self):
            return 5

        __index__ = __int__

    writer = EventWriter(tmp_path / "e", 1)
    writer.write("metrics", Int64(), metrics={"loss": 1.0})
    assert read_events(tmp_path / "e")[0].step == 5


@pytest.mark.parametrize(
    "line",
    [
        b'{"t":1e999,"attempt":1,"kind":"a","step":1}',
        b'{"t":NaN,"attempt":1,"kind":"a","step":1}',
        b'{"t":1' + b"0" * 400 + b',"attempt":1,"kind":"a","step":1}',
        b'{"t":1,"attempt":1e999,"kind":"a","step":1}',
        b'{"t":1,"attempt":-1,"kind":"a","step":1}',
        b'{"t":1,"attempt":true,"kind":"a","step":1}',
        b'{"t":1,"attempt":99999999999,"kind":"a","step":1}',
        b'{"t":1,"attempt":1,"kind":"a","step":1' + b"0" * 30 + b"}",
        b'{"t":1,"attempt":1,"kind":"a","step":1.5}',
        b'{"t":1,"attempt":1,"kind":"a","step":' + b"1" * 5000 + b"}",
        b'"t"',
        b"3",
    ],
)
def test_numbers_beyond_all_bounds_are_no_event(line):
    assert parse_event(line, 1) is None
