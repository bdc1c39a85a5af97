"""How a site leaves: it is closed, its peers take what it wrote, then they forget it.

Every action works on one site's own database, may be repeated and killed at any point, and returns whether it changed
something.
"""

from multiserver.postgres.connect import Connection
from multiserver.replication.links import NotReady
from multiserver.replication.slots import drop_slot
from multiserver.replication.subscriptions import drop_subscription

CLOSED = """
select opened_at is null and (closed_at is null or closed_lsn is not null) and not (
  select rolcanlogin from pg_roles join pg_database on datdba = pg_roles.oid where datname = current_database())
from multiserver.site_settings
"""


async def ensure_closed(connection: Connection) -> bool:
    """Keep the application out and end its sessions, so that it writes nothing more here.

    Raises NotReady while a session does not end; a long statement may take its time to roll back.
    """
    if await connection.value(CLOSED):
        return False
    await connection.execute("select multiserver.close_site()")
    # Only now, in a transaction of its own: who logged in before the role was closed is seen.
    await end_sessions(connection)
    return True


async def end_sessions(connection: Connection) -> None:
    """End the sessions of the application at a site that is closed; raises NotReady while one is left."""
    remaining = await connection.value("select multiserver.end_sessions()")
    if remaining:
        raise NotReady(f"{remaining} sessions of the application have not ended yet")


async def ensure_forgotten(connection: Connection, peer_number: int) -> bool:
    """Drop both ends of the links with a site that has left, and have all other links compared once more.

    Raises NotReady while the site that left is still connected to its slot.
    """
    changed = await drop_subscription(connection, peer_number)
    # The slot goes last: as long as it is there, so is a fact that asks for this action again.
    changed |= bool(await connection.value("select multiserver.forget_site(%s)", [peer_number]))
    return await drop_slot(connection, peer_number) or changed
