"""A terminal for tests: the program on a real pty, what it wrote, and what a person would type.

`shown` is all text since the last `clear()`, without escape sequences. `raw` keeps every byte, so that a test can ask
what reached the terminal.
"""

import contextlib
import fcntl
import os
import re
import select
import signal
import struct
import sys
import termios
import threading
import time
from pathlib import Path

SEQUENCES = re.compile(
    rb"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[P_^X][^\x1b]*\x1b\\|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[()][A-Z0-9]|\x1b[ -/]*[0-~]"
)
KEYS = {"enter": b"\r", "esc": b"\x1b", "up": b"\x1b[A", "down": b"\x1b[B", "right": b"\x1b[C", "left": b"\x1b[D",
        "tab": b"\t", "backspace": b"\x7f", "ctrl+c": b"\x03", "ctrl+u": b"\x15"}  # fmt: skip


class Terminal:
    """`Terminal(["ftstudio", ...])` starts the program; `close()` closes the pty without a word, as a cut link does."""

    def __init__(self, arguments, *, size=(80, 24), env=None, cwd=None):
        self.raw = bytearray()
        self._from = 0
        self.pid, self.master = os.forkpty()
        if self.pid == 0:
            os.chdir(cwd or Path.cwd())
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell in the background ignores it, and so would we
            environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(env or {})}
            os.execvpe(arguments[0], arguments, environment)
        self.resize(*size)
        self.reading = threading.Event()
        self.reading.set()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        while True:
            self.reading.wait()
            try:
                ready, _, _ = select.select([self.master], [], [], 0.1)
                data = os.read(self.master, 65536) if ready else None
            except (OSError, ValueError):
                return
            if data == b"":
                return
            if data:
                self.raw += data

    def resize(self, columns, rows):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, *keys, pause=0.15):
        """Keys by name, or text to type."""
        for key in keys:
            os.write(self.master, KEYS.get(key, key.encode()))
            time.sleep(pause)

    def clear(self):
        """Forget what was shown so far."""
        self._from = len(self.raw)

    @property
    def shown(self):
        return SEQUENCES.sub(b" ", bytes(self.raw[self._from :])).decode("utf-8", "replace")

    def until(self, *texts, seconds=60):
        """Wait until all of these texts were shown."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            shown = self.shown
            if all(text in shown for text in texts):
                return
            time.sleep(0.05)
        missing = [text for text in texts if text not in self.shown]
        raise AssertionError(f"{missing} did not come; shown:\n{self.shown[-4000:]}")

    def ended(self, seconds=20):
        """The exit status once the program has ended."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        raise AssertionError(f"the program did not end within {seconds} s")

    def close(self):
        """Close the terminal without a word."""
        with contextlib.suppress(OSError):
            os.close(self.master)

    def kill(self):
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
            self.pid = 0
        self.close()


def studio(root, *flags, **more):
    """The studio on a folder, in a terminal of its own."""
    return Terminal([sys.executable, "-m", "ftstudio", str(root), *flags], **more)
