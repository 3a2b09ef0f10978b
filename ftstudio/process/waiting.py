"""A supervisor's wait for its slot: whose turn it is, and the sentence that says what is waited for."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ftstudio.locks import RecordLock
from ftstudio.process.devices import Device, Tenant, tenants
from ftstudio.runs import queue
from ftstudio.runs.folder import RunFolder
from ftstudio.runs.status import read_state
from ftstudio.text import size_text

LOOK_SECONDS = 2.0
"""How often the whole queue is read while every slot is taken, and nvidia-smi is asked, which takes half a second."""


@dataclass
class Turn:
    """A run's wait for one of some devices. `device` and `slot` are set once it has its turn."""

    run: RunFolder
    devices: Sequence[Device]
    slots: Mapping[str, int]
    device: Device | None = None
    slot: RecordLock | None = None
    reason: str = ""
    _looked: float = float("-inf")
    _asked: float = float("-inf")
    _tenants: Mapping[str, list[Tenant]] = field(default_factory=dict)

    def join(self) -> None:
        """Take a ticket. Raises OSError."""
        queue.take_ticket(self.run, [device.place for device in self.devices])

    def come(self) -> bool:
        """Whether the turn has come; takes the slot and gives the ticket back. Says in `reason` why not."""
        free = [d for d in self.devices if not queue.is_full(d.place, self.slots)]
        now = time.monotonic()
        if not free and now - self._looked < LOOK_SECONDS:
            return False
        self._looked = now
        self._ask_for_tenants(free, now)
        with queue.unmoved():  # between the look at who is ahead and the lock nobody may change places
            ahead = self._ahead()
            taken = self._take(free, ahead)
        if self.slot is None:
            places = [device.place for device in self.devices]
            self.reason = taken or queue.behind(places, ahead, self.slots)
            return False
        queue.give_back(self.run)
        return True

    def _take(self, free: Sequence[Device], ahead: Sequence[queue.Ticket]) -> str:
        """Take the first free device that nobody ahead may use; the sentence on strangers who were in the way."""
        said = ""
        for device in free:
            if any(device.place in ticket.places for ticket in ahead):
                continue
            strangers = self._strangers(device.place)
            said = said or strangers
            self.slot = None if strangers else queue.take_slot(self.run, device.place, self.slots)
            if self.slot is not None:
                self.device = device
                break
        return said

    def withdrawn(self) -> bool:
        """Whether somebody took the ticket away. Raises OSError."""
        return queue.ticket_of(self.run) is None

    def leave(self) -> None:
        """Give ticket and slot back."""
        queue.give_back(self.run)
        if self.slot is not None:
            self.slot.release()

    def _ahead(self) -> list[queue.Ticket]:
        """The living tickets before this one."""
        waiting = queue.living()
        mine = next((t.order for t in waiting if t.run.path == self.run.path), None)
        return [ticket for ticket in waiting if mine is None or ticket.order < mine]

    def _ask_for_tenants(self, free: Sequence[Device], now: float) -> None:
        """Ask before the queue is held: the answer takes half a second."""
        if now - self._asked >= LOOK_SECONDS and any(device.place.startswith("gpu") for device in free):
            self._asked, self._tenants = now, tenants()

    def _strangers(self, place: str) -> str:
        """The sentence on processes that hold memory of a GPU and are no runs of ours, or ""."""
        states = [read_state(run) for run in queue.holders(place, self.slots)]
        ours = {
            pid for known in states for pid in (known.pid, known.worker_pid) if pid
        }  # an inline run has one process
        found = [
            tenant for tenant in self._tenants.get(place, []) if ours.isdisjoint({tenant.pid, _session(tenant.pid)})
        ]
        if not found:
            return ""
        who = f"process {found[0].pid} of {found[0].user or 'somebody'}"
        if len(found) > 1:
            who = f"{len(found)} processes, {who} among them,"
        return f"Waits for {place}: {who} uses {size_text(sum(tenant.bytes for tenant in found))} of its memory."


def _session(pid: int) -> int | None:
    with contextlib.suppress(OSError):
        return os.getsid(pid)
    return None
