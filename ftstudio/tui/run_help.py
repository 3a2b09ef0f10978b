"""A run in two plain sentences, for help: how it stands, and what can be done about it. Then what changed for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ftstudio.runs.folder import RunFolder
from ftstudio.runs.status import LIVE, State, Status, age_text, ago
from ftstudio.tui.actions import writes
from ftstudio.tui.keymap import key_of
from ftstudio.tui.since import since_before
from ftstudio.tui.words import loss

NEXT: Mapping[State, str] = {
    "queued": "It starts by itself when its turn comes, with no studio open too; {queue.open} shows the queue, "
    "{run.stop} takes it out.",
    "starting": "It goes on with no studio open; {home.open} shows how far it is, {run.stop} stops it.",
    "running": "It goes on with no studio open; {home.open} shows its curves, {run.checkpoint} commits a "
    "checkpoint, {run.stop} stops it with one.",
    "stopping": "It finishes its step and commits a checkpoint, from which {run.resume} goes on whenever you like.",
    "finished": "Its model lies in final/ of its folder; {home.open} shows its curves, and there {pane.generate} "
    "samples it, {pane.files} has files.",
    "stopped": "{run.resume} goes on from its last checkpoint, and {run.fork} starts another run from one.",
    "failed": "{home.open} shows how far it came, and there {pane.logs} its log; once it is mended {run.resume} goes "
    "on from a checkpoint.",
    "interrupted": "What was committed is whole; {home.open} shows how far it came, and {run.resume} goes on from its "
    "last checkpoint.",
}
"""What can be done about a run in each state; in braces the actions whose keys are named.

Where nothing may be written, the parts between commas that name an action that does are left out.
"""
ACTION = re.compile(r"{([a-z.]+)}")


def explained(status: Status, before: Path | None, keymap: Mapping[str, str], *, readonly: bool = False) -> str:
    """How a run stands, what can be done about it, and what was set otherwise for it than for the run before it."""
    todo = ACTION.sub(lambda action: key_of(action[1], keymap), _next(status.state, readonly=readonly))
    changed = since_before(RunFolder(before), RunFolder(status.path)) if before is not None else ""
    return "\n\n".join(filter(None, (f"{_how_it_stands(status)} {todo}".strip(), changed)))


def _next(state: State, *, readonly: bool) -> str:
    """What can be done about a run in this state; "" where that is nothing."""
    if not readonly:
        return NEXT[state]
    parts = re.split(r"(?<=[,;]) ", NEXT[state].removesuffix("."))
    kept = " ".join(part for part in parts if not any(map(writes, ACTION.findall(part)))).rstrip(",;")
    return kept and f"{kept}."


def _how_it_stands(status: Status) -> str:
    live, age = status.state in LIVE, ago(status.last_event_t)
    said = [] if status.state == "queued" else [_steps(status), loss(status)]
    said += [f"about {age_text(status.eta_s)} left" if live and status.eta_s is not None else ""]
    said += [status.note if live else "", status.reason.removesuffix(".")]
    figures = ", ".join(filter(None, said))
    when = f" {age}" if age and not live else ""
    return f"{status.project}:{status.run} {_IS[status.state]}{when}{': ' if figures else ''}{figures}."


_IS: Mapping[State, str] = {
    "queued": "is queued", "starting": "is starting", "running": "is running", "stopping": "is stopping",
    "finished": "finished", "stopped": "was stopped", "failed": "failed", "interrupted": "was interrupted",
}  # fmt: skip


def _steps(status: Status) -> str:
    """How far it is: "step 57 of 120", the phase before its first step."""
    if status.step is None:
        return status.phase if status.state in LIVE else ""
    return f"step {status.step:,}" + (f" of {status.total_steps:,}" if status.total_steps else "")
