"""What would end a run together with the login, the allocation or the container that it was started from.

A session of its own outlives a closed terminal, but not a login manager, a scheduler or a container that ends all
that was started inside. That is said before anybody reads "started".
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SCHEDULERS = {"SLURM_JOB_ID": "Slurm job", "PBS_JOBID": "PBS job", "LSB_JOBID": "LSF job"}
CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
CGROUP = Path("/proc/self/cgroup")
LOGINCTL_SECONDS = 2.0


def what_ends_it() -> str:
    """The sentence on what would take a run started here along, and what to do instead; "" when nothing would."""
    for name, what in SCHEDULERS.items():
        if os.environ.get(name):
            job = f"{what} {os.environ[name]}"
            return f"This shell belongs to {job}: the run ends with that allocation, and can be resumed."
    if _login_takes_all():
        return (
            "This login ends all its processes when it closes (KillUserProcesses), the run too. Keep it with "
            "'loginctl enable-linger', or start it under 'systemd-run --user --scope'."
        )
    if any(mark.exists() for mark in CONTAINER_MARKS):
        return "This is a container: the run goes on without this terminal, but ends with the container."
    return ""


def _login_takes_all() -> bool:
    """KillUserProcesses of systemd, for a user who does not linger, in a login's own scope."""
    try:
        if "/session-" not in CGROUP.read_text("ascii", "replace"):
            return False
    except OSError:
        return False
    return _loginctl("show-session", "KillUserProcesses") and not _loginctl("show-user", "Linger")


def _loginctl(verb: str, name: str) -> bool:
    """Whether loginctl says yes to a property: of the manager (show-session without a session), or of this user."""
    target = [str(os.getuid())] if verb == "show-user" else []
    try:
        said = subprocess.run(
            ["loginctl", verb, *target, f"--property={name}"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LOGINCTL_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return False
    return said.stdout.strip() == f"{name}=yes"
