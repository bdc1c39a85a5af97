"""The application reaches its site by the Secret made for it; nobody comes in otherwise, and secrets stay secret."""

import json
from base64 import b64decode
from collections.abc import Iterator

import pytest
import yaml

from hack.common.command import CommandFailed
from hack.demo.mesh import Mesh
from multiserver.identity import certificates
from tests.e2e.operator_pod import Operator
from tests.e2e.workstation import Workstation, workstation_manifest

SECRET = "clinic-berlin-app"


@pytest.fixture(scope="module")
def workstation(shared_mesh: Mesh) -> Iterator[Workstation]:
    """A pod beside the cluster, with the application's Secret and a certificate that no site knows."""
    shared_mesh.wait_until_healthy()
    stranger = certificates.make_operator()
    unknown = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "stranger"},
        "stringData": {"tls.crt": stranger.certificate_pem, "tls.key": stranger.key_pem},
    }
    image = json.loads(shared_mesh.kubectl("get", "pod", shared_mesh.sites[0].pod, "-o", "json"))
    manifest = workstation_manifest(image["spec"]["containers"][0]["image"], SECRET, "stranger")
    shared_mesh.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all([unknown, manifest]))
    shared_mesh.kubectl("wait", "pod/workstation", "--for=condition=Ready", "--timeout=60s")
    yield Workstation(shared_mesh)
    shared_mesh.kubectl("delete", "pod/workstation", "secret/stranger", "--grace-period=0", "--force")


def test_the_secrets_uri_reaches_the_own_site_with_its_certificate_verified(workstation: Workstation) -> None:
    answer = workstation.psql(
        "$URI&sslrootcert=/application/ca.crt",
        "select current_user, current_database(), current_setting('cluster_name'), ssl"
        " from pg_stat_ssl where pid = pg_backend_pid()",
    )
    assert answer == "app|app|clinic-berlin|t"


def test_the_password_is_asked_for_by_scram_and_a_wrong_one_is_refused(workstation: Workstation) -> None:
    answer = workstation.psql("$URI&sslrootcert=/application/ca.crt&require_auth=scram-sha-256", "select 1")
    assert answer == "1"
    with pytest.raises(CommandFailed, match="password authentication failed"):
        workstation.psql(f"{_server('verify-full')} user=app password=wrong", "select 1")


def test_a_connection_without_tls_is_refused(workstation: Workstation) -> None:
    with pytest.raises(CommandFailed, match="no encryption"):
        workstation.psql(f"{_server('disable')} user=app password=$PASSWORD", "select 1")


def test_a_client_that_trusts_another_certificate_finds_no_server(workstation: Workstation) -> None:
    with pytest.raises(CommandFailed, match="certificate verify failed"):
        workstation.psql("$URI&sslrootcert=/stranger/tls.crt", "select 1")


@pytest.mark.parametrize("role", ["postgres", "multiserver_peer"])
def test_a_certificate_that_no_site_knows_opens_nothing(workstation: Workstation, role: str) -> None:
    """The stranger's certificate even bears the operator's name."""
    with pytest.raises(CommandFailed, match=r"unknown ca|certificate"):
        workstation.psql(
            f"{_server('verify-full')} user={role} sslcert=/stranger/tls.crt sslkey=/tmp/tls.key", "select 1"
        )


@pytest.mark.parametrize("role", ["postgres", "multiserver_peer", "multiserver_apply", "multiserver_engine"])
def test_the_applications_password_opens_no_other_role(workstation: Workstation, role: str) -> None:
    with pytest.raises(CommandFailed, match=r"pg_hba\.conf|certificate|not permitted to log in"):
        workstation.psql(f"{_server('verify-full')} user={role} password=$PASSWORD", "select 1")


def test_passwords_and_keys_are_in_secrets_and_nowhere_else(mesh: Mesh, operator: Operator) -> None:
    told = {
        "objects": mesh.kubectl("get", "msc,all,configmap,pvc,events,networkpolicy,serviceaccount", "-o", "yaml"),
        "the operator's log": operator.log(),
    }
    for site in mesh.sites:
        told[f"logs of {site.name}"] = mesh.kubectl("logs", site.pod, "--all-containers")
        told[f"arguments at {site.name}"] = "".join(
            site.execute(container, "python3", "-c", _ARGUMENTS) for container in ("postgres", "syncthing", "agent")
        )
        told[f"metrics of {site.name}"] = site.execute("agent", "python3", "-c", _METRICS)
        told[f"links of {site.name}"] = site.administer("select * from pg_subscription")
    for name, secret in _secrets(mesh).items():
        places = [place for place, text in told.items() if secret in text]
        assert not places, f"{name} stands in: {', '.join(places)}"


def _server(sslmode: str) -> str:
    return f"host=clinic-berlin-server dbname=app sslmode={sslmode} sslrootcert=/application/ca.crt"


def _secrets(mesh: Mesh) -> dict[str, str]:
    """Every password, passphrase and key: of a key its second line, which no other one shares."""
    label = f"multiserver.dev/cluster={mesh.name}"
    listed = json.loads(mesh.kubectl("get", "secrets", "-l", label, "-o", "json"))["items"]
    found = {
        f"{secret['metadata']['name']}/{key}": b64decode(value).decode()
        for secret in listed
        for key, value in secret["data"].items()
        if key in ("password", "passphrase") or key.endswith(".key")
    }
    assert len(found) >= 12
    return {name: text.splitlines()[1] if text.startswith("-----BEGIN") else text for name, text in found.items()}


_ARGUMENTS = """
import pathlib
for file in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    print(file.read_bytes().replace(bytes(1), b" ").decode())
"""
_METRICS = "import urllib.request; print(urllib.request.urlopen('http://localhost:8080/metrics').read().decode())"
