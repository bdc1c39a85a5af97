"""How long a joining site takes until it serves, beside mere copying; and what comparing and fetching cost."""

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.catalogue import COPYING, OURS
from benchmarks.lab import Lab
from benchmarks.results import Results, Sample
from hack.common.progress import say, step
from multiserver.replication.verify import Verified, verify
from tests.postgres.comparing import both, pull
from tests.postgres.lives import Lives
from tests.postgres.mesh import DATABASE, Site, build_now

TABLE = "create table documents (id bigint primary key, title text not null, body text not null)"
ROWS = (
    "insert into documents select n, 'document ' || n, repeat(md5(n::text), 8)"
    " from generate_series(%(first)s::bigint, %(first)s + 199999) n"
)
ROWS_AT_ONCE = 200_000
CHANGE = "update documents set title = 'changed ' || id where id between 1 and %(rows)s"
CHANGED = "select count(*) from documents where title like 'changed %'"
CHANGED_ROWS = 100_000
MARK = "insert into documents values (-1, 'written after the join', '')"


def measure_joins(lab: Lab, sizes_gigabytes: Sequence[int], results: Results) -> None:
    """Let a second site join one that holds so many gigabytes, and compare both after that."""
    for size in sizes_gigabytes:
        with lab.sites("donor", 1) as (donor,):
            lives = Lives(build_now([donor.server]))
            with step(f"fill a site with {size} GB"):
                _fill(donor, size)
            copying = _copy_files(donor, lab.folder / "copy")
            with _joined(lives, donor, lab.folder / "joiner") as (joiner, joining):
                verifying = _verify(joiner, donor)
                comparing = _compare(joiner, donor)
                fetching = _refetch(lives, joiner, donor) - comparing
            copying_again = _copy_files(donor, lab.folder / "copy")
            megabytes = _bytes(donor) / 1e6
        results.samples += [
            Sample("join.seconds", COPYING, 1, (copying + copying_again) / 2, size),
            Sample("join.seconds", OURS, 1, joining, size),
            Sample("verify.rate", OURS, 1, megabytes / verifying, size),
            Sample("compare.rate", OURS, 1, megabytes / comparing, size),
            Sample("refetch.rate", OURS, 1, CHANGED_ROWS / fetching, size),
        ]
        say(
            f"{size} GB: pg_basebackup {copying:.1f} and {copying_again:.1f} s, join {joining:.1f} s,"
            f" verify {verifying:.1f} s, compare {comparing:.1f} s, fetch {CHANGED_ROWS} rows {fetching:.1f} s"
        )


def _fill(site: Site, gigabytes: int) -> None:
    """Write rows while the cluster is of one site."""
    site.sql(TABLE)
    first = 1
    while _bytes(site) < gigabytes * 1e9:
        site.sql(ROWS, {"first": first})
        first += ROWS_AT_ONCE
    site.admin("vacuum analyze documents")
    site.admin("checkpoint")


def _bytes(site: Site) -> int:
    return int(site.admin(f"select pg_database_size('{DATABASE}')")[0])


def _copy_files(donor: Site, target: Path) -> float:
    """Copy the data directory as a join does; return the seconds. What is copied is thrown away."""
    server = donor.server
    server.sql("checkpoint", database="postgres")
    inside = server.folder / target.name
    argv = ["pg_basebackup", f"--host={server.folder}", f"--port={server.port}", "--username=postgres"]
    argv += [f"--pgdata={inside}", "--checkpoint=fast", "--wal-method=stream"]
    begun = time.monotonic()
    subprocess.run(server.rootfs.command(argv, binds=[server.folder]), check=True)
    seconds = time.monotonic() - begun
    shutil.rmtree(inside)
    return seconds


@contextmanager
def _joined(lives: Lives, donor: Site, folder: Path) -> Iterator[tuple[Site, float]]:
    """Let a site join by the steps of operator and agent; give it, and the seconds until it had a row written last."""
    begun = time.monotonic()
    joiner = lives.join(2, donor, folder)
    try:
        lives.settle()
        donor.sql(MARK)
        lives.mesh.drain(300.0)
        assert joiner.sql("select 1 from documents where id = -1")
        yield joiner, time.monotonic() - begun
    finally:
        joiner.server.remove()


def _verify(own: Site, peer: Site) -> float:
    """Prove that both sites hold the same, versions and contents; return the seconds."""

    async def run() -> Verified:
        async with both(own, peer) as (here, there):
            return await verify(here, there)

    begun = time.monotonic()
    verified = asyncio.run(run())
    assert verified.is_equal, verified
    return time.monotonic() - begun


def _compare(own: Site, peer: Site) -> float:
    """Compare versions, as a site does that crashed, and find nothing missing; return the seconds."""
    begun = time.monotonic()
    assert pull(own, peer) == 0
    return time.monotonic() - begun


def _refetch(lives: Lives, own: Site, peer: Site) -> float:
    """Let a site miss changes since the slot for it is lost; return the seconds until it has them nevertheless."""
    own.cut(peer)
    peer.drop_slot(own)
    peer.sql(CHANGE, {"rows": CHANGED_ROWS})
    lives.keep()
    begun = time.monotonic()
    assert asyncio.run(lives.pull(own, peer)), "the link was whole"
    seconds = time.monotonic() - begun
    assert own.sql(CHANGED) == [CHANGED_ROWS]
    lives.settle()
    return seconds
