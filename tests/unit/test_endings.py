"""What a supervisor sweeps up after its worker."""

import subprocess
import sys
import time

from ftstudio.process import endings
from ftstudio.runs.state import process_stat

SLEEPS = "import time; time.sleep(600)"
IGNORES = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"


def start(code, **more):
    return subprocess.Popen([sys.executable, "-c", code], start_new_session=True, **more)


def test_a_group_of_which_only_the_dead_are_left_is_gone():
    dead = start("")
    try:
        while process_stat(dead.pid)[0] != b"Z":
            time.sleep(0.01)
        began = time.monotonic()
        endings.end_group(dead.pid)
        assert time.monotonic() - began < endings.GROUP_SECONDS
    finally:
        dead.wait()


def test_a_group_is_asked_and_then_ended(monkeypatch):
    monkeypatch.setattr(endings, "GROUP_SECONDS", 0.3)
    deaf = start(IGNORES, stdout=subprocess.PIPE)
    deaf.stdout.readline()
    endings.end_group(deaf.pid)
    assert deaf.wait(10) == -9
    deaf.stdout.close()

    willing = start(SLEEPS)
    endings.end_group(willing.pid)
    assert willing.wait(10) == -15
