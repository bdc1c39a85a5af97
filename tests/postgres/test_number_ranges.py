"""Number ranges: no two sites ever draw the same number, and what the resource declares holds from the first one."""

import psycopg
import pytest

from multiserver.numbers.declared import DeclaredRanges, ensure_declared
from multiserver.postgres.connect import connect
from multiserver.postgres.errors import StatementFailed
from multiserver.replication.observe import observe
from tests.postgres.mesh import Mesh, Site

BLOCK_OF_INTEGER = (2**31 - 1) // 64
MARGIN_OF_DOWNWARDS = (
    "select (range_to - range_from) / 100 from multiserver.sequence_usage where name = 'public.downwards'"
)


async def declare(site: Site, ranges: DeclaredRanges) -> bool:
    async with connect(site.target()) as connection:
        return await ensure_declared(connection, ranges)


async def usage(site: Site, sequence: str):
    async with connect(site.target()) as connection:
        return next(each for each in (await observe(connection)).sequences if each.name == sequence)


def draw(site: Site, sequence: str) -> int:
    return site.sql(f"select nextval('{sequence}')")[0]


def test_each_site_draws_from_a_block_of_its_own(mesh: Mesh, berlin: Site):
    berlin.sql("create table visit (id serial primary key)")
    mesh.drain()

    drawn = [draw(site, "visit_id_seq") for site in mesh]

    assert drawn == [1 + BLOCK_OF_INTEGER * (site.number - 1) for site in mesh]


def test_the_increment_stays_what_the_application_asked_for(mesh: Mesh, berlin: Site):
    berlin.sql("create sequence by_fifty increment 50")
    mesh.drain()

    assert [draw(site, "by_fifty") + 50 for site in mesh] == [draw(site, "by_fifty") for site in mesh]


def test_the_last_of_all_blocks_fits_the_column(berlin: Site):
    berlin.sql("create table last_blocks (small smallserial, normal serial primary key, big bigserial)")
    ends = {"small": 2**15 - 1, "normal": 2**31 - 1, "big": 2**53 - 1}
    for column, end in ends.items():
        sequence = f"last_blocks_{column}_seq"
        limits = f"update pg_sequence set seqmin = 1, seqmax = {end} where seqrelid = '{sequence}'::regclass"
        block = f"select range_from, range_to from multiserver.block('{sequence}'::regclass, %s)"
        with berlin.server.connect("app", "postgres") as session, session.transaction(force_rollback=True):
            session.execute(limits.encode())
            first, last = session.execute(block.encode(), [64]).fetchone() or (0, 0)
            assert 0 < first < last <= end
            with pytest.raises(psycopg.DatabaseError, match="64 sites need at least 2 ids each"):
                session.execute(block.encode(), [65])


@pytest.mark.parametrize("statement", ["maxvalue 2000000000", "no maxvalue", "minvalue -5 maxvalue 100"])
def test_a_statement_that_changes_the_limits_leaves_the_sequence_in_its_block(
    mesh: Mesh, berlin: Site, hamburg: Site, statement: str
):
    name = f"bounded_{len(statement)}"
    berlin.sql(f"create sequence {name} as integer")
    mesh.drain()
    limits = f"select seqmin, seqmax from pg_sequence where seqrelid = '{name}'::regclass"
    before = berlin.admin(limits)
    berlin.sql(f"alter sequence {name} {statement}")
    assert berlin.admin(limits) == before
    assert draw(berlin, name) == 1
    mesh.drain()
    assert draw(hamburg, name) == BLOCK_OF_INTEGER + 1


def test_a_sequence_is_not_led_into_the_block_of_another_site(mesh: Mesh, berlin: Site, hamburg: Site):
    berlin.sql("create sequence led_astray as integer")
    mesh.drain()
    with pytest.raises(psycopg.DatabaseError, match="led_astray is at 40000000 already and cannot go back") as refused:
        berlin.sql("alter sequence led_astray maxvalue 2000000000 restart 40000000")
    assert refused.value.diag.sqlstate == "MS020"
    assert draw(berlin, "led_astray") == 1
    berlin.sql("alter sequence led_astray maxvalue 2000000000 restart 700")
    assert draw(berlin, "led_astray") == 700, "it goes on where it was told to, not at its beginning"
    with pytest.raises(psycopg.DatabaseError, match="the schema is changed at site berlin"):
        hamburg.sql("alter sequence led_astray maxvalue 2000000000")
    with pytest.raises(psycopg.DatabaseError, match="the schema is changed at site berlin"):
        hamburg.sql("create sequence made_by_a_clerk_elsewhere")


def test_a_changed_increment_reaches_all_sites(mesh: Mesh, berlin: Site):
    berlin.sql("create sequence by_ones")
    berlin.sql("alter sequence by_ones increment 50")
    mesh.drain()
    for site in mesh:
        assert draw(site, "by_ones") + 50 == draw(site, "by_ones")


def test_a_column_too_narrow_for_the_range_of_its_sequence_is_refused(mesh: Mesh, berlin: Site):
    """At the first site its numbers would fit for a long time; at the second not one would."""
    berlin.sql("create table wide_numbers (id bigserial primary key)")
    with pytest.raises(psycopg.DatabaseError, match=r"column public\.narrow\.id is integer, but sequence") as refused:
        berlin.sql("create table narrow (id integer primary key default nextval('wide_numbers_id_seq'))")
    assert refused.value.diag.sqlstate == "MS020"
    assert "bigint, or let it draw from a sequence of its own" in (refused.value.diag.message_hint or "")
    with pytest.raises(psycopg.DatabaseError, match=r"column public\.wide_numbers\.id is integer"):
        berlin.sql("alter table wide_numbers alter column id type integer")


