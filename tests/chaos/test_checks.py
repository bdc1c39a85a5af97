"""Each check finds what it is for, and says nothing of a mesh that is well. No server is needed."""

from collections import Counter
from dataclasses import replace

import pytest

from tests.chaos import checks
from tests.chaos.clients import Ledger
from tests.chaos.facts import Event, Key, Outcome, SiteFacts

COLUMNS = {
    "items": ("id", "note", "count"),
    "accounts": ("id", "login", "spare", "nick", "note"),
    "entries": ("id", "site", "note"),
}
ITEM: Key = ("items", ("1",))
ENTRY: Key = ("entries", ("7",))
WINNER: Key = ("accounts", ("2",))
PARKED: Key = ("accounts", ("1",))
OLD, NEW = (1 << 10) | 1, (2 << 10) | 2


def row(table: str, *values: str | None) -> dict[str, str | None]:
    return dict(zip(COLUMNS[table], values, strict=True))


BERLIN = SiteFacts(
    1,
    tables={"items": ("(1,<2.1.1>,0)",), "accounts": ("(2,5,,,<2.1.2>)",), "entries": ("(7,1,<1.1.2>)",)},
    columns=COLUMNS,
    register={ITEM: (NEW, False), ENTRY: (OLD, False), PARKED: (OLD, False), WINNER: (NEW, False)},
    parked={PARKED: (OLD, row("accounts", "1", "5", None, None, "<1.1.3>"))},
    journal=(
        Event(ITEM, OLD, row("items", "1", "<1.1.1>", "0")),
        Event(ENTRY, OLD, row("entries", "7", "1", "<1.1.2>")),
        Event(PARKED, OLD, row("accounts", "1", "5", None, None, "<1.1.3>")),
    ),
)
HAMBURG = replace(
    BERLIN,
    number=2,
    conflicts=frozenset({(ITEM, OLD)}),
    journal=(
        Event(ITEM, NEW, row("items", "1", "<2.1.1>", "0")),
        Event(WINNER, NEW, row("accounts", "2", "5", None, None, "<2.1.2>")),
    ),
)
LEDGER = Ledger(1, Counter({"<1.1.1>": 1, "<1.1.2>": 1, "<1.1.3>": 1}), [7])
WELL = Outcome([BERLIN, HAMBURG], [LEDGER])


def at_hamburg(**changes: object) -> Outcome:
    return replace(WELL, sites=[BERLIN, replace(HAMBURG, **changes)])  # type: ignore[arg-type]


