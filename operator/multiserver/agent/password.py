"""The application's password: the database has the one that the operator keeps in a Secret.

PostgreSQL stores a SCRAM verifier (RFC 5803, here `scram-common.c`), from which the password cannot be had. It is made
here, so the password itself never reaches the server, where it could be logged.
"""

import hashlib
import hmac
import logging
import secrets
import stringprep
import unicodedata
from base64 import b64decode, b64encode
from binascii import Error as NotBase64

from psycopg import sql

from multiserver.postgres.connect import Connection

logger = logging.getLogger(__name__)

ITERATIONS = 4096
SALT_BYTES = 16
_PROHIBITED = (
    *(stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3, stringprep.in_table_c4),
    *(stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7, stringprep.in_table_c8),
    stringprep.in_table_c9,
)

QUIET = """\
set local log_statement = none;
set local log_min_duration_statement = -1;
set local log_min_error_statement = panic"""
"""Even a verifier does not belong in a log."""


def make_verifier(password: str, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """Give what PostgreSQL stores for the password."""
    salt = salt or secrets.token_bytes(SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", prepared(password).encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (b64encode(part).decode() for part in (salt, stored_key, server_key))
    return f"SCRAM-SHA-256${iterations}:{salt64}${stored64}:{server64}"


def matches(password: str, verifier: str | None) -> bool:
    """Tell whether this verifier was made from the password; not for none, and not for another method's.

    Nor for one with more iterations than ours: its role can store any number there, and each costs us time.
    """
    try:
        method, setup, _keys = (verifier or "").split("$")
        iterations, salt = setup.split(":")
        if int(iterations) > ITERATIONS:
            return False
        again = make_verifier(password, b64decode(salt, validate=True), int(iterations))
    except (ValueError, NotBase64):
        return False
    return method == "SCRAM-SHA-256" and hmac.compare_digest(again, verifier or "")


def prepared(password: str) -> str:
    """Give the password as clients hash it: SASLprep (RFC 4013), or as it is where that forbids a character."""
    if password.isascii():
        return password
    mapped = "".join(
        " " if stringprep.in_table_c12(letter) else letter for letter in password if not stringprep.in_table_b1(letter)
    )
    normal = unicodedata.normalize("NFKC", mapped)
    return password if any(forbids(letter) for letter in normal for forbids in _PROHIBITED) else normal


async def ensure_password(connection: Connection, role: str, password: str) -> bool:
    """Set the role's password if it is another one; give whether it was set. Without the role nothing happens."""
    found = await connection.rows("select rolpassword from pg_catalog.pg_authid where rolname = %s", [role])
    if not found or matches(password, found[0]["rolpassword"]):
        return False
    statement = sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(make_verifier(password)))
    async with connection.transaction():
        await connection.run_script(QUIET)
        await connection.execute(statement)
    logger.info("password of role %s is set as the Secret has it", role)
    return True
