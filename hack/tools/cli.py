"""The command line: each command prints the path of a program, made available first if need be."""

import click

from hack.common.cli import ToolGroup
from hack.tools.programs import program


@click.group(cls=ToolGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Print where helm or kubectl is. They are kept in $MULTISERVER_CACHE (~/.cache/multiserver)."""


@main.command()
def helm() -> None:
    """Print the path of helm."""
    click.echo(str(program("helm")))


@main.command()
def kubectl() -> None:
    """Print the path of kubectl."""
    click.echo(str(program("kubectl")))
