"""How the operator speaks to a cluster's sites: SQL as administrator, HTTPS to the agent. Both prove who they are."""

import ssl
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cached_property

import httpx

from multiserver.api.names import AGENT_PORT, Names
from multiserver.api.report import SiteReport
from multiserver.control.credentials import tls_context
from multiserver.postgres.connect import Certificate, Connection, Target, connect

MAINTENANCE_DATABASE = "postgres"
CONNECT_TIMEOUT_SECONDS = 3
REPORT_TIMEOUT_SECONDS = 4


class AgentUnavailableError(Exception):
    """The agent did not give a report; the text says why."""


@dataclass(frozen=True)
class Sites:
    """The sites of one cluster."""

    names: Names
    database: str
    certificate: Certificate

    def connect(self, site: str, database: str | None = None) -> AbstractAsyncContextManager[Connection]:
        """Connect as administrator to a site's application database, or to another one."""
        target = Target(
            self.names.host(site),
            database or self.database,
            certificate=self.certificate,
            application_name="multiserver-operator",
        )
        return connect(target, connect_timeout_seconds=CONNECT_TIMEOUT_SECONDS)

    async def report(self, site: str) -> SiteReport:
        """Ask a site's agent for its report. Raises AgentUnavailableError, also where a certificate is no certificate.

        Through the headless Service, which leads to the agent even while the site's database is not ready: just then
        its report says why.
        """
        url = f"https://{self.names.headless_host(site)}:{AGENT_PORT}/v1/report"
        try:
            async with httpx.AsyncClient(
                verify=self._context, timeout=REPORT_TIMEOUT_SECONDS, trust_env=False
            ) as client:
                response = await client.get(url)
                response.raise_for_status()
                return SiteReport.model_validate_json(response.content)
        except (httpx.HTTPError, OSError, ValueError) as error:
            raise AgentUnavailableError(f"{url}: {error or type(error).__name__}") from error

    @cached_property
    def _context(self) -> ssl.SSLContext:
        """The TLS context, read from the files once for all sites of a round."""
        return tls_context(self.certificate)
