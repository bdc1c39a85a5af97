"""The configuration that the operator writes for a site, under a real PostgreSQL with real certificates."""

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from multiserver.api import paths
from multiserver.identity.certificates import KeyPair, make_operator, make_site
from multiserver.resources.blueprint import Blueprint
from multiserver.resources.configmap import config_map
from tests.clusters import a_blueprint
from tests.ports import free_port
from tests.postgres.servers import eventually
from tests.rootfs import USER_ID, Rootfs

PASSWORD = "sesame"
SETUP = f"""
create role multiserver_peer login replication;
create role app login password '{PASSWORD}';
create database app owner app;
"""


@dataclass
class Site:
    """A server that runs with the generated files, and the key pairs of those who come to it."""

    folder: Path
    port: int
    callers: dict[str, KeyPair]

    def connect(self, user: str, caller: str = "", **options: Any) -> psycopg.Connection[Any]:
        """Log in over TLS with full verification, with the certificate of a caller if one is named."""
        if caller:
            options |= {"sslcert": str(self.folder / f"{caller}.crt"), "sslkey": str(self.folder / f"{caller}.key")}
        trust = str(self.folder / "etc" / "ca.crt")
        defaults = {"dbname": "app", "sslmode": "verify-full", "sslrootcert": trust, "connect_timeout": 10}
        return psycopg.connect(host="localhost", hostaddr="127.0.0.1", port=self.port, user=user, **defaults | options)


