"""The Arrow cache: bounded memory, nothing half-written, made again when it is damaged; and the fingerprint."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ftstudio.testing import FakeRun
from ftstudio_datasets import arrow, files
from ftstudio_datasets.options import TableOptions, TextOptions
from ftstudio_datasets.text import Text


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    return FakeRun(tmp_path)


def put(run: FakeRun, content: str, name: str = "a.txt") -> Path:
    path = run.project / name
    path.write_text(content)
    return path


def load(run: FakeRun, **options: Any) -> list[str]:
    return list(Text(TextOptions(path=("a.txt",), **options)).load(run)["train"]["text"])


def entries(run: FakeRun) -> list[Path]:
    return sorted((run.cache / "datasets").iterdir())


# --------------------------------------------------------------------------------------------------- cache


def test_a_second_load_reads_what_the_first_wrote(run: FakeRun) -> None:
    put(run, "one\n\ntwo\n")
    assert load(run) == load(run) == ["one", "two"]
    assert len(entries(run)) == 1
    assert len(run.progressed) == 1
    assert run.messages == ["train: 1 blank row left out, 2 kept."] * 2


def test_progress_is_told_in_bytes(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "_BATCH_ROWS", 10)
    put(run, "one\n" * 95)
    load(run)
    assert len(run.progressed) == 10
    assert run.progressed[-1] == (380, 380, "bytes")


@pytest.mark.parametrize("damage", ["cut", "gone", "about"])
def test_a_damaged_entry_is_made_again(run: FakeRun, damage: str) -> None:
    put(run, "one\ntwo\n")
    load(run)
    table, about = entries(run)[0] / "train.arrow", entries(run)[0] / "about.json"
    if damage == "cut":
        os.truncate(table, table.stat().st_size - 8)
    elif damage == "gone":
        table.unlink()
    else:
        about.write_text("{")
    assert load(run) == ["one", "two"]
    assert len(run.progressed) == 2


def test_a_load_that_ends_early_leaves_nothing(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    class StoppedError(Exception):
        pass

    def stop(*figures: Any) -> None:
        raise StoppedError

    put(run, "one\n")
    monkeypatch.setattr(run, "progress", stop)
    with pytest.raises(StoppedError):
        load(run)
    assert entries(run) == []


def test_a_killed_process_leaves_no_entry_and_its_rest_is_swept_a_day_later(run: FakeRun) -> None:
    put(run, "one\ntwo\n")
    code = f"""
import os, signal
from pathlib import Path
from ftstudio.testing import FakeRun
from ftstudio_datasets.options import TextOptions
from ftstudio_datasets.text import Text
run = FakeRun(Path({str(run.root)!r}))
run.progress = lambda *figures: os.kill(os.getpid(), signal.SIGKILL)
Text(TextOptions(path=("a.txt",))).load(run)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    (left,) = entries(run)
    assert left.name.startswith(".staging-")
    assert load(run) == ["one", "two"]
    assert left.exists()
    os.utime(left, (0, 0))
    put(run, "three\n")
    assert load(run) == ["three"]
    assert not left.exists()


def test_of_two_writers_of_one_entry_the_first_wins(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    put(run, "one\n")
    rename = arrow._rename

    def late(staging: Path, folder: Path) -> None:
        monkeypatch.setattr(arrow, "_rename", rename)
        load(run)  # another process, in between
        rename(staging, folder)

    monkeypatch.setattr(arrow, "_rename", late)
    assert load(run) == ["one"]
    assert [entry.name.startswith(".") for entry in entries(run)] == [False]


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_thirty_megabytes_need_the_memory_of_a_batch(run: FakeRun) -> None:
    line = "the quick brown fox jumps over the lazy dog " * 3
    put(run, f"{line}\n" * (30_000_000 // len(line)))
    code = f"""
from pathlib import Path
from ftstudio.testing import FakeRun
from ftstudio_datasets.options import TextOptions
from ftstudio_datasets.text import Text

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0])  # kB; mapped files are no memory of ours

run = FakeRun(Path({str(run.root)!r}))
before, most = peak(), 0

def note(*figures):
    global most
    most = max(most, peak())

run.progress = note
table = Text(TextOptions(path=("a.txt",))).load(run)["train"]
print(len(table), most - before)
"""
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    rows, grown = map(int, out.split())
    assert rows == 30_000_000 // len(line)
    # 30 MB of lines as Python texts would be 42 MB, a list of rows 90 MB, and Arrow's copy would come on top.
    assert grown < 40_000


# --------------------------------------------------------------------------------------------- fingerprint


def fingerprint(run: FakeRun, **options: Any) -> str:
    return Text(TextOptions(path=("a.txt",), **options)).fingerprint(run)


def test_the_fingerprint_follows_the_content_even_at_the_same_size_and_time(run: FakeRun) -> None:
    path = put(run, "one\n")
    first, stat = fingerprint(run), path.stat()
    put(run, "two\n")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert fingerprint(run) != first


def test_the_fingerprint_does_not_follow_place_or_time(run: FakeRun, tmp_path: Path) -> None:
    path = put(run, "one\n")
    first = fingerprint(run)
    os.utime(path, (0, 0))
    assert fingerprint(run) == first
    other = FakeRun(tmp_path / "moved")
    put(other, "one\n")
    assert fingerprint(other) == first


def test_the_fingerprint_follows_options_that_shape_rows_and_the_table_a_file_is_in(run: FakeRun) -> None:
    put(run, "one\n")
    put(run, "one\n", "b.txt")
    first = fingerprint(run)
    assert fingerprint(run, split_by="document") != first
    assert fingerprint(run, validation_path=("b.txt",)) != first
    table = files.fingerprint("table", TableOptions(path=("a.txt",)), {})
    assert table != files.fingerprint("table", TableOptions(path=("a.txt",), text_column="x"), {})


def test_a_large_file_is_known_by_three_blocks_its_size_and_its_time(
    run: FakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "HASHED_WHOLE", 1000)
    monkeypatch.setattr(files, "_BLOCK", 100)
    path = put(run, "one\n" * 1000)
    os.utime(path, (5, 5))
    first = fingerprint(run)
    for start in (0, 2000, 3996):
        content = "one\n" * 1000
        path.write_text(content[:start] + "two" + content[start + 3 :])
        os.utime(path, (5, 5))
        assert fingerprint(run) != first
    path.write_text("one\n" * 1000)
    assert fingerprint(run) != first
    os.utime(path, (5, 5))
    assert fingerprint(run) == first
