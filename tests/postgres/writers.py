"""Writers at every site that only ever add rows, and what must have become of these rows."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.postgres.mesh import DATABASE, OWNER, Mesh, Site
from tests.postgres.servers import eventually

TABLE = "create table visits (id bigserial primary key, site integer not null, words text)"
PAUSE_SECONDS = 0.005


@dataclass
class Writers:
    """One writer a site. `acknowledged` has the keys of all rows that a site confirmed."""

    mesh: Mesh
    folder: Path
    acknowledged: Counter[int] = field(default_factory=Counter)
    _ends: dict[int, tuple[threading.Event, threading.Thread]] = field(default_factory=dict)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write at all sites meanwhile."""
        for site in self.mesh:
            self.begin_at(site)
        try:
            yield
        finally:
            for site in tuple(self.mesh):
                self.end_at(site)

    def begin_at(self, site: Site) -> None:
        end = threading.Event()
        thread = threading.Thread(target=self._write, args=(site, end), daemon=True)
        self._ends[site.number] = (end, thread)
        thread.start()

    def end_at(self, site: Site) -> None:
        """Stop writing at a site; all that it confirmed is counted then."""
        if site.number in self._ends:
            end, thread = self._ends.pop(site.number)
            end.set()
            thread.join()

    def wait_for_rows(self, more: int) -> None:
        """Wait until so many more rows were written."""
        goal = self.acknowledged.total() + more
        self.wait_until(lambda: self.acknowledged.total() >= goal, f"{more} more rows are written")

    def wait_until(self, condition: Callable[[], Any], what: str) -> None:
        eventually(condition, what)

    def assert_nothing_lost_or_doubled(self) -> None:
        """After all have been merged, every site has every confirmed row once, and all sites the same."""
        self.mesh.equal("select id from visits order by id")
        stored = set(self.mesh.sites[0].sql("select id from visits"))
        assert max(self.acknowledged.values()) == 1, "a number was given twice"
        assert self.acknowledged.keys() <= stored, f"lost: {sorted(self.acknowledged.keys() - stored)}"
        self.mesh.assert_registers_equal()

    def _write(self, site: Site, end: threading.Event) -> None:
        """Insert rows until told to stop; a site that is closed or gone is tried again."""
        while not end.is_set():
            try:
                with site.server.connect(DATABASE, OWNER) as connection:
                    while not end.wait(PAUSE_SECONDS):
                        row = connection.execute(
                            "insert into visits (site) values (%s) returning id", [site.number]
                        ).fetchone()
                        assert row is not None
                        self.acknowledged[row[0]] += 1
            except psycopg.Error:
                end.wait(PAUSE_SECONDS)
