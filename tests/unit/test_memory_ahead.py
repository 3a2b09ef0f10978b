"""Memory that is touched ahead is what is taken later; where that helps nobody nothing is touched."""

import os
import subprocess
import sys

import pytest

from ftstudio.process import heavy, memory_ahead

SIZE = 256 << 20
TAKE = f"""
import resource, sys, time
from ftstudio.process.memory_ahead import touch_ahead
{{before}}
ahead = touch_ahead({SIZE}) if sys.argv[1] == "ahead" else 0
print(ahead)
def held():  # by this program alone: what getrusage says begins at what its parent held
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))
until = time.monotonic() + 60
while ahead and held() < {SIZE} and time.monotonic() < until:
    time.sleep(0.01)
time.sleep(0.2)  # it is freed after its last byte is written
touched = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
taken = b"x" * {SIZE // 2}
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - touched, held() >> 20)
"""
SMALL = {"GLIBC_TUNABLES": "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1099511627776"}
"""Without huge pages, a machine's setting of which decides how many faults there are."""

linux = pytest.mark.skipif(sys.platform != "linux", reason="it is glibc that is asked to keep memory")


def run(how: str, before: str = "", **environment: str) -> list[int]:
    """Bytes touched ahead; pages touched for the first time while half as many are taken; the peak in MiB."""
    command = [sys.executable, "-c", TAKE.format(before=before), how]
    done = subprocess.run(
        command, env={**heavy.environment(), **SMALL, **environment}, capture_output=True, text=True, check=True
    )
    return [int(word) for word in done.stdout.split()]


@linux
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="it takes a core that importing leaves free")
def test_what_is_taken_after_it_was_touched_ahead_is_not_touched_for_the_first_time():
    _, untouched, _ = run("not")
    ahead, touched, peak = run("ahead")
    assert ahead == SIZE
    assert untouched > SIZE / 2 / 4096 * 0.9
    assert touched < untouched / 20
    assert peak < 1.5 * (SIZE >> 20)  # held once


@linux
@pytest.mark.parametrize(
    "no_help",
    [
        {"GLIBC_TUNABLES": ""},
        {"before": "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"},
        {"before": "resource.setrlimit(resource.RLIMIT_AS, (1 << 33, resource.RLIM_INFINITY))"},
    ],
    ids=["memory is not kept", "one core", "the address space is limited"],
)
def test_nothing_is_touched_where_it_would_not_help(no_help):
    ahead, *_ = run("ahead", **no_help)
    assert ahead == 0


GIB = 1 << 30
V1, V2 = "sys/fs/cgroup/memory", "sys/fs/cgroup"


@pytest.mark.parametrize(
    ("groups", "files", "left"),
    [
        ("0::/", {}, 16),
        ("0::/", {f"{V2}/memory.max": "max", f"{V2}/memory.current": GIB}, 16),
        ("0::/user/job", {f"{V2}/user/job/memory.max": 3 * GIB, f"{V2}/user/job/memory.current": GIB}, 2),
        ("0::/user/job", {f"{V2}/user/memory.max": 3 * GIB, f"{V2}/user/memory.current": 2 * GIB}, 1),
        ("0::/job", {f"{V2}/job/memory.high": 5 * GIB, f"{V2}/job/memory.current": GIB}, 4),
        ("0::/job", {f"{V2}/job/memory.high": GIB, f"{V2}/job/memory.current": 2 * GIB}, 0),
        ("4:cpu,memory:/job", {f"{V1}/job/memory.limit_in_bytes": 3 * GIB, f"{V1}/job/memory.usage_in_bytes": GIB}, 2),
        ("4:memory:/outside", {f"{V1}/memory.limit_in_bytes": 3 * GIB, f"{V1}/memory.usage_in_bytes": GIB}, 2),
    ],
    ids=["none", "no limit", "its own", "one above", "high", "used up", "version 1", "version 1, in a container"],
)
def test_what_is_free_is_what_the_control_groups_leave(tmp_path, groups, files, left):
    files = {"proc/meminfo": f"MemTotal: 1 kB\nMemAvailable: {16 << 20} kB\n", "proc/self/cgroup": groups, **files}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    assert memory_ahead._free_bytes(tmp_path) == left * GIB


def test_nothing_is_free_where_nobody_says(tmp_path):
    assert memory_ahead._free_bytes(tmp_path) == 0


def test_at_most_a_quarter_of_what_is_free_is_touched(monkeypatch):
    monkeypatch.setattr(memory_ahead, "_free_bytes", lambda: GIB // 2)
    monkeypatch.setattr(memory_ahead, "keeps_memory", lambda: True)
    monkeypatch.setattr(memory_ahead, "_is_limited", lambda: False)
    monkeypatch.setattr(memory_ahead.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    assert memory_ahead.touch_ahead(1 << 60) == GIB // 8
