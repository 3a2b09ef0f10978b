"""The studio inside tmux, and through a real sshd: the link breaks in mid-run, the run goes on, and is found again."""

import getpass
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lab import at_step, ended, gone, kill, until

from ftstudio.runs.control import ask
from ftstudio.runs.events import read_events
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.state import read_state

pytestmark = [pytest.mark.alone, pytest.mark.timeout(120), pytest.mark.usefixtures("fakes")]

LONG = {"max_steps": 20_000, "save_steps": 500, "step_seconds": 0.01}
CARRIED = ("PATH", "PYTHONPATH", "HF_HOME", "HF_HUB_OFFLINE", "LANG")
GONE_SECONDS = 1.0


@pytest.fixture
def project(make_project):
    return make_project(trainer=LONG)


def studio_of(root):
    """The pid of the studio that is open on a folder."""

    def look():
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and not gone(int(entry.name)):
                try:
                    words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                except OSError:
                    continue
                if words[:4] == [sys.executable, "-m", "ftstudio", str(root)]:
                    return int(entry.name)
        return None

    return until(look, "the process of the studio", 10)


def goes_on_without(studio, run, break_link):
    """Break the link: the studio is gone at once, and the run does not notice."""
    at_step(run, 3)
    break_link()
    until(lambda: gone(studio), "the end of the studio", GONE_SECONDS)
    step = read_events(run.events)[-1].step
    at_step(run, step + 20)
    assert read_state(run).state == "running"


def stopped(run):
    ask(run, "stop", 1)
    return ended(run).state == "stopped"


# --------------------------------------------------------------------------------------------------- tmux


class Tmux:
    """A tmux server of its own, without anybody's settings."""

    def __init__(self, folder):
        self.socket = f"ftstudio-{os.getpid()}"
        self.env = {**os.environ, "TMUX_TMPDIR": str(folder), "TERM": "xterm-256color", "TMUX": ""}

    def __call__(self, *words, check=True):
        done = subprocess.run(
            self.command(*words), env=self.env, capture_output=True, text=True, timeout=20, check=False
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def command(self, *words):
        return ["tmux", "-L", self.socket, "-f", "/dev/null", *map(str, words)]

    def open(self, root):
        self("new-session", "-d", "-x", 80, "-y", 24, shlex.join([sys.executable, "-m", "ftstudio", str(root)]))

    def sees(self, *texts):
        deadline = time.monotonic() + 30
        while not all(text in (picture := self("capture-pane", "-p", check=False)) for text in texts):
            assert time.monotonic() < deadline, f"{texts} did not come; shown:\n{picture}"
            time.sleep(0.1)

    def press(self, *keys):
        for key in keys:
            self("send-keys", key)
            time.sleep(0.1)


@pytest.fixture
def tmux(tmp_path):
    if not shutil.which("tmux"):
        pytest.skip("tmux is not installed")
    one = Tmux(tmp_path)
    yield one
    one("kill-server", check=False)


def test_inside_tmux_the_studio_outlives_its_client_and_the_run_outlives_tmux(tmux, terminal, project):
    tmux.open(project.parent)
    client = terminal(command=tmux.command("attach"), env=tmux.env)
    client.until("No runs yet")
    tmux.sees("No runs yet", "lab")
    tmux.press("Enter")
    tmux.sees("1 Setup", "fake-walk")
    tmux.press("S")
    tmux.sees("Start a run of lab", "20,000 steps")
    tmux.press("Enter")
    tmux.sees("3 Train", "running", "loss")
    run = RunFolder(project / "runs" / "0001")
    assert "\x1b" not in tmux("capture-pane", "-p")
    client.close()
    client.ended()
    tmux.sees("running")
    goes_on_without(int(tmux("display", "-p", "#{pane_pid}")), run, lambda: tmux("kill-server"))
    tmux.open(project.parent)
    tmux.sees("3 Train", "run 0001", "running")
    tmux.press("q")
    until(lambda: not tmux("list-sessions", check=False), "the end of the studio")
    assert stopped(run)


# ---------------------------------------------------------------------------------------------------- ssh


class Sshd:
    """An sshd on a free port of the loopback, with keys that are made for it."""

    def __init__(self, folder):
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        (folder / "config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host'}\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {folder / 'user.pub'}\nStrictModes no\nPermitRootLogin yes\nPrintMotd no\n"
        )
        self.log = (folder / "sshd.log").open("wb")
        command = [shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin"), "-D", "-e", "-f", folder / "config"]
        self.daemon = subprocess.Popen(command, stderr=self.log)

    def ssh(self, command):
        """The command line of a client at a terminal."""
        options = {"StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null", "LogLevel": "ERROR",
                   "IdentitiesOnly": "yes", "BatchMode": "yes"}  # fmt: skip
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        here = f"{getpass.getuser()}@127.0.0.1"
        return [
            "ssh",
            "-F",
            "none",
            "-tt",
            "-i",
            str(self.folder / "user"),
            "-p",
            str(self.port),
            *words,
            here,
            command,
        ]

    def answers(self):
        return subprocess.run(self.ssh("true"), capture_output=True, timeout=20, check=False).returncode == 0

    def close(self):
        self.daemon.terminate()
        self.daemon.wait(10)
        self.log.close()


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    if not all(shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in ("sshd", "ssh", "ssh-keygen")):
        pytest.skip("openssh's server or client is not installed")
    folder = tmp_path_factory.mktemp("sshd")
    one = Sshd(folder)
    try:
        deadline = time.monotonic() + 10
        while one.daemon.poll() is None and not one.answers() and time.monotonic() < deadline:
            time.sleep(0.1)
        if one.daemon.poll() is not None or not one.answers():
            pytest.skip(f"sshd does not let us in here: {(folder / 'sshd.log').read_text().strip().splitlines()[-1:]}")
        yield one
    finally:
        one.close()


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def session_of(studio):
    """The sshd process that holds the studio's pty."""
    pid = studio
    while "sshd" not in Path(f"/proc/{pid}/comm").read_text():
        pid = parent_of(pid)
    return pid


@pytest.mark.parametrize("broken", ["client", "session"])
def test_through_sshd_a_run_outlives_the_link_and_is_found_live(sshd, terminal, project, own_folders, broken):
    carried = [*CARRIED, *(name for name in os.environ if name.startswith(("XDG_", "FTSTUDIO_")))]
    words = ["env", *(f"{name}={os.environ[name]}" for name in carried if name in os.environ), "TERM=xterm-256color"]
    there = sshd.ssh("exec " + shlex.join([*words, sys.executable, "-m", "ftstudio", str(project.parent)]))

    first = terminal(command=there)
    first.sees("No runs yet", "lab")
    first.press("enter")
    first.sees("1 Setup", "fake-walk")
    first.press("S")
    first.sees("Start a run of lab", "20,000 steps")
    first.press("enter")
    first.sees("3 Train", "running", "loss")
    run, studio = RunFolder(project / "runs" / "0001"), studio_of(project.parent)
    assert b"SSH_CONNECTION=" in Path(f"/proc/{studio}/environ").read_bytes()
    whom = first.pid if broken == "client" else session_of(studio)
    goes_on_without(studio, run, lambda: kill(whom, signal.SIGKILL))

    second = terminal(command=there)
    second.sees("3 Train", "run 0001", "running")
    second.press("q")
    assert second.ended() == 0
    assert "1 run goes on. Come back with: ftstudio" in second.shown
    assert stopped(run)
