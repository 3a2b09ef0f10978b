"""The names of all commands, and where each is: read by whoever must tell a command from a folder, without click."""

from __future__ import annotations

COMMANDS = {
    "new": "ftstudio.cli.projects",
    "check": "ftstudio.cli.projects",
    "show": "ftstudio.cli.projects",
    "data": "ftstudio.cli.projects",
    "run": "ftstudio.cli.run",
    "status": "ftstudio.cli.status",
    "stop": "ftstudio.cli.runs",
    "kill": "ftstudio.cli.runs",
    "checkpoint": "ftstudio.cli.runs",
    "resume": "ftstudio.cli.run:resume_",
    "attach": "ftstudio.cli.runs",
    "logs": "ftstudio.cli.runs",
    "queue": "ftstudio.cli.queue",
    "sample": "ftstudio.cli.sample",
    "replay": "ftstudio.cli.replay",
    "compare": "ftstudio.cli.compare",
    "note": "ftstudio.cli.housekeeping",
    "disk": "ftstudio.cli.housekeeping",
    "rm": "ftstudio.cli.housekeeping",
    "prune": "ftstudio.cli.housekeeping",
    "plugins": "ftstudio.cli.plugins",
    "doctor": "ftstudio.cli.doctor",
}
