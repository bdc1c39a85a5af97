"""The engine broken on purpose, one thing each, in the test's databases: a tester that misses one of these is no good.

Each sabotage works from outside, by triggers and replaced functions, so it stays what it is when the engine's own text
changes; where it must edit a function, it insists that the text it looks for is there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.chaos.arena import Arena
from tests.postgres.mesh import Site

Sabotage = Callable[[Arena], None]


@contextmanager
def quietly(site: Site) -> Iterator[None]:
    """Keep what is done inside from being noticed as a change of the application's schema."""
    site.admin("set event_triggers = off")
    yield
    site.admin("reset event_triggers")


def everywhere(statement: str) -> Sabotage:
    """Run a statement at every site."""

    def act(arena: Arena) -> None:
        for site in arena.sites:
            with quietly(site):
                site.admin(statement)

    return act


def on_registers(body: str, event: str) -> Sabotage:
    """Give every register a trigger with this body, active in clients' sessions and in links alike."""

    def act(arena: Arena) -> None:
        for site in arena.sites:
            with quietly(site):
                for register in registers(site):
                    keys = site.admin(KEY_IS_NEW, [register])[0]
                    site.admin(
                        TRIGGER.format(register=register, event=event, body=body.format(register=register, key=keys))
                    )

    return act


def edited(function: str, old: str, new: str) -> Sabotage:
    """Replace a piece of a function's text at every site."""

    def act(arena: Arena) -> None:
        for site in arena.sites:
            text = site.admin("select pg_get_functiondef(%s::regproc)", [f"multiserver.{function}"])[0]
            assert old in text, f"{function} has changed, so this sabotage must: it lacks {old!r}"
            with quietly(site):
                site.admin(text.replace(old, new))

    return act


def both(one: Sabotage, other: Sabotage) -> Sabotage:
    def act(arena: Arena) -> None:
        one(arena)
        other(arena)

    return act


def registers(site: Site) -> list[str]:
    return site.admin(
        "select oid::regclass::text from pg_class where relkind = 'r' and relnamespace = 'multiserver'::regnamespace"
        " and relname ~ '^register_[0-9]+$'"
    )


KEY_IS_NEW = """
select string_agg(format('r.%%1$I = new.%%1$I', attname), ' and ' order by attname)
from pg_attribute where attrelid = %s::regclass and attname ~ '^k[0-9]+$' and not attisdropped
"""

TRIGGER = """
create function {register}_broken() returns trigger language plpgsql security definer as $$
begin
  {body}
  return new;
end $$;
create trigger broken {event} on {register} for each row execute function {register}_broken();
alter table {register} enable always trigger broken
"""

LOSE_EVENTS = """
create function multiserver.lose() returns trigger language plpgsql as $$
begin
  return case when new.kind in ('I', 'U', 'D') and hashint8(new.version) % 20 = 0 then null else new end;
end $$;
create trigger a_lose before insert on multiserver.journal for each row execute function multiserver.lose();
alter table multiserver.journal enable replica trigger a_lose
"""

LOG_NOTHING = """
create function multiserver.log_nothing() returns trigger language plpgsql as 'begin return null; end';
create trigger log_nothing before insert on multiserver.conflicts for each row
  execute function multiserver.log_nothing();
alter table multiserver.conflicts enable always trigger log_nothing
"""

SHARE_NUMBERS = "alter sequence public.entries_id_seq minvalue 1 start 1 restart 1"


def leave_truncates_out(arena: Arena) -> None:
    """TRUNCATE is not captured."""
    for site in arena.sites:
        with quietly(site):
            for table in site.admin(
                "select tgrelid::regclass::text from pg_trigger where tgname = 'multiserver_truncate'"
            ):
                site.admin(f"alter table {table} disable trigger multiserver_truncate")


ALL: dict[str, Sabotage] = {
    "the change that arrives last wins": on_registers(
        "if current_setting('session_replication_role') = 'replica' then delete from {register} r where {key}; end if;",
        "before insert",
    ),
    "deletions leave no tombstone": on_registers(
        "if new.deleted then delete from {register} r where {key}; end if;", "after insert or update"
    ),
    "a local change takes the wall clock, whatever its row has seen": everywhere(
        "create or replace function multiserver.version_after(known bigint, wished bigint) returns bigint"
        " language sql immutable return wished"
    ),
    "a link loses an event now and then": everywhere(LOSE_EVENTS),
    "of two rows with one unique value the one that comes last is stored": both(
        edited("place", '(other.version, other.key) > (p_version, p_key collate "C")', "false"),
        edited("is_free", 'where (c.version, c.key) > ($2, $3 collate "C")', "where $2 > 0 and $3 is not null"),
    ),
    "parked rows are never settled": everywhere(
        "create or replace function multiserver.settle_table(p_table_id integer) returns integer language sql return 0"
    ),
    "lost changes are not logged": everywhere(LOG_NOTHING),
    "tombstones go before all sites have all": everywhere(
        "create or replace function multiserver.agreed_horizon() returns bigint language sql stable"
        " return multiserver.version_at(multiserver.wall_clock(), 0)"
    ),
    "TRUNCATE is not captured": leave_truncates_out,
    "two sites draw from one range of numbers": everywhere(SHARE_NUMBERS),
    "a site that is filled again takes the streams of its old volume for its own": edited(
        "note_subscription",
        "case when exists (select from multiserver.broken_history) then clock_timestamp() end",
        "null",
    ),
    "a site that was put back in time asks nobody what it lacks": both(
        edited("renounce", "perform multiserver.doubt_links();", ""),
        edited("current_run", "perform multiserver.doubt_links();", "null;"),
    ),
}
"""Every sabotage by what it does."""

FAULTS_NEEDED = {
    "a site that is filled again takes the streams of its old volume for its own": {"lost_volumes": 2},
    "a site that was put back in time asks nobody what it lacks": {"rewinds": 1},
}
"""The faults without which a sabotage changes nothing."""
