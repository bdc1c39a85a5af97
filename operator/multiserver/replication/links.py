"""Links between sites: which there must be, what they are called, and when a site may open.

A link from site P to site N is a slot at P, named after N and the incarnation of P (`slots`), and a subscription at N,
named after P (`subscriptions`). Every action works on one site's own database only, so no site waits for another: a
site makes the slots for all its peers before it opens for the application, and so no change is missed, however late a
peer subscribes.

Every action may be repeated and killed at any point; each returns whether it changed something.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from psycopg import sql
from psycopg.types.json import Jsonb

from multiserver.api.names import PEER_ROLE
from multiserver.postgres.connect import Certificate, Connection, Target

PUBLICATION = "multiserver"
JOURNAL = "multiserver.journal"

PUBLISHED = """
select p.pubinsert and not p.pubupdate and not p.pubdelete and not p.pubtruncate as insert_only,
  array(select format('%%I.%%I', t.schemaname, t.tablename) from pg_publication_tables t where t.pubname = p.pubname)
    as tables
from pg_publication p where p.pubname = %s
"""

KEPT_SLOTS = """
select peer_number from multiserver.peer_slots join multiserver.slots using (peer_number)
where wal_status is distinct from 'lost'
"""

INCOMPLETE = """
select multiserver.site_name(number) as name from unnest(%(peers)s::integer[]) as number
where exists (select from multiserver.broken_history) and not exists (
  select from multiserver.links where peer_number = number and slot_birth is not null and doubted_at is null)
order by number
"""

CONNECT_TIMEOUT_SECONDS = 5
LOST_CONNECTION_MILLISECONDS = 15_000
"""After so long without an answer a link's connection counts as broken and is made anew."""


class NotReady(Exception):
    """An action's precondition is not met yet; the text says which. Trying again later is the way out."""


def link_name(server_number: int) -> str:
    """Return the name of the subscription to the site with this number, and of its connections."""
    return f"multiserver_{server_number}"


@dataclass(frozen=True)
class Links:
    """The server numbers of the peers that a site sends to and receives from."""

    slots_for: tuple[int, ...]
    subscriptions_to: tuple[int, ...]


def desired_links(own_number: int, all_numbers: Iterable[int]) -> Links:
    """Return the links of a site: both ways with every other site (a full mesh, each change once per line)."""
    peers = tuple(sorted(number for number in set(all_numbers) if number != own_number))
    return Links(slots_for=peers, subscriptions_to=peers)


def peer_conninfo(host: str, port: int, database: str, certificate: Certificate, own_number: int) -> str:
    """Return the connection string with which site `own_number` subscribes to the peer at `host`; no secret in it."""
    target = Target(host, database, PEER_ROLE, port, certificate, application_name=link_name(own_number))
    return target.conninfo(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        tcp_user_timeout=LOST_CONNECTION_MILLISECONDS,
        keepalives_idle=5,
        keepalives_interval=5,
        keepalives_count=3,
    )


async def ensure_publication(connection: Connection) -> bool:
    """Make sure that the journal, and only it, is published. The engine's installation does it; this repairs drift."""
    published = await connection.rows(PUBLISHED, [PUBLICATION])
    if published and published[0]["insert_only"] and published[0]["tables"] == [JOURNAL]:
        return False
    async with connection.transaction():
        await connection.execute(sql.SQL("drop publication if exists {}").format(sql.Identifier(PUBLICATION)))
        await connection.execute(
            sql.SQL("create publication {} for table multiserver.journal with (publish = 'insert')").format(
                sql.Identifier(PUBLICATION)
            )
        )
    return True


async def ensure_site(connection: Connection, own_number: int, schema_site: int, names: dict[int, str]) -> bool:
    """Tell the engine which site it is, where the schema is changed, and the names of all sites by number."""
    text = {str(number): name for number, name in names.items()}
    return bool(
        await connection.value("select multiserver.configure_site(%s, %s, %s)", [own_number, schema_site, Jsonb(text)])
    )


async def ensure_open(connection: Connection, peer_numbers: Iterable[int], complete_with: Iterable[int] = ()) -> bool:
    """Let the application in: only now may its role log in.

    Raises NotReady while a slot for a peer is missing, since that peer would miss what is written from now on, and
    while a site whose history broke has not everything of the peers in `complete_with`, those that can be reached now.
    """
    async with connection.transaction():
        kept_for = {row["peer_number"] for row in await connection.rows(KEPT_SLOTS)}
        missing = [str(number) for number in peer_numbers if number not in kept_for]
        if missing:
            raise NotReady(f"replication slots are missing for the site numbers {', '.join(missing)}")
        incomplete = [row["name"] for row in await connection.rows(INCOMPLETE, {"peers": list(complete_with)})]
        if incomplete:
            raise NotReady(f"not everything has been fetched yet from {', '.join(incomplete)}")
        return bool(await connection.value("select multiserver.open_site()"))
