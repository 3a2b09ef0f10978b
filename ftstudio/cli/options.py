"""The options that several commands have."""

from __future__ import annotations

import click

SETTINGS = click.option("--set", "overrides", multiple=True, metavar="KEY.KEY=VALUE", help="A setting for this once.")
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON value on stdout.")
DEVICE = click.option(
    "--device",
    default="auto",
    metavar="D",
    help="Where to compute: cpu, cuda, cuda:1 or mps. Without it, the best that this machine has.",
)
