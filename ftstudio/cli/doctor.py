"""ftstudio doctor: what is well on this machine and what is not, each with its mend."""

from __future__ import annotations

from collections.abc import Mapping

import click

from ftstudio.cli import output
from ftstudio.cli.options import JSON
from ftstudio.doctor import Level, examine
from ftstudio.finding import default_root

MARKS: Mapping[Level, str] = {"ok": "✓ ok", "warn": "! warn", "error": "✗ error"}


@click.command()
@JSON
def doctor(as_json: bool) -> int:
    """Check this machine: versions, devices, locks, space, folders, terminal, plugins.

    The exit code is 1 when something is an error.
    """
    found = list(examine(default_root()))
    if as_json:
        output.as_json([finding.as_json() for finding in found])
    else:
        width = min(24, max(len(finding.subject) for finding in found))
        for finding in found:
            output.data(f"{MARKS[finding.level]:<8} {finding.subject:<{width}}  {finding.says}")
            if finding.mend:
                output.data(f"{'':<8} {'':<{width}}  {finding.mend}")
    return int(any(finding.level == "error" for finding in found))
