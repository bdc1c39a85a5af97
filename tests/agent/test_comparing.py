"""The agent closes gaps behind lost slots and proves that all rows are equal, or says which are not."""

import asyncio
import logging
import sys
from collections.abc import Iterator

import psycopg
import pytest

from multiserver.agent import closing_gaps, verifying
from multiserver.agent.agent import Agent
from multiserver.api.report import Verification
from multiserver.postgres.connect import connect
from multiserver.replication.links import link_name
from multiserver.replication.slots import ensure_slot
from tests.agent.sites import Mesh, Site, running
from tests.agent.waiting import peer, wait_until


@pytest.fixture
def notes(berlin: Site) -> Iterator[str]:
    """A table for this test alone."""
    berlin.sql("set role app; create table notes (id integer primary key, words text)")
    yield "notes"
    berlin.sql("set role app; drop table notes")


def count(site: Site) -> int:
    if site.sql("select to_regclass('notes')")[0][0] is None:
        return -1
    return int(site.sql("select count(*) from notes")[0][0])


def verified(agent: Agent, other: str) -> Verification:
    return peer(agent, other).verified


def is_complete(site: Site, other: Site) -> bool:
    query = "select 1 from multiserver.links where peer_number = %s and slot_birth is not null and doubted_at is null"
    return bool(site.sql(query, [other.server_number]))


async def test_what_a_lost_slot_has_swallowed_is_fetched_and_the_link_is_complete_again(
    berlin: Site, hamburg: Site, notes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing_gaps, "ASK_AGAIN_SECONDS", closing_gaps.PULL_AGAIN_SECONDS / 10)
    await wait_until(lambda: count(hamburg) == 0, "hamburg has the table")
    async with running(berlin, hamburg):
        await wait_until(lambda: is_complete(hamburg, berlin), "the link is complete")
        name = link_name(berlin.server_number)
        hamburg.sql(f"alter subscription {name} disable")
        berlin.sql("set role app; insert into notes select n, 'lost' from generate_series(1, 500) n")
        slot = "multiserver.peer_slots where peer_number = %s"
        to_hamburg = [hamburg.server_number]
        await wait_until(lambda: not berlin.sql(f"select 1 from {slot} and active", to_hamburg), "the slot is free")
        berlin.sql(f"select pg_drop_replication_slot(slot_name) from {slot}", to_hamburg)
        async with connect(berlin.target()) as connection:
            assert await ensure_slot(connection, hamburg.server_number)
        hamburg.sql(f"alter subscription {name} enable")
        await wait_until(lambda: count(hamburg) == 500, "hamburg has fetched the rows")
        birth = berlin.sql("select birth from multiserver.slots where peer_number = %s", [hamburg.server_number])
        known = "select slot_birth from multiserver.links where peer_number = %s"
        await wait_until(lambda: hamburg.sql(known, [berlin.server_number]) == birth, "the birth is noted")


async def test_a_peer_that_keeps_a_pull_waiting_holds_up_no_other(
    mesh: Mesh,
    berlin: Site,
    hamburg: Site,
    notes: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(closing_gaps, "ASK_AGAIN_SECONDS", closing_gaps.PULL_AGAIN_SECONDS / 10)
    caplog.set_level(logging.INFO)
    leipzig = mesh["leipzig"]
    await wait_until(lambda: count(hamburg) == 0 and count(leipzig) == 0, "all have the table")
    doubt = "update multiserver.links set doubted_at = clock_timestamp() where peer_number = %s"
    async with running(berlin):
        await wait_until(lambda: is_complete(berlin, hamburg) and is_complete(berlin, leipzig), "all is complete")
        with psycopg.connect(hamburg.target().conninfo()) as holder:
            [(register,)] = hamburg.sql("select table_id from multiserver.tables where relation = 'notes'::regclass")
            holder.execute(f"lock table multiserver.register_{register}")  # which is what a pull reads
            berlin.sql(doubt, [hamburg.server_number])
            await wait_until(lambda: "the link from hamburg may lack" in caplog.text, "the pull from hamburg waits")
            berlin.sql(doubt, [leipzig.server_number])
            await wait_until(lambda: is_complete(berlin, leipzig), "the link from leipzig is complete again")
            assert not is_complete(berlin, hamburg)
        await wait_until(lambda: is_complete(berlin, hamburg), "the link from hamburg is, too")


async def test_all_rows_are_compared_with_every_peer_at_first(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "TRY_AGAIN", verifying.TRY_AGAIN / 60)
    async with running(*mesh.sites) as (agent, *_):
        for name in ("hamburg", "leipzig"):
            await wait_until(lambda name=name: verified(agent, name).is_equal is True, f"{name} is equal", 90)
        assert verified(agent, "hamburg").message == ""


async def test_damage_is_told_with_its_key_until_the_row_is_written_again(
    mesh: Mesh, berlin: Site, hamburg: Site, notes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "VERIFY_AGAIN", verifying.VERIFY_AGAIN / 300)
    async with running(*mesh.sites) as (agent, *_):
        berlin.sql("set role app; insert into notes values (7, 'right'), (8, 'right')")
        await wait_until(lambda: count(hamburg) == 2, "hamburg has the rows")
        hamburg.sql("set session_replication_role = replica; update notes set words = 'wrong' where id = 7")
        agent._verify_now()
        await wait_until(lambda: verified(agent, "hamburg").is_equal is False, "the damage is found")
        (table,) = verified(agent, "hamburg").differences
        assert (table.table, table.rows, table.damaged, table.examples) == ("public.notes", 1, 1, ("(7)",))
        berlin.sql("set role app; update notes set id = id where id = 7")
        await wait_until(lambda: hamburg.sql("select words from notes where id = 7") == [("right",)], "it is cured")
        agent._verify_now()
        await wait_until(lambda: verified(agent, "hamburg").is_equal is True, "all is equal again")


async def test_the_command_compares_now_and_ends_with_the_result(
    mesh: Mesh, berlin: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "TRY_AGAIN", verifying.TRY_AGAIN / 60)
    async with running(*mesh.sites) as (agent, *_):
        for name in ("hamburg", "leipzig"):
            await wait_until(lambda name=name: verified(agent, name).is_equal is True, f"{name} is equal", 90)
        address = f"https://localhost:{agent.api_port}"
        argv = ["-m", "multiserver", "verify", "--agent", address, "--root", str(berlin.tree.paths.root)]
        process = await asyncio.create_subprocess_exec(sys.executable, *argv, stdout=asyncio.subprocess.PIPE)
        async with asyncio.timeout(60):
            said, _ = await process.communicate()
    assert process.returncode == 0, said
    peers, results = zip(*(line.split(": ") for line in said.decode().splitlines()), strict=True)
    assert sorted(peers) == ["hamburg", "leipzig"]
    assert all(result.startswith("all rows of ") for result in results)


async def test_results_outlive_the_agent(mesh: Mesh, berlin: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "TRY_AGAIN", verifying.TRY_AGAIN / 60)
    async with running(*mesh.sites) as (agent, *_):
        await wait_until(lambda: verified(agent, "hamburg").is_equal is True, "hamburg is equal", 90)
        before = verified(agent, "hamburg").verified_at
    async with running(berlin) as (agent,):
        await wait_until(lambda: verified(agent, "hamburg").verified_at == before, "the result is known")
