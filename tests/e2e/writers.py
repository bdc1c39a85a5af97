"""Writers at every site while something happens, and the check that nothing they wrote is lost or there twice."""

import subprocess
import threading
from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from hack.demo.mesh import Mesh
from hack.demo.site import Site
from hack.demo.waiting import wait_for

EQUAL_SECONDS = 300
PROGRESS_SECONDS = 120
BETWEEN_ROWS_SECONDS = 0.1
TRY_AGAIN_SECONDS = 0.5
ANSWER_SECONDS = 30
"""A row that is under way when the writer is to stop may take so long; then it counts as not confirmed."""


@dataclass
class Writer:
    """Writes one row after the other at a site, and remembers those that were confirmed.

    It logs in as the application does, so a site that is closed refuses it. A row whose statement failed is not written
    again: it may be there or not, but never twice.
    """

    site: Site
    password: str
    prefix: str
    confirmed: list[str] = field(default_factory=list)
    _tried: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _session: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._write, name=f"writer at {self.site.name}")
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(ANSWER_SECONDS)
            if self._session:
                self._session.kill()
            self._thread.join()

    def _write(self) -> None:
        while not self._stop.is_set():
            # Writing to a session that has ended fails with BrokenPipeError; so does closing it with words unsent.
            with suppress(BrokenPipeError), self._connect() as session:
                try:
                    self._write_rows(session)
                finally:
                    session.kill()
            self._stop.wait(TRY_AGAIN_SECONDS)  # The site is away or closed.

    def _write_rows(self, session: subprocess.Popen[str]) -> None:
        """Write until the session ends."""
        assert session.stdin and session.stdout
        session.stdin.write(f"{self.password}\n")
        while not self._stop.is_set():
            self._tried += 1
            label = f"{self.prefix}-{self.site.name}-{self._tried}"
            session.stdin.write(f"insert into entry (label) values ('{label}') returning label;\n")
            session.stdin.flush()
            if session.stdout.readline().strip() != label:
                break
            self.confirmed.append(label)
            self._stop.wait(BETWEEN_ROWS_SECONDS)

    def _connect(self) -> subprocess.Popen[str]:
        """Log in, by a session that lasts: a new one for each row would take the machine's time from the servers."""
        within = ("-n", self.site.namespace, self.site.pod, "-c", "postgres")
        self._session = subprocess.Popen(
            self.site.kubernetes.command("exec", "-i", *within, "--", "sh", "-c", _AS_APPLICATION),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        return self._session


_AS_APPLICATION = """
read -r PGPASSWORD && export PGPASSWORD
exec psql -qAtX -v ON_ERROR_STOP=1 'host=127.0.0.1 dbname=app user=app sslmode=require'
"""


def make_table(mesh: Mesh) -> None:
    """Make the table that writers write to: its numbers come from a sequence, so each site must give its own."""
    mesh.sites[0].sql("create table if not exists entry (id bigserial primary key, label text not null)")
    for site in mesh.sites:
        site.await_sql("select to_regclass('entry') is not null", "t")


@contextmanager
def writing(prefix: str, mesh: Mesh, *names: str) -> Iterator[dict[str, Writer]]:
    """Write at these sites, or at all, for as long as the block runs; each has written before it begins."""
    secret = mesh.kubectl("get", "secret", f"{mesh.name}-app", "-o", "jsonpath={.data.password}")
    password = b64decode(secret).decode()
    sites = [site for site in mesh.sites if site.name in names or not names]
    writers = {site.name: Writer(site, password, prefix) for site in sites}
    for writer in writers.values():
        writer.start()
    try:
        await_progress(list(writers.values()))
        yield writers
    finally:
        for writer in writers.values():
            writer.stop()


def await_progress(writers: Sequence[Writer], rows: int = 3) -> None:
    """Wait until each of them has written some more rows."""
    wanted = {writer.site.name: len(writer.confirmed) + rows for writer in writers}
    wait_for(
        "every writer goes on",
        lambda: {writer.site.name: len(writer.confirmed) for writer in writers},
        until=lambda written: all(written[name] >= count for name, count in wanted.items()),
        timeout_seconds=PROGRESS_SECONDS,
    )


def assert_nothing_lost_or_doubled(sites: Sequence[Site], writers: Sequence[Writer]) -> None:
    """All sites hold the same rows; all confirmed ones are among them, and none is there twice."""
    checksum = "select count(*), md5(string_agg(id || ' ' || label, ',' order by id)) from entry"
    wait_for(
        "all sites hold equal rows",
        lambda: [site.sql(checksum) for site in sites],
        until=lambda seen: len(set(seen)) == 1,
        timeout_seconds=EQUAL_SECONDS,
    )
    for site in sites:
        labels = site.sql("select label from entry").splitlines()
        lost = {label for writer in writers for label in writer.confirmed} - set(labels)
        assert not lost, f"lost at {site.name}: {sorted(lost)[:10]}"
        assert len(labels) == len(set(labels)), f"twice at {site.name}"
