"""Who computes where, in Home's title and beside Train's tiles: `gpu0 poetry 96 % 31/80 GB`.

A place where nobody computes has no cell. A run of ours is named by its project, a stranger's process by its user.
Asked in a thread every few seconds while one of the two is shown; nvidia-smi only where there is an NVIDIA device.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rich.text import Text
from textual.message import Message

from ftstudio.errors import FtstudioError
from ftstudio.files import state_dir
from ftstudio.tui.background import Asks
from ftstudio.tui.widgets.still import Still

if TYPE_CHECKING:
    from ftstudio.process.devices import Gauge, Tenant
    from ftstudio.tui.app import Studio

EVERY = 5.0


@dataclass(frozen=True)
class Cell:
    """One place: who computes there, the share of time in percent, the memory in use and in all in bytes."""

    place: str
    owners: tuple[str, ...]
    percent: int | None = None
    used: int = 0
    total: int = 0

    def words(self, *, short: bool) -> str:
        """The cell in words; `short` leaves out the memory, and a run's name where the share is known."""
        share = "" if self.percent is None else f"{self.percent} %"
        memory = f"{self.used / 1e9:.0f}/{self.total / 1e9:.0f} GB" if self.total else ""
        who = ",".join(self.owners)
        parts = [self.place, share or who] if short else [self.place, who, share, memory]
        return " ".join(filter(None, parts))


def read_cells(cpu_share: Callable[[], int | None]) -> list[Cell]:
    """The places where somebody computes. Raises FtstudioError, OSError."""
    from ftstudio.process.devices import Gauge, gauges, tenants  # noqa: PLC0415 - Home paints before it is needed
    from ftstudio.runs.queue import holders  # noqa: PLC0415
    from ftstudio.settings import read_settings  # noqa: PLC0415

    has_gpu = any(Path("/dev").glob("nvidia[0-9]*"))
    busy: Mapping[str, Gauge] = gauges() if has_gpu else {}
    others: Mapping[str, Sequence[Tenant]] = tenants() if has_gpu else {}
    slots, cells = read_settings().slots, []
    for place in sorted({*_held_places(), *busy}):
        owners = [run.project.name for run in holders(place, slots)] or [
            t.user for t in others.get(place, []) if t.user
        ]
        gauge = busy.get(place, Gauge(None, 0, 0))
        share = cpu_share() if place == "cpu" else gauge.percent
        if owners:
            cells.append(Cell(place, tuple(dict.fromkeys(owners)), share, gauge.used, gauge.total))
    return cells


def _held_places() -> set[str]:
    """The places that ever had a slot."""
    with contextlib.suppress(OSError):
        return {path.name.rpartition(".")[0] for path in (state_dir() / "slots").iterdir()}
    return set()


class CpuShare:
    """How busy the CPUs were since the last call, in percent; None at the first one, and where there is no /proc."""

    def __init__(self) -> None:
        self._before: tuple[int, int] | None = None

    def __call__(self) -> int | None:
        """Look again."""
        try:
            numbers = [int(word) for word in Path("/proc/stat").read_text("ascii").splitlines()[0].split()[1:9]]
            now, before = (sum(numbers), numbers[3] + numbers[4]), self._before  # idle, and idle while a disk works
        except (OSError, ValueError, IndexError):
            return None
        self._before = now
        if before is None or now[0] <= before[0]:
            return None
        return round(100 * (1 - (now[1] - before[1]) / (now[0] - before[0])))


class DeviceCells(Still, Asks):
    """As wide as what it says; nothing when there is nothing to say."""

    DEFAULT_CSS = "DeviceCells { width: auto; height: 1; background: $panel; }"

    class Changed(Message):
        """It takes another width."""

    def __init__(self) -> None:
        super().__init__("", markup=False)
        self.cells: list[Cell] = []
        self._share = CpuShare()
        self._asked = float("-inf")

    def look_again(self) -> None:
        """Ask, unless that was done a moment ago."""
        if time.monotonic() - self._asked >= EVERY:
            self._asked = time.monotonic()
            self.ask(self._read, self.take)

    def _read(self) -> list[Cell]:
        try:
            return read_cells(self._share)
        except (FtstudioError, OSError):
            return []  # the doctor says what is wrong

    def take(self, cells: list[Cell]) -> None:
        """Show them."""
        if cells != self.cells:
            self.cells = cells
            self.post_message(self.Changed())

    def fit(self, room: int) -> int:
        """Say as much as there is room for, and return how many columns that takes."""
        look = cast("Studio", self.app).look
        for short in (False, True):
            words = [cell.words(short=short) for cell in self.cells]
            text = look.plain(look.words(" · ".join(words)))
            if text.cell_len + 2 <= room:
                break
        else:
            text = Text()
        width = text.cell_len + 2 if text.cell_len else 0
        self.update(Text.assemble(" ", text, " ", end="") if width else Text())
        self.display = bool(width)
        return width
