"""What can go wrong with a database, as the rest of the product sees it.

DatabaseError
├── Unavailable       no connection, or it was lost: the server may be down, starting or cut off
├── AccessRefused     the server answered and did not let us in
├── DeadlineExceeded  the server took longer than we wait
└── StatementFailed  the server refused a statement; `sqlstate` says how
"""

import re

import psycopg


class DatabaseError(Exception):
    """Base of all failures of a database; the text is the driver's or the server's own, with where it happened."""


class Unavailable(DatabaseError):
    """No connection could be made, or it broke."""


class AccessRefused(DatabaseError):
    """The server refused who we are: wrong password, certificate, role or database."""


class NoSuchDatabase(AccessRefused):
    """The server has no database of that name."""


class DeadlineExceeded(DatabaseError):
    """No answer within the time we wait."""


class StatementFailed(DatabaseError):
    """The server refused a statement."""

    def __init__(self, message: str, sqlstate: str | None, hint: str | None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        """Five characters as in PostgreSQL's manual, or MSxxx of the engine (replication/sql/01_schema.sql)."""
        self.hint = hint

    @property
    def is_passing(self) -> bool:
        """Whether the same statement may succeed later: others were in the way, or the server lacked something."""
        return self.sqlstate is not None and self.sqlstate.startswith(PASSING)


PASSING = ("40", "53", "55006", "55P03")
"""Serialization failure and deadlock, lack of resources, object in use, lock not available."""
QUERY_CANCELED = "57014"
SERVER_GOES_DOWN = ("57P01", "57P02", "57P03")
INVALID_AUTHORIZATION_CLASS = "28"
NO_SUCH_DATABASE = "3D000"
NO_SUCH_DATABASE_WORDS = re.compile(r'database "[^"]*" does not exist')


def translate(error: psycopg.Error, where: str) -> DatabaseError:
    """Return the error of this tree for one of the driver's; `where` names the server for the reader."""
    text = f"{where}: {_text(error)}"
    sqlstate = error.sqlstate
    if sqlstate is None:
        return _without_sqlstate(error, text)
    if sqlstate == QUERY_CANCELED:
        return DeadlineExceeded(text)
    if sqlstate in SERVER_GOES_DOWN or sqlstate.startswith("08"):
        return Unavailable(text)
    if sqlstate == NO_SUCH_DATABASE:
        return NoSuchDatabase(text)
    if sqlstate.startswith(INVALID_AUTHORIZATION_CLASS):
        return AccessRefused(text)
    return StatementFailed(text, sqlstate, error.diag.message_hint)


def _without_sqlstate(error: psycopg.Error, text: str) -> DatabaseError:
    """Judge an error that happened before or beside the protocol, where only libpq's words say what it was."""
    if isinstance(error, psycopg.errors.ConnectionTimeout):
        return DeadlineExceeded(text)
    if isinstance(error, psycopg.OperationalError):
        if NO_SUCH_DATABASE_WORDS.search(text):
            return NoSuchDatabase(text)
        refused = ("authentication failed", "no pg_hba.conf entry", "certificate", "is not permitted to log in")
        return AccessRefused(text) if any(word in text for word in refused) else Unavailable(text)
    return StatementFailed(text, None, None)


def _text(error: psycopg.Error) -> str:
    """Return the error in one line, with the server's detail where there is one."""
    message = error.diag.message_primary or str(error)
    detail = f" ({error.diag.message_detail})" if error.diag.message_detail else ""
    return " ".join(f"{message}{detail}".split())
