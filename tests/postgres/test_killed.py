"""Whatever the application, the agent, the operator or an apply worker has the engine do may be killed at any write.

Each case (killed.py) is played undisturbed; then with its sessions killed at one table that it writes after the other,
and its deed done again each time; and some with the server crashing at the last of these. The outcome must be the same:
rows, registers, conflict log, parked rows, columns, number ranges, at every site.
"""

import ast
import asyncio
import re
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

import multiserver
from multiserver.postgres.errors import Unavailable
from multiserver.replication.pull import pull
from multiserver.replication.verify import verify
from tests import rootfs as rootfs_module
from tests.postgres import killer
from tests.postgres.comparing import both, mend
from tests.postgres.killed import CASES, COVERED, CRASHED, Scene
from tests.postgres.killer import Deed
from tests.postgres.mesh import DATABASE, Mesh, Site, build_now
from tests.postgres.servers import eventually, servers


@pytest.fixture(scope="module")
def pair(
    rootfs: rootfs_module.Rootfs, engine_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mesh]:
    """Two sites whose sessions can be killed, and whose workers come back at once."""
    with servers(rootfs, engine_template, tmp_path_factory.mktemp("killed"), 2) as made:
        mesh = build_now(made)
        for site in mesh:
            killer.install(site)
            killer.watch(site, "-")
            site.admin("update multiserver.limits set collection_margin = '0'")
            for setting in ("wal_retrieve_retry_interval = '20ms'", "logical_decoding_work_mem = '64kB'"):
                site.admin(f"alter system set {setting}")
            site.admin("select pg_reload_conf()")
        mesh.drain()
        yield mesh


@pytest.fixture(autouse=True)
def nothing_is_left(pair: Mesh) -> Iterator[None]:
    """Whatever becomes of one case, the next one finds two sites that receive from each other."""
    yield
    for site in pair:
        site.admin("delete from multiserver.killer_plan")
    pair.heal_all()


@pytest.mark.parametrize("name", CASES)
def test_what_is_killed_and_done_again_ends_as_if_it_had_not_been(pair: Mesh, name: str) -> None:
    kills = 0

    def play(how: str, do: Callable[[Deed], None]) -> dict[str, Any]:
        scene = Scene(pair, f"{name[:40]}_{how}")
        going = CASES[name](scene)
        do(next(going))
        more = None
        try:
            next(going)
        except StopIteration as end:
            more = end.value
        pair.drain()
        outcome = scene.outcome()
        pair.assert_registers_equal()
        return outcome | {"more": str(more).replace(scene.t, "T")}

    def kill(deed: Deed) -> None:
        nonlocal kills
        kills = deed.kill()

    undisturbed = play("quiet", lambda deed: deed.do())
    assert_same(play("killed", kill), undisturbed)
    assert kills > 0
    if name in CRASHED:
        assert_same(play("crashed", lambda deed: deed.crash(kills)), undisturbed)


def assert_same(now: dict[str, Any], undisturbed: dict[str, Any]) -> None:
    different = {what: (now.get(what), undisturbed.get(what)) for what in now.keys() | undisturbed.keys()}
    assert not {what: pair for what, pair in different.items() if pair[0] != pair[1]}


def test_what_was_acknowledged_or_merged_outlives_a_crash(pair: Mesh) -> None:
    berlin, hamburg = pair.sites
    berlin.sql("create table acknowledged (id integer primary key)")
    pair.drain()
    for key, (writes, crashes) in enumerate([(berlin, berlin), (berlin, hamburg), (hamburg, hamburg)]):
        before = killer.generation(crashes)
        session = crashes.server.connect(DATABASE, "postgres")
        writes.sql("insert into acknowledged values (%s)", [key])
        eventually(partial(crashes.sql, "select 1 from acknowledged where id = %s", [key]), "it is there")
        with pytest.raises(psycopg.OperationalError):
            session.execute("copy (select) to program 'kill -9 $PPID'")
        killer.revive(crashes, before)
    mend(pair)
    assert pair.equal("select id from acknowledged order by id") == [0, 1, 2]
    pair.assert_registers_equal()


async def pull_once(site: Site, peer: Site) -> bool:
    async with both(site, peer) as (own, other):
        return (await pull(own, other)).rows > 0


async def verify_once(site: Site, peer: Site) -> bool:
    async with both(site, peer) as (own, other):
        return (await verify(own, other)).is_equal


@pytest.mark.parametrize("compare", [pull_once, verify_once])
def test_a_comparison_is_done_again_when_the_peers_session_was_killed(
    pair: Mesh, compare: Callable[[Site, Site], Coroutine[Any, Any, bool]]
) -> None:
    berlin, hamburg = pair.sites
    scene = Scene(pair, compare.__name__)
    scene.make()
    if compare is pull_once:
        scene.without_capture(hamburg, f"delete from {scene.t}_log", "delete from multiserver.appended")
    [read_by_pull] = berlin.admin(
        "select multiserver.register_of(table_id)::text from multiserver.tables where name = %s", [f"public.{scene.t}"]
    )
    locking = berlin.server.connect(DATABASE, "postgres")
    with locking.transaction(), ThreadPoolExecutor() as pool:
        locking.execute(f"lock table {read_by_pull if compare is pull_once else scene.t}".encode())
        run = pool.submit(lambda: asyncio.run(compare(hamburg, berlin)))
        waiting = "pg_stat_activity where usename = 'multiserver_peer' and wait_event_type = 'Lock'"
        kill = f"select pg_terminate_backend(pid) from {waiting}"
        eventually(lambda: berlin.admin(kill) == [True], "the peer's session was killed while it read")
        with pytest.raises(Unavailable):
            run.result()
    locking.close()
    assert asyncio.run(compare(hamburg, berlin))
    pair.equal(f"select * from {scene.t}_log")
    pair.assert_registers_equal()


ELSEWHERE = {
    **dict.fromkeys(
        [
            "configure_site",
            "note_subscription",
            "forget_site",
            "is_rewound",
            "renounce",
            "note_slot",
            "delete from slots",
        ],
        "test_lifecycle_*: killed before every statement",
    ),
    "insert into migrations": "test_install: killed after steps",
    "become_copy": "works on a copy that is thrown away unless it was finished (prepare/copy.py)",
}
CALLED = re.compile(r"\bmultiserver\.([a-z_]+)\(")
WRITTEN = re.compile(r"\b(insert into|update|delete from) multiserver\.([a-z_]+)")


def statements_in_python() -> set[str]:
    """Give the engine's functions that Python calls, and its tables that Python writes."""
    found: set[str] = set()
    for file in Path(multiserver.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.update(CALLED.findall(node.value))
                found.update(" ".join(written) for written in WRITTEN.findall(node.value))
    return found


def test_whatever_may_change_something_is_killed_in_a_test(pair: Mesh) -> None:
    berlin = pair.sites[0]
    functions = "select proname from pg_proc where pronamespace = 'multiserver'::regnamespace"
    reading = set(berlin.admin(f"{functions} group by 1 having bool_and(provolatile <> 'v')"))
    granted = set(
        berlin.admin(
            f"{functions} and provolatile = 'v' and has_function_privilege('multiserver_peer', oid, 'execute')"
            " and not proname like 'killer%'"
        )
    )
    assert granted == {"capture_schema_change"}
    assert (statements_in_python() | granted) - reading == COVERED | ELSEWHERE.keys()
