"""What is there at the end of a history: read once from every site, so that the checks need no server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from tests.chaos.clients import Ledger
from tests.chaos.records import read_record
from tests.chaos.workload import KEYS
from tests.postgres.mesh import Site

Key = tuple[str, tuple[str | None, ...]]
"""A row anywhere in the mesh: its table and the text of its key columns."""


@dataclass(frozen=True)
class Event:
    """One row's change as its site's journal has it."""

    key: Key
    version: int
    row: Mapping[str, str | None] | None
    """Values by column; None if the change deleted the row."""
    base: int | None = None
    """The version that the key had at the writer's site before."""

    @property
    def site(self) -> int:
        return self.version & 1023


@dataclass(frozen=True)
class SiteFacts:
    """One site's database. Rows and keys are in PostgreSQL's text form."""

    number: int
    tables: Mapping[str, tuple[str, ...]]
    columns: Mapping[str, tuple[str, ...]]
    register: Mapping[Key, tuple[int, bool]] = field(default_factory=dict)
    """Version, and whether the key is deleted."""
    parked: Mapping[Key, tuple[int, Mapping[str, str | None]]] = field(default_factory=dict)
    """Version, and the values by column."""
    journal: tuple[Event, ...] = ()
    conflicts: frozenset[tuple[Key, int]] = frozenset()
    """What the conflict log says was lost: keys and versions."""
    horizon: int = 0
    """Register rows up to this version may have been forgotten."""
    link_errors: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()
    """What should have been forgotten once everything had come everywhere, in sentences."""

    @cached_property
    def rows(self) -> Mapping[Key, Mapping[str, str | None]]:
        """All stored rows of the tables whose keys are known."""
        return {
            (table, tuple(row[name] for name in KEYS[table])): row
            for table, texts in self.tables.items()
            if table in KEYS
            for row in (dict(zip(self.columns[table], read_record(text), strict=True)) for text in texts)
        }


@dataclass(frozen=True)
class Outcome:
    """Everything a check may look at."""

    sites: Sequence[SiteFacts]
    """The members at the end."""
    ledgers: Sequence[Ledger] = ()
    undrained: Sequence[str] = ()
    """Links over which not everything came within the time given."""
    errors: Sequence[str] = ()
    """What clients met that no application should meet."""
    past: Sequence[SiteFacts] = ()
    """Journals and conflict logs of sites that left, and of volumes that are gone."""

    @property
    def lives(self) -> Sequence[SiteFacts]:
        """All journals and conflict logs that ever were; parts are there twice, if a site was put back in time."""
        return (*self.past, *self.sites)

    @cached_property
    def events(self) -> Mapping[Key, Sequence[Event]]:
        """Every change of every site, by key, the newest first."""
        found: dict[Key, dict[int, Event]] = {}
        for site in self.lives:
            for event in site.journal:
                found.setdefault(event.key, {})[event.version] = event
        return {key: [events[v] for v in sorted(events, reverse=True)] for key, events in found.items()}


TABLES = """
select c.relname, array_agg(a.attname::text order by a.attnum) from pg_class c join pg_attribute a on a.attrelid = c.oid
where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped
group by c.relname order by c.relname
"""


def read_tables(site: Site) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Return all rows and the columns of all tables of the application."""
    columns = {table: tuple(names) for table, names in site.admin(TABLES)}
    rows = {table: tuple(site.admin(f'select t::text from only public."{table}" t order by 1')) for table in columns}
    return rows, columns


def read_site(site: Site) -> SiteFacts:
    """Return what a site with the engine holds."""
    rows, columns = read_tables(site)
    catalogue = read_catalogue(site)
    versions = site.admin("select table_name, key, version, deleted from multiserver.versions()")
    return SiteFacts(
        site.number,
        rows,
        columns,
        {(table.removeprefix("public."), read_record(key)): (version, gone) for table, key, version, gone in versions},
        read_parked(site, catalogue),
        read_journal(site, catalogue),
        read_conflicts(site, catalogue),
        read_horizon(site),
    )


def read_past(site: Site) -> SiteFacts:
    """Return what is only there as long as a site's volume is."""
    catalogue = read_catalogue(site)
    journal, conflicts = read_journal(site, catalogue), read_conflicts(site, catalogue)
    return SiteFacts(site.number, {}, {}, journal=journal, conflicts=conflicts, horizon=read_horizon(site))


def read_horizon(site: Site) -> int:
    return int(site.admin("select coalesce(multiserver.collected_horizon(), 0)")[0])


@dataclass(frozen=True)
class Catalogue:
    """What numbers of tables and layouts mean."""

    names: Mapping[int, str]
    layouts: Mapping[tuple[int, int], tuple[str, ...]]

    def row(self, table: int, layout: int, image: str) -> dict[str, str | None]:
        return dict(zip(self.layouts[table, layout], read_record(image), strict=True))


def read_catalogue(site: Site) -> Catalogue:
    names = site.admin("select table_id, name from multiserver.tables")
    layouts = site.admin("select table_id, layout, column_names from multiserver.layouts")
    return Catalogue(
        {number: name.removeprefix("public.") for number, name in names},
        {(table, layout): tuple(columns) for table, layout, columns in layouts},
    )


def read_parked(site: Site, catalogue: Catalogue) -> dict[Key, tuple[int, Mapping[str, str | None]]]:
    query = "select table_id, key, version, layout, image from multiserver.parked"
    return {
        (catalogue.names[table], read_record(key)): (version, catalogue.row(table, layout, image))
        for table, key, version, layout, image in site.admin(query)
    }


def read_conflicts(site: Site, catalogue: Catalogue) -> frozenset[tuple[Key, int]]:
    lost = site.admin("select table_id, key, losing_version from multiserver.conflicts")
    return frozenset(((catalogue.names[table], read_record(key)), version) for table, key, version in lost)


def read_journal(site: Site, catalogue: Catalogue) -> tuple[Event, ...]:
    """Return the site's own changes of the tables whose keys are known, one event a row."""
    query = """
    select table_id, layout, kind::text, version, images, coalesce(bases, array_fill(base, array[cardinality(images)]))
    from multiserver.journal, coalesce(contents, array[content]) as images where kind in ('I', 'U', 'D')
    """
    events = []
    for table, layout, kind, version, images, bases in site.admin(query):
        name = catalogue.names[table]
        if name not in KEYS:
            continue
        for text, base in zip(images, bases, strict=True):
            row = None if kind == "D" else catalogue.row(table, layout, text)
            key = read_record(text) if row is None else tuple(row[column] for column in KEYS[name])
            events.append(Event((name, key), version, row, base))
    return tuple(events)
