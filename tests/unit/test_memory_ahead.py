"""Memory that is touched ahead is what is taken later; where that helps nobody nothing is touched."""

import os
import subprocess
import sys

import pytest

from ftstudio.process import heavy

SIZE = 256 << 20
TAKE = f"""
import resource, sys, time
from ftstudio.process.memory_ahead import touch_ahead
{{before}}
ahead = touch_ahead({SIZE}) if sys.argv[1] == "ahead" else 0
print(ahead)
held = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
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
