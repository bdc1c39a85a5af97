import logging

import psycopg
import pytest

from multiserver.agent.agent import Agent
from multiserver.api import paths as pod
from multiserver.api.report import LinkState, SiteReport
from tests.agent.sites import PASSWORD, Mesh, Site, running
from tests.agent.waiting import all_connected, peer, wait_until


def report_at(site: Site, of: Site) -> SiteReport | None:
    """Give the newest report of a site that another holds."""
    rows = site.sql("select report from multiserver.reports where server_number = %s", [of.server_number])
    return SiteReport.model_validate(rows[0][0]) if rows else None


def log_in(site: Site, password: str) -> bool:
    """Tell whether the application gets in over the network."""
    try:
        psycopg.connect(
            host="127.0.0.1", port=site.port, user="app", password=password, dbname="app", sslmode="require"
        ).close()
    except psycopg.OperationalError:
        return False
    return True


async def test_sites_hear_each_others_heartbeats_and_both_ways_are_active(berlin: Site, hamburg: Site) -> None:
    async def hears(agent: Agent, other: str) -> None:
        def heard() -> bool:
            seen = peer(agent, other)
            return seen.replication_active is True and seen.lag_seconds is not None and seen.lag_seconds < 10

        await wait_until(heard, f"{other} is heard")
        assert peer(agent, other).lag_bytes is not None
        assert peer(agent, other).retained_bytes is not None

    async with running(berlin, hamburg) as (at_berlin, at_hamburg):
        await hears(at_berlin, "hamburg")
        await hears(at_hamburg, "berlin")


async def test_a_sites_report_is_at_its_peers_at_once_when_a_line_goes_down(berlin: Site, hamburg: Site) -> None:
    async with running(berlin) as (agent,):
        await all_connected(agent)
        berlin.lines["leipzig"].cut()

        def hamburg_knows() -> bool:
            report = report_at(hamburg, berlin)
            return report is not None and any(
                peer.name == "leipzig" and peer.state is LinkState.CUT_OFF for peer in report.peers
            )

        await wait_until(hamburg_knows, "hamburg knows that berlin does not reach leipzig")


async def test_a_materialized_view_is_refreshed_as_at_a_peer(berlin: Site, hamburg: Site) -> None:
    hamburg.sql("insert into multiserver.refreshes values ('public.never_there', 1)")
    berlin.sql("set role app; create materialized view moments as select clock_timestamp() as at; reset role")
    async with running(hamburg) as (agent,):
        await all_connected(agent)
        await wait_until(lambda: hamburg.sql("select to_regclass('moments') is not null") == [(True,)], "it is there")
        before = hamburg.sql("select at from moments")
        berlin.sql("set role app; refresh materialized view moments; reset role")
        await wait_until(lambda: hamburg.sql("select at from moments") != before, "it is refreshed")
        assert hamburg.sql("select * from multiserver.refreshes") == []
    berlin.sql("set role app; drop materialized view moments; reset role")


async def test_what_the_engine_keeps_is_kept_small_and_measured(berlin: Site) -> None:
    berlin.sql("set role app; create table if not exists forgotten (id integer primary key); reset role")
    columns = "(table_id, key, losing_version, winning_version, losing_deleted, winning_deleted, layout, detected,"
    old = "'(1)', 1, 2, false, false, 0, 'the later change arrived', now() - interval '40 days'"
    table = "select table_id, {} from multiserver.tables where name = 'public.forgotten'"
    berlin.sql(f"insert into multiserver.conflicts {columns} detected_at) {table.format(old)}")
    async with running(berlin) as (agent,):
        await wait_until(lambda: agent.report().database.engine is not None, "the engine was measured")
        engine = agent.report().database.engine
        assert engine is not None
        assert engine.conflicts == 0
        assert engine.journal_bytes >= 0


async def test_the_application_gets_in_with_the_password_of_the_secret(berlin: Site) -> None:
    password_file = berlin.tree.paths.at(pod.APPLICATION) / "password"
    berlin.sql("alter role app password null")
    try:
        async with running(berlin):
            await wait_until(lambda: log_in(berlin, PASSWORD), "the application gets in")
            stored = berlin.sql("select rolpassword from pg_authid where rolname = 'app'")
            berlin.write(password_file, "passwört neu")
            await wait_until(lambda: log_in(berlin, "passwört neu"), "the application gets in with the new password")
            assert not log_in(berlin, PASSWORD)
    finally:
        berlin.write(password_file, PASSWORD)
    assert stored[0][0].startswith("SCRAM-SHA-256$")
    assert berlin.sql("select rolpassword from pg_authid where rolname = 'app'") != stored


