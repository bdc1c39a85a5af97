"""`multiserver backup`: what a CronJob runs. It asks the site's agent, follows the backup, and ends with its result."""

import ssl
import time
from pathlib import Path
from typing import Any

import click
import httpx

from multiserver.backup.errors import BackupError
from multiserver.settings import SitePaths

POLL_SECONDS = 2.0
REQUEST_SECONDS_MAX = 10.0
SILENCE_SECONDS_MAX = 120.0
"""How long the agent may not answer before the backup counts as failed."""


@click.command()
@click.option("--kind", type=click.Choice(["data", "files"]), required=True, help="What to back up.")
@click.option("--agent", required=True, help="Address of the site's agent, such as https://lab-berlin-server:8443.")
@click.option("--deadline-seconds", type=float, default=12 * 3600.0, show_default=True, help="Give up after this time.")
@click.option("--root", type=click.Path(path_type=Path, file_okay=False), default="/", help="Root of the pod's tree.")
def backup(kind: str, agent: str, deadline_seconds: float, root: Path) -> None:
    """Make a backup at a site; ends with 0 only if it succeeded. One that is under way is followed, not doubled."""
    try:
        with httpx.Client(base_url=agent, verify=tls(SitePaths(root)), timeout=REQUEST_SECONDS_MAX) as client:
            click.echo(follow(client, kind, deadline_seconds))
    except BackupError as error:
        raise click.ClickException(str(error)) from error


def tls(paths: SitePaths) -> ssl.SSLContext:
    """Give TLS by which both ends know each other by their certificates. Raises BackupError."""
    try:
        context = ssl.create_default_context(cafile=str(paths.trust))
        context.load_cert_chain(paths.identity / "tls.crt", paths.identity / "tls.key")
    except OSError as error:
        raise BackupError(
            f"the site's certificates cannot be used ({error}): are the Secret and the ConfigMap of the site mounted?"
        ) from error
    return context


def follow(client: httpx.Client, kind: str, deadline_seconds: float) -> str:
    """Start the backup, print its progress, and give its result in words. Raises BackupError if it does not succeed."""
    end = time.monotonic() + deadline_seconds
    started = patiently(client, "POST", "/v1/backups", {"kind": kind})
    printed = ""
    while time.monotonic() < end:
        run = patiently(client, "GET", f"/v1/backups/{started['id']}")
        progress = run.get("progress") or ""
        if progress and progress != printed:
            click.echo(progress)
            printed = progress
        if run["state"] == "succeeded":
            return f"backup of {kind} succeeded: {run.get('message', '')}"
        if run["state"] == "failed":
            raise BackupError(f"backup of {kind} failed: {run.get('message', '')}")
        time.sleep(POLL_SECONDS)
    raise BackupError(
        f"backup of {kind} had no result after {deadline_seconds:g} s; it may still be running at the site"
    )


def patiently(client: httpx.Client, method: str, path: str, body: object = None) -> dict[str, Any]:
    """Ask the agent, again while it does not answer at all. Asking twice for a backup follows the one under way."""
    end = time.monotonic() + SILENCE_SECONDS_MAX
    while True:
        try:
            return _answer(client.request(method, path, json=body), path)
        except httpx.TransportError as error:
            if time.monotonic() > end:
                raise BackupError(
                    f"the agent at {client.base_url} does not answer since {SILENCE_SECONDS_MAX:g} s: {error}"
                ) from error
            click.echo(f"the agent does not answer, trying again: {error}", err=True)
        time.sleep(POLL_SECONDS)


def _answer(response: httpx.Response, path: str) -> dict[str, Any]:
    """Give the agent's answer. Raises BackupError if it is no success."""
    if response.status_code == httpx.codes.NOT_FOUND and response.request.method == "GET":
        raise BackupError(
            "the agent does not know this backup any more: it was restarted, and the backup ended with it"
        )
    if response.is_error:
        raise BackupError(f"the agent refuses {path} with {response.status_code}: {response.text.strip()}")
    answer = response.json()
    assert isinstance(answer, dict), "the agent answers with an object"
    return answer
