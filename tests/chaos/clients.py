"""Clients: threads that run their scripts at one site and keep a ledger of what was acknowledged to them."""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.chaos.scenario import Scenario
from tests.chaos.workload import Part, Statement, Transaction, script
from tests.postgres.mesh import DATABASE, OWNER, Site

PATIENCE_SECONDS = 60.0
REFUSALS = (
    psycopg.errors.UniqueViolation,
    psycopg.errors.ForeignKeyViolation,
    psycopg.errors.CheckViolation,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
)
"""What an application must expect of any statement; the transaction, or the part below a savepoint, is then undone."""


@dataclass
class Ledger:
    """What one client was told. Only committed transactions count; of a broken connection nobody knows."""

    site: int
    rows_by_token: Counter[str] = field(default_factory=Counter)
    """How many rows an acknowledged statement wrote, by its token."""
    numbers: list[int] = field(default_factory=list)
    """Keys of acknowledged rows in `entries`."""
    appended: Counter[str] = field(default_factory=Counter)
    """How many rows an acknowledged statement added to `notes`, by its token."""
    acknowledged: int = 0
    refused: int = 0
    unknown: int = 0

    def add(self, other: "Ledger") -> None:
        self.rows_by_token.update(other.rows_by_token)
        self.numbers += other.numbers
        self.appended.update(other.appended)


class Progress:
    """How far all clients are, for whoever breaks things meanwhile; and where they may work, for the clients."""

    def __init__(self) -> None:
        self.transactions = 0
        self.done = 0
        self.moving = 0
        """Clients that neither have ended nor wait for their site."""
        self.down: set[int] = set()
        self._paused: set[int] = set()
        self._dismissed: set[int] = set()
        self._thinking_seconds = 0.0
        self._at_work: Counter[int] = Counter()
        """By site: transactions under way."""
        self._changed = threading.Condition()

    def begin(self, transactions: int) -> None:
        """Count one more client with so many transactions."""
        with self._changed:
            self.transactions += transactions
            self._move(1)

    def wait_until(self, fraction: float) -> None:
        """Wait until this fraction of all transactions was tried, or nobody can go on by himself."""
        with self._changed:
            reached = self._changed.wait_for(
                lambda: self.done >= fraction * self.transactions or not self.moving, PATIENCE_SECONDS
            )
        if not reached:
            raise AssertionError(
                f"the clients stand still: {self.done} of {self.transactions} in {PATIENCE_SECONDS:g} s"
            )

    def set_down(self, sites: Iterable[int]) -> None:
        with self._changed:
            self.down = set(sites)
            self._changed.notify_all()

    def pause(self, site: int) -> None:
        """Let no client of a site begin another transaction; those under way go on until the site is idle."""
        with self._changed:
            self._paused.add(site)

    def is_idle(self, site: int) -> bool:
        return not self._at_work[site]

    def is_paused(self, site: int) -> bool:
        return site in self._paused

    def resume(self, site: int) -> None:
        with self._changed:
            self._paused.discard(site)
            self._changed.notify_all()

    def dismiss(self, site: int) -> None:
        """Let the clients of a site end before their next transaction."""
        with self._changed:
            self._dismissed.add(site)
            self._changed.notify_all()

    def think(self, seconds: float) -> None:
        """Let all clients wait so long before each transaction, from now on."""
        with self._changed:
            self._thinking_seconds = seconds
            self._changed.notify_all()

    def dismiss_paused(self) -> None:
        """Let the clients end that would wait for their site in vain."""
        for site in tuple(self._paused):
            self.dismiss(site)

    @contextmanager
    def transaction(self, site: int) -> Iterator[bool]:
        """Wait until a client may work at its site; gives False if it must end instead."""
        with self._changed:
            seconds = self._thinking_seconds
            self._changed.wait_for(lambda: self._thinking_seconds < seconds, seconds)
            self._move(-1)
            found = self._changed.wait_for(
                lambda: site in self._dismissed or site not in self.down | self._paused, PATIENCE_SECONDS
            )
            self._move(1)
            may_work = found and site not in self._dismissed
            self._at_work[site] += may_work
        if not found:
            raise AssertionError(f"site {site} stays away for more than {PATIENCE_SECONDS:g} s")
        try:
            yield may_work
        finally:
            with self._changed:
                self._at_work[site] -= may_work
                self.done += may_work
                self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._move(-1)

    def _move(self, clients: int) -> None:
        self.moving += clients
        self._changed.notify_all()


