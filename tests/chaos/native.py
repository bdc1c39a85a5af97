"""PostgreSQL's own logical replication between writable sites, known not to converge: the tester must see it."""

from tests.chaos.arena import Arena, within
from tests.chaos.facts import SiteFacts, read_tables
from tests.postgres.mesh import DATABASE, OWNER


class Native:
    """PostgreSQL's own logical replication of the tables themselves, every site writable: known not to converge."""

    patience_seconds = 5.0

    def build(self, place: Arena, tables: tuple[str, ...]) -> None:
        for site in place.sites:
            for statement in ("create role multiserver_peer superuser login", f"create role {OWNER} login"):
                site.server.sql(statement, database="postgres")
            site.server.sql(f"create database {DATABASE} owner {OWNER}", database="postgres")
            for table in tables:
                site.sql(table)
            site.admin("create publication everything for all tables")
            site.admin(f"alter sequence entries_id_seq increment 100 restart {site.number}")
            site.admin(f"alter sequence children_id_seq increment 100 restart {site.number}")
        for receiver, sender in place.lines:
            place.site(receiver).admin(
                f"create subscription from_{sender} connection '{place.reach(receiver, sender).conninfo()}'"
                f" publication everything with (copy_data = false, origin = none, slot_name = 'to_{receiver}')"
            )

    def drain(self, place: Arena) -> list[str]:
        """Wait until every slot has confirmed everything, but not long: a link that has met a conflict never will."""
        undrained = []
        for site in place.sites:
            position = site.admin("select pg_current_wal_lsn()::text")[0]
            query = "select slot_name from pg_replication_slots where coalesce(confirmed_flush_lsn, '0/0') < %s::pg_lsn"
            within(
                self.patience_seconds,
                lambda site=site, query=query, position=position: not site.admin(query, [position]),
            )
            undrained += [f"slot {slot} at site {site.number} is stuck" for slot in site.admin(query, [position])]
        return undrained

    def read(self, place: Arena) -> list[SiteFacts]:
        return [SiteFacts(site.number, *read_tables(site)) for site in place.sites]