async def test_a_range_declared_before_its_sequence_exists_holds_from_the_first_number(mesh: Mesh, berlin: Site):
    for site in mesh:
        first = 100_000 + 100_000 * site.number
        assert await declare(site, {"public.patient_number": (first, first + 99_999)})
    berlin.sql("create sequence patient_number")
    mesh.drain()

    assert [draw(site, "patient_number") for site in mesh] == [200_000, 300_000, 400_000]
    seen = await usage(mesh.sites[0], "public.patient_number")
    assert (seen.range_from, seen.range_to, seen.last_value, seen.is_declared) == (200_000, 299_999, 200_000, True)


async def test_telling_the_same_again_changes_nothing(hamburg: Site):
    await declare(hamburg, {"public.some_number": (1, 9)})

    assert not await declare(hamburg, {"public.some_number": (1, 9)})


async def test_a_range_for_a_sequence_in_use_takes_it_forward(mesh: Mesh, berlin: Site):
    berlin.sql("create sequence in_use")
    berlin.sql("select nextval('in_use') from generate_series(1, 10)")

    await declare(berlin, {"public.in_use": (500, 599)})

    assert draw(berlin, "in_use") == 500


async def test_a_counter_never_goes_back_and_the_refusal_says_so(mesh: Mesh, berlin: Site):
    berlin.sql("create sequence far_on")
    berlin.sql("select nextval('far_on') from generate_series(1, 10)")

    with pytest.raises(StatementFailed, match="is at 10 already and cannot go back") as refused:
        await declare(berlin, {"public.far_on": (1, 5)})

    assert "further on" in (refused.value.hint or "")
    assert draw(berlin, "far_on") == 11


async def test_a_range_that_is_no_longer_declared_stays_what_it_was(mesh: Mesh, berlin: Site):
    await declare(berlin, {"public.kept": (700, 799)})
    berlin.sql("create sequence kept")

    await declare(berlin, {})

    assert draw(berlin, "kept") == 700
    assert not (await usage(berlin, "public.kept")).is_declared


async def test_a_range_that_is_used_up_raises_an_error_instead_of_taking_a_peers_number(mesh: Mesh, berlin: Site):
    await declare(berlin, {"public.short": (1, 2)})
    berlin.sql("create sequence short")

    assert [draw(berlin, "short"), draw(berlin, "short")] == [1, 2]
    with pytest.raises(Exception, match="reached maximum value"):
        draw(berlin, "short")


def continue_numbers(site: Site) -> None:
    site.admin("select multiserver.continue_numbers()")


@pytest.mark.parametrize(
    ("name", "definition", "last"),
    [
        ("nearly_up", "as integer", "range_from + (range_to - range_from) * 4 / 5"),
        ("nearly_by_fifty", "increment 50", "range_from + (range_to - range_from) * 4 / 5"),
        ("nearly_down", "increment -1 minvalue -64000 maxvalue -1", "range_to - (range_to - range_from) * 4 / 5"),
    ],
)
def test_how_much_of_a_range_is_used_is_known_before_it_ends(
    mesh: Mesh, berlin: Site, hamburg: Site, name: str, definition: str, last: str
):
    """The status warns of it (health/checks/numbers.py)."""
    berlin.sql(f"create sequence {name} {definition}")
    mesh.drain()
    usage = f"select percent_used, {last} from multiserver.sequence_usage where name = 'public.{name}'"
    for site in (berlin, hamburg):
        (percent, far_on) = site.admin(usage)[0]
        assert percent == 0
        site.sql(f"select setval('{name}', {far_on})")
        assert float(site.admin(usage)[0][0]) == pytest.approx(80, abs=0.2)


def test_a_site_that_forgot_its_numbers_goes_on_well_behind_the_greatest_that_is_known(mesh: Mesh, berlin: Site):
    berlin.sql("create table receipts (id serial primary key)")
    berlin.sql("insert into receipts default values")
    berlin.sql("insert into receipts values (70)")  # brought back by a peer; the sequence knows nothing of it
    berlin.sql(f"insert into receipts values ({BLOCK_OF_INTEGER * 3})")  # another site's number
    continue_numbers(berlin)
    assert draw(berlin, "receipts_id_seq") == 70 + 1000 + 1


def test_numbers_that_count_down_go_on_below(mesh: Mesh, berlin: Site):
    berlin.sql("create sequence downwards as integer increment -2 minvalue -1000000 maxvalue -1")
    berlin.sql("create table depths (id integer primary key default nextval('downwards'))")
    berlin.sql("insert into depths default values")
    first = berlin.sql("select id from depths")[0]
    continue_numbers(berlin)
    assert draw(berlin, "downwards") == first - berlin.admin(MARGIN_OF_DOWNWARDS)[0] - 2


def test_the_margin_eats_up_no_small_range_and_no_range_is_left(mesh: Mesh, berlin: Site):
    berlin.sql("create table tickets (id smallint generated by default as identity primary key)")
    berlin.sql("insert into tickets values (500)")
    continue_numbers(berlin)
    assert draw(berlin, "tickets_id_seq") == 500 + 510 // 100 + 1
    berlin.sql("insert into tickets values (511)")
    continue_numbers(berlin)
    with pytest.raises(psycopg.errors.SequenceGeneratorLimitExceeded):
        draw(berlin, "tickets_id_seq")


def test_a_sequence_of_which_no_number_is_known_begins_at_its_beginning(mesh: Mesh, hamburg: Site, berlin: Site):
    berlin.sql("create table untouched (id serial primary key)")
    mesh.drain()
    continue_numbers(hamburg)
    assert draw(hamburg, "untouched_id_seq") == BLOCK_OF_INTEGER + 1
