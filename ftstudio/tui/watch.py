"""The one thread of the studio that reads run folders.

    Watcher.look() -> Seen     projects, runs and statuses as the files are now; bounded, and only what changed is read

The first look reads folder names and state.toml only, for the first picture; later looks read what came since.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from textual.message import Message

from ftstudio.errors import FtstudioError, InputError
from ftstudio.finding import list_projects, lost_project
from ftstudio.runs.find import list_runs
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.state import LIVE, NEVER_STARTED, read_state
from ftstudio.runs.status import Status, StatusReader

SETTLED_NS = 5_000_000_000
"""A folder, or a run, that was made or changed less than so long ago may be in the making."""
UNWRITTEN = (0, 0)
"""The stamp of what is not there."""
ENDED_A_LOOK = 100
"""Ended runs whose events are read in one look: their figures appear a hundred at a time."""
TURNS = 4
"""Of the runs whose end was read, each look asks one in so many whether it was resumed: a thousand cost 8 ms."""


@dataclass(frozen=True, eq=False)
class Found:
    """What lies in a root folder: projects by name, and the status of each of their runs. Each look has its own."""

    projects: tuple[Path, ...] = ()
    statuses: Mapping[Path, Status] = field(default_factory=dict)
    problem: str = ""
    pinned: frozenset[Path] = frozenset()
    """The runs that somebody pinned."""
    whole: bool = False
    """Whether the events of every run were read."""

    def of(self, project: Path) -> list[Status]:
        """The runs of a project, the newest first."""
        its = [s for s in self.statuses.values() if s.project == project.name and s.path.parent.parent == project]
        return sorted(its, key=lambda s: s.path, reverse=True)

    def before(self, run: Path) -> Path | None:
        """The run of the same project before this one; None for the first."""
        beside = run.with_name(f"{int(run.name) - 1:04d}")
        if beside in self.statuses:  # nearly always: asked each second, a thousand runs then cost nothing
            return beside
        return next((s.path for s in self.of(run.parent.parent) if s.path < run), None)


class Seen(Message):
    """The files were looked at. `changed` are the runs whose status is another than before."""

    def __init__(self, found: Found, changed: frozenset[Path]) -> None:
        super().__init__()
        self.found, self.changed = found, changed


class Watcher:
    """Looks at a root folder again and again. Used by one thread."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._readers: dict[Path, tuple[tuple[int, int], StatusReader]] = {}
        self._statuses: dict[Path, Status] = {}
        self._settled: dict[Path, tuple[int, int]] = {}
        self._listed: dict[Path, tuple[int, list[RunFolder]]] = {}
        self._changed: set[Path] = set()
        self._turn = 0
        self._pinned: dict[Path, tuple[tuple[int, int], frozenset[Path]]] = {}

    def look(self, *, quickly: bool = False) -> Seen:
        """What is there now. `quickly` reads no events: what state.toml says is enough for a first picture."""
        problem = ""
        try:
            projects = self._projects() if self.root.is_dir() else ()
        except FtstudioError as error:
            projects, problem = (), str(error)
        problem = problem or ("" if projects else lost_project(self.root))
        runs = [run for project in projects for run in self._runs(project)]
        for gone in self._statuses.keys() - {run.path for run in runs}:
            self._forget(gone)
        left, self._turn = ENDED_A_LOOK, self._turn + 1
        for number, run in enumerate(reversed(runs), self._turn):
            if self._settled.get(run.path, UNWRITTEN) == UNWRITTEN or number % TURNS == 0:
                left -= self._look_at(run, quickly=quickly, room=left > 0)
        live = sum(status.state in LIVE for status in self._statuses.values())
        whole = len(self._settled) + live == len(self._statuses) and not quickly
        changed, self._changed = frozenset(self._changed), set()
        pinned = frozenset[Path]() if quickly else frozenset(path for p in projects for path in self._pins(p))
        return Seen(Found(projects, dict(self._statuses), problem, pinned, whole), changed)

    def again(self, run: Path) -> None:
        """Look at a run the next time, though it had ended: it was resumed here. For any thread."""
        self._settled.pop(run, None)

    def _pins(self, project: Path) -> frozenset[Path]:
        """The pinned runs of a project; its notes are read when they changed."""
        from ftstudio.runs.notes import NOTES, read_notes  # noqa: PLC0415 - behind the first picture, which has no pins

        stamp = _stamp(project / NOTES)
        if self._pinned.get(project, (None,))[0] != stamp:
            pins = frozenset[Path]()
            if stamp != UNWRITTEN:
                with contextlib.suppress(InputError):  # whoever opens the note is told
                    pins = frozenset(
                        project / "runs" / name for name, note in read_notes(project).items() if note.pinned
                    )
            self._pinned[project] = (stamp, pins)
        return self._pinned[project][1]

    def _look_at(self, run: RunFolder, *, quickly: bool, room: bool) -> bool:
        """Read one run as far as this look allows; True when events of an ended run were read."""
        stamp = _stamp(run.state)
        if self._settled.get(run.path) == stamp:
            return False
        if quickly or not room:
            if run.path not in self._statuses:
                self._put(run.path, _from_state(run))
            return False
        status = _in_the_making(run, self._reader(run).read())
        self._put(run.path, status)
        if status.state in LIVE:
            self._settled.pop(run.path, None)
            return False
        self._settled[run.path] = stamp
        return True

    def _reader(self, run: RunFolder) -> StatusReader:
        """The reader of one run; a new one for a run that got the number of a deleted one between two looks."""
        made = run.made
        kept = self._readers.get(run.path)
        if kept is not None and kept[0] == made:
            return kept[1]
        if kept is not None:
            self._changed.add(run.path)
        self._readers[run.path] = (made, StatusReader(run))
        return self._readers[run.path][1]

    def _projects(self) -> tuple[Path, ...]:
        """The projects by their real paths; only links are followed one by one."""
        root = self.root.resolve()
        found = list_projects(self.root)
        return tuple(p.resolve() if p.is_symlink() or p == self.root else root / p.name for p in found)

    def _runs(self, project: Path) -> list[RunFolder]:
        """The runs of a project; listed again only when its folder of runs changed.

        A run that is being made is in that folder before it is a run: what changed just now is listed again.
        """
        stamp = _stamp(project / "runs")[0]
        known = self._listed.get(project)
        if known is None or known[0] != stamp:
            settled = abs(time.time_ns() - stamp) > SETTLED_NS
            known = self._listed[project] = (stamp if settled else -1, list_runs(project))
        return known[1]

    def _put(self, path: Path, status: Status) -> None:
        if self._statuses.get(path) != status:
            self._statuses[path] = status
            self._changed.add(path)

    def _forget(self, path: Path) -> None:
        self._changed.add(path)
        self._settled.pop(path, None)
        self._statuses.pop(path, None)
        self._readers.pop(path, None)


def _in_the_making(run: RunFolder, status: Status) -> Status:
    """A run that was made just now is starting: its supervisor takes a moment until it holds its lock."""
    new = status.reason == NEVER_STARTED and abs(time.time_ns() - run.made[0]) < SETTLED_NS
    return replace(status, state="starting", reason="") if new else status


def _stamp(path: Path) -> tuple[int, int]:
    """What changes when a file or folder is written again; UNWRITTEN where there is none."""
    try:
        info = path.stat()
    except OSError:
        return UNWRITTEN
    return (info.st_mtime_ns, info.st_ino)


def _from_state(run: RunFolder) -> Status:
    known = read_state(run)
    status = Status(
        project=run.project.name, run=run.name, path=run.path, state=known.state, reason=known.reason,
        attempt=known.attempt, host=known.host, device=known.device,
    )  # fmt: skip
    return _in_the_making(run, status)
