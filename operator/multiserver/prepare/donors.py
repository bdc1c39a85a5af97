"""Which peer a new site can be copied from, asked over the network as the role multiserver_peer."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from multiserver.api import paths as pod
from multiserver.api.names import PEER_ROLE
from multiserver.api.siteconfig import Member, SiteConfig
from multiserver.postgres.connect import Certificate, Target, connect
from multiserver.postgres.errors import DatabaseError
from multiserver.prepare.errors import PrepareError
from multiserver.replication.completeness import ask_peer
from multiserver.settings import SitePaths

ASKING_SECONDS_MAX = 10.0

TABLESPACES = "select string_agg(spcname, ', ') from pg_tablespace where spcname not in ('pg_default', 'pg_global')"
MAJOR = "select current_setting('server_version_num')::integer / 10000"


@dataclass(frozen=True)
class Donor:
    """A peer that can be copied."""

    site: str
    target: Target
    schema_version: int


def usable_donors(paths: SitePaths, config: SiteConfig, major: int) -> list[Donor]:
    """Ask all donors at once; give those that can be copied, those that know the newest schema first.

    Schema events are not pulled from peers later on, so a schema that only some peers know yet must come with the copy.
    Raises PrepareError if there is none, with each donor's reason.
    """
    members = [config.member(name) for name in config.donors]
    answers = asyncio.run(_ask_all(paths, config, members, major))
    donors = [answer for answer in answers if isinstance(answer, Donor)]
    if not donors:
        raise PrepareError(no_donor(config, [answer for answer in answers if isinstance(answer, str)]))
    return sorted(donors, key=lambda donor: -donor.schema_version)


def no_donor(config: SiteConfig, reasons: Sequence[str]) -> str:
    """Say that no donor could be copied, and why."""
    return (
        f"site {config.site} has no database yet and none of its peers can be copied now: {'; '.join(reasons)}. "
        "It is tried again by itself; look at those sites and at the line to them"
    )


async def _ask_all(paths: SitePaths, config: SiteConfig, members: Sequence[Member], major: int) -> list["Donor | str"]:
    return list(await asyncio.gather(*(_ask(paths, config, member, major) for member in members)))


async def _ask(paths: SitePaths, config: SiteConfig, member: Member, major: int) -> "Donor | str":
    """Give the donor, or why it cannot be copied."""
    certificate = Certificate(paths.at(pod.CERTIFICATE), paths.at(pod.KEY), paths.trust)
    target = Target(
        member.host,
        config.database,
        PEER_ROLE,
        member.postgres_port,
        certificate,
        application_name=f"multiserver copy for {config.site}",
    )
    try:
        async with asyncio.timeout(ASKING_SECONDS_MAX), connect(target) as connection:
            facts = await ask_peer(connection, config.own.server_number)
            tablespaces = await connection.value(TABLESPACES)
            its_major = await connection.value(MAJOR)
    except (DatabaseError, TimeoutError) as error:
        return f"{member.name} does not answer ({error or f'within {ASKING_SECONDS_MAX:g} s'})"
    if facts is None or not facts.is_open:
        return f"{member.name} is not open itself"
    if its_major != major:
        return (
            f"{member.name} runs PostgreSQL {its_major}, of which this image with PostgreSQL {major} "
            f"cannot make a copy: use an image with PostgreSQL {its_major}"
        )
    if tablespaces:
        return f"{member.name} has tablespaces ({tablespaces}), which would lie outside the volume: move them back"
    return Donor(member.name, target, facts.schema_version)
