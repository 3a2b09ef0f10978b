"""ftstudio plugins: what is installed, what it offers, and why something does not work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from ftstudio.api import KINDS
from ftstudio.cli import output
from ftstudio.cli.group import Group
from ftstudio.cli.plugin_authors import check, new
from ftstudio.errors import UnknownNameError
from ftstudio.finding import default_root, list_projects
from ftstudio.options import describe
from ftstudio.plugins import Offer, Record, look_again, registry, switch
from ftstudio.project import users
from ftstudio.text import nearest, quote, safe_text

MARKS = {"active": "✓", "disabled": "◌", "failed": "✗"}
REMARKED = "!"
"""The mark of an active plugin of which something is to be known."""


@click.group(cls=Group)
def plugins() -> None:
    """List and show the installed plugins, switch them, check them against the contract."""


plugins.add_command(check)
plugins.add_command(new)


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON value on stdout.")
def list_(as_json: bool) -> None:
    """Every installed plugin: status, distribution, what it offers; of one that does not work why, and the mend.

    A ! marks one that works, but of which something is to be known: its name clashes, it is slow to load, it prints.

    Plugins that failed are tried again, where all else believes for a while that they still do.
    """
    found = look_again()
    if as_json:
        output.as_json([_record_json(r, found.remarks(r)) for r in found.records])
        return
    rows = []
    for record in found.records:
        offered, remarks = ", ".join(f"{c.kind} {c.name}" for c in record.components), found.remarks(record)
        marked = record.status == "active" and remarks
        title = f"{REMARKED if marked else MARKS[record.status]} {record.status}"
        said = " ".join(filter(None, [f"{offered}." if marked else "", record.reason, record.mend, *remarks]))
        rows.append([title, record.name, f"{record.distribution} {record.version}", said or offered])
    output.table(rows)


def _record_json(record: Record, remarks: Sequence[str]) -> dict[str, Any]:
    return {
        "name": record.name,
        "status": record.status,
        "distribution": record.distribution,
        "version": record.version,
        "components": [{"kind": c.kind, "name": c.name, "summary": c.summary} for c in record.components],
        "reason": record.reason,
        "mend": record.mend,
        "remarks": list(remarks),
    }


@plugins.command()
@click.argument("name")
def show(name: str) -> None:
    """One plugin or component: its options with types, defaults and help."""
    found = registry()
    records = [r for r in found.records if name in r.names]
    offers = [o for record in records for o in _offers_of(record)]
    offers = offers or [o for kind in KINDS for o in found.offers(kind) if o.component.name == name]
    if not records and not offers:
        names = {r.name for r in found.records} | {o.component.name for k in KINDS for o in found.offers(k)}
        near = nearest(name, names)
        raise UnknownNameError(
            f"There is no plugin or component {quote(name)}.",
            f"Did you mean {near}?" if near else "See 'ftstudio plugins list'.",
        )
    used = _used()
    for record in records or list(dict.fromkeys(o.record for o in offers)):
        _show_record(record, found.remarks(record), used)
    for offer in offers:
        _show_offer(offer)


def _offers_of(record: Record) -> list[Offer]:
    """What a plugin offers, under its own name too where another one offers the same."""
    if record.status != "active":
        return []
    return [registry().offered(record, c.kind, c.name) for c in record.components]


def _used() -> Mapping[str, list[str]] | None:
    """Who uses which plugin, of the projects in the usual folder; None when there is no such folder."""
    root = default_root()
    return users(list_projects(root), registry()) if root.is_dir() else None


def _show_record(record: Record, remarks: Sequence[str], used: Mapping[str, list[str]] | None) -> None:
    """What a plugin is, why it does not work, what to do about that, what else is to be known, and who uses it."""
    output.data(f"{record.title}: {record.status}. {record.reason}".rstrip())
    if record.mend:
        output.data(f"  {record.mend}")
    for remark in remarks:
        output.data(f"  {remark}")
    if used is not None:
        names = used.get(record.key, [])
        where = quote(default_root(), 200)
        output.data(f"  Used by {', '.join(names)} in {where}." if names else f"  No project in {where} uses it.")


def _show_offer(offer: Offer) -> None:
    component = offer.component
    output.data()
    output.data(safe_text(f"{offer.title}: {component.summary}", one_line=True))
    for name, values in (("gives", component.gives), ("takes", component.takes), ("needs", component.secrets)):
        if values:
            output.data(f"  {name} {', '.join(values)}")
    for field in describe(component.options):
        output.data(f"  {field.name} = {field.default_words}")
        for line in output.wrap(f"{field.help} ({field.about})", output.width(), "      "):
            output.data(line)


@plugins.command()
@click.argument("name")
def enable(name: str) -> None:
    """Let a plugin load again. It is written to settings.toml."""
    output.say(switch(_record_named(name), on=True))


@plugins.command()
@click.argument("name")
def disable(name: str) -> None:
    """Never load a plugin: it is not even imported. It is written to settings.toml."""
    output.say(switch(_record_named(name), on=False))


def _record_named(name: str) -> Record:
    """The only plugin that has this name, or comes with the distribution of this name. Raises UnknownNameError."""
    records = registry().records
    named = [r for r in records if name in r.names]
    if len(named) == 1:
        return named[0]
    if named:
        raise UnknownNameError(
            f"{quote(name)} means {len(named)} plugins.",
            f"Name one: {', '.join(r.alone for r in named)}.",
        )
    near = nearest(name, {r.name for r in records})
    raise UnknownNameError(
        f"There is no plugin {quote(name)}.", f"Did you mean {near}?" if near else "See 'ftstudio plugins list'."
    )
