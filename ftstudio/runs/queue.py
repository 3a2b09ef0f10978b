"""The queue without a scheduler: a queued run is its waiting supervisor.

    $XDG_STATE_HOME/ftstudio/queue/0000000000002000.1f3a…toml    a ticket: its place in the queue, and whose it is
    $XDG_STATE_HOME/ftstudio/slots/gpu0.0                         a slot: a lock, and in it the run that holds it

A ticket counts while its supervisor lives, which the kernel knows (the run's `lock`). A slot is taken by the lowest
ticket that may use its place. When a supervisor dies, by whatever cause, both are free at once, and nobody has to
clean up. Tickets change places by being renamed, under one lock for the whole queue.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ftstudio.errors import InputError
from ftstudio.files import read_toml, state_dir, write_toml
from ftstudio.locks import RecordLock, exclusive, held_for, lock_holder
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.state import read_state

GAP = 1000
"""Room between two tickets, so that a move renames one file."""


@dataclass(frozen=True)
class Ticket:
    """A run's place in the queue. `places` are where it may compute, best first."""

    path: Path
    order: int
    run: RunFolder
    places: tuple[str, ...]

    @property
    def lives(self) -> bool:
        """Whether its supervisor still waits."""
        return lock_holder(self.run.lock) is not None


# ------------------------------------------------------------------------------------------------ tickets


def queue_folder() -> Path:
    """Where the tickets are. Raises OSError."""
    folder = state_dir() / "queue"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def take_ticket(run: RunFolder, places: Sequence[str]) -> Ticket:
    """Join the queue at its end. Only the run's supervisor does this, holding the run's lock. Raises OSError."""
    folder = queue_folder()
    with exclusive(folder):
        for old in folder.glob(f"*.{run.key}.toml"):
            old.unlink()
        order = max((t.order for t in _read(folder)), default=0) + GAP
        path = folder / _name(order, run)
        write_toml(path, {"run": str(run.path), "places": list(places)})
    return Ticket(path, order, run, tuple(places))


def give_back(run: RunFolder) -> None:
    """Leave the queue."""
    with contextlib.suppress(OSError):
        folder = queue_folder()
        with exclusive(folder):
            for path in folder.glob(f"*.{run.key}.toml"):
                path.unlink()


@contextlib.contextmanager
def unmoved() -> Iterator[None]:
    """Keep all tickets where they are: a reader may miss one that is just being renamed. Raises OSError."""
    with exclusive(queue_folder()):
        yield


def living() -> list[Ticket]:
    """The tickets whose supervisors wait, in order, for who keeps them `unmoved`. Raises OSError."""
    return [ticket for ticket in _read(queue_folder()) if ticket.lives]


def tickets() -> list[Ticket]:
    """The tickets whose supervisors wait, in order. Raises OSError."""
    with unmoved():
        return living()


def ticket_of(run: RunFolder) -> Ticket | None:
    """A run's ticket, wherever it was moved to; None when it was taken away. Raises OSError."""
    with unmoved():
        return next((ticket for ticket in _read(queue_folder()) if ticket.run.path == run.path), None)


def behind(places: Sequence[str], ahead: Iterable[Ticket], slots: Mapping[str, int]) -> str:
    """What a run that may use these places waits for, as a sentence. Raises OSError."""
    before = [run.title for place in places for run in holders(place, slots)]
    before += [ticket.run.title for ticket in ahead if set(ticket.places) & set(places)]
    more = f" and {len(before) - 2} more" if len(before) > 2 else ""
    others = f", behind {', '.join(before[:2])}{more}" if before else ""
    return f"Waits for {' or '.join(places)}{others}."


def reasons(waiting: Sequence[Ticket], slots: Mapping[str, int]) -> list[str]:
    """What each of the waiting runs waits for now, which state.toml says some seconds later. Raises OSError.

    What only a run's supervisor knows, strangers on a GPU, is taken from there.
    """
    said = []
    for index, ticket in enumerate(waiting):
        written, now = read_state(ticket.run).reason, behind(ticket.places, waiting[:index], slots)
        strangers = written.startswith(f"Waits for {' or '.join(ticket.places)}: ")
        said.append(written if strangers else now)
    return said


def move(run: RunFolder, before: RunFolder | None) -> list[Ticket]:
    """Put a waiting run before another one, or at the end, and return the queue as it is then.

    Raises InputError when one of them does not wait or they are one, OSError when the queue cannot be written.
    """
    folder = queue_folder()
    with exclusive(folder):
        for ticket in _read(folder):
            if not ticket.lives:
                ticket.path.unlink(missing_ok=True)
        waiting = _read(folder)
        mine = _waiting(waiting, run)
        if before is not None and before.path == run.path:
            raise InputError(f"{run.title} cannot come before itself.", "Name another run that waits, first or last.")
        rest = [ticket for ticket in waiting if ticket is not mine]
        at = len(rest) if before is None else rest.index(_waiting(rest, before))
        _renumber([*rest[:at], mine, *rest[at:]])
    return tickets()


def _waiting(queue: Iterable[Ticket], run: RunFolder) -> Ticket:
    for ticket in queue:
        if ticket.run.path == run.path:
            return ticket
    raise InputError(f"{run.title} does not wait in the queue.", "See 'ftstudio queue list'.")


def _renumber(queue: Sequence[Ticket]) -> None:
    """Give the tickets rising numbers above all that are in use, the last one first: cut short, it only moved less."""
    top = max(ticket.order for ticket in queue)
    for index, ticket in reversed(list(enumerate(queue, start=1))):
        ticket.path.rename(ticket.path.with_name(_name(top + index * GAP, ticket.run)))


def _read(folder: Path) -> list[Ticket]:
    """All tickets by their order; what is no ticket is passed over. A ticket that is renamed meanwhile is missed."""
    found = []
    for path in sorted(folder.glob("[0-9]*.toml")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            table = read_toml(path)
            places = tuple(str(place) for place in table["places"])
            found.append(Ticket(path, int(path.name.partition(".")[0]), RunFolder(Path(table["run"])), places))
    return found


def _name(order: int, run: RunFolder) -> str:
    return f"{order:016d}.{run.key}.toml"


# -------------------------------------------------------------------------------------------------- slots


def slot_paths(place: str, slots: Mapping[str, int]) -> list[Path]:
    """The lock files of a place: as many as runs may compute there at one time. Raises OSError."""
    folder = state_dir() / "slots"
    folder.mkdir(parents=True, exist_ok=True)
    return [folder / f"{place}.{number}" for number in range(slots.get(place, 1))]


def take_slot(run: RunFolder, place: str, slots: Mapping[str, int]) -> RecordLock | None:
    """A slot of a place, held until it is released or this process ends; None when all are taken. Raises OSError."""
    for path in slot_paths(place, slots):
        lock = RecordLock(path)
        if lock_holder(path) is None and lock.acquire():
            lock.note(str(run.path))
            return lock
    return None


def holders(place: str, slots: Mapping[str, int]) -> list[RunFolder]:
    """The runs that compute on a place now. Raises OSError."""
    return [RunFolder(Path(noted)) for noted in map(held_for, slot_paths(place, slots)) if noted]


def is_full(place: str, slots: Mapping[str, int]) -> bool:
    """Whether every slot of a place is taken; opens nothing but the slots. Raises OSError."""
    return all(lock_holder(path) is not None for path in slot_paths(place, slots))
