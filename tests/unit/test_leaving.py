"""Processes in which plugins ran leave when their work is done, whatever a plugin left running there."""

import subprocess
import sys
import threading

import pytest

from ftstudio.process.left_running import left_running, threads_of

STARTS = """
import atexit, threading, time
from ftstudio.leaving import leave_after
def work():
    threading.Thread(target=time.sleep, args=(60,)).start()
    atexit.register(time.sleep, 60)
    print("done")
    {then}
leave_after(work{seconds})
"""


@pytest.mark.parametrize(
    ("then", "seconds", "code", "says"),
    [
        ("return 3", "", 3, ""),
        ("return 3", ", 0.2", 3, ""),
        ("raise SystemExit(4)", "", 4, ""),
        ("raise SystemExit", "", 0, ""),
        ("raise SystemExit('It is gone.')", "", 1, "It is gone.\n"),
        ("raise KeyboardInterrupt", "", 130, ""),
        ("raise KeyError('ours')", "", 1, "KeyError: 'ours'\n"),
    ],
)
def test_a_process_leaves_with_its_code_though_a_thread_and_an_exit_function_never_end(then, seconds, code, says):
    done = subprocess.run(
        [sys.executable, "-c", STARTS.format(then=then, seconds=seconds)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (code, "done\n")
    assert done.stderr.endswith(says)
    assert bool(done.stderr) is bool(says)


def test_a_process_that_gives_time_lets_what_was_left_be_done():
    code = (
        "import atexit; from ftstudio.leaving import leave_after; atexit.register(print, 'sent')\n"
        "leave_after(lambda: 5, 20)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=15, check=False)
    assert (done.returncode, done.stdout) == (5, "sent\n")


def test_threads_that_run_on_are_said_with_whose_they_are():
    end = threading.Event()
    try:
        with threads_of("dataset x of d 1"):
            threading.Thread(target=end.wait, name="uploads").start()
            threading.Thread(target=end.wait, name="asleep", daemon=True).start()
            brief = threading.Thread(target=str)
            brief.start()
        brief.join()
        with threads_of("trainer y of e 2"):
            pass
        assert left_running() == ["dataset x of d 1 left a thread running (uploads): it ends with the run."]
    finally:
        end.set()
    for thread in [t for t in threading.enumerate() if t.name == "uploads"]:
        thread.join()
    assert left_running() == []
