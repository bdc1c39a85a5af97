"""A site's server stops in time, whatever its peers do, and nothing that it wrote is lost."""

import subprocess
import time
from collections.abc import Sequence

import psycopg
import pytest

from multiserver.stop.server import StopError, stop_server
from tests.agent.sites import Mesh, Site
from tests.sites import eventually

ROWS = "select count(*) from visits"


@pytest.fixture(scope="module", autouse=True)
def table(mesh: Mesh) -> None:
    berlin, hamburg = mesh.sites
    berlin.sql("set role app; create table visits (id bigserial primary key)")
    eventually(lambda: hamburg.sql("select to_regclass('visits')") != [(None,)], "the table has come")


def write(site: Site) -> None:
    site.sql("set role app; insert into visits select from generate_series(1, 10)")


def stop(site: Site, peers_seconds: int) -> str:
    """Stop the server with the site image's pg_ctl, as in the pod."""

    def run(argv: Sequence[str]) -> bool:
        return subprocess.run(site.tree.command(argv), check=False).returncode == 0

    told = stop_server(site.tree.paths.pgdata, 60, run, peers_seconds)
    site.processes.pop("postgres").wait(timeout=10)
    return told


def test_a_server_whose_peers_are_well_stops_in_order(mesh: Mesh) -> None:
    berlin, hamburg = mesh.sites
    write(berlin)
    assert stop(berlin, peers_seconds=60) == "the server has stopped"
    berlin.start()
    eventually(lambda: hamburg.sql(ROWS) == berlin.sql(ROWS), "all rows have come")


def test_a_peer_that_confirms_nothing_holds_it_up_only_for_a_while_and_gets_all_rows_later(mesh: Mesh) -> None:
    berlin, hamburg = mesh.sites
    eventually(lambda: berlin.sql("select 1 from pg_stat_replication"), "hamburg is connected")
    with psycopg.connect(hamburg.target().conninfo()) as blocking:
        blocking.execute("lock table visits in access exclusive mode")
        write(berlin)
        began = time.monotonic()
        told = stop(berlin, peers_seconds=2)
        assert told == "the server has stopped, without waiting longer for 1 peers to confirm all that was written"
        assert time.monotonic() - began < 20  # wal_sender_timeout, after which it would have ended anyway
    berlin.start()
    eventually(lambda: hamburg.sql(ROWS) == berlin.sql(ROWS), "all rows have come")


def test_a_server_that_does_not_run_is_stopped_already(mesh: Mesh) -> None:
    berlin = mesh["berlin"]
    berlin.stop()
    assert stop_server(berlin.tree.paths.pgdata, 60) == "the server does not run"
    berlin.start()


def test_a_server_that_does_not_end_is_told_with_what_follows(mesh: Mesh) -> None:
    with pytest.raises(StopError, match="the server still runs after 3 s: it is killed, and recovers at its next"):
        stop_server(mesh["berlin"].tree.paths.pgdata, 3, lambda argv: False, 1)
    eventually(lambda: mesh["hamburg"].sql(ROWS) == mesh["berlin"].sql(ROWS), "the walsenders are back")