def tables(**changes: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return {**HAMBURG.tables, **changes}


def told(**changes: object) -> Outcome:
    return replace(WELL, ledgers=[replace(LEDGER, **changes)])  # type: ignore[arg-type]


def test_a_mesh_that_is_well_has_no_findings() -> None:
    assert checks.findings(WELL) == []


BROKEN: list[tuple[checks.Check, Outcome, str]] = [
    (checks.everything_came, replace(WELL, undrained=["site 1 has not received all"]), "site 1 has not received all"),
    (checks.clients_met_no_surprise, replace(WELL, errors=["a client met an error"]), "a client met an error"),
    (checks.tables_are_equal, at_hamburg(tables=tables(items=("(1,<1.1.1>,0)",))), "only at site 2 (1,<1.1.1>,0)"),
    (checks.tables_are_equal, at_hamburg(columns={**COLUMNS, "items": ("id",)}), "columns differ at sites 1 and 2"),
    (checks.registers_are_equal, at_hamburg(register={**HAMBURG.register, ITEM: (OLD, False)}), "registers differ"),
    (checks.parked_rows_are_equal, at_hamburg(parked={}), "at site 2 None"),
    (checks.newest_change_counts, at_hamburg(register={**HAMBURG.register, ITEM: (OLD, False)}), "site 2, items (1)"),
    (checks.newest_change_counts, at_hamburg(register={**HAMBURG.register, ITEM: (NEW, True)}), "site 2, items (1)"),
    (checks.rows_are_the_newest_images, at_hamburg(tables=tables(items=("(1,<1.1.1>,0)",))), "expected {'id': '1'"),
    (checks.rows_are_the_newest_images, at_hamburg(tables=tables(items=())), "stored None"),
    (checks.rows_are_the_newest_images, at_hamburg(tables=tables(items=("(1,<2.1.1>,0)", "(9,x,0)"))), "no site has"),
    (checks.acknowledged_rows_are_captured, told(rows_by_token=Counter({"<1.1.1>": 2})), "2 rows with <1.1.1>"),
    (checks.acknowledged_entries_are_kept, told(numbers=[7, 8]), "acknowledged entries are lost: 8"),
    (checks.appended_rows_stand_once, told(appended=Counter({"<1.1.4>": 1})), "1 notes with <1.1.4>"),
    (checks.lost_changes_are_logged, at_hamburg(conflicts=frozenset()), "items (1): Event"),
    (checks.numbers_are_drawn_once, told(numbers=[7, 7]), "drawn more than once: 7"),
    (checks.parked_rows_have_a_reason, at_hamburg(parked={PARKED: (NEW, {})}), "parked with version"),
    (checks.parked_rows_have_a_reason, at_hamburg(tables=tables(accounts=())), "no newer stored row"),
    (checks.links_are_well, at_hamburg(link_errors=("site 2 does not receive from site 1",)), "does not receive"),
    (checks.what_is_not_needed_is_forgotten, at_hamburg(leftovers=("site 2 still has 3 tombstones",)), "3 tombstones"),
]


@pytest.mark.parametrize(("check", "outcome", "text"), BROKEN)
def test_a_check_finds_what_it_is_for(check: checks.Check, outcome: Outcome, text: str) -> None:
    assert any(text in found for found in check(outcome))


def test_every_check_has_a_case() -> None:
    assert {check for check, _, _ in BROKEN} == set(checks.ALL)


def test_a_column_that_came_later_is_no_difference() -> None:
    columns = {**COLUMNS, "items": ("id", "note", "count", "extra")}
    sites = [replace(site, columns=columns, tables=tables(items=("(1,<2.1.1>,0,x)",))) for site in WELL.sites]
    assert checks.findings(replace(WELL, sites=sites)) == []


def test_a_change_that_was_seen_when_it_was_written_over_need_not_be_logged() -> None:
    journal = (replace(HAMBURG.journal[0], base=OLD), HAMBURG.journal[1])
    assert checks.findings(at_hamburg(conflicts=frozenset(), journal=journal)) == []


def test_what_a_site_has_forgotten_is_no_difference() -> None:
    register = {key: known for key, known in HAMBURG.register.items() if key != ENTRY}
    assert checks.findings(at_hamburg(register=register, horizon=OLD)) == []
    assert checks.findings(at_hamburg(register=register)) != []


def test_a_change_that_all_had_seen_before_its_row_was_forgotten_need_not_be_logged() -> None:
    assert checks.findings(at_hamburg(conflicts=frozenset(), horizon=OLD)) == []


def test_what_was_written_in_a_volume_that_is_gone_counts_once() -> None:
    gone = SiteFacts(2, {}, {}, journal=HAMBURG.journal, conflicts=HAMBURG.conflicts)
    left = Outcome([BERLIN], [LEDGER], past=[gone])
    refilled = Outcome(
        [BERLIN, replace(HAMBURG, journal=HAMBURG.journal[:1], conflicts=frozenset())], [LEDGER], past=[gone]
    )
    assert checks.findings(left) == []
    assert checks.findings(refilled) == []
    put_back = replace(refilled, past=[gone, BERLIN], ledgers=[Ledger(1, Counter({"<1.1.1>": 2}))])
    assert any("were acknowledged" in found for found in checks.acknowledged_rows_are_captured(put_back))
