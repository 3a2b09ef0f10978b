"""A first picture of a long run from a part of its events, and the rest in bounded steps."""

import random
from itertools import pairwise

import pytest

from ftstudio.runs import history as module
from ftstudio.runs.events import EventWriter, read_events
from ftstudio.runs.history import History, sketch
from ftstudio.runs.series import Series


def write_attempts(path, *attempts, width=0):
    """Attempts (resumed from, last step), the value of each point being its step and attempt."""
    for number, (start, end) in enumerate(attempts, start=1):
        writer = EventWriter(path, number)
        if number > 1:
            writer.write("message", text="x" * 50)
            writer.write("state", state="running", devices=["cpu"], resumed_from=start)
        for step in range(start + 1, end + 1):
            writer.write("metrics", step, metrics={"loss": step + number / 100}, pad="x" * width)
            if step % 10 == 0:
                writer.write("progress", done=step, total=end, unit="step")
        writer.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.jsonl"


@pytest.fixture
def small(monkeypatch):
    """Long is what is longer than 64 kB."""
    monkeypatch.setattr(module, "BLOCKS", 64)
    monkeypatch.setattr(module, "BLOCK_BYTES", 512)
    monkeypatch.setattr(module, "END_BYTES", 4096)


def whole(path):
    series = Series()
    series.add(read_events(path))
    return series


def test_a_short_run_is_read_whole_at_once(path):
    write_attempts(path, (0, 100), (50, 120))
    history = History(path, Series)
    assert history.sketch().values("loss") == whole(path).values("loss")
    assert not history.is_sketch


def test_a_run_without_events_is_an_empty_picture(path):
    history = History(path, Series)
    assert history.sketch().names == []
    assert history.advance()
    assert history.share == 1.0


def test_a_sketch_holds_both_ends_and_evenly_spread_points_between(path, small):
    write_attempts(path, (0, 5000))
    history = History(path, Series)
    points = history.sketch().values("loss")
    assert history.is_sketch
    assert points[0] == (1, 1.01)
    assert points[-1] == (5000, 5000.01)
    assert 64 <= len(points) < 2500
    gaps = [b - a for (a, _), (b, _) in pairwise(points)]
    assert max(gaps) < 2 * 5000 / 64


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("seed", range(12))
def test_a_sketch_never_shows_a_point_that_a_resume_hides(path, seed):
    rng = random.Random(seed)
    attempts, reached = [], 0
    for _ in range(rng.choice([2, 3, 8])):
        start = max(0, reached - rng.choice([0, 3, 200]))
        reached = start + rng.choice([2, 40, 900, 3000])
        attempts.append((start, reached))
    attempts.append((reached - 1, reached + 900))
    write_attempts(path, *attempts, width=rng.choice([0, 600, 9000]))
    found = Series()
    assert sketch(path, found)
    assert set(found.values("loss")) <= set(whole(path).values("loss"))
    assert found.last() == whole(path).last()


def test_the_rest_comes_in_steps_that_are_bounded_in_time(path, small, monkeypatch):
    write_attempts(path, (0, 3000))
    history = History(path, Series)
    history.sketch()
    monkeypatch.setattr(module, "PIECE", 1000)
    steps, shares = 0, [history.share]
    while not history.advance(0.0):
        steps += 1
        shares.append(history.share)
        assert history.is_sketch
    assert steps > 100
    assert shares == sorted(shares)
    assert not history.is_sketch
    assert history.best.values("loss") == whole(path).values("loss")


def test_what_is_written_meanwhile_is_read_at_the_next_step(path, small):
    write_attempts(path, (0, 2000))
    history = History(path, Series)
    history.sketch()
    assert history.advance()
    writer = EventWriter(path, 2)
    writer.write("state", state="running", resumed_from=1000)
    writer.write("metrics", 1001, metrics={"loss": 7.0})
    assert history.advance()
    assert history.best.values("loss")[-2:] == [(1000, 1000.01), (1001, 7.0)]


def test_damaged_stretches_are_counted_and_passed_over(path, small):
    write_attempts(path, (0, 3000))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 60_000] = b"\0" * 60_000
    path.write_bytes(data)
    history = History(path, Series)
    assert history.sketch().last() == {"loss": 3000.01}
    assert history.advance()
    assert history.skipped == 1
    assert len(history.best.values("loss")) > 2000


def test_anything_that_takes_events_can_gather_them(path):
    class Count:
        events = 0

        def add(self, events):
            self.events += len(list(events))

    write_attempts(path, (0, 95))
    assert History(path, Count).sketch().events == 104
