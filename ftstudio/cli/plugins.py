"""ftstudio plugins: what is installed, what it offers, and why something does not work."""

from __future__ import annotations

from typing import Any

import click

from ftstudio.api import KINDS
from ftstudio.cli import output
from ftstudio.cli.group import Group
from ftstudio.cli.plugin_authors import check, new
from ftstudio.errors import UnknownNameError
from ftstudio.files import nearest, quote
from ftstudio.options import describe
from ftstudio.plugins import Offer, Record, registry, switch

MARKS = {"active": "✓", "disabled": "◌", "failed": "✗"}


@click.group(cls=Group)
def plugins() -> None:
    """List and show the installed plugins, switch them, check them against the contract."""


plugins.add_command(check)
plugins.add_command(new)


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON value on stdout.")
def list_(as_json: bool) -> None:
    """Every installed plugin: status, distribution, what it offers, the reason when it does not work."""
    records = registry().records
    if as_json:
        output.as_json([_record_json(r) for r in records])
        return
    rows = []
    for record in records:
        offered = ", ".join(f"{c.kind} {c.name}" for c in record.components)
        title = f"{MARKS[record.status]} {record.status}"
        rows.append([title, record.name, f"{record.distribution} {record.version}", record.reason or offered])
    output.table(rows)


def _record_json(record: Record) -> dict[str, Any]:
    return {
        "name": record.name,
        "status": record.status,
        "distribution": record.distribution,
        "version": record.version,
        "components": [{"kind": c.kind, "name": c.name, "summary": c.summary} for c in record.components],
        "reason": record.reason,
    }


@plugins.command()
@click.argument("name")
def show(name: str) -> None:
    """One plugin or component: its options with types, defaults and help."""
    found = registry()
    records = [r for r in found.records if name in {r.name, r.distribution}]
    offers = [o for kind in KINDS for o in found.offers(kind) if o.component.name == name or o.record in records]
    if not records and not offers:
        names = {r.name for r in found.records} | {o.component.name for k in KINDS for o in found.offers(k)}
        near = nearest(name, names)
        raise UnknownNameError(
            f"There is no plugin or component {quote(name)}.",
            f"Did you mean {near}?" if near else "See 'ftstudio plugins list'.",
        )
    for record in records:
        output.data(f"{record.title}: {record.status}. {record.reason}".rstrip())
        if record.heavy:
            output.data(f"  It imports {', '.join(record.heavy)} while it describes itself.")
    for offer in offers:
        _show_offer(offer)


def _show_offer(offer: Offer) -> None:
    component = offer.component
    output.data()
    output.data(f"{offer.title}: {component.summary}")
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
            f"Name one: {', '.join(f'{r.name} of {r.distribution}' for r in named)}.",
        )
    near = nearest(name, {r.name for r in records})
    raise UnknownNameError(
        f"There is no plugin {quote(name)}.", f"Did you mean {near}?" if near else "See 'ftstudio plugins list'."
    )
