"""The system identifier of a database, in PostgreSQL's control file `global/pg_control`.

PostgreSQL has no program that only sets it. `pg_createsubscriber` does it with the very two steps of a copy here
(modify_subscriber_sysid in src/bin/pg_basebackup/pg_createsubscriber.c): write another identifier into the control
file, then let `pg_resetwal` begin a log under it. It cannot be used itself: its target must be a standby, and it wants
to make publications and slots at the donor, as a role that no site has at another.

The layout is that of ControlFileData (src/include/catalog/pg_control.h): the identifier is the first field, 8 bytes; a
CRC-32C of all that comes before it is the last, 4 bytes; zeros follow up to 8192 bytes. Where the last field stands
differs from version to version, so it is searched for: it is where the checksum fits.
"""

import os
import secrets
import struct
import time
from pathlib import Path

from multiserver.prepare.errors import PrepareError

_IDENTIFIER = struct.Struct("=Q")
_CHECKSUM = struct.Struct("=I")
_FILE_BYTES = 8192
_STRUCT_BYTES_MAX = 512
"""PG_CONTROL_MAX_SAFE_SIZE: what PostgreSQL keeps the structure below, so that it is written to disk at once."""
_CASTAGNOLI = 0x82F63B78


def new_identifier() -> int:
    """Make an identifier in the manner of initdb: the time in seconds, then bits that nobody else is likely to have."""
    return int(time.time()) << 32 | secrets.randbits(32)


def set_system_identifier(pgdata: Path, identifier: int) -> None:
    """Give a database that is shut down another identifier; then `pg_resetwal` must begin a new log.

    Raises PrepareError if the control file is not understood, OSError if it cannot be written.
    """
    path = pgdata / "global" / "pg_control"
    content = bytearray(path.read_bytes())
    end = _checksum_offset(content, path)
    _IDENTIFIER.pack_into(content, 0, identifier)
    _CHECKSUM.pack_into(content, end, crc32c(bytes(content[:end])))
    with path.open("r+b") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _checksum_offset(content: bytes | bytearray, path: Path) -> int:
    """Find the field that holds the checksum of all before it."""
    offsets = [
        offset
        for offset in range(_IDENTIFIER.size, min(len(content), _STRUCT_BYTES_MAX) - 3, _CHECKSUM.size)
        if _CHECKSUM.unpack_from(content, offset)[0] == crc32c(bytes(content[:offset]))
    ]
    if len(content) != _FILE_BYTES or len(offsets) != 1:
        raise PrepareError(
            f"{path} is not understood ({len(content)} bytes, checksum found {len(offsets)} times): "
            "the copy is broken or of a PostgreSQL that this version does not know"
        )
    return offsets[0]


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (_CASTAGNOLI if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_TABLE = _table()


def crc32c(content: bytes) -> int:
    """Compute the CRC-32C (Castagnoli) of a few bytes."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
