"""What must hold at the end of every history. Each check is a pure function from the outcome to its findings.

They judge from the sites' tables, from all journals together and from what was acknowledged to the clients: from those
the right end is worked out anew, in the plainest way, without any code of the engine.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.chaos.facts import Event, Key, Outcome, SiteFacts
from tests.chaos.records import read_record

Findings = Iterator[str]
Check = Callable[[Outcome], Findings]


@dataclass(frozen=True)
class Finding:
    """Something that must not be: which check, and what it saw."""

    check: str
    text: str

    def __str__(self) -> str:
        return f"{self.check}: {self.text}"


def everything_came(outcome: Outcome) -> Findings:
    """Once the lines are healed, all links drain."""
    yield from outcome.undrained


def clients_met_no_surprise(outcome: Outcome) -> Findings:
    """Clients meet only what an application must expect."""
    yield from outcome.errors


def tables_are_equal(outcome: Outcome) -> Findings:
    """All sites have the same tables, columns and rows."""
    first, *others = outcome.sites
    for other in others:
        yield from difference("columns", first, other, first.columns, other.columns)
        for table in first.tables.keys() & other.tables.keys():
            here, there = Counter(first.tables[table]), Counter(other.tables[table])
            if here != there:
                yield (
                    f"table {table}: only at site {first.number} {shorten((here - there).elements())},"
                    f" only at site {other.number} {shorten((there - here).elements())}"
                )


def registers_are_equal(outcome: Outcome) -> Findings:
    """All sites have the same version of every key, but for versions that one of them may have forgotten."""
    first, *others = outcome.sites
    for other in others:
        horizon = max(first.horizon, other.horizon)
        here, there = (newer_than(horizon, site.register) for site in (first, other))
        yield from difference("registers", first, other, here, there)


def parked_rows_are_equal(outcome: Outcome) -> Findings:
    """The same rows are parked everywhere, with the same values."""
    first, *others = outcome.sites
    for other in others:
        for key in first.parked.keys() | other.parked.keys():
            here, there = first.parked.get(key), other.parked.get(key)
            if here is None or there is None or here[0] != there[0] or not agree(here[1], there[1]):
                yield f"{name(key)}: at site {first.number} parked {here}, at site {other.number} {there}"


def newest_change_counts(outcome: Outcome) -> Findings:
    """The register of every site has, for every key, the greatest version that any site wrote, and no other keys."""
    for site in outcome.sites:
        expected = {key: (events[0].version, events[0].row is None) for key, events in outcome.events.items()}
        present = {key: known for key, known in site.register.items() if key in expected or known[0]}
        for key in expected.keys() | present.keys():
            forgotten = key not in present and key in expected and expected[key][0] <= site.horizon
            if expected.get(key) != present.get(key) and is_known_table(outcome, key) and not forgotten:
                yield f"site {site.number}, {name(key)}: expected {expected.get(key)}, register has {present.get(key)}"


def rows_are_the_newest_images(outcome: Outcome) -> Findings:
    """Every site stores the row that the newest change wrote, or has it parked; and no other rows."""
    for site in outcome.sites:
        for key, events in outcome.events.items():
            expected, stored = events[0].row, site.rows.get(key)
            if key in site.parked and expected is not None:
                if stored is not None:
                    yield f"site {site.number}, {name(key)}: stored and parked at once"
            elif (expected is None) != (stored is None) or not agree(expected, stored):
                yield f"site {site.number}, {name(key)}: expected {expected}, stored {stored}"
        for key in site.rows.keys() - outcome.events.keys():
            yield f"site {site.number}, {name(key)}: stored, but no site has written it"


def acknowledged_rows_are_captured(outcome: Outcome) -> Findings:
    """Every row that a client was told is written stands in its site's journal."""
    captured = Counter(
        event.row["note"]
        for events in outcome.events.values()
        for event in events
        if event.row and event.row.get("note")
    )
    for ledger in outcome.ledgers:
        for token, rows in ledger.rows_by_token.items():
            if captured[token] < rows:
                yield f"site {ledger.site}: {rows} rows with {token} were acknowledged, {captured[token]} were captured"


def acknowledged_entries_are_kept(outcome: Outcome) -> Findings:
    """No acknowledged row of a table into which is only inserted is missing anywhere."""
    numbers = {str(number) for ledger in outcome.ledgers for number in ledger.numbers}
    for site in outcome.sites:
        lost = numbers - {key[0] or "" for table, key in site.rows if table == "entries"}
        if lost:
            yield f"site {site.number}: acknowledged entries are lost: {shorten(sorted(lost))}"


def appended_rows_stand_once(outcome: Outcome) -> Findings:
    """Rows without key stand everywhere exactly as often as they were acknowledged."""
    appended = sum((ledger.appended for ledger in outcome.ledgers), Counter[str]())
    for site in outcome.sites:
        stored = Counter(read_record(text)[1] for text in site.tables.get("notes", ()))
        for token, rows in appended.items():
            if stored[token] != rows:
                yield f"site {site.number}: {rows} notes with {token} were acknowledged, {stored[token]} are there"


