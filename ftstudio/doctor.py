"""What can be said about this machine before a run goes wrong on it: one finding a line, each with its mend.

    examine(root) -> Finding ...      ok, warn or error; made one by one, so a screen can show them as they come

The command and the screen ask this one function. It loads no torch: versions come from the metadata of what is
installed. Whether record locks work is tried out in a process of its own, since the trial forks and the studio has
threads.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import locale
import os
import platform
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ftstudio import __version__
from ftstudio.errors import FtstudioError
from ftstudio.files import cache_dir, config_dir, hub_home, state_dir
from ftstudio.plugins import registry
from ftstudio.process.devices import candidates, gauges, tenants
from ftstudio.process.outlive import what_ends_it
from ftstudio.runs.queue import holders
from ftstudio.settings import read_settings, settings_path
from ftstudio.text import quote, size_text

Level = Literal["ok", "warn", "error"]

NEEDED = ("torch", "transformers", "datasets", "accelerate", "peft", "safetensors", "textual")
LITTLE_SPACE = 5 * 10**9
NO_SPACE = 5 * 10**8
LOCK_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at: what it is, how it is, and what to do where it is not well."""

    level: Level
    subject: str
    says: str
    mend: str = ""

    def as_json(self) -> dict[str, Any]:
        """The value that `doctor --json` prints for it."""
        return dict(self.__dict__)


def examine(root: Path, *, write: bool = True) -> Iterator[Finding]:
    """Look at everything. `write` allows the trial of locks, which makes and removes a file in each folder.

    What cannot be looked at is a finding too: nothing is raised.
    """
    looks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("versions", _versions),
        ("settings", _settings),
        ("plugins", _plugins),
        ("devices", _devices),
        ("folders", lambda: _folders(root)),
        ("space", lambda: _space(root)),
        ("locks", lambda: _locks(root) if write else iter(())),
        ("login", _login),
        ("hub", _hub),
        ("terminal", _terminal),
    )
    for subject, look in looks:
        try:
            yield from look()
        except (FtstudioError, OSError, subprocess.SubprocessError) as error:
            yield Finding(level="error", subject=subject, says=str(error))


# ------------------------------------------------------------------------------------- what is installed


