import base64
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from local_cluster import config, identities, pki
from local_cluster.places import Cluster
from tests.unit.local_cluster.gen import CHECKOUT, cluster


@dataclass(frozen=True)
class ClusterIn(Cluster):
    """A cluster whose folder is somewhere else."""

    place: Path = Path()

    @property
    def folder(self) -> Path:
        return self.place


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """A cluster with its certificates."""
    one = ClusterIn(CHECKOUT, "berlin", cluster().addresses, tmp_path_factory.mktemp("cluster"))
    pki.make(one.pki, identities.of(one))
    return one


def test_everything_is_below_the_clusters_folder(made: Cluster):
    assert all(path.is_relative_to(made.folder) for path in config.render(made))


def test_rendering_again_changes_nothing(made: Cluster):
    assert config.render(made) == config.render(made)


def test_a_kubeconfig_can_be_copied_because_it_names_no_files(made: Cluster):
    document = yaml.safe_load(config.kubeconfig(made, identities.ADMINISTRATOR))
    user = document["users"][0]["user"]
    assert base64.b64decode(user["client-key-data"]) == (made.pki / "admin.key").read_bytes()
    assert document["clusters"][0]["cluster"]["server"] == "https://10.218.3.7:6443"
    assert document["current-context"] == "berlin"
    assert str(made.folder) not in json.dumps(document)


def test_the_container_runtime_keeps_everything_in_the_folder():
    one = cluster()
    document = tomllib.loads(config.containerd(one))
    cri = document["plugins"]["io.containerd.grpc.v1.cri"]
    runc = cri["containerd"]["runtimes"]["runc"]["options"]
    for path in (document["root"], document["state"], document["grpc"]["address"], runc["Root"]):
        assert Path(path).is_relative_to(one.folder)
    assert cri["restrict_oom_score_adj"] is True


def test_pods_get_addresses_of_their_cluster_and_are_noted_last():
    document = json.loads(config.pod_network(cluster()))
    network, last = document["plugins"]
    assert network["ipam"]["ranges"] == [[{"subnet": "10.219.7.0/24"}]]
    assert last["type"] == "site-address"
    assert last["apiServer"] == "https://10.218.3.7:6443"


def test_reading_is_not_audited_and_every_write_is():
    policy = yaml.safe_load(config.audit_policy())
    assert policy["rules"] == [{"level": "None", "verbs": ["get", "list", "watch"]}, {"level": "Metadata"}]


def test_the_kubelet_takes_names_from_the_clusters_own_server():
    document = yaml.safe_load(config.kubelet(cluster()))
    assert document["clusterDNS"] == ["10.218.3.7"]
    assert document["cgroupRoot"] == f"/{cluster().unique_name}"
