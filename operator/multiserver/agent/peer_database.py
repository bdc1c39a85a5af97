"""How the agent reaches a peer's database."""

from multiserver.api.names import PEER_ROLE
from multiserver.api.siteconfig import Member, SiteConfig
from multiserver.postgres.connect import Certificate, Target


def peer_target(config: SiteConfig, peer: Member, certificate: Certificate, purpose: str) -> Target:
    """Give where a peer's database is and who we are there; `purpose` is what the peer's pg_stat_activity shows."""
    return Target(
        host=peer.host,
        port=peer.postgres_port,
        database=config.database,
        user=PEER_ROLE,
        certificate=certificate,
        application_name=f"multiserver {purpose} of {config.site}",
    )
