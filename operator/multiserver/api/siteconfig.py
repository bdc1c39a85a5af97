"""What a site is told of itself and its peers: `site.json`, written by the operator, read by the agent."""

from multiserver.api.base import Message
from multiserver.api.names import AGENT_PORT, FILES_PORT, POSTGRES_PORT


class Member(Message):
    """A site of the cluster and how to reach it."""

    name: str
    server_number: int
    host: str
    postgres_port: int = POSTGRES_PORT
    files_port: int = FILES_PORT
    agent_port: int = AGENT_PORT
    syncthing_device_id: str


class SiteConfig(Message):
    """Everything a site knows from outside: with it, the site works on without the operator."""

    cluster: str
    namespace: str
    site: str
    schema_site: str
    database: str
    owner: str
    folders: tuple[str, ...]
    members: tuple[Member, ...]
    """All sites, this one too, by server number."""
    verify_every_hours: int = 24
    """How often the site's rows are compared with those of each peer."""
    donors: tuple[str, ...] = ()
    """Peers that hold the cluster's data: a site without a database copies one of them, tried in this order. Empty only
    while no site has opened yet; then the site begins with an empty database."""

    def member(self, name: str) -> Member:
        """Give a site of the cluster by its name."""
        return next(member for member in self.members if member.name == name)

    @property
    def own(self) -> Member:
        """This site."""
        return next(member for member in self.members if member.name == self.site)

    @property
    def peers(self) -> tuple[Member, ...]:
        """All other sites."""
        return tuple(member for member in self.members if member.name != self.site)
