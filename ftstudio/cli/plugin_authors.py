"""ftstudio plugins new and check: for authors of plugins."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ftstudio.api import KINDS
from ftstudio.cli import output
from ftstudio.errors import InputError
from ftstudio.plugins import Record, judged
from ftstudio.project import override
from ftstudio.text import expanded, plural

if TYPE_CHECKING:
    from ftstudio.testing.campaign import Finding

MARKS = {"passed": "✓", "failed": "✗", "skipped": "–"}  # noqa: RUF001


@click.command()
@click.argument("name")
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(list(KINDS)),
    multiple=True,
    required=True,
    help="What it offers; several times for several.",
)
@click.option(
    "--into", type=click.Path(path_type=Path), default=Path(), help="Where the folder is made; here unless said."
)
def new(name: str, kinds: tuple[str, ...], into: Path) -> None:
    """Make a package with a plugin in it: its entry point, a component of each kind, tests that pass, a README.

    It is yours to change: what it does at first is small but real. The component's name is NAME, without a leading
    "ftstudio-".
    """
    from ftstudio.new_plugin import new_plugin  # noqa: PLC0415 - reads the registry

    folder = new_plugin(expanded(into), name, kinds)
    output.data(str(folder))
    output.say(f"Next: pip install --editable {folder}, then pytest there, and 'ftstudio plugins check {folder}'.")


@click.command()
@click.argument("named", metavar="PATH|NAME")
@click.option("--kind", type=click.Choice(list(KINDS)), help="Check components of this kind only.")
@click.option("--component", help="Check the component of this name only.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="An option to check with; repeatable.")
@click.option("--seconds", type=float, default=120.0, show_default=True, help="The longest that one check may take.")
@click.option("--json", "as_json", is_flag=True, help="One JSON value on stdout.")
def check(
    named: str, kind: str | None, component: str | None, changes: tuple[str, ...], seconds: float, as_json: bool
) -> int:
    """Try a plugin against the contract: an installed one, or the folder of its source.

    Each check runs in a process apart. Example options come from [tool.ftstudio.check.KIND.COMPONENT] of the plugin's
    pyproject.toml, else the defaults are tried. Exit code 0: all passed; 1: something failed; 2: something that is
    required could not be tried.
    """
    from ftstudio.testing import campaign  # noqa: PLC0415 - the kit is loaded where it is needed

    options = dict(map(override, changes))
    findings: list[Finding] = []
    report = []
    for tested in campaign.find_plugins(named):
        record = judged(tested.record)
        if record.status == "disabled":
            raise InputError(f"{record.title} is disabled, so it is not imported.", record.mend)
        chosen = [c for c in record.components if kind in {None, c.kind} and component in {None, c.name}]
        if not as_json and (chosen or record.reason):
            _tell_plugin(record)
        mine: list[Finding] = []
        for described in chosen:
            made = campaign.check_component(tested, described, seconds, options)
            mine += made if as_json else _told(made, f"{described.kind} {described.name}")
        findings += mine
        report.append(_plugin_json(record, mine))
    broken = sum(bool(plugin["reason"]) for plugin in report)
    if not findings and not broken:
        raise InputError(f"{named} offers no such component.", "Leave --kind and --component out to check all.")
    failed = broken + sum(f.result == "failed" for f in findings)
    if as_json:
        output.as_json(report)
    else:
        _tell_end(findings, failed, named)
    return 1 if failed else 2 * _untried(findings)


def _plugin_json(record: Record, findings: Iterable[Finding]) -> dict[str, Any]:
    return {
        "plugin": record.name,
        "distribution": record.distribution,
        "version": record.version,
        "reason": record.reason,
        "findings": [dataclasses.asdict(finding) for finding in findings],
    }


def _tell_plugin(record: Record) -> None:
    output.data(record.title)
    if record.reason:
        install = f"Name what brings {record.missing} in the dependencies of its pyproject.toml, and install it."
        _tell(f"{MARKS['failed']} It cannot be described: {record.reason}", install if record.missing else "")


def _told(findings: Iterable[Finding], title: str) -> Iterator[Finding]:
    """Say each finding as it comes; at the end what could not be made, once for each reason."""
    output.data()
    output.data(title)
    unmade: dict[str, list[str]] = {}
    for finding in findings:
        if finding.result == "skipped":
            unmade.setdefault(finding.says, []).append(finding.check)
        else:
            _tell(f"{MARKS[finding.result]} {finding.check}", finding.says)
        yield finding
    for why, checks in unmade.items():
        _tell(f"{MARKS['skipped']} {checks[0] if len(checks) == 1 else plural(len(checks), 'check')}", why)


def _tell(line: str, why: str) -> None:
    output.data(f"  {line}")
    for text in output.wrap(why, output.width(), "      ") if why else ():
        output.data(text)


def _tell_end(findings: Sequence[Finding], failed: int, named: str) -> None:
    results = [f.result for f in findings]
    output.data()
    output.data(
        f"{plural(results.count('passed'), 'check')} passed, {failed} failed, {results.count('skipped')} not made."
    )
    if failed:
        output.say(f"Mend what is marked ✗, then check again: ftstudio plugins check {named}")
    elif _untried(findings):
        output.say("Some of what is required could not be tried: see the lines marked –.")  # noqa: RUF001
    else:
        output.say("It keeps the contract as far as these checks can tell.")


def _untried(findings: Iterable[Finding]) -> bool:
    """Whether something that is required of every component was not tried."""
    return any(f.required and f.result == "skipped" for f in findings)
