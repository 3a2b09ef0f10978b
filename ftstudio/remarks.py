"""What is to be known of a plugin though it works, and how to mean one of several with the same name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ftstudio.text import quote

if TYPE_CHECKING:
    from ftstudio.plugins import Record


def clashes(record: Record, names: Mapping[str, Mapping[str, Sequence[Record]]]) -> list[str]:
    """Its names that others have too; `names` are of each kind the names, and who answers to them."""
    said = []
    for one in record.components if names else ():
        what, meant = f"{one.kind} {quote(one.name)}", quote(f"{record.distribution}/{one.name}")
        records = names[one.kind][one.name]
        others = [r for r in records if r is not record]
        way = f"write use = {meant} to mean this plugin's"
        if any(r.distribution == record.distribution for r in others):
            way = f"no name means this plugin's alone. Disable one: ftstudio plugins disable {record.alone}"
        if record not in records:
            said.append(f"The {what} is ftstudio's own: {way}.")
        elif others:
            said.append(f"The {what} is offered by {', '.join(r.title for r in others)} too: {way}.")
    return said


def habits(record: Record) -> list[str]:
    """What it does while it is loaded that it need not."""
    said = []
    if record.heavy:
        said.append(
            f"It imports {', '.join(record.heavy)} while it describes itself: every start is slower. Tell its "
            "author: targets are strings so that it need not."
        )
    if record.printed and record.status == "active":
        said.append("It prints while it is loaded, which nobody sees. Tell its author: say it in the run instead.")
    if record.threads and record.status == "active":
        said.append(
            f"It leaves a thread running when it is loaded ({', '.join(record.threads)}), in every process that looks "
            "at it. Tell its author: start it in the work, and end it there."
        )
    return said


def told_apart(records: list[Record]) -> tuple[Record, ...]:
    """The records, each with what names it alone: two may have one name, and one distribution may hold several."""

    def alone(record: Record) -> str:
        ways = (record.name, record.distribution)
        return next((way for way in ways if sum(way in other.names for other in records) == 1), record.key)

    return tuple(replace(record, alone=alone(record)) for record in records)


def told_apart_by(records: Sequence[Record], name: str) -> str:
    """How to mean one of several plugins that offer one name."""
    full = [f"{r.distribution}/{name}" for r in records]
    alone = [quote(one) for one in full if full.count(one) == 1]
    named = f"Write use = {' and '.join(alone)}{': one of them' if len(alone) > 1 else ''}." if alone else ""
    alike = [r for r, one in zip(records, full, strict=True) if full.count(one) > 1]
    if alike:
        rest = f"Several come with {alike[0].distribution}: disable all of them but one, such as with"
        named = f"{named} {rest} 'ftstudio plugins disable {alike[0].alone}'.".lstrip()
    return named
