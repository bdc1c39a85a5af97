"""Passwords and passphrases."""

import secrets
import string

_ALPHABET = string.ascii_letters + string.digits
"""Letters and digits only: safe in a connection string, a shell and a configuration file without quoting."""

PASSWORD_LENGTH = 32
PASSPHRASE_LENGTH = 64


def make_password() -> str:
    """Make the password of a database role: 190 bits of randomness."""
    return _random(PASSWORD_LENGTH)


def make_passphrase() -> str:
    """Make the passphrase that encrypts a cluster's backups: 381 bits of randomness."""
    return _random(PASSPHRASE_LENGTH)


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
