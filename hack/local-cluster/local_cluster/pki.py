"""Keys and certificates of one Kubernetes: made once, for the names that its components go by."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from local_cluster import files

MADE_FOR = "made-for.json"
# Raised whenever certificates are made differently, so that those of an older checkout are made anew.
FORMAT = 2
VALID_FOR = timedelta(days=3650)
CLOCK_TOLERANCE = timedelta(hours=1)
AUTHORITY = "ca"
# The API server trusts this one for requests that another API server passes on; nobody holds a certificate of it.
FRONT_PROXY_AUTHORITY = "front-proxy-ca"
SERVICE_ACCOUNT_KEY = "service-accounts"


@dataclass(frozen=True)
class Identity:
    """Who a certificate is for: its file name, user name, groups, and the names it serves under."""

    file: str
    common_name: str
    organization: str = ""
    dns_names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class KeyPair:
    """A private key with its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def key_pem(self) -> bytes:
        """The private key as PEM text."""
        return _key_pem(self.key)

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as PEM text."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def is_made(folder: Path, identities: list[Identity]) -> bool:
    """Tell whether all keys and certificates are in `folder`, for just these identities."""
    made_for = folder / MADE_FOR
    return made_for.exists() and made_for.read_text() == _description(identities)


def make(folder: Path, identities: list[Identity]) -> None:
    """Make all keys and certificates in `folder`, in place of those that are there.

    What they were made for is written last: without it the others count as half made.
    """
    (folder / MADE_FOR).unlink(missing_ok=True)
    authority = make_authority("local-cluster")
    _write_pair(folder, AUTHORITY, authority)
    _write_pair(folder, FRONT_PROXY_AUTHORITY, make_authority("local-cluster front proxy"))
    files.write(folder / f"{SERVICE_ACCOUNT_KEY}.key", _key_pem(_new_key()), 0o600)
    for identity in identities:
        _write_pair(folder, identity.file, make_certificate(authority, identity))
    files.write(folder / MADE_FOR, _description(identities))


def _description(identities: list[Identity]) -> str:
    document = {"format": FORMAT, "identities": [asdict(identity) for identity in identities]}
    return json.dumps(document, indent=2)


def make_authority(common_name: str) -> KeyPair:
    """Make a certificate authority that signs itself."""
    key = _new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    certificate = (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(key, certificate)


def make_certificate(authority: KeyPair, identity: Identity) -> KeyPair:
    """Make a key and a certificate, good for client and server, signed by the authority."""
    key = _new_key()
    builder = (
        _builder(_subject(identity), authority.certificate.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        # Python 3.13 and newer trust no certificate without this.
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
    )
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in identity.dns_names]
    names += [x509.IPAddress(ip_address(address)) for address in identity.addresses]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return KeyPair(key, builder.sign(authority.key, hashes.SHA256()))


def _subject(identity: Identity) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, identity.common_name)]
    if identity.organization:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, identity.organization))
    return x509.Name(attributes)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_TOLERANCE)
        .not_valid_after(now + VALID_FOR)
    )


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Write a key in the format before PKCS #8: from that the API server can also read the public half."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _write_pair(folder: Path, name: str, pair: KeyPair) -> None:
    files.write(folder / f"{name}.key", pair.key_pem, 0o600)
    files.write(folder / f"{name}.crt", pair.certificate_pem)
