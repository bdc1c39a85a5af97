"""`multiserver stop`: what Kubernetes runs in the server's container before it ends it."""

import click

from multiserver.settings import POD
from multiserver.stop.server import StopError, stop_server


@click.command()
@click.option("--timeout", "timeout_seconds", type=int, required=True, help="Seconds that all of it may take.")
def stop(timeout_seconds: int) -> None:
    """Stop the site's PostgreSQL in order."""
    try:
        click.echo(stop_server(POD.pgdata, timeout_seconds))
    except StopError as error:
        raise click.ClickException(str(error)) from error
