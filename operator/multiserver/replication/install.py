"""Install and upgrade the engine: roles, database, and the SQL steps in replication/sql in their order.

Everything here may be repeated and may be killed at any point: roles and database are made if missing, and all steps
that a database lacks run in one transaction that also records them.

Sites are upgraded one after the other, while all of them replicate; what a step may do therefore is in DESIGN.md.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from psycopg import sql

from multiserver.api.names import APPLY_ROLE, PEER_ROLE
from multiserver.postgres.connect import Connection

INSTALL_LOCK = 7_303_001
"""Advisory lock that keeps two installers apart."""

SUPERUSER_STEPS = ("01_schema.sql", "60_schema_triggers.sql", "61_compare_rights.sql")
"""Steps that only a superuser may run; all others run as multiserver_engine, who then owns what they make."""

ENGINE_ROLE = "multiserver_engine"

LOCK_TIMEOUT = "2s"
"""How long a step may wait for a table that somebody uses; whoever writes waits behind it. It is tried again later."""


@dataclass(frozen=True)
class Step:
    """One SQL file."""

    name: str
    text: str

    @property
    def digest(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


class CannotUpgrade(Exception):
    """The steps that this database has are not the first ones of those known here."""


class ChangedStep(CannotUpgrade):
    """A step was changed, or put before others, after this database got those; only new steps can upgrade it."""


class NewerEngine(CannotUpgrade):
    """The database has steps of a later version; an engine never goes back."""


@cache
def steps() -> tuple[Step, ...]:
    """Return all steps in order."""
    folder = resources.files("multiserver.replication") / "sql"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return tuple(Step(file.name, file.read_text(encoding="utf-8")) for file in files)


def engine_version() -> str:
    """Return the name of the last step, which is what a complete engine reports."""
    return steps()[-1].name.removesuffix(".sql")


def engine_digest() -> str:
    """Return one value for all steps and their texts; `observe` asks a database for the same of those that it has."""
    return hashlib.sha256("".join(f"{step.name} {step.digest}\n" for step in steps()).encode()).hexdigest()


async def ensure_roles(connection: Connection, owner: str) -> bool:
    """Make the roles of a site: the application's owner (closed until the site opens) and the engine's three.

    `connection` is a superuser's, to any database. Returns whether anything was missing.
    """
    changed = await _ensure_role(connection, owner, "nologin")
    changed |= await _ensure_role(connection, PEER_ROLE, "login replication")
    changed |= await _ensure_role(connection, APPLY_ROLE, "login")
    changed |= await _ensure_role(connection, ENGINE_ROLE, "nologin")
    for member in (APPLY_ROLE, ENGINE_ROLE):
        changed |= await _ensure_member(connection, owner, member)
    return changed


async def _ensure_member(connection: Connection, group: str, member: str) -> bool:
    """Let `member` use the rights of `group` and act as it."""
    has_both = "select pg_has_role(%(member)s, %(group)s, 'USAGE') and pg_has_role(%(member)s, %(group)s, 'SET')"
    if await connection.value(has_both, {"member": member, "group": group}):
        return False
    await connection.execute(
        sql.SQL("grant {} to {} with inherit true, set true").format(sql.Identifier(group), sql.Identifier(member))
    )
    return True


async def _ensure_role(connection: Connection, role: str, attributes: str) -> bool:
    if await connection.rows("select 1 from pg_roles where rolname = %s", [role]):
        return False
    await connection.execute(sql.SQL("create role {} " + attributes).format(sql.Identifier(role)))
    return True


async def ensure_database(connection: Connection, database: str, owner: str) -> bool:
    """Make the application's database if it is missing; `connection` is a superuser's, to another database."""
    if await connection.rows("select 1 from pg_database where datname = %s", [database]):
        return False
    await connection.execute(
        sql.SQL("create database {} owner {}").format(sql.Identifier(database), sql.Identifier(owner))
    )
    return True


async def ensure_engine(connection: Connection) -> bool:
    """Run the steps that this database does not have yet; `connection` is a superuser's, to the application's database.

    Raises ChangedStep if a step that it has reads differently now, NewerEngine if it has one that is not known here,
    and DatabaseError, such as for a table that was in use for too long. Returns whether a step was run.
    """
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock(%s)", [INSTALL_LOCK])
        await connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
        missing = missing_steps(steps(), await _installed(connection))
        for step in missing:
            if step.name not in SUPERUSER_STEPS:
                await connection.execute(sql.SQL("set local role {}").format(sql.Identifier(ENGINE_ROLE)))
            await connection.run_script(step.text)
            await connection.execute("reset role")
            await _record(connection, step)
    return bool(missing)


def missing_steps(all_steps: tuple[Step, ...], installed: dict[str, str]) -> list[Step]:
    """Return the steps to run, given the names and digests of those that were. Raises CannotUpgrade."""
    unknown = sorted(installed.keys() - {step.name for step in all_steps})
    if unknown:
        raise NewerEngine(
            f"this database has {', '.join(unknown)}, which this version does not know: it was upgraded by a later "
            "version, and an engine never goes back; run that version again, nothing was changed"
        )
    changed = [step.name for step in all_steps if installed.get(step.name, step.digest) != step.digest]
    if changed:
        raise ChangedStep(
            f"{', '.join(changed)} was changed after this database got it; a change of the engine is a new step"
        )
    missing = [step for step in all_steps if step.name not in installed]
    early = [step.name for step in missing if installed and step.name < max(installed)]
    if early:
        raise ChangedStep(f"{', '.join(early)} comes before {max(installed)}, which this database has: rename it")
    return missing


async def _installed(connection: Connection) -> dict[str, str]:
    if await connection.value("select to_regclass('multiserver.migrations')") is None:
        return {}
    return {
        row["step"]: row["digest"] for row in await connection.rows("select step, digest from multiserver.migrations")
    }


async def _record(connection: Connection, step: Step) -> None:
    await connection.execute(
        "insert into multiserver.migrations (step, digest) values (%s, %s)", [step.name, step.digest]
    )
