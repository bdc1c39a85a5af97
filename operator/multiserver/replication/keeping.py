"""What the engine keeps for itself: forgotten where nobody needs it any more, and measured."""

from multiserver.api.report import EngineReport
from multiserver.postgres.connect import Connection


async def keep_small(connection: Connection) -> EngineReport:
    """Forget a bounded part of what is needed no longer, and say how much is left. Raises DatabaseError.

    `connection` is a superuser's, to the application's database. Collecting is skipped while a large change is merged.
    """
    await connection.execute("select multiserver.purge_conflicts()")
    await connection.execute("select multiserver.collect_registers()")
    return EngineReport(**(await connection.rows("select * from multiserver.sizes"))[0])
