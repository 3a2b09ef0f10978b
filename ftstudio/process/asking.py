"""Asking something of a live run, and the sentence on what comes of it; for the command line and the studio alike."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from ftstudio.errors import InputError
from ftstudio.process.orphan import end_orphan, is_orphan
from ftstudio.runs.control import Request, ask
from ftstudio.runs.find import address
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.state import read_state

SAID: Mapping[Request, str] = {
    "stop": "It will finish its step, commit a checkpoint and stop.",
    "checkpoint": "It will commit a checkpoint after its step.",
    "kill": "It is being killed; its last checkpoint stays.",
}


def request(run: RunFolder, what: Request) -> str:
    """Leave a request for a live run, or meet it where nobody is left who could. Returns what happens now.

    Raises InputError when the run is not live, is another user's, cannot be ended from here, or has nothing to commit.
    """
    known = read_state(run)
    if is_orphan(run, known):
        if what != "kill":
            return (
                "Its supervisor was killed, so its worker commits a checkpoint and leaves, or is ended when it does "
                f"not. End it at once: ftstudio kill {shlex.quote(address(run))}"
            )
        worker = end_orphan(run)
        ended = "has left" if worker is None else f"(process {worker}) was ended"
        return f"Its supervisor was killed already; its worker {ended}. Its last checkpoint stays."
    if known.state == "queued" and what == "checkpoint":
        raise InputError(f"{run.title} waits in the queue: there is nothing to commit yet.", "Nothing was asked for.")
    ask(run, what, known.attempt)
    if known.state == "queued" and what in {"stop", "kill"}:
        return "It will leave the queue."
    return SAID[what]
