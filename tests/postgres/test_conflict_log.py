"""What is lost to a concurrent change stands in the conflict log, and nothing else does.

The cases are those in which native logical replication diverges; each test cuts links, changes the same rows at several
sites, heals, and reads the log at every site.
"""

from typing import Any

from tests.postgres.mesh import Mesh, Site
from tests.postgres.servers import eventually
from tests.postgres.test_conflicts import cut_off

LOG = (
    "select losing_site, losing_row, winning_site, winning_row from multiserver.conflict_log"
    ' where "table" = %s order by losing_time, winning_time'
)


def log(site: Site, table: str) -> list[Any]:
    return site.admin(LOG, [f"public.{table}"])


def logs(mesh: Mesh, table: str) -> dict[str, list[Any]]:
    return {site.name: log(site, table) for site in mesh}


def everywhere(entry: tuple[Any, ...]) -> dict[str, list[Any]]:
    return {"berlin": [entry], "hamburg": [entry], "leipzig": [entry]}


NOTHING: dict[str, list[Any]] = {"berlin": [], "hamburg": [], "leipzig": []}


def make(mesh: Mesh, table: str) -> None:
    """Make a table with one row that all sites have."""
    mesh.sites[0].sql(f"create table {table} (id integer primary key, note text)")
    mesh.sites[0].sql(f"insert into {table} values (1, 'first')")
    mesh.drain()


