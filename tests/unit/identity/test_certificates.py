import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from multiserver.api.names import Names
from multiserver.identity.certificates import KeyPair, make, make_operator, make_site, make_syncthing

NAMES = Names("lab", "clinic")


def load(pair: KeyPair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate_pem.encode())


def context(purpose: ssl.Purpose, folder: Path, own: KeyPair, trusted: list[KeyPair]) -> ssl.SSLContext:
    """Both ends as strict as Python 3.13 and later are by default."""
    result = ssl.create_default_context(purpose, cadata="".join(pair.certificate_pem for pair in trusted))
    result.verify_flags |= ssl.VERIFY_X509_STRICT
    result.verify_mode = ssl.CERT_REQUIRED
    result.minimum_version = ssl.TLSVersion.TLSv1_3
    file = folder / purpose.name
    file.write_text(own.certificate_pem + own.key_pem)
    result.load_cert_chain(file)
    return result


def common_name(connection: ssl.SSLSocket) -> str:
    subject = (connection.getpeercert() or {})["subject"]
    return next(value for part in subject for key, value in part if key == "commonName")


def shake(folder: Path, server: KeyPair, client: KeyPair, trusted: list[KeyPair], host: str) -> tuple[str, str]:
    """Let the two meet on loopback; give what the server saw of the client and the client of the server."""
    at_server = context(ssl.Purpose.CLIENT_AUTH, folder, server, trusted)
    at_client = context(ssl.Purpose.SERVER_AUTH, folder, client, trusted)
    seen: list[str] = []

    def serve(plain: socket.socket) -> None:
        try:
            with at_server.wrap_socket(plain, server_side=True) as connection:
                connection.sendall(b"welcome")
                seen.append(common_name(connection))
        except ssl.SSLError as error:
            seen.append(f"refused: {error.reason}")

    far, near = socket.socketpair()
    thread = threading.Thread(target=serve, args=(far,))
    thread.start()
    try:
        with at_client.wrap_socket(near, server_hostname=host) as connection:
            found = common_name(connection)
            connection.recv(16)
    except ssl.SSLError as error:
        found = f"refused: {error.reason}"
    near.close()
    thread.join(timeout=10)
    return seen[0], found


@pytest.fixture(scope="module")
def berlin() -> KeyPair:
    return make_site(NAMES, "berlin")


@pytest.fixture(scope="module")
def operator() -> KeyPair:
    return make_operator()


@pytest.mark.parametrize("host", ["lab-berlin-server.clinic.svc", "lab", "localhost"])
def test_two_members_of_the_bundle_accept_each_other_under_strict_checks(tmp_path, berlin, operator, host):
    assert shake(tmp_path, berlin, operator, [berlin, operator], host) == ("operator", "site:berlin")


def test_a_caller_outside_the_bundle_is_refused(tmp_path, berlin, operator):
    stranger = make_operator()
    at_server, _ = shake(tmp_path, berlin, stranger, [berlin, operator], "localhost")
    assert at_server == "refused: CERTIFICATE_VERIFY_FAILED"


def test_a_site_cannot_be_taken_for_another(tmp_path, berlin, operator):
    _, at_client = shake(tmp_path, berlin, operator, [berlin, operator], "lab-hamburg-server.clinic.svc")
    assert at_client == "refused: CERTIFICATE_VERIFY_FAILED"


def test_a_sites_key_cannot_make_certificates_for_other_names(tmp_path, berlin, operator):
    forger = x509.load_pem_x509_certificate(berlin.certificate_pem.encode())
    assert forger.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert forger.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign is False


def test_a_certificate_is_valid_for_twenty_years_and_at_clocks_that_are_late(berlin):
    certificate = load(berlin)
    now = datetime.now(UTC)
    assert certificate.not_valid_before_utc < now - timedelta(hours=23)
    assert certificate.not_valid_after_utc > now + timedelta(days=20 * 365 - 1)


def test_syncthings_identity_is_as_syncthing_wants_it():
    certificate = load(make_syncthing())
    assert certificate.subject.rfc4514_string() == "CN=syncthing"
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp384r1"


def test_the_key_belongs_to_the_certificate_and_is_never_printed(berlin):
    assert berlin.key_pem.startswith("-----BEGIN PRIVATE KEY-----")
    assert "PRIVATE" not in repr(berlin)


def test_a_name_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="64"):
        make("x" * 65, ["localhost"])
