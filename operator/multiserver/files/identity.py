"""Syncthing's device id, computed from the certificate without starting Syncthing.

The id is the SHA-256 of the certificate in base 32: 52 characters in four parts of 13, each followed by a check
character, shown in groups of seven. A renewed certificate is therefore a new id.
"""

import base64
import hashlib

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_PART = 13
_GROUP = 7


def device_id(certificate_pem: bytes) -> str:
    """Give the device id of the certificate, for example `MFZWI3D-BONSGYC-...`.

    Raises ValueError if the bytes are no certificate in PEM form.
    """
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    digest = hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()
    plain = base64.b32encode(digest).decode().rstrip("=")
    parts = [plain[start : start + _PART] for start in range(0, len(plain), _PART)]
    checked = "".join(part + check_character(part) for part in parts)
    return "-".join(checked[start : start + _GROUP] for start in range(0, len(checked), _GROUP))


def check_character(part: str) -> str:
    """Give the Luhn check character of `part` in base 32, as Syncthing computes it: from the left, factor 1 first.

    Luhn's own rule goes from the right with factor 2 first; Syncthing's differs, and ids in use keep it so.
    """
    total = 0
    for index, character in enumerate(part):
        product = _ALPHABET.index(character) * (1 + index % 2)
        total += product // 32 + product % 32
    return _ALPHABET[-total % 32]