def _versions() -> Iterator[Finding]:
    yield Finding(
        level="ok",
        subject="ftstudio",
        says=f"{__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}",
    )
    for name in NEEDED:
        try:
            yield Finding(level="ok", subject=name, says=importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(level="error", subject=name, says="not installed", mend=f"pip install {name}")


def _settings() -> Iterator[Finding]:
    path = settings_path()
    if not path.exists():
        yield Finding(level="ok", subject="settings", says=f"the defaults; there is no {path}")
        return
    try:
        read_settings()
    except FtstudioError as error:
        yield Finding(level="error", subject="settings", says=error.message, mend=error.hint or "Mend that file.")
    else:
        yield Finding(level="ok", subject="settings", says=str(path))


def _plugins() -> Iterator[Finding]:
    found = registry()
    records = found.records
    working = sum(r.status == "active" for r in records)
    yield Finding(level="ok" if working else "error", subject="plugins", says=f"{working} of {len(records)} work")
    for record in records:
        if record.status == "failed":
            yield Finding(level="error", subject=record.title, says=record.reason, mend=record.mend)
        elif record.status == "disabled":
            yield Finding(level="ok", subject=record.title, says="disabled")
        for remark in found.remarks(record):
            yield Finding(level="warn", subject=record.title, says=remark)


# ----------------------------------------------------------------------------------------------- devices


def _devices() -> Iterator[Finding]:
    cards = sorted(Path("/dev").glob("nvidia[0-9]*"))
    found = candidates()
    if cards and not any(d.place.startswith("gpu") for d in found):
        visible = "CUDA_VISIBLE_DEVICES" in os.environ and not os.environ["CUDA_VISIBLE_DEVICES"].strip("- 1")
        yield Finding(
            level="warn",
            subject="devices",
            says=f"{len(cards)} NVIDIA devices are here, but runs would take the {found[0].name}",
            mend="CUDA_VISIBLE_DEVICES hides them." if visible else "Install a torch that is built for CUDA.",
        )
    slots, owners, busy = read_settings().slots, tenants(), gauges()
    for place in dict.fromkeys([*(d.place for d in found), *busy, *slots]):
        runs = [run.title for run in holders(place, slots)]
        count = slots.get(place, 1)
        says = [f"{count} {'slot' if count == 1 else 'slots'}", f"{', '.join(runs)} here" if runs else "free"]
        if place in busy:
            says.append(f"{size_text(busy[place].used)} of {size_text(busy[place].total)} in use")
        says += [f"process {t.pid} of {t.user or 'somebody'} holds {size_text(t.bytes)}" for t in owners.get(place, [])]
        yield Finding(level="ok", subject=place, says=", ".join(says))


# ------------------------------------------------------------------------------------------------- disks


def _places(root: Path) -> dict[str, Path]:
    return {
        "projects": root,
        "settings folder": config_dir(),
        "state folder": state_dir(),
        "cache folder": cache_dir(),
        "Hub's cache": hub_home(),
    }


def _existing(path: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    return next(place for place in (path.absolute(), *path.absolute().parents) if place.is_dir())


def _folders(root: Path) -> Iterator[Finding]:
    for name, path in _places(root).items():
        there = _existing(path)
        mode = stat.S_IMODE(there.stat().st_mode)
        says = f"{path}, mode {mode:04o}" if there == path.absolute() else f"{path}, not made yet"
        if str(path).startswith("~"):
            mend = f"Write the whole path of a folder{' into HF_HOME' if path == hub_home() else ''}."
            yield Finding(level="error", subject=name, says=f"{path}: there is no such home", mend=mend)
        elif not os.access(there, os.W_OK | os.X_OK):
            yield Finding(
                level="error",
                subject=name,
                says=f"{says}: {quote(there, 200)} cannot be written",
                mend="Change its mode or owner, or name another folder.",
            )
        elif mode & 0o002 and not mode & stat.S_ISVTX and there == path.absolute():
            yield Finding(level="warn", subject=name, says=f"{says}: anybody can write it", mend=f"chmod o-w {path}")
        else:
            yield Finding(level="ok", subject=name, says=says)


def _file_systems(root: Path) -> dict[int, tuple[Path, list[str]]]:
    """Device number -> a folder on it, and what lies there."""
    found: dict[int, tuple[Path, list[str]]] = {}
    for name, path in _places(root).items():
        there = _existing(path)
        found.setdefault(there.stat().st_dev, (there, []))[1].append(name)
    return found


def _space(root: Path) -> Iterator[Finding]:
    for folder, names in _file_systems(root).values():
        usage = shutil.disk_usage(folder)
        level: Level = "error" if usage.free < NO_SPACE else "warn" if usage.free < LITTLE_SPACE else "ok"
        yield Finding(
            level=level,
            subject="free space",
            says=f"{size_text(usage.free)} of {size_text(usage.total)} for {', '.join(names)}",
            mend="" if level == "ok" else "ftstudio disk shows what runs hold, ftstudio prune makes room.",
        )


def _locks(root: Path) -> Iterator[Finding]:
    for folder, names in _file_systems(root).values():
        if not os.access(folder, os.W_OK | os.X_OK):
            continue  # that is said above
        reason = why_locks_fail_there(folder)
        yield Finding(
            level="error" if reason else "ok",
            subject="record locks",
            says=f"{reason} ({folder})" if reason else f"work for {', '.join(names)}",
            mend="Put projects and XDG_STATE_HOME on a local disk, or mount it with locks." if reason else "",
        )


def why_locks_fail_there(folder: Path) -> str:
    """Why record locks cannot be trusted in a folder, or "", asked in a process of its own."""
    code = "import sys, pathlib; from ftstudio.locks import why_locks_fail as w; print(w(pathlib.Path(sys.argv[1])))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(folder)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LOCK_SECONDS, check=False,
    )  # fmt: skip
    return done.stdout.strip() if done.returncode == 0 else f"the trial ended with exit code {done.returncode}"


# -------------------------------------------------------------------------------- login, Hub and terminal


def _login() -> Iterator[Finding]:
    sentence = what_ends_it()
    if sentence:
        yield Finding(level="warn", subject="login", says=sentence)
    else:
        yield Finding(level="ok", subject="login", says="runs go on when this login ends")


def _hub() -> Iterator[Finding]:
    names = [name for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") if os.environ.get(name)]
    file = Path(os.environ.get("HF_TOKEN_PATH") or hub_home() / "token")
    kept = False
    with contextlib.suppress(OSError):
        kept = file.stat().st_size > 0
    where = f"a token is set in {names[0]}" if names else "a token is kept" if kept else "no token: public models only"
    offline = ", offline (HF_HUB_OFFLINE)" if os.environ.get("HF_HUB_OFFLINE", "0") not in {"", "0"} else ""
    yield Finding(level="ok", subject="Hub", says=f"{where}{offline}")
    with contextlib.suppress(OSError):
        if kept and stat.S_IMODE(file.stat().st_mode) & 0o077:
            yield Finding(level="warn", subject="Hub", says=f"others may read {file}", mend=f"chmod 600 {file}")


def _terminal() -> Iterator[Finding]:
    term = os.environ.get("TERM", "")
    if term in {"", "dumb"}:
        yield Finding(
            level="warn", subject="terminal", says=f"TERM is {term or 'not set'}", mend="export TERM=xterm-256color"
        )
    else:
        yield Finding(level="ok", subject="terminal", says=f"{term}, {_colours(term)}")
    encoding = locale.getpreferredencoding(False)
    unicode = encoding.lower().replace("-", "") == "utf8"
    yield Finding(
        level="ok" if unicode else "warn",
        subject="text",
        says=encoding,
        mend="" if unicode else "export LC_ALL=C.UTF-8, or open the studio with --ascii.",
    )
    if os.environ.get("TMUX") or os.environ.get("STY"):
        good = term.startswith(("tmux", "screen")) and "256" in term
        yield Finding(
            level="ok" if good else "warn",
            subject="multiplexer",
            says="tmux" if os.environ.get("TMUX") else "screen",
            mend="" if good else 'In tmux.conf: set -g default-terminal "tmux-256color"',
        )
    if os.environ.get("SSH_CONNECTION"):
        yield Finding(level="ok", subject="SSH", says="yes: one look a second, no animation")


def _colours(term: str) -> str:
    if os.environ.get("NO_COLOR"):
        return "no colours (NO_COLOR)"
    if os.environ.get("COLORTERM", "") in {"truecolor", "24bit"}:
        return "true colour"
    return "256 colours" if "256" in term else "16 colours"
