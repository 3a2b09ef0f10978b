"""What somebody asked of a run: one small file a request, naming the attempt that it is for."""

from __future__ import annotations

import contextlib
import os
from typing import Literal

from ftstudio.files import explained, plain_file, write_atomic
from ftstudio.runs.folder import RunFolder

Request = Literal["stop", "checkpoint", "kill", "accept-changed-data"]


def ask(run: RunFolder, request: Request, attempt: int) -> None:
    """Leave a request for an attempt. Raises InputError when it cannot be written."""
    with explained(run.control):
        run.control.mkdir(exist_ok=True)
        write_atomic(run.control / request, f"{attempt}\n")


def asked(run: RunFolder, request: Request, attempt: int) -> bool:
    """Whether this attempt was asked. Requests for other attempts, or from other users, do not count."""
    try:
        with plain_file(run.control / request, through_links=False) as file:
            ours = os.fstat(file.fileno()).st_uid in {os.getuid(), 0}
            return ours and file.read(20).strip() == str(attempt).encode()
    except OSError:
        return False


def answer(run: RunFolder, request: Request) -> None:
    """Take a request away once it was met."""
    with contextlib.suppress(OSError):
        (run.control / request).unlink()
