"""A client of a history counts as acknowledged only what the server has acknowledged."""

import threading
from pathlib import Path
from signal import SIGQUIT

import psycopg

from tests.chaos.arena import arena
from tests.chaos.clients import Client, Ledger, Progress
from tests.chaos.history import Stage
from tests.chaos.workload import Part, Statement, Transaction
from tests.postgres.mesh import DATABASE, OWNER
from tests.postgres.servers import eventually

WRITTEN = Statement("insert into items values (2, %(note)s)", {"note": "<token>"}, "<token>")
REFUSED = Statement("insert into items values (1, 'twice')", {})


class ClientOfADyingServer(Client):
    """Its server dies as soon as it has refused a statement."""

    def _execute(self, statement: Statement, told: Ledger) -> None:
        try:
            super()._execute(statement, told)
        except psycopg.errors.UniqueViolation:
            self._site.server.stop(SIGQUIT)
            raise


def test_a_transaction_is_unknown_if_its_server_dies_while_the_last_part_is_undone(
    native_stage: Stage, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    with arena(native_stage.rootfs, native_stage.template, tmp_path, 1) as place:
        site = place.site(1)
        site.server.sql(f"create role {OWNER} login", database="postgres")
        site.server.sql(f"create database {DATABASE} owner {OWNER}", database="postgres")
        site.sql("create table items (id integer primary key, note text)")
        site.sql("insert into items values (1, 'once')")
        client = ClientOfADyingServer(site, [Transaction((Part((WRITTEN,)), Part((REFUSED,))))], Progress())

        client.run()

        site.server.start()
        assert site.sql("select note from items") == ["once"]
    assert client.error is None
    assert (client.ledger.acknowledged, client.ledger.unknown) == (0, 1)
    assert not client.ledger.rows_by_token


def test_a_site_is_idle_once_its_clients_have_paused() -> None:
    progress, entered, may_end = Progress(), threading.Event(), threading.Event()
    worked: list[bool] = []

    def work() -> None:
        for _ in range(2):
            with progress.transaction(1) as may_work:
                worked.append(may_work)
                entered.set()
                may_end.wait(10)

    client = threading.Thread(target=work)
    client.start()
    entered.wait(10)
    progress.pause(1)
    assert not progress.is_idle(1)
    may_end.set()
    eventually(lambda: progress.is_idle(1), "the client pauses", 10)
    assert worked == [True]
    progress.resume(1)
    client.join()
    assert worked == [True, True]


def test_clients_of_a_site_that_leaves_end_and_others_go_on() -> None:
    progress = Progress()
    progress.pause(1)
    progress.dismiss_paused()
    with progress.transaction(1) as may_work, progress.transaction(2) as others_may_work:
        assert (may_work, others_may_work) == (False, True)
