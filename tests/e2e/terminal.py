"""A terminal for tests: the program on a real pty, what it wrote, and what a person would type.

`shown` is all text since the last `clear()`, without escape sequences; `picture` is what stands on the screen now.
`raw` keeps every byte, so that a test can ask what reached the terminal.
"""

import contextlib
import fcntl
import os
import re
import select
import signal
import struct
import termios
import threading
import time
from pathlib import Path

from screen import Screen

SEQUENCES = re.compile(
    rb"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[P_^X][^\x1b]*\x1b\\|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[()][A-Z0-9]|\x1b[ -/]*[0-~]"
)
KEYS = {"enter": b"\r", "esc": b"\x1b", "up": b"\x1b[A", "down": b"\x1b[B", "right": b"\x1b[C", "left": b"\x1b[D",
        "home": b"\x1b[H", "end": b"\x1b[F", "pageup": b"\x1b[5~", "pagedown": b"\x1b[6~",
        "tab": b"\t", "backspace": b"\x7f", "ctrl+c": b"\x03", "ctrl+u": b"\x15"}  # fmt: skip
ELSEWHERE = ("SSH_CONNECTION", "TMUX", "NO_COLOR", "COLUMNS", "LINES")
"""What the tests' own terminal may say of itself."""


class Terminal:
    """`Terminal(["ftstudio", ...])` starts the program; `close()` closes the pty without a word, as a cut link does."""

    def __init__(self, command, *, size=(80, 24), env=None, cwd=None):
        self.raw = bytearray()
        self._from = self._fed = 0
        self._screen = Screen(*size)
        self.pid, self.master = os.forkpty()
        if self.pid == 0:
            self._become(command, size, env or {}, cwd or Path.cwd())
        self.reading = threading.Event()
        """Cleared, nobody reads what the program writes."""
        self.reading.set()
        self._left = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @staticmethod
    def _become(command, size, env, cwd):
        """The program, in the child."""
        _set_size(0, *size)
        os.chdir(cwd)
        for number in (
            signal.SIGINT,
            signal.SIGHUP,
        ):  # a shell in the background, or nohup, ignores them, and so would we
            signal.signal(number, signal.SIG_DFL)
        ours = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
        os.execvpe(command[0], command, {**ours, "TERM": "xterm-256color", "COLORTERM": "truecolor", **env})

    def _read(self):
        while self.reading.wait() and not self._left.is_set():
            try:
                ready, _, _ = select.select([self.master], [], [], 0.05)
                data = os.read(self.master, 65536) if ready else None
            except OSError:
                return
            if data:
                self.raw += data

    # ------------------------------------------------------------------------------------------- hands

    def press(self, *keys, pause=0.15):
        """Keys by name, or text to type. What comes soon after an escape is taken for a part of it."""
        for key in keys:
            os.write(self.master, KEYS.get(key, key.encode()))
            time.sleep(max(pause, 0.5) if key == "esc" else pause)

    def resize(self, columns, rows):
        """Drag the window."""
        self._screen.resize(columns, rows)
        _set_size(self.master, columns, rows)

    # -------------------------------------------------------------------------------------------- eyes

    def clear(self):
        """Forget what was shown so far."""
        self._from = len(self.raw)

    @property
    def shown(self):
        return SEQUENCES.sub(b" ", bytes(self.raw[self._from :])).decode("utf-8", "replace")

    @property
    def picture(self):
        """What stands on the screen, line by line."""
        end = len(self.raw)
        self._screen.feed(self.raw[self._fed : end])
        self._fed = end
        return self._screen.text

    def until(self, *texts, seconds=60):
        """Wait until all of these texts were shown since the last `clear()`, and return what was."""
        return self._wait(lambda: self.shown, texts, seconds)

    def sees(self, *texts, seconds=60):
        """Wait until all of these texts stand on the screen at once, and return the picture."""
        return self._wait(lambda: self.picture, texts, seconds)

    def _wait(self, look, texts, seconds):
        deadline = time.monotonic() + seconds
        while True:
            text = look()
            missing = [t for t in texts if t not in text]
            if not missing:
                return text
            if time.monotonic() > deadline:
                raise AssertionError(f"{missing} did not come; shown:\n{text[-6000:]}")
            time.sleep(0.05)

    # --------------------------------------------------------------------------------------------- end

    def ended(self, seconds=60):
        """The exit status once the program has ended; all that it wrote was read then."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                self._reader.join(2)
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        raise AssertionError(f"the program did not end within {seconds} s; shown:\n{self.shown[-4000:]}")

    def close(self):
        """Close the terminal without a word."""
        if self.master >= 0:
            self._left.set()
            self.reading.set()
            self._reader.join()
            os.close(self.master)
            self.master = -1

    def kill(self):
        """End the program, if it has not ended, and close the terminal."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0
        self.close()


def _set_size(descriptor, columns, rows):
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