async def test_a_password_that_is_right_is_not_set_again(berlin: Site) -> None:
    async with running(berlin):
        await wait_until(lambda: log_in(berlin, PASSWORD), "the application gets in")
        stored = berlin.sql("select rolpassword, xmin from pg_authid where rolname = 'app'")
    async with running(berlin) as (agent,):
        await wait_until(lambda: agent.loops["password"].last_success is not None, "the password was looked at")
    assert berlin.sql("select rolpassword, xmin from pg_authid where rolname = 'app'") == stored


async def test_neither_password_nor_verifier_is_logged(berlin: Site) -> None:
    berlin.sql("alter system set log_statement = 'all'")
    berlin.sql("select pg_reload_conf()")
    berlin.sql("alter role app password null")
    try:
        async with running(berlin):
            await wait_until(lambda: log_in(berlin, PASSWORD), "the application gets in")
    finally:
        berlin.sql("alter system reset log_statement")
        berlin.sql("select pg_reload_conf()")
    log = (berlin.tree.paths.root / "postgres.log").read_text()
    assert "pg_authid" in log, "statements were logged"
    assert PASSWORD not in log
    assert "SCRAM-SHA-256$" not in log


async def test_the_server_takes_new_access_rules_into_use_by_itself(berlin: Site) -> None:
    rules = berlin.tree.paths.at(pod.POSTGRES_ACCESS)
    before = rules.read_text()
    async with running(berlin) as (agent,):
        await wait_until(lambda: agent.loops["server configuration"].last_success is not None, "the first reload")
        loaded = berlin.sql("select pg_conf_load_time()")
        try:
            berlin.write(rules, before + "local nowhere all reject\n")
            await wait_until(lambda: berlin.sql("select pg_conf_load_time()") > loaded, "the server reads the rules")
        finally:
            berlin.write(rules, before)


async def test_a_stopped_database_is_told_with_its_reason_and_the_peers_are_still_seen(mesh: Mesh) -> None:
    leipzig = mesh["leipzig"]
    async with running(leipzig) as (agent,):
        await wait_until(lambda: agent.report().database.available, "the database answers")
        await all_connected(agent)
        leipzig.stop()
        try:
            await wait_until(lambda: not agent.report().database.available, "the agent notices")
            told = agent.report()
            assert told.database.message
            assert told.database.system_id is None
            assert {peer.state for peer in told.peers} == {LinkState.CONNECTED}
            assert {peer.lag_bytes for peer in told.peers} == {None}
        finally:
            leipzig.start()
        await wait_until(lambda: agent.report().database.available, "the database answers again")


async def test_every_duty_of_a_site_that_is_well_succeeds(berlin: Site, hamburg: Site) -> None:
    async with running(berlin, hamburg) as (agent, _):
        for loop in agent.loops:
            await wait_until(lambda loop=loop: loop.last_success is not None, f"{loop.duty.name} has succeeded")
        assert {loop.message for loop in agent.loops} == {""}
        await wait_until(lambda: agent.report().archive.last_archived is not None, "the log is archived")
        await wait_until(lambda: peer(agent, "hamburg").files_reachable is True, "hamburg's Syncthing is reached")
        told = agent.report()
    assert told.database.available
    assert told.database.parked_rows == 0
    assert (told.files.available, told.files.errors, told.files.percent) == (True, (), 100.0)
    assert told.archive.message == ""
    assert {volume.name for volume in told.volumes} == {"data", "files", "repository"}
    assert told.raid.startswith(("OK: ", "RAID: ", "Unknown: "))


async def test_an_outage_of_the_database_is_logged_once_and_not_by_every_duty(
    mesh: Mesh, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "multiserver.agent.loops")
    leipzig = mesh["leipzig"]
    async with running(leipzig) as (agent,):
        await wait_until(lambda: all(loop.last_success for loop in agent.loops), "all duties have succeeded")
        caplog.clear()
        leipzig.stop()
        try:
            await wait_until(lambda: agent.loops["database"].failing_since is not None, "the agent notices")
            await wait_until(lambda: agent.loops["heartbeat"].message != "", "the heartbeat waits")
        finally:
            leipzig.start()
        await wait_until(lambda: agent.loops["database"].failing_since is None, "the database answers again")
    told = [message.split(":")[0].split(";")[0] for message in caplog.messages]
    assert told == ["duty database fails", "duty database works again"]
