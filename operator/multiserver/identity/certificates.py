"""Self-signed certificates. There is no authority: each one is trusted by itself, through the bundle of the cluster.

A certificate is no authority either (CA:FALSE), so a site that lost its key can be impersonated, but no one can use
that key to make a certificate with another site's name.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from multiserver.api.names import OPERATOR_CERTIFICATE_NAME, SITE_CERTIFICATE_PREFIX, Names

LIFETIME = timedelta(days=20 * 365)
BACKDATED = timedelta(days=1)
"""Sites' clocks may differ; a new certificate must be valid at the slowest."""

SYNCTHING_NAME = "syncthing"
"""The name that Syncthing demands of a peer's certificate."""


@dataclass(frozen=True)
class KeyPair:
    """A private key and its certificate, both in PEM form."""

    certificate_pem: str
    key_pem: str = field(repr=False)


def make_site(names: Names, site: str) -> KeyPair:
    """Make the key pair with which a site's PostgreSQL and agent meet peers, the operator and the application."""
    services = (names.server(site), names.any_site, names.site(site))
    hosts = [host for service in services for host in _service_hosts(service, names.namespace)]
    return make(SITE_CERTIFICATE_PREFIX + site, [*hosts, "localhost"])


def make_operator() -> KeyPair:
    """Make the key pair with which the operator meets the sites; it serves nothing, so it has no host name."""
    return make(OPERATOR_CERTIFICATE_NAME, [OPERATOR_CERTIFICATE_NAME])


def make_syncthing() -> KeyPair:
    """Make a Syncthing identity. The device id is the hash of the certificate, so a renewed one is another device."""
    return make(SYNCTHING_NAME, [SYNCTHING_NAME], curve=ec.SECP384R1())


def make(common_name: str, dns_names: Sequence[str], curve: ec.EllipticCurve | None = None) -> KeyPair:
    """Make a key on the curve (P-256 if not given) and a self-signed certificate for server and client use.

    Raises ValueError if the common name has more than 64 characters.
    """
    key = ec.generate_private_key(curve or ec.SECP256R1())
    certificate = _builder(common_name, dns_names, key.public_key()).sign(key, hashes.SHA256())
    return KeyPair(
        certificate.public_bytes(Encoding.PEM).decode(),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    )


def _builder(common_name: str, dns_names: Sequence[str], key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.now(UTC).replace(microsecond=0)
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_signing_only(), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False),
        (x509.SubjectAlternativeName([x509.DNSName(dns_name) for dns_name in dns_names]), False),
        # OpenSSL's strict checks, on by default in Python 3.13, want both identifiers.
        (x509.SubjectKeyIdentifier.from_public_key(key), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(key), False),
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + LIFETIME)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder


def _signing_only() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _service_hosts(service: str, namespace: str) -> tuple[str, ...]:
    """Give the names by which pods reach a Service, from its own namespace and from any other."""
    domain = f"{service}.{namespace}"
    return service, domain, f"{domain}.svc", f"{domain}.svc.cluster.local"
