import pytest

from multiserver.api.spec import OPERATOR_PARAMETERS
from multiserver.replication.settings import required_settings
from multiserver.resources.postgres_settings import render, restart_hash, settings
from tests.clusters import a_cluster


def test_tls_1_3_the_socket_and_archiving_are_as_the_pod_needs_them():
    found = settings(a_cluster(), "berlin")
    assert (
        found.items()
        >= {
            "cluster_name": "lab-berlin",
            "ssl": "on",
            "ssl_min_protocol_version": "TLSv1.3",
            "ssl_cert_file": "/etc/multiserver/identity/tls.crt",
            "ssl_key_file": "/etc/multiserver/identity/tls.key",
            "ssl_ca_file": "/etc/multiserver/config/ca.crt",
            "hba_file": "/etc/multiserver/config/pg_hba.conf",
            "ident_file": "/etc/multiserver/config/pg_ident.conf",
            "unix_socket_directories": "/run/multiserver",
            "archive_mode": "on",
            "log_destination": "stderr",
        }.items()
    )
    assert found["archive_command"].endswith("archive-push %p")


@pytest.mark.parametrize(("sites", "seconds"), [(["berlin"], "1min"), (["berlin", "hamburg"], "5min")])
def test_a_site_without_peers_archives_more_often(sites, seconds):
    assert settings(a_cluster(*sites), "berlin")["archive_timeout"] == seconds


def test_no_library_takes_the_place_of_the_command_that_archives():
    before_it_was_refused = {"parameters": {"archive_library": "basic_archive"}}
    assert settings(a_cluster(database=before_it_was_refused), "berlin")["archive_library"] == ""
    assert "archive_library" in OPERATOR_PARAMETERS


def test_parameters_of_the_resource_win_over_the_defaults():
    found = settings(a_cluster(database={"parameters": {"shared_buffers": "2GB", "work_mem": "64MB"}}), "berlin")
    assert (found["shared_buffers"], found["work_mem"]) == ("2GB", "64MB")


def test_what_the_operator_would_overrule_is_refused_at_apply():
    sharing = {**required_settings(), **settings(a_cluster(), "berlin")}
    theirs = settings(a_cluster(database={"parameters": dict.fromkeys(sharing, "theirs")}), "berlin")
    overruled = {name for name, value in theirs.items() if value != "theirs"}
    assert overruled
    assert overruled <= set(OPERATOR_PARAMETERS)


@pytest.mark.parametrize(
    ("size", "kept"), [("100Mi", "256MB"), ("1Gi", "409MB"), ("20Gi", "8192MB"), ("1Ti", "419430MB")]
)
def test_a_cut_off_peer_can_never_fill_the_volume(size, kept):
    found = settings(a_cluster(database={"storage": {"size": size}}), "berlin")
    assert found["max_slot_wal_keep_size"] == kept


@pytest.mark.parametrize(("wanted", "kept"), [("2GB", "2048MB"), ("100GB", "16384MB"), ("1TB", "16384MB")])
def test_the_resource_sets_the_room_for_a_cut_off_peer_up_to_four_fifths_of_the_volume(wanted, kept):
    parameters = {"max_slot_wal_keep_size": wanted}
    found = settings(a_cluster(database={"storage": {"size": "20Gi"}, "parameters": parameters}), "berlin")
    assert found["max_slot_wal_keep_size"] == kept


@pytest.mark.parametrize(
    ("resources", "buffers"),
    [
        ({}, "128MB"),
        ({"requests": {"memory": "8Gi"}}, "2048MB"),
        ({"limits": {"memory": "4Gi"}}, "1024MB"),
        ({"requests": {"memory": "256Mi"}}, "128MB"),
    ],
)
def test_shared_buffers_are_a_quarter_of_the_memory(resources, buffers):
    assert settings(a_cluster(database={"resources": resources}), "berlin")["shared_buffers"] == buffers


def test_values_are_quoted_so_that_none_can_end_early():
    assert render({"b": r"it's \n", "a": "1"}) == "a = '1'\nb = 'it''s \\\\n'\n"


@pytest.mark.parametrize(
    ("name", "restarts"),
    [("max_connections", True), ("shared_preload_libraries", True), ("some_extension.size", True), ("work_mem", False)],
)
def test_the_restart_hash_changes_only_with_a_setting_that_needs_a_restart(name, restarts):
    before = settings(a_cluster(), "berlin")
    after = settings(a_cluster(database={"parameters": {name: "7"}}), "berlin")
    assert (restart_hash(before) != restart_hash(after)) is restarts


def test_neither_a_larger_volume_nor_another_site_restarts_a_server():
    before = restart_hash(settings(a_cluster(), "berlin"))
    larger = a_cluster("berlin", "hamburg", "leipzig", database={"storage": {"size": "1Ti"}})
    assert restart_hash(settings(larger, "berlin")) == before


def test_a_volume_that_did_not_grow_as_declared_keeps_no_more_for_peers_than_it_has_room_for():
    declared = a_cluster(database={"storage": {"size": "200Gi"}, "parameters": {"max_slot_wal_keep_size": "100GB"}})
    assert settings(declared, "berlin", 20 * 1024**3)["max_slot_wal_keep_size"] == "16384MB"
