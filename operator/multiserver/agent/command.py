"""`multiserver agent`: the process beside a site's database."""

import asyncio
import logging
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from multiserver.agent import log
from multiserver.agent.agent import Agent
from multiserver.agent.configuration import ConfigurationError
from multiserver.agent.settings import AgentSettings
from multiserver.api import names
from multiserver.settings import SitePaths

logger = logging.getLogger(__name__)

THREADS_MAX = 64
"""Names are looked up in threads; so many that lookups which do not end hold up no other peer's."""


@click.command()
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default="/",
    help="Folder that holds the pod's tree, for use outside a pod.",
)
@click.option("--host", default="", help="Address to listen on; all if empty.")
@click.option("--api-port", default=names.AGENT_PORT, show_default=True, help="Port of the API over mutual TLS.")
@click.option("--probe-port", default=names.PROBE_PORT, show_default=True, help="Port of health and metrics.")
@click.option("--postgres-port", default=names.POSTGRES_PORT, show_default=True, help="Port in the socket's name.")
@click.option(
    "--log-level",
    type=click.Choice(["DEBUG", "INFO", "WARNING"]),
    default="INFO",
    show_default=True,
    help="Least level.",
)
def agent(root: Path, host: str, api_port: int, probe_port: int, postgres_port: int, log_level: str) -> None:
    """Watch over a site: its peers, its database, its files, its backups."""
    log.set_up(log_level)
    settings = AgentSettings(
        paths=SitePaths(root), host=host, api_port=api_port, probe_port=probe_port, postgres_port=postgres_port
    )
    try:
        asyncio.run(_run(settings))
    except (ConfigurationError, OSError) as error:
        raise click.ClickException(str(error)) from error


async def _run(settings: AgentSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log.leave_out_late_answers)
    loop.set_default_executor(ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="lookup"))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Agent(settings).run(stop)