@pytest.fixture(scope="module")
def site(rootfs: Rootfs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("generated")
    folder.chmod(0o755)
    blueprint = a_blueprint()
    callers = {name: make_site(blueprint.names, name) for name in ("berlin", "hamburg")}
    callers |= {"operator": make_operator(), "stranger": make_operator()}
    write(folder, with_certificates(blueprint, callers), callers)
    found = Site(folder, free_port(), callers)
    run(rootfs, folder, ["initdb", "-D", str(folder / "pgdata"), "-U", "postgres", "--no-sync"])
    argv = ["postgres", "-D", str(folder / "pgdata"), "-c", f"config_file={folder}/etc/postgresql.conf"]
    command = rootfs.command([*argv, "-c", f"port={found.port}", "-c", "archive_command=true"], binds=[folder])
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            wait_until_it_answers(rootfs, found)
            psql(rootfs, found, SETUP)
            yield found
        finally:
            server.terminate()


def with_certificates(blueprint: Blueprint, callers: dict[str, KeyPair]) -> Blueprint:
    sites = tuple(replace(plan, certificate_pem=callers[plan.name].certificate_pem) for plan in blueprint.sites)
    return replace(blueprint, sites=sites, operator_certificate_pem=callers["operator"].certificate_pem)


def write(folder: Path, blueprint: Blueprint, callers: dict[str, KeyPair]) -> None:
    """Write what the pod would mount, below the folder, and the keys of all callers."""
    places = {str(paths.CONFIG): folder / "etc", str(paths.IDENTITY): folder / "identity", str(paths.RUN): folder}
    for place in (folder / "etc", folder / "identity"):
        place.mkdir()
    for name, text in config_map(blueprint, "berlin")["data"].items():
        for inside, outside in places.items():
            text = text.replace(inside, str(outside))
        (folder / "etc" / name).write_text(text)
    for name, pair in callers.items():
        (folder / f"{name}.crt").write_text(pair.certificate_pem)
        (folder / f"{name}.key").write_text(pair.key_pem)
        (folder / f"{name}.key").chmod(0o600)
    (folder / "identity" / "tls.crt").write_text(callers["berlin"].certificate_pem)
    (folder / "identity" / "tls.key").write_text(callers["berlin"].key_pem)
    # As the kubelet mounts a Secret: it belongs to root, the pod's group may read it.
    os.chown(folder / "identity" / "tls.key", 0, USER_ID)
    (folder / "identity" / "tls.key").chmod(0o440)
    os.chown(folder, USER_ID, USER_ID)


def run(rootfs: Rootfs, folder: Path, argv: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        rootfs.command(argv, binds=[folder]), check=True, capture_output=True, text=True, timeout=60, **more
    )


def psql(rootfs: Rootfs, site: Site, script: str) -> str:
    """Run a script through the socket as the pod's own user, as the agent does."""
    argv = ["psql", "-h", str(site.folder), "-p", str(site.port), "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-tA"]
    return run(rootfs, site.folder, argv, input=script).stdout.strip()


def wait_until_it_answers(rootfs: Rootfs, site: Site) -> None:
    argv = ["pg_isready", "--quiet", "-h", str(site.folder), "-p", str(site.port)]
    deadline = time.monotonic() + 60
    while subprocess.run(rootfs.command(argv, binds=[site.folder])).returncode:
        assert time.monotonic() < deadline, (site.folder / "log").read_text()
        time.sleep(0.2)


def test_the_server_takes_every_generated_setting(rootfs, site):
    # The test itself gives the server another port.
    wrong = psql(rootfs, site, "select name, error from pg_file_settings where error is not null and name <> 'port'")
    assert wrong == ""
    assert psql(rootfs, site, "select type, error from pg_hba_file_rules where error is not null") == ""
    assert psql(rootfs, site, "show cluster_name") == "lab-berlin"


def test_the_operator_is_the_administrator_by_its_certificate(site):
    with site.connect("postgres", "operator") as connection:
        assert connection.execute("select current_user").fetchone() == ("postgres",)


def test_a_site_is_the_peer_role_and_nothing_else_by_its_certificate(site):
    with site.connect("multiserver_peer", "hamburg") as connection:
        assert connection.execute("select ssl, version from pg_stat_ssl where pid = pg_backend_pid()").fetchone() == (
            True,
            "TLSv1.3",
        )
    with pytest.raises(psycopg.OperationalError, match="certificate authentication failed"):
        site.connect("postgres", "hamburg")


def test_the_peer_may_replicate_the_applications_database(site):
    with site.connect("multiserver_peer", "hamburg", replication="database") as connection:
        assert connection.pgconn.exec_(b"IDENTIFY_SYSTEM").ntuples == 1


def test_the_operator_cannot_be_the_peer(site):
    with pytest.raises(psycopg.OperationalError, match="certificate authentication failed"):
        site.connect("multiserver_peer", "operator")


def test_a_certificate_that_is_not_in_the_bundle_is_refused(site):
    with pytest.raises(psycopg.OperationalError, match=r"unknown ca|certificate verify failed|closed the connection"):
        site.connect("postgres", "stranger")


def test_the_application_logs_in_by_password_over_tls_only(site):
    with site.connect("app", password=PASSWORD) as connection:
        assert connection.execute("select current_database()").fetchone() == ("app",)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        site.connect("app", password="guess")
    with pytest.raises(psycopg.OperationalError, match=r"pg_hba\.conf rejects connection"):
        site.connect("app", password=PASSWORD, sslmode="disable")


@pytest.mark.parametrize(("user", "database"), [("app", "postgres"), ("postgres", "app"), ("nobody", "app")])
def test_everything_else_is_rejected(site, user, database):
    with pytest.raises(psycopg.OperationalError, match=r"rejects connection|requires a valid client certificate"):
        site.connect(user, dbname=database, password=PASSWORD)


def test_a_client_that_vanishes_without_a_word_is_gone_soon_even_in_the_midst_of_a_query(rootfs, site):
    idle, busy = (site.connect("app", password=PASSWORD) for _ in range(2))
    with closing(idle), closing(busy):
        busy.pgconn.send_query(b"select pg_sleep(90)")
        pids = ", ".join(str(client.info.backend_pid) for client in (idle, busy))
        sessions = f"select string_agg(state, ' ' order by state) from pg_stat_activity where pid in ({pids})"
        eventually(lambda: psql(rootfs, site, sessions) == "active idle", "the query runs")
        for client in (idle, busy):
            vanish(client)
        eventually(lambda: psql(rootfs, site, sessions) == "", "both sessions have ended", pause_seconds=1)


def vanish(client: psycopg.Connection[Any]) -> None:
    """Have the kernel drop all that comes to the client from now on: it acknowledges nothing, and says nothing."""
    eventually(lambda: fcntl.ioctl(client.fileno(), termios.TIOCOUTQ, bytes(4)) == bytes(4), "all was received")
    take_nothing = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    program = struct.pack("HP", 1, ctypes.addressof(take_nothing))
    so_attach_filter = 26
    with socket.socket(fileno=os.dup(client.fileno())) as line:
        line.setsockopt(socket.SOL_SOCKET, so_attach_filter, program)