def lost_changes_are_logged(outcome: Outcome) -> Findings:
    """A change that does not count in the end was seen by whoever wrote over it, or stands in a site's conflict log."""
    logged = frozenset(entry for site in outcome.lives for entry in site.conflicts)
    # All had seen that, whatever later changes name as base; a volume that was lost may have forgotten the most.
    forgotten = max(site.horizon for site in outcome.lives)
    for key, events in outcome.events.items():
        seen = {events[0].version}
        for position, event in enumerate(events):  # a change is newer than what it was written over
            deleted_twice = event.row is None and any(newer.row is None for newer in events[:position])
            if event.version <= forgotten or event.version in seen or deleted_twice or (key, event.version) in logged:
                seen.add(event.base or 0)
            else:
                yield (
                    f"{name(key)}: {event} was lost to {events[0]} and is in no conflict log;"
                    f" all changes: {shorten(((e.version, e.base) for e in events), 12)}"
                )


def numbers_are_drawn_once(outcome: Outcome) -> Findings:
    """No two acknowledged rows got one number."""
    drawn = Counter(number for ledger in outcome.ledgers for number in ledger.numbers)
    twice = sorted(number for number, times in drawn.items() if times > 1)
    if twice:
        yield f"numbers of entries were drawn more than once: {shorten(twice)}"


def parked_rows_have_a_reason(outcome: Outcome) -> Findings:
    """A row is parked only while it is the newest of its key and a stored row, newer than it, has its unique value."""
    for site in outcome.sites:
        for key, (version, _) in site.parked.items():
            if site.register.get(key) != (version, False):
                known = site.register.get(key)
                yield f"site {site.number}, {name(key)}: parked with version {version}, register has {known}"
                continue
            mine = newest_row(outcome, key)
            if mine is not None and not any(
                is_above(site, version, key, other) and collide(mine, row)
                for other, row in site.rows.items()
                if other[0] == key[0]
            ):
                yield f"site {site.number}, {name(key)}: parked, but no newer stored row has its unique values: {mine}"


def links_are_well(outcome: Outcome) -> Findings:
    """At the end every subscription is enabled, at work and free of errors."""
    for site in outcome.sites:
        yield from site.link_errors


def what_is_not_needed_is_forgotten(outcome: Outcome) -> Findings:
    """Once all has come everywhere, journal and tombstones go: the engine's own tables are bounded."""
    for site in outcome.sites:
        yield from site.leftovers


ALL: tuple[Check, ...] = (
    everything_came,
    clients_met_no_surprise,
    tables_are_equal,
    registers_are_equal,
    parked_rows_are_equal,
    newest_change_counts,
    rows_are_the_newest_images,
    acknowledged_rows_are_captured,
    acknowledged_entries_are_kept,
    appended_rows_stand_once,
    lost_changes_are_logged,
    numbers_are_drawn_once,
    parked_rows_have_a_reason,
    links_are_well,
    what_is_not_needed_is_forgotten,
)

ANY_REPLICATION: tuple[Check, ...] = (
    everything_came,
    clients_met_no_surprise,
    tables_are_equal,
    acknowledged_entries_are_kept,
)
"""The checks that need no engine, so that any replication can be judged by them."""

LOSSES = frozenset(
    check.__name__
    for check in (
        acknowledged_rows_are_captured,
        acknowledged_entries_are_kept,
        appended_rows_stand_once,
        lost_changes_are_logged,
        numbers_are_drawn_once,
    )
)
"""The checks that find a loss; all others find a divergence or a link that is stuck."""


def findings(outcome: Outcome, checks: Iterable[Check] = ALL) -> list[Finding]:
    """Return what all the checks find."""
    return [Finding(check.__name__, text) for check in checks for text in check(outcome)]


def difference(
    what: str, first: SiteFacts, other: SiteFacts, here: Mapping[Any, Any], there: Mapping[Any, Any]
) -> Findings:
    keys = [key for key in here.keys() | there.keys() if here.get(key) != there.get(key)]
    if keys:
        shown = (f"{key} is {here.get(key)} and {there.get(key)}" for key in sorted(keys, key=str))
        yield f"{what} differ at sites {first.number} and {other.number}: {shorten(shown)}"


def newer_than(horizon: int, register: Mapping[Key, tuple[int, bool]]) -> Mapping[Key, tuple[int, bool]]:
    return {key: known for key, known in register.items() if known[0] > horizon}


def agree(expected: Mapping[str, str | None] | None, stored: Mapping[str, str | None] | None) -> bool:
    """Are the values equal in all columns that both have? Columns come and go meanwhile."""
    if expected is None or stored is None:
        return expected is stored
    return all(expected[column] == stored[column] for column in expected.keys() & stored.keys())


def newest_row(outcome: Outcome, key: Key) -> Mapping[str, str | None] | None:
    events: list[Event] = list(outcome.events.get(key, ()))
    return events[0].row if events else None


def is_known_table(outcome: Outcome, key: Key) -> bool:
    return any(key[0] == known[0] for known in outcome.events)


def is_above(site: SiteFacts, version: int, key: Key, other: Key) -> bool:
    known = site.register.get(other)
    return other != key and known is not None and (known[0], record_text(other)) > (version, record_text(key))


def record_text(key: Key) -> str:
    return f"({','.join(value or '' for value in key[1])})"


def collide(one: Mapping[str, str | None], other: Mapping[str, str | None]) -> bool:
    """Do two rows of `accounts` have a unique value in common?"""
    pairs = [(one.get(column), other.get(column)) for column in ("login", "spare")]
    pairs.append((*((row.get("nick") or "").lower() for row in (one, other)),))
    return any(a and a == b for a, b in pairs)


def name(key: Key) -> str:
    return f"{key[0]} {record_text(key)}"


def shorten(things: Iterable[Any], most: int = 5) -> str:
    texts = [str(thing) for thing in things]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return "; ".join(texts[:most]) + more
