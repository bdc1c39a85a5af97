"""The own slots for peers: what a site keeps of its journal until each peer has confirmed it.

Every action may be repeated and killed at any point; each returns whether it changed something.
"""

from multiserver.postgres.connect import Connection
from multiserver.postgres.errors import StatementFailed
from multiserver.replication.links import NotReady

OBJECT_IN_USE = "55006"
UNDEFINED_OBJECT = "42704"

DROP_ATTEMPTS_MAX = 5
"""A peer that is alive connects to its slot again at once; one of so many attempts comes first."""

STATE = """
select exists (select from multiserver.slots where peer_number = %(peer)s) as has_birth,
  p.slot_name is not null as is_there, p.wal_status is not distinct from 'lost' as is_lost,
  multiserver.slot_name(%(peer)s, multiserver.incarnation()) as name
from (select) as one left join multiserver.peer_slots p on p.peer_number = %(peer)s
"""

NAMES = "select slot_name as name from pg_replication_slots where slot_name ~ format('^multiserver_%%s_', %s::integer)"
"""The slots for a peer, those of earlier incarnations too."""

DROP = """
select pg_terminate_backend(active_pid, 1000) from pg_replication_slots
where slot_name = %(name)s and active_pid is not null
"""


async def ensure_slot(connection: Connection, peer_number: int) -> bool:
    """Make the own slot for a peer; from now on every change is kept until that peer has confirmed it.

    A slot that PostgreSQL has invalidated, since the backlog grew beyond what may be kept, is made anew, and so is one
    without a birth. The slot comes first and its birth second: between the two, the peer learns of no birth and counts
    as incomplete; the other way round the birth would vouch for what no slot keeps. Raises NotReady while an old slot
    is in use.
    """
    state = (await connection.rows(STATE, {"peer": peer_number}))[0]
    if state["is_there"] and state["has_birth"] and not state["is_lost"]:
        return False
    await drop_slot(connection, peer_number)
    await connection.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", [state["name"]])
    await connection.execute("select multiserver.note_slot(%s)", [peer_number])
    return True


async def drop_slot(connection: Connection, peer_number: int) -> bool:
    """Drop the own slots for a peer with their birth, though the peer may be connected to one.

    What the peer has not confirmed is not kept for it any more. Raises NotReady while the slot stays in use.
    """
    changed = await connection.execute("delete from multiserver.slots where peer_number = %s", [peer_number]) > 0
    for row in await connection.rows(NAMES, [peer_number]):
        await _drop(connection, row["name"], peer_number)
        changed = True
    return changed


async def _drop(connection: Connection, name: str, peer_number: int) -> None:
    for _ in range(DROP_ATTEMPTS_MAX):
        await connection.execute(DROP, {"name": name})
        try:
            await connection.execute("select pg_drop_replication_slot(%s)", [name])
        except StatementFailed as error:
            if error.sqlstate == UNDEFINED_OBJECT:
                return
            if error.sqlstate != OBJECT_IN_USE:
                raise
        else:
            return
    raise NotReady(f"slot {name} is still in use by site number {peer_number}, which connects again and again")