class Client(threading.Thread):
    """One client at one site."""

    def __init__(self, site: Site, script: Iterable[Transaction], progress: Progress) -> None:
        super().__init__(daemon=True)
        self.ledger = Ledger(site.number)
        self.error: Exception | None = None
        """What it met that no application should meet."""
        self._site = site
        self._script = script
        self._progress = progress
        self._connection: psycopg.Connection[Any] | None = None

    def run(self) -> None:
        try:
            for transaction in self._script:
                with self._progress.transaction(self._site.number) as may_work:
                    if not may_work:
                        break
                    self._try(transaction)
        except Exception as error:  # noqa: BLE001 - whatever it is, the history shall report it
            self.error = error
        finally:
            self._progress.end()
            if self._connection is not None:
                self._connection.close()

    def _try(self, transaction: Transaction) -> None:
        told = Ledger(self._site.number)
        try:
            if self._connection is None or self._connection.closed:
                self._connection = self._site.server.connect(DATABASE, OWNER)
                self._connection.execute("set statement_timeout = '30s'")
            with self._connection.transaction() as whole:
                self._connection.execute(f"set transaction isolation level {transaction.isolation}".encode())
                for part in transaction.parts:
                    self._run_part(part, told, below_savepoint=len(transaction.parts) > 1)
                if transaction.abandoned:
                    raise psycopg.Rollback(whole)
            if self._connection.broken:
                # The last part was refused, and the server died while it was undone: psycopg leaves without a word.
                raise psycopg.OperationalError("the connection broke before anything was committed")
        except REFUSALS:
            self.ledger.refused += 1
        except psycopg.errors.QueryCanceled:
            raise
        except (
            psycopg.OperationalError,
            psycopg.Rollback,
        ):  # the server is gone: whether it has committed, nobody can say
            self.ledger.unknown += 1
            if self._connection is not None:
                self._connection.close()
        else:
            if not transaction.abandoned:
                self.ledger.add(told)
                self.ledger.acknowledged += 1

    def _run_part(self, part: Part, told: Ledger, below_savepoint: bool) -> None:
        assert self._connection is not None
        if not below_savepoint:
            for statement in part.statements:
                self._execute(statement, told)
            return
        told_here = Ledger(self._site.number)
        try:
            with self._connection.transaction() as savepoint:
                for statement in part.statements:
                    self._execute(statement, told_here)
                if part.abandoned:
                    raise psycopg.Rollback(savepoint)
        except psycopg.IntegrityError:
            return
        if not part.abandoned:
            told.add(told_here)

    def _execute(self, statement: Statement, told: Ledger) -> None:
        assert self._connection is not None
        cursor = self._connection.execute(statement.text.encode(), statement.parameters)
        if statement.token is not None and cursor.rowcount > 0:
            (told.appended if statement.appends else told.rows_by_token)[statement.token] += cursor.rowcount
        if statement.draws:
            told.numbers += [row[0] for row in cursor.fetchall()]


class Crew:
    """The clients of all sites; those of a site that joins begin later."""

    def __init__(self, scenario: Scenario) -> None:
        self.clients: list[Client] = []
        self.progress = Progress()
        self._scenario = scenario

    def begin_at(self, *sites: Site) -> None:
        """Let the clients of some sites begin, all at once."""
        made = [
            Client(site, script(self._scenario, site.number, number), self.progress)
            for site in sites
            for number in range(1, self._scenario.clients + 1)
        ]
        for _ in made:
            self.progress.begin(self._scenario.transactions)
        for client in made:
            client.start()
        self.clients += made

    def join(self) -> None:
        """Wait until all have ended."""
        for client in self.clients:
            client.join()
