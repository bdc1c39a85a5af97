"""Where the agent listens and finds its files, sockets and programs; the pod's own unless a test says otherwise."""

from dataclasses import dataclass, field
from pathlib import Path

from multiserver.api import names
from multiserver.api import paths as pod
from multiserver.backup.process import Programs
from multiserver.postgres.connect import Certificate
from multiserver.settings import POD, SitePaths


@dataclass(frozen=True)
class AgentSettings:
    """Everything about the agent's surroundings that `site.json` does not say."""

    paths: SitePaths = POD
    programs: Programs = field(default_factory=Programs)
    postgres_port: int = names.POSTGRES_PORT
    """The local server's port, which is part of its socket's name."""
    files_listen: str = f"tcp://0.0.0.0:{names.FILES_PORT}"
    """The address on which Syncthing listens."""
    host: str = ""
    """The address to listen on; empty means all."""
    api_port: int = names.AGENT_PORT
    probe_port: int = names.PROBE_PORT

    @property
    def certificate(self) -> Certificate:
        """The site's own key and certificate, and whom it trusts."""
        return Certificate(self.paths.at(pod.CERTIFICATE), self.paths.at(pod.KEY), self.paths.trust)

    @property
    def password(self) -> Path:
        """File with the application's password."""
        return self.paths.at(pod.APPLICATION) / "password"

    @property
    def server_files(self) -> tuple[Path, ...]:
        """The files that PostgreSQL reads again when it is told to reload."""
        configuration = (pod.POSTGRES_CONFIG, pod.POSTGRES_ACCESS, pod.POSTGRES_IDENT)
        return (*map(self.paths.at, configuration), *self.certificate_files)

    @property
    def certificate_files(self) -> tuple[Path, ...]:
        """The files behind every TLS connection."""
        return (self.paths.at(pod.CERTIFICATE), self.paths.at(pod.KEY), self.paths.trust)
