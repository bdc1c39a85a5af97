"""Kills a session in the middle of what it does, once at each table that it writes.

Triggers on the engine's tables, and on the application's that are watched, see the writes of one role's sessions. The
first session dies at its first write; the next one, which does the same again, dies when it first writes another table,
or does something else to one; and so on, until one survives. What has been killed stands in sequences, as one bit for
each table: nothing rolls these back.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from multiserver.postgres.errors import Unavailable
from tests.postgres.mesh import Site
from tests.postgres.servers import eventually

OPERATIONS = ("insert", "update", "delete", "truncate")

KILLER = """
create table multiserver.killer_plan (who name primary key, crash_at bigint);
create sequence multiserver.killer_insert minvalue 0;
create sequence multiserver.killer_update minvalue 0;
create sequence multiserver.killer_delete minvalue 0;
create sequence multiserver.killer_truncate minvalue 0;

create function multiserver.killer_kills() returns bigint language sql volatile
  return (select sum(bit_count(last_value::bit(64))) from pg_sequences
          where schemaname = 'multiserver' and sequencename like 'killer%');

-- The argument is the bit of the table.
create function multiserver.killer_strike() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  plan multiserver.killer_plan := (select p from multiserver.killer_plan p where who = session_user);
  struck constant regclass := 'multiserver.killer_' || lower(tg_op);
  before constant bigint := coalesce(pg_sequence_last_value(struck), 0);
  bit constant bigint := 1::bigint << tg_argv[0]::integer;
begin
  if plan.who is null or before & bit > 0 then
    return null;
  end if;
  perform setval(struck, before | bit);
  if plan.crash_at is null then
    perform pg_terminate_backend(pg_backend_pid());
  elsif plan.crash_at <> multiserver.killer_kills() then
    return null;
  else
    perform pg_logical_emit_message(false, 'killer', '', true);  -- so that the machine's log keeps what was struck
    copy (select) to program 'kill -9 $PPID';
  end if;
  perform pg_sleep(60);
  return null;
end $$;

create function multiserver.killer_watch(pattern text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  t record;
begin
  for t in
    select c.oid::regclass as place, dense_rank() over (order by case when c.relname like pattern then '' else
                                                        regexp_replace(c.relname, '[0-9]+$', '') end) as bit
    from pg_class c
    where c.relkind = 'r' and (c.relnamespace = 'multiserver'::regnamespace and c.relname not like 'killer%'
                               or c.relnamespace = 'public'::regnamespace and c.relname like pattern)
  loop
    execute format('create or replace trigger multiserver_killer after insert or update or delete or truncate on %s
                    for each statement execute function multiserver.killer_strike(%s)', t.place, t.bit);
    execute format('alter table %s enable always trigger multiserver_killer', t.place);
  end loop;
end $$;

-- At the end of a transaction, when it is being committed.
create constraint trigger multiserver_killer_commits after insert on multiserver.journal deferrable initially deferred
  for each row execute function multiserver.killer_strike(0);
"""


@dataclass(frozen=True)
class Deed:
    """What sessions of one role at a site do: begun by us, or done by an apply worker while we wait for the end."""

    site: Site
    who: str
    do: Callable[[], object]
    """Does it whole, in a session of its own; repeated when the session was killed."""

    def kill(self) -> int:
        """Have it done though one session after the other is killed; give how many were."""
        self._arm(None)
        kills = 0
        while not self._survives():
            assert self._kills() > kills, "something else killed it"
            kills = self._kills()
        return self._disarm()

    def crash(self, kill: int) -> None:
        """Have it done though the server crashes where the last of so many kills would be."""
        before = generation(self.site)
        self._arm(kill)
        survived = self._survives()
        revive(self.site, before)
        assert self._disarm() >= kill, "the server did not crash"  # What it does on recovery may add to them.
        if not survived:
            self.do()

    def _survives(self) -> bool:
        try:
            self.do()
        except (psycopg.OperationalError, Unavailable):
            return False
        return True

    def _arm(self, crash_at: int | None) -> None:
        session = self.site.server.connect("app", "postgres")
        for operation in OPERATIONS:
            session.execute("select setval(%s, 0)", [f"multiserver.killer_{operation}"])
        session.execute("insert into multiserver.killer_plan values (%s, %s)", [self.who, crash_at])
        session.close()

    def _kills(self) -> int:
        return int(self.site.admin("select multiserver.killer_kills()")[0])

    def _disarm(self) -> int:
        self.site.admin("delete from multiserver.killer_plan")
        return self._kills()


def install(site: Site) -> None:
    """Bring the killer into a site, unknown to the engine's watch over the schema."""
    session = site.server.connect("app", "postgres")
    session.execute("set event_triggers = off")
    session.execute(KILLER.encode())
    session.close()


def watch(site: Site, pattern: str) -> None:
    """Count the writes of the engine's tables, and of the application's with such names."""
    session = site.server.connect("app", "postgres")
    session.execute("set event_triggers = off")
    session.execute("select multiserver.killer_watch(%s)", [pattern])
    session.close()


def generation(site: Site) -> int:
    """Tell a server from the same one after a crash. Raises OperationalError while it does not answer."""
    session = site.server.connect("app", "postgres")
    row = session.execute("select pid from pg_stat_activity where backend_type = 'checkpointer'").fetchone()
    session.close()
    return int(row[0]) if row else 0


def revive(site: Site, before: int) -> None:
    """Wait until a server of this generation has crashed and recovered."""

    def is_back() -> bool:
        try:
            return generation(site) not in (before, 0)
        except psycopg.OperationalError:
            return False

    eventually(is_back, f"{site.name} recovers", explain=site.server.last_words)
    for connection in site.server.connections.values():
        connection.close()


def by(site: Site, who: str, *statements: str) -> Deed:
    """Statements of one session, as one transaction if there are several."""

    def do() -> None:
        session = site.server.connect("app", who)
        try:
            with session.transaction():
                for statement in statements:
                    session.execute(statement.encode())
        finally:
            session.close()

    return Deed(site, who, do)


def by_agent(site: Site, do: Callable[[], object]) -> Deed:
    """What the agent or the operator does: a coroutine function that opens its own connection as superuser."""
    return Deed(site, "postgres", lambda: asyncio.run(do()))  # type: ignore[arg-type]


def by_worker(site: Site, peer: Site) -> Deed:
    """What a site's apply worker does with all that the peer has sent until now."""
    since = peer.beat()

    def arrived() -> bool:
        try:
            return site.has_beat(peer, since)
        except psycopg.OperationalError:
            return False

    def do() -> None:
        site.heal(peer)
        eventually(arrived, f"{site.name} has all of {peer.name}", 60, site.server.last_words)

    return Deed(site, "multiserver_apply", do)
