"""Tables whose rows stay at the site where they are written, by patterns such as public.session or scratch.*.

Every site is told the patterns; the schema site decides by them (replication/sql/25_local_tables.sql).
"""

from collections.abc import Sequence

from multiserver.postgres.connect import Connection


async def ensure_local_tables(connection: Connection, patterns: Sequence[str]) -> bool:
    """Tell a site which tables are local; give whether that was new. Raises StatementFailed.

    At the schema site a table that is no longer local begins to be replicated, with the rows that it has; one that
    becomes local keeps its rows at every site.
    """
    return bool(await connection.value("select multiserver.declare_local_tables(%s)", [list(patterns)]))
