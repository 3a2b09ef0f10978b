"""What a run and its project's trash hold, read for Files."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ftstudio.errors import FtstudioError
from ftstudio.runs.disk import Held, Meter, RunUse, in_trash, run_use
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.notes import Note, note_of


@dataclass(frozen=True)
class Contents:
    """What a run and its project's trash hold. `seconds` is how long it took to find out."""

    use: RunUse | None
    note: Note = field(default_factory=Note)
    quarantine: tuple[tuple[Path, str], ...] = ()
    trash: tuple[tuple[Path, int], ...] = ()
    seconds: float = 0.0

    @property
    def checkpoints(self) -> list[Held]:
        """The committed checkpoints, oldest first."""
        return [held for held in self.use.held if held.what == "checkpoint"] if self.use else []


def read_contents(project: Path, run: RunFolder | None) -> Contents:
    """Look what is there; takes as long as walking the run's folder takes."""
    begun, meter = time.monotonic(), Meter()
    use = run_use(run, meter) if run is not None else None
    note = Note()
    with contextlib.suppress(FtstudioError):  # notes that cannot be read say so where one is written
        note = note_of(run) if run is not None else note
    damaged = tuple(_quarantined(run)) if run is not None else ()
    removed = tuple((place, meter.add(place)) for place in in_trash(project))
    return Contents(use, note, damaged, removed, time.monotonic() - begun)


def _quarantined(run: RunFolder) -> Iterator[tuple[Path, str]]:
    """Each checkpoint that was set aside, and why."""
    with contextlib.suppress(OSError):
        for folder in sorted(p for p in run.quarantine.iterdir() if p.is_dir()):
            reason = folder.with_name(f"{folder.name}.reason.txt")
            yield folder, reason.read_text("utf-8", "replace")[:300] if reason.is_file() else "no reason is written"
