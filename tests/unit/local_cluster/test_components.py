from pathlib import Path

from local_cluster import components
from local_cluster.components import Component
from tests.unit.local_cluster.gen import cluster


def test_the_api_server_starts_after_its_database_and_before_all_that_use_it():
    names = [component.name for component in components.all_components(cluster())]
    assert names.index("etcd") < names.index("kube-apiserver") < names.index("kubelet")
    assert len(set(names)) == len(names)


def test_a_process_is_known_by_its_clusters_own_link():
    for component in components.all_components(cluster()):
        assert component.command(cluster())[0] == f"{cluster().programs}/{component.name}"


def test_two_clusters_share_no_argument_that_is_a_path():
    def paths(name: str) -> set[str]:
        one = cluster(name)
        words = [word for component in components.all_components(one) for word in component.command(one)]
        return {word.partition("=")[2] or word for word in words if "/var/" in word}

    assert not paths("berlin") & paths("hamburg")


def test_a_changed_argument_or_file_changes_the_fingerprint(tmp_path: Path):
    config = tmp_path / "config"
    config.write_text("a")
    component = Component("etcd", ("--flag",), (config,))
    before = component.fingerprint(cluster())
    assert component.fingerprint(cluster()) == before
    assert Component("etcd", ("--other",), (config,)).fingerprint(cluster()) != before
    config.write_text("b")
    assert component.fingerprint(cluster()) != before


def test_every_write_is_audited_before_it_is_answered():
    arguments = components.api_server(cluster()).arguments
    assert f"--audit-log-path={cluster().audit_log}" in arguments
    assert "--audit-log-mode=blocking" in arguments
