"""What somebody asked of a run: one small file a request, naming the attempt that it is for."""

from __future__ import annotations

import contextlib
import os
from typing import Literal

from ftstudio.errors import InputError
from ftstudio.explain import explained
from ftstudio.files import plain_file, write_atomic
from ftstudio.runs.folder import RunFolder
from ftstudio.text import quote

Request = Literal["stop", "stopping", "checkpoint", "kill", "accept-changed-data"]
"""`stopping` is a stop that the worker has seen: it renamed the file, so that taking it back comes before or fails."""


def ask(run: RunFolder, request: Request, attempt: int) -> None:
    """Leave a request for an attempt. Raises InputError when it cannot be written, or would not count."""
    if request != "accept-changed-data":  # that one is for an attempt of one's own
        _refuse_strangers(run)
    with explained(run.control):
        run.control.mkdir(exist_ok=True)
        write_atomic(run.control / request, f"{attempt}\n")


def _refuse_strangers(run: RunFolder) -> None:
    """Who writes state.toml is whose requests count, as `asked` has it."""
    with explained(run.state):
        owner = run.state.stat().st_uid if run.state.exists() else run.path.stat().st_uid
    if os.getuid() not in {owner, 0}:
        raise InputError(
            f"{run.title} belongs to {_user(owner)}: it takes requests of nobody else.", "Nothing was asked for."
        )


def _user(uid: int) -> str:
    import pwd  # noqa: PLC0415 - for a sentence

    with contextlib.suppress(KeyError):
        return quote(pwd.getpwuid(uid).pw_name)
    return f"user {uid}"


def asked(run: RunFolder, request: Request, attempt: int) -> bool:
    """Whether this attempt was asked. Requests for other attempts, or from other users, do not count."""
    try:
        with plain_file(run.control / request, through_links=False) as file:
            ours = os.fstat(file.fileno()).st_uid in {os.getuid(), 0}
            return ours and file.read(20).strip() == str(attempt).encode()
    except OSError:
        return False


def stop_asked(run: RunFolder, attempt: int) -> bool:
    """Whether this attempt was asked to stop, be it that its worker has seen it or not."""
    return asked(run, "stop", attempt) or asked(run, "stopping", attempt)


def see_stop(run: RunFolder, attempt: int) -> bool:
    """As `stop_asked`, for the worker: what it has seen nobody takes back."""
    if asked(run, "stop", attempt):
        try:
            (run.control / "stop").rename(run.control / "stopping")
        except FileNotFoundError:
            return False  # taken back in this instant
        except OSError:
            return True  # the disk takes no more writes, but the wish stands
    return stop_asked(run, attempt)


def take_back_stop(run: RunFolder) -> bool:
    """Take back the request to stop; False when the worker has seen it, or it is gone with the attempt."""
    try:
        (run.control / "stop").unlink()
    except OSError:
        return False
    return True


def answer(run: RunFolder, request: Request) -> None:
    """Take a request away once it was met."""
    with contextlib.suppress(OSError):
        (run.control / request).unlink()
