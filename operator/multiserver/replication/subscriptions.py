"""The own subscriptions to peers: how a site receives their journals.

Every action may be repeated and killed at any point; each returns whether it changed something.
"""

from psycopg import sql

from multiserver.api.names import APPLY_ROLE
from multiserver.postgres.connect import Connection
from multiserver.replication.links import PUBLICATION, NotReady, link_name

FOUND = """
select s.subconninfo as conninfo, s.subenabled as enabled, l.peer_incarnation::text as incarnation
from pg_subscription s left join multiserver.links l on l.peer_number = %s
where s.subname = %s and s.subdbid = (select oid from pg_database where datname = current_database())
"""

SLOT = "select multiserver.slot_name(multiserver.server_number(), %s::uuid)"
"""What a peer of this incarnation calls its slot for the own site."""


async def ensure_subscription(connection: Connection, peer_number: int, conninfo: str, peer_incarnation: str) -> bool:
    """Subscribe to a peer, follow its new address, or subscribe anew if its history is another one.

    `peer_incarnation` is the peer's present one. Raises NotReady if the peer does not publish its journal yet: a
    subscription made then would drop its events.
    """
    name = link_name(peer_number)
    found = await connection.rows(FOUND, [peer_number, name])
    if found and found[0]["incarnation"] != peer_incarnation:
        # The position that its origin remembers is one in a log that is gone, so it goes, even if no new one follows.
        await drop_subscription(connection, peer_number)
        found = []
    if not found:
        await _subscribe(connection, peer_number, conninfo, peer_incarnation)
        return True
    changes: list[sql.Composable] = []
    if found[0]["conninfo"] != conninfo:
        changes.append(sql.SQL("connection {}").format(sql.Literal(conninfo)))
    if not found[0]["enabled"]:
        changes.append(sql.SQL("enable"))
    for change in changes:
        await connection.execute(sql.SQL("alter subscription {} ").format(sql.Identifier(name)) + change)
    return bool(changes)


async def drop_subscription(connection: Connection, peer_number: int) -> bool:
    """Receive nothing more from a peer, and forget the position in its log; the peer keeps its slot."""
    name = link_name(peer_number)
    if not await connection.rows(FOUND, [peer_number, name]):
        return False
    async with connection.transaction():
        for step in ("alter subscription {} disable", "alter subscription {} set (slot_name = none)"):
            await connection.execute(sql.SQL(step).format(sql.Identifier(name)))
        await connection.execute(sql.SQL("drop subscription {}").format(sql.Identifier(name)))
    return True


async def _subscribe(connection: Connection, peer_number: int, conninfo: str, incarnation: str) -> None:
    """Create, check, note, hand over and enable the subscription in one transaction.

    streaming = on and not parallel: parallel workers could deadlock with the lock that keeps merges apart.
    """
    name = link_name(peer_number)
    slot = await connection.value(SLOT, [incarnation])
    async with connection.transaction():
        await connection.execute(
            sql.SQL(
                "create subscription {name} connection {conninfo} publication {publication} with (slot_name = {slot},"
                " create_slot = false, copy_data = false, enabled = false, origin = none, streaming = on,"
                " password_required = false, run_as_owner = true, disable_on_error = false)"
            ).format(
                name=sql.Identifier(name),
                conninfo=sql.Literal(conninfo),
                publication=sql.Identifier(PUBLICATION),
                slot=sql.Literal(slot),
            )
        )
        if not await connection.rows(
            "select 1 from pg_subscription_rel r join pg_subscription s on s.oid = r.srsubid"
            " where s.subname = %s and r.srrelid = 'multiserver.journal'::regclass",
            [name],
        ):
            raise NotReady(f"site number {peer_number} does not publish its journal yet")
        await connection.execute("select multiserver.note_subscription(%s, %s)", [peer_number, incarnation])
        await connection.execute(
            sql.SQL("alter subscription {} owner to {}").format(sql.Identifier(name), sql.Identifier(APPLY_ROLE))
        )
        await connection.execute(sql.SQL("alter subscription {} enable").format(sql.Identifier(name)))
