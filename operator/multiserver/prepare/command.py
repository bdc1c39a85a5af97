"""`multiserver prepare`: the init container of a site's pod."""

from pathlib import Path

import click

from multiserver.prepare.database import prepare_database
from multiserver.prepare.errors import PrepareError
from multiserver.prepare.files import prepare_files
from multiserver.prepare.repository import prepare_repository, prepare_secrets
from multiserver.settings import SitePaths


@click.command()
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default="/",
    help="Folder that holds the pod's tree, for use outside a pod.",
)
def prepare(root: Path) -> None:
    """Make the volumes of a site ready for its servers. May be run again at any time."""
    paths = SitePaths(root)
    try:
        prepare_secrets(paths)
        click.echo(prepare_database(paths, click.echo))
        click.echo(prepare_files(paths))
    except PrepareError as error:
        raise click.ClickException(str(error)) from error
    try:
        prepare_repository(paths)
    except PrepareError as error:
        # Without backups the site still serves; archiving then fails loudly, with this very cause in the status.
        click.echo(f"Warning: {error}", err=True)
