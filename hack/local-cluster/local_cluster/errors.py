"""The one exception of this tool."""

import click


class LocalClusterError(click.ClickException):
    """Something a person must know: its text says what failed, where, with which value, and the way out."""
