"""What the command lines of the tools share."""

from typing import Any

import click

from hack.common.command import CommandFailed


class ToolGroup(click.Group):
    """A group of commands that tells a failed program in its own words, without a traceback, and ends with 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except CommandFailed as error:
            raise click.ClickException(str(error)) from error
