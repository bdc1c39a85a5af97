from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from local_cluster import identities, pki
from local_cluster.pki import Identity
from tests.unit.local_cluster.gen import cluster

NODE = Identity("node", "system:node:berlin", "system:nodes", ("berlin",), ("10.218.3.7",))


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def interrupted(*_: object) -> pki.KeyPair:
    raise KeyboardInterrupt


def test_a_certificate_is_trusted_by_its_authority_for_its_names(tmp_path: Path):
    pki.make(tmp_path, [NODE])
    verifier = PolicyBuilder().store(Store([certificate(tmp_path / "ca.crt")]))
    leaf = certificate(tmp_path / "node.crt")
    for name in (x509.DNSName("berlin"), x509.IPAddress(ip_address("10.218.3.7"))):
        verifier.build_server_verifier(name).verify(leaf, [])
    with pytest.raises(VerificationError):
        verifier.build_server_verifier(x509.DNSName("hamburg")).verify(leaf, [])


def test_user_and_group_are_in_the_subject_where_the_api_server_looks(tmp_path: Path):
    pki.make(tmp_path, [NODE])
    assert certificate(tmp_path / "node.crt").subject.rfc4514_string() == "CN=system:node:berlin,O=system:nodes"


def test_keys_are_for_root_only(tmp_path: Path):
    pki.make(tmp_path, [NODE])
    keys = list(tmp_path.glob("*.key"))
    assert {key.stem for key in keys} == {"ca", "front-proxy-ca", "service-accounts", "node"}
    assert all(key.stat().st_mode & 0o777 == 0o600 for key in keys)


def test_key_and_certificate_belong_together(tmp_path: Path):
    pki.make(tmp_path, [NODE])
    key = load_pem_private_key((tmp_path / "node.key").read_bytes(), password=None)
    assert key.public_key() == certificate(tmp_path / "node.crt").public_key()


def test_they_count_as_made_for_the_same_identities_only(tmp_path: Path):
    assert not pki.is_made(tmp_path, [NODE])
    pki.make(tmp_path, [NODE])
    assert pki.is_made(tmp_path, [NODE])
    assert not pki.is_made(tmp_path, [NODE, Identity("scheduler", "system:kube-scheduler")])


def test_an_interrupted_make_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pki.make(tmp_path, [NODE])
    monkeypatch.setattr(pki, "make_certificate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pki.make(tmp_path, [NODE])
    assert not pki.is_made(tmp_path, [NODE])


def test_the_api_server_serves_under_the_node_the_service_and_this_host():
    (api_server,) = (one for one in identities.of(cluster()) if one.file == identities.API_SERVER)
    assert {"10.218.3.7", "10.220.7.1", "127.0.0.1"} == set(api_server.addresses)
    assert "kubernetes.default.svc" in api_server.dns_names


def test_every_client_has_an_identity():
    files = {one.file for one in identities.of(cluster())}
    assert files.issuperset(identities.CLIENTS)
