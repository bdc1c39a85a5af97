"""`multiserver verify`: have the site's agent compare all rows with all peers' now, and print how that ends."""

import time
from collections.abc import Iterator
from pathlib import Path

import click
import httpx

from multiserver.api.names import AGENT_PORT
from multiserver.api.report import PeerReport, SiteReport, Verification
from multiserver.backup.command import patiently, tls
from multiserver.backup.errors import BackupError
from multiserver.settings import SitePaths

POLL_SECONDS = 2.0
REQUEST_SECONDS_MAX = 10.0


@click.command()
@click.option(
    "--agent", default=f"https://localhost:{AGENT_PORT}", show_default=True, help="Address of the site's agent."
)
@click.option("--deadline-seconds", type=float, default=12 * 3600.0, show_default=True, help="Give up after this time.")
@click.option("--root", type=click.Path(path_type=Path, file_okay=False), default="/", help="Root of the pod's tree.")
def verify(agent: str, deadline_seconds: float, root: Path) -> None:
    """Compare all rows with those of every other site; ends with 0 only if all are equal."""
    try:
        context = tls(SitePaths(root))
        with httpx.Client(base_url=agent, verify=context, timeout=REQUEST_SECONDS_MAX, trust_env=False) as client:
            results = list(follow(client, deadline_seconds))
    except (BackupError, TimeoutError) as error:
        raise click.ClickException(f"the rows could not be compared: {error}") from error
    if not all(results):
        raise SystemExit(1)


def follow(client: httpx.Client, deadline_seconds: float) -> Iterator[bool]:
    """Ask, print each peer's result as it comes, and give whether it is equal. Raises BackupError or TimeoutError."""
    end = time.monotonic() + deadline_seconds
    before = {peer.name: peer.verified.attempted_at for peer in _peers(client, "POST", "/v1/verifications")}
    told: set[str] = set()
    while True:
        peers = _peers(client, "GET", "/v1/report")
        for peer in peers:
            # By the clock alone, a result that was found while it was ahead would pass for the one that was asked for.
            if peer.name not in told and peer.verified.attempted_at != before.get(peer.name):
                told.add(peer.name)
                click.echo(sentence(peer))
                yield is_equal(peer.verified)
        if told >= {peer.name for peer in peers}:
            return
        if time.monotonic() > end:
            raise TimeoutError(f"no result within {deadline_seconds:g} s")
        time.sleep(POLL_SECONDS)


def _peers(client: httpx.Client, method: str, path: str) -> tuple[PeerReport, ...]:
    """Give the peers of the report that is the answer. Raises BackupError."""
    return SiteReport.model_validate(patiently(client, method, path)).peers


def is_equal(result: Verification) -> bool:
    """Whether the newest attempt found all rows equal."""
    return result.is_equal is True and not result.message


def sentence(peer: PeerReport) -> str:
    """Say how the comparison with a peer has ended."""
    result = peer.verified
    if result.message:
        return f"{peer.name}: not known: {result.message}"
    if result.is_equal:
        return f"{peer.name}: all rows of {result.tables} tables are equal"
    tables = (
        f"{t.table}: {t.rows} rows ({t.damaged} damaged), such as {', '.join(t.examples)}" for t in result.differences
    )
    return f"{peer.name}: different: {'; '.join(tables)}"
