"""The command that plays a vendor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fieldwarden.commands.program import cli, command, say
from fieldwarden.operations.shell.report import Report


@command(cli)
@click.argument("vendor")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of 127.0.0.1 (default: any that is free).")
@click.option(
    "--fault", "faults", multiple=True, metavar="NAME", help="Goes wrong once; NAME:5, NAME:1/10, NAME:always."
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed makes the same records.")
@click.option("--data", type=click.Path(path_type=Path), help="Records to begin with, too, as JSON by table.")
@click.option("--hooks", multiple=True, metavar="URL", help="Where webhooks go.")
@click.option("--rate", type=click.IntRange(0), help="Requests a second (default: the vendor's; 0: no limit).")
def sandbox(vendor: str, **options: Any) -> Report:
    """Play a vendor over HTTP (stripe, hubspot, quickbooks, netsuite, sap, salesforce), with its faults."""
    from fieldwarden.operations.shell.sandbox import sandbox

    return sandbox(vendor, say=say, **options)
