"""What kopf is told, and what is kept from it."""

import datetime
import ssl
from pathlib import Path

import kopf
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from multiserver.control.watching import _Connection, settings


def test_kopf_kills_no_process_that_only_lost_its_leadership():
    assert settings(watches_one_namespace=False).process.ultimate_exiting_timeout is None


def test_an_api_server_whose_authority_has_no_key_identifier_is_trusted(tmp_path: Path):
    """Strict checks, which newer Pythons make by default, would refuse it."""
    authority = tmp_path / "ca.crt"
    authority.write_bytes(plain_authority())
    context = _Connection(server="https://localhost", ca_path=authority).as_ssl_context()
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert isinstance(_Connection(server="https://localhost"), kopf.ConnectionInfo)


def plain_authority() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)
