"""What the records of the write-ahead log are for that a transaction writes at the origin."""

from collections import Counter

from benchmarks.meters import DATABASE, all_is_flushed, position
from benchmarks.systems import System
from benchmarks.workload import TPCB, WRITES, Size, pgbench
from tests.postgres.mesh import Site

LOADS = {"tpcb": TPCB, "rows": WRITES}
"""By the name that their figures have."""

PURPOSES = {
    "application.row": "rows of the application",
    "application.index": "their indexes",
    "application.pruning": "making room in their pages (pruning)",
    "register.row": "register rows",
    "register.index": "their index",
    "register.confirmation": "confirming those that are inserted",
    "register.pruning": "making room in their pages (pruning)",
    "journal.row": "events in the journal",
    "commit": "commits",
    "other": "sequences, statistics, heartbeats",
}
"""In words, in the order of the page."""

OWNERS = """
select pg_relation_filenode(c.oid), case when nspname = 'public' and relkind <> 'S' then 'application'
  when nspname = 'multiserver' and relname ~ '^register_' then 'register'
  when nspname = 'multiserver' and relname = 'journal' then 'journal' else 'other' end
from pg_class c join pg_namespace n on n.oid = relnamespace where pg_relation_filenode(c.oid) is not null
"""

RECORDS = """
select r.resource_manager || '/' || r.record_type, b.relfilenode, sum(r.record_length - r.fpi_length)::bigint
from pg_get_wal_records_info(%(start)s::pg_lsn, %(end)s::pg_lsn) r
left join (select distinct on (start_lsn) start_lsn, relfilenode
           from pg_get_wal_block_info(%(start)s::pg_lsn, %(end)s::pg_lsn, false)
           where reldatabase = %(database)s order by start_lsn, block_id) b using (start_lsn)
group by 1, 2
"""


def bytes_by_purpose(system: System, size: Size, transactions: int) -> dict[str, float]:
    """Return the bytes of WAL a transaction by load and purpose, such as `tpcb.journal.row`, without page images."""
    found: dict[str, float] = {}
    for name, scripts in LOADS.items():
        pgbench(system, scripts, size, 1, "-t", "50")
        start = position(system.origin.server)
        load = pgbench(system, scripts, size, 1, "-t", str(transactions))
        end = position(system.origin.server)
        written = _written(system.origin, start, end)
        found |= {f"{name}.{purpose}": written[purpose] / load.transactions for purpose in PURPOSES}
    return found


def _written(site: Site, start: str, end: str) -> Counter[str]:
    owners = dict(site.admin(OWNERS))
    database = site.admin("select oid from pg_database where datname = current_database()")[0]
    all_is_flushed(site.server)
    written: Counter[str] = Counter()
    parameters = {"start": start, "end": end, "database": database}
    for record, file, size in site.server.sql(RECORDS, parameters, database=DATABASE):
        # The journal is emptied now and then; the file that it had before belongs to nobody.
        written[purpose(record, "" if file is None else owners.get(file, "journal"))] += int(size)
    return written


def purpose(record: str, owner: str) -> str:
    """Say what a record is for, by its name and whose relation it changes."""
    if record.startswith("Transaction/COMMIT"):
        return "commit"
    if owner in ("", "other"):
        return "other"
    if record.startswith("Btree/"):
        return f"{owner}.index"
    if record.startswith("Heap2/PRUNE"):
        return f"{owner}.pruning"
    if record == "Heap/HEAP_CONFIRM":
        return f"{owner}.confirmation"
    return f"{owner}.row" if record.startswith("Heap/") else "other"