def test_insert_against_insert_of_one_key(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    make(mesh, "log_inserts")
    with cut_off(mesh):
        berlin.sql("insert into log_inserts values (2, 'berlin')")
        hamburg.sql("insert into log_inserts values (2, 'hamburg')")
    mesh.drain()
    assert logs(mesh, "log_inserts") == everywhere(("berlin", "(2,berlin)", "hamburg", "(2,hamburg)"))


def test_update_against_update(mesh: Mesh, berlin: Site, leipzig: Site) -> None:
    make(mesh, "log_updates")
    with cut_off(mesh):
        leipzig.sql("update log_updates set note = 'leipzig'")
        berlin.sql("update log_updates set note = 'berlin'")
    mesh.drain()
    assert logs(mesh, "log_updates") == everywhere(("leipzig", "(1,leipzig)", "berlin", "(1,berlin)"))


def test_update_that_loses_to_a_later_delete(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    make(mesh, "log_deletes")
    with cut_off(mesh):
        hamburg.sql("update log_deletes set note = 'hamburg'")
        berlin.sql("delete from log_deletes")
    mesh.drain()
    assert logs(mesh, "log_deletes") == everywhere(("hamburg", "(1,hamburg)", "berlin", "deleted"))


def test_delete_that_loses_to_a_later_update(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    make(mesh, "log_revived")
    with cut_off(mesh):
        hamburg.sql("delete from log_revived")
        berlin.sql("update log_revived set note = 'berlin'")
    mesh.drain()
    assert logs(mesh, "log_revived") == everywhere(("hamburg", "deleted", "berlin", "(1,berlin)"))


def test_two_deletes_of_one_row_lose_nothing(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    make(mesh, "log_gone")
    with cut_off(mesh):
        hamburg.sql("delete from log_gone")
        berlin.sql("delete from log_gone")
    mesh.drain()
    assert logs(mesh, "log_gone") == NOTHING


def test_stale_update_after_delete_and_reinsert(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    make(mesh, "log_reborn")
    with cut_off(mesh):
        hamburg.sql("update log_reborn set note = 'stale'")
        berlin.sql("delete from log_reborn")
        berlin.sql("insert into log_reborn values (1, 'reborn')")
    mesh.drain()
    found = logs(mesh, "log_reborn")
    assert found["berlin"] == [("hamburg", "(1,stale)", "berlin", "(1,reborn)")]
    assert ("hamburg", "(1,stale)") in {entry[:2] for entry in found["hamburg"]}


def test_truncate_against_update(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    make(mesh, "log_truncated")
    with cut_off(mesh):
        hamburg.sql("update log_truncated set note = 'hamburg'")
        berlin.sql("truncate log_truncated")
    mesh.drain()
    assert logs(mesh, "log_truncated") == everywhere(("hamburg", "(1,hamburg)", "berlin", "deleted"))


def test_bulk_changes_log_the_rows_that_lost_and_no_other(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    make(mesh, "log_bulk")
    berlin.sql("insert into log_bulk select n, 'first' from generate_series(2, 500) n")
    with cut_off(mesh):
        hamburg.sql("update log_bulk set note = 'hamburg' where id = 7")
        berlin.sql("update log_bulk set note = 'berlin'")
    mesh.drain()
    assert logs(mesh, "log_bulk") == everywhere(("hamburg", "(7,hamburg)", "berlin", "(7,berlin)"))


def test_a_large_value_that_the_winner_did_not_touch_is_in_both_images(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    make(mesh, "log_large")
    berlin.sql("alter table log_large add body text")
    berlin.sql("update log_large set body = repeat('old ', 50000)")
    with cut_off(mesh):
        hamburg.sql("update log_large set body = repeat('new ', 50000)")
        berlin.sql("update log_large set note = 'berlin'")
    mesh.drain()
    query = "select length(losing_image) > 200000 and length(winning_image) > 200000 from multiserver.conflicts"
    assert [site.admin(f"{query} join multiserver.tables t using (table_id) where t.name = 'public.log_large'")
            for site in mesh] == [[True]] * 3  # fmt: skip


def test_a_late_change_that_the_winners_writer_had_seen_is_no_conflict(
    mesh: Mesh, berlin: Site, hamburg: Site, leipzig: Site
) -> None:
    make(mesh, "log_late")
    leipzig.cut(berlin)
    try:
        berlin.sql("update log_late set note = 'late at leipzig'")
        berlin.sql("insert into log_late values (2, 'late at leipzig')")
        Mesh([berlin, hamburg]).drain()
        hamburg.sql("update log_late set note = 'hamburg saw it'")
        hamburg.sql("update log_late set note = 'and wrote again' where id = 1")
        Mesh([hamburg, leipzig]).drain()
    finally:
        leipzig.heal(berlin)
    assert mesh.equal("select note from log_late order by id") == ["and wrote again", "hamburg saw it"]
    assert logs(mesh, "log_late") == NOTHING


def test_a_late_change_that_the_winners_writer_had_not_seen_is_one(
    mesh: Mesh, berlin: Site, hamburg: Site, leipzig: Site
) -> None:
    make(mesh, "log_unseen")
    hamburg.cut(berlin)
    leipzig.cut(berlin)
    try:
        berlin.sql("update log_unseen set note = 'berlin'")
        hamburg.sql("update log_unseen set note = 'hamburg'")
        Mesh([hamburg, leipzig]).drain()
        leipzig.sql("update log_unseen set note = 'leipzig saw hamburg'")
        Mesh([hamburg, leipzig]).drain()
    finally:
        hamburg.heal(berlin)
        leipzig.heal(berlin)
    mesh.drain()
    found = logs(mesh, "log_unseen")
    winner = ("leipzig", '(1,"leipzig saw hamburg")')
    assert found["leipzig"] == [("berlin", "(1,berlin)", *winner)]
    assert all(entry[:2] == ("berlin", "(1,berlin)") for entries in found.values() for entry in entries)


def test_a_late_change_that_the_own_chain_of_writes_had_seen_is_no_conflict(
    mesh: Mesh, berlin: Site, hamburg: Site, leipzig: Site
) -> None:
    make(mesh, "log_chain")
    hamburg.sql("update log_chain set note = 'hamburg'")
    mesh.drain()
    for note in ("one", "two", "three"):
        berlin.sql("update log_chain set note = %s", [note])
    mesh.drain()
    leipzig.sql("update log_chain set note = 'leipzig'")
    mesh.drain()
    assert logs(mesh, "log_chain") == NOTHING


def test_an_own_chain_of_writes_that_did_not_see_an_earlier_change_logs_it(
    mesh: Mesh, berlin: Site, hamburg: Site
) -> None:
    make(mesh, "log_own")
    with cut_off(mesh):
        hamburg.sql("update log_own set note = 'hamburg'")
        berlin.sql("update log_own set note = 'one'")
        berlin.sql("update log_own set note = 'two'")
    mesh.drain()
    assert log(berlin, "log_own") == [("hamburg", "(1,hamburg)", "berlin", "(1,two)")]


def test_three_concurrent_writers_lose_two_changes(mesh: Mesh, berlin: Site, hamburg: Site, leipzig: Site) -> None:
    make(mesh, "log_three")
    with cut_off(mesh):
        for site in (berlin, hamburg, leipzig):
            site.sql("update log_three set note = %s", [site.name])
    mesh.drain()
    lost = {entry[:2] for entries in logs(mesh, "log_three").values() for entry in entries}
    assert lost == {("berlin", "(1,berlin)"), ("hamburg", "(1,hamburg)")}
    assert {entry[2] for entry in log(leipzig, "log_three")} == {"leipzig"}


def test_a_row_that_lost_its_key_while_it_was_parked(mesh: Mesh, berlin: Site, hamburg: Site, leipzig: Site) -> None:
    berlin.sql("create table log_parked (id integer primary key, login text unique)")
    with cut_off(mesh):
        berlin.sql("insert into log_parked values (1, 'anna')")
        hamburg.sql("insert into log_parked values (2, 'anna')")
    mesh.drain()
    assert logs(mesh, "log_parked") == NOTHING
    leipzig.sql("insert into log_parked values (1, 'berta')")
    mesh.drain()
    assert log(leipzig, "log_parked") == [("berlin", "(1,anna)", "leipzig", "(1,berta)")]
    assert mesh.equal("select login from log_parked order by id") == ["berta", "anna"]


def test_a_parked_row_that_loses_to_a_concurrent_change(mesh: Mesh, berlin: Site, hamburg: Site, leipzig: Site) -> None:
    berlin.sql("create table log_parked_later (id integer primary key, login text unique)")
    mesh.drain()
    with cut_off(mesh):
        berlin.sql("insert into log_parked_later values (1, 'anna')")
        hamburg.sql("insert into log_parked_later values (2, 'anna')")
        leipzig.sql("insert into log_parked_later values (1, 'carla')")
    mesh.drain()
    assert logs(mesh, "log_parked_later") == everywhere(("berlin", "(1,anna)", "leipzig", "(1,carla)"))


def test_merging_again_adds_nothing_to_the_log(mesh: Mesh, berlin: Site, hamburg: Site, leipzig: Site) -> None:
    make(mesh, "log_again")
    with cut_off(mesh):
        hamburg.sql("update log_again set note = 'hamburg'")
        berlin.sql("update log_again set note = 'berlin'")
    mesh.drain()
    before = logs(mesh, "log_again")
    again = (
        "select multiserver.merge_rows(jsonb_populate_record(null::multiserver.journal, e))"
        " from jsonb_array_elements(%s) as e"
    )
    for site in (berlin, hamburg):
        found = site.admin(
            "select jsonb_agg(j)::text from multiserver.journal j join multiserver.tables t using (table_id)"
            " where t.name = 'public.log_again'"
        )
        session = leipzig.server.connect("app", "postgres")
        session.execute("set session_replication_role = replica")
        session.execute(again.encode(), [found[0]])
        session.close()
    assert logs(mesh, "log_again") == before
    assert mesh.equal("select note from log_again") == ["berlin"]


def receives(site: Site, peer: Site) -> None:
    """Heal one direction, and wait until the site has all that the peer wrote."""
    site.heal(peer)
    since = peer.beat()
    eventually(lambda: site.has_beat(peer, since), f"{site.name} has all of {peer.name}")


def test_a_change_is_logged_although_its_winner_was_written_over_before_it_arrived_anywhere(
    mesh: Mesh, berlin: Site, hamburg: Site, leipzig: Site
) -> None:
    make(mesh, "log_overtaken")
    with cut_off(mesh):
        hamburg.sql("insert into log_overtaken values (2, 'lost')")
        leipzig.sql("insert into log_overtaken values (2, 'unseen by the lost one')")
        receives(berlin, leipzig)
        berlin.sql("update log_overtaken set note = 'over it' where id = 2")
        receives(hamburg, berlin)  # before what this change went over
        receives(leipzig, berlin)
        receives(leipzig, hamburg)  # now leipzig's own change is written over already
        leipzig.sql("update log_overtaken set note = 'last' where id = 2")
        receives(berlin, leipzig)  # and berlin's, before the lost one comes there
    mesh.drain()
    assert mesh.equal("select note from log_overtaken where id = 2") == ["last"]
    assert "(2,lost)" in [entry[1] for site in mesh for entry in log(site, "log_overtaken")]
    others = {entry[1] for site in mesh for entry in log(site, "log_overtaken")} - {"(2,lost)"}
    assert others == set(), "each of the other changes was seen by the writer of the next"


def test_a_change_that_a_later_one_overtook_is_not_noted_where_no_slot_was_lost(
    mesh: Mesh, berlin: Site, hamburg: Site, leipzig: Site
) -> None:
    make(mesh, "log_overtaking")
    berlin.cut(hamburg)
    try:
        berlin.sql("update log_overtaking set note = 'berlin'")
        receives(hamburg, berlin)
        hamburg.sql("update log_overtaking set note = 'hamburg saw it'")
        Mesh([hamburg, leipzig]).drain()
        leipzig.sql("update log_overtaking set note = 'leipzig saw hamburg'")
        Mesh([berlin, leipzig]).drain()
        assert berlin.sql("select note from log_overtaking") == ["leipzig saw hamburg"]
        assert log(berlin, "log_overtaking") == []
    finally:
        berlin.heal(hamburg)
    mesh.drain()
    assert logs(mesh, "log_overtaking") == NOTHING


def test_old_and_surplus_entries_are_purged(mesh: Mesh, berlin: Site, hamburg: Site) -> None:
    make(mesh, "log_purged")
    with cut_off(mesh):
        for key in range(2, 6):
            hamburg.sql("insert into log_purged values (%s, 'hamburg')", [key])
            berlin.sql("insert into log_purged values (%s, 'berlin')", [key])
    mesh.drain()
    assert len(log(berlin, "log_purged")) == 4
    newest = "(select max(table_id) from multiserver.conflicts)"
    berlin.admin(f"delete from multiserver.conflicts where table_id <> {newest}")
    try:
        older = "detected_at = detected_at - interval '31 days'"
        berlin.admin(f"update multiserver.conflicts set {older} where key = '(2)'")
        assert berlin.admin("select multiserver.purge_conflicts()") == [1]
        berlin.admin("update multiserver.limits set conflicts_max = 2")
        assert berlin.admin("select multiserver.purge_conflicts()") == [1]
        assert berlin.admin("select multiserver.purge_conflicts()") == [0]
        assert berlin.admin("select key from multiserver.conflicts order by key") == ["(4)", "(5)"]
    finally:
        berlin.admin("update multiserver.limits set conflicts_max = default")
