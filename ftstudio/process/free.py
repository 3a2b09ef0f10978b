"""Where to compute beside the runs: never on a device that one of them holds."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

from ftstudio.process.devices import Device, candidates, tenants
from ftstudio.runs import queue
from ftstudio.settings import read_settings
from ftstudio.text import size_text

CPU = Device("cpu", "cpu")


def free_device(wanted: str = "auto", ours: Collection[str] = ()) -> tuple[Device, str]:
    """The best device that no run and no stranger holds, else the CPU; and why it is not the best one, or "".

    `ours` are the devices, in torch's words, whose memory this process holds already. Raises InputError for a word that
    names no device, or settings that cannot be read.
    """
    slots = read_settings().slots
    why = ""
    for device in candidates(wanted):
        held = _holder(device, slots, ours)
        if not held:
            return device, why and f"On {device.place}: {why}."
        why = why or held
        if device == CPU:
            return CPU, f"On the CPU, though {held}: both are slower for it."
    return CPU, f"On the CPU: {why}."


def wanted_by_runs(devices: Collection[str]) -> bool:
    """Whether a run computes on, or waits for, one of these devices other than the CPU."""
    slots = read_settings().slots
    places = {d.place for d in candidates() if d.name in devices and d != CPU}
    if not places:
        return False
    return any(queue.holders(place, slots) for place in places) or any(
        places & set(ticket.places) for ticket in queue.tickets()
    )


def _holder(device: Device, slots: Mapping[str, int], ours: Collection[str]) -> str:
    """Who computes on a device: "lab:0003 computes on gpu0"; "" when nobody does."""
    runs = queue.holders(device.place, slots)
    if runs:
        return f"{runs[0].title} computes on {'it' if device == CPU else device.place}"
    if queue.is_full(device.place, slots):
        return f"a run begins on {'it' if device == CPU else device.place}"
    if not device.place.startswith("gpu") or device.name in ours:
        return ""
    others = [tenant for tenant in tenants().get(device.place, []) if tenant.pid != os.getpid()]
    if not others:
        return ""
    return f"{others[0].user or 'somebody'} uses {size_text(sum(t.bytes for t in others))} of {device.place}"
