from base64 import b64decode
from typing import Any

from multiserver.api.names import Names
from multiserver.identity.certificates import KeyPair
from multiserver.resources.secrets import (
    application_password,
    backup_passphrase,
    connections,
    operator_identity,
    site_identity,
)
from tests.clusters import UID, a_blueprint, a_cluster

TLS, SYNCTHING = KeyPair("tls certificate", "tls key"), KeyPair("syncthing certificate", "syncthing key")


def data(secret: dict[str, Any]) -> dict[str, str]:
    return {key: b64decode(value).decode() for key, value in secret["data"].items()}


def live_application(password: str) -> dict[str, Any]:
    secret = application_password(a_cluster(), password)
    secret["metadata"]["uid"] = UID
    return secret


def test_a_sites_identity_holds_its_keys_and_its_server_number():
    secret = site_identity(a_cluster(), "berlin", 7, TLS, SYNCTHING)
    assert secret["metadata"]["name"] == Names("lab", "clinic").identity("berlin")
    assert secret["metadata"]["annotations"] == {"multiserver.dev/server-number": "7"}
    assert data(secret) == {
        "tls.crt": "tls certificate",
        "tls.key": "tls key",
        "syncthing.crt": "syncthing certificate",
        "syncthing.key": "syncthing key",
    }


def test_the_operator_the_application_and_the_backups_have_a_secret_each():
    secrets = [
        operator_identity(a_cluster(), TLS),
        application_password(a_cluster(database={"owner": "doctor"}), "p"),
        backup_passphrase(a_cluster(), "passphrase"),
    ]
    assert [(secret["metadata"]["name"], data(secret)) for secret in secrets] == [
        ("lab-operator-identity", {"tls.crt": "tls certificate", "tls.key": "tls key"}),
        ("lab-app", {"username": "doctor", "password": "p"}),
        ("lab-backup", {"passphrase": "passphrase"}),
    ]


def test_what_is_created_once_has_no_owner_yet_since_that_may_change():
    cluster = a_cluster(deletionPolicy="Delete")
    assert "ownerReferences" not in backup_passphrase(cluster, "passphrase")["metadata"]


def test_the_application_reaches_any_site_by_its_secret_and_its_password_is_not_written_again():
    any_site, *_ = connections(a_blueprint(), live_application("sesame"))
    assert any_site["metadata"]["uid"] == UID
    assert data(any_site) == {
        "dbname": "app",
        "host": "lab.clinic.svc",
        "port": "5432",
        "uri": "postgresql://app:sesame@lab.clinic.svc:5432/app"
        "?target_session_attrs=read-write&sslmode=verify-full&connect_timeout=5",
        "ca.crt": "certificate of berlin\ncertificate of hamburg\ncertificate of the operator\n",
    }


def test_clients_at_a_site_try_their_own_site_first():
    _, berlin, hamburg = connections(a_blueprint(), live_application("sesame"))
    assert [secret["metadata"]["name"] for secret in (berlin, hamburg)] == ["lab-berlin-app", "lab-hamburg-app"]
    assert data(hamburg)["host"] == "lab-hamburg-server.clinic.svc,lab-berlin-server.clinic.svc"
    assert data(hamburg)["uri"].startswith(
        "postgresql://app:sesame@lab-hamburg-server.clinic.svc:5432,lab-berlin-server.clinic.svc:5432/app?"
    )
    assert (data(hamburg)["username"], data(hamburg)["password"]) == ("app", "sesame")


def test_a_password_chosen_by_hand_does_not_break_the_connection_string():
    any_site, *_ = connections(a_blueprint(), live_application("p@ss/w:rd %"))
    assert "app:p%40ss%2Fw%3Ard%20%25@" in data(any_site)["uri"]
