"""The paths of a run. Loads nothing, so that the supervisor stays small."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class RunFolder:
    """The paths of one run. Holds no state; any number of these may exist for one folder.

    Those that `status` asks for a thousand times are kept.
    """

    path: Path

    @property
    def name(self) -> str:
        """The run's number: "0001"."""
        return self.path.name

    @property
    def project(self) -> Path:
        """The project's folder."""
        return self.path.parent.parent

    @property
    def title(self) -> str:
        """How sentences call it: "poetry:0007"."""
        return f"{self.project.name}:{self.name}"

    @property
    def key(self) -> str:
        """A name for what belongs to the run and lies elsewhere: 16 hexadecimal digits."""
        import hashlib  # noqa: PLC0415 - 3 ms that only a queue or a lost disk costs

        return hashlib.sha256(str(self.path).encode("utf-8", "surrogateescape")).hexdigest()[:16]

    @property
    def made(self) -> tuple[int, int]:
        """Tells a run from another one that had its number before: time in ns and inode of the record, which is frozen.

        Unlike the folder's inode alone, which the next folder may get. (0, 0) without a record.
        """
        try:
            info = self.record.stat()
        except OSError:
            return (0, 0)
        return (info.st_mtime_ns, info.st_ino)

    @property
    def record(self) -> Path:
        """What was frozen when the run was made."""
        return self.path / "run.toml"

    @property
    def inputs(self) -> Path:
        """What the worker found: data, model, versions, device."""
        return self.path / "inputs.toml"

    @cached_property
    def state(self) -> Path:
        """Written by the supervisor alone."""
        return self.path / "state.toml"

    @cached_property
    def events(self) -> Path:
        """The stream of events."""
        return self.path / "events.jsonl"

    @property
    def console(self) -> Path:
        """Raw stdout and stderr of the worker."""
        return self.path / "console.log"

    @property
    def lock(self) -> Path:
        """Held by the supervisor while it lives."""
        return self.path / "lock"

    @property
    def worker_lock(self) -> Path:
        """Held by the worker while it lives."""
        return self.path / "worker.lock"

    @property
    def control(self) -> Path:
        """One file a request."""
        return self.path / "control"

    @property
    def origin(self) -> Path:
        """The checkpoint that a fork went out from: a copy."""
        return self.path / "origin"

    @property
    def observers(self) -> Path:
        """Of each observer its cursor, its lock and what it printed."""
        return self.path / "observers"

    @property
    def quarantine(self) -> Path:
        """Checkpoints that were found damaged, each with the reason beside it."""
        return self.path / "quarantine"

    @property
    def checkpoints(self) -> Path:
        """Committed checkpoints, one folder a step."""
        return self.path / "checkpoints"

    @property
    def final(self) -> Path:
        """The finished model."""
        return self.path / "final"
