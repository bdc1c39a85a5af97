"""PostgreSQL and libpq use the keys as a Secret's volume shows them: of root, readable by the pod's group only."""

import os
import signal
import subprocess

from multiserver.identity.certificates import make
from tests.ports import free_port
from tests.prepare.conftest import StartPrepare
from tests.rootfs import USER_ID
from tests.sites import SiteTree, eventually

KEY_MODE = 0o440


def test_server_and_client_accept_a_key_that_root_owns(tree: SiteTree, start_prepare: StartPrepare) -> None:
    start_prepare().communicate()
    pair = make("postgres", ["localhost"])
    certificate, key = tree.paths.identity / "tls.crt", tree.paths.identity / "tls.key"
    certificate.write_text(pair.certificate_pem)
    key.write_text(pair.key_pem)
    (tree.paths.pgdata / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 cert\n")
    tree.hand_over()
    for path in (certificate, key):
        os.chown(path, 0, USER_ID)
        path.chmod(KEY_MODE)
    port = free_port()
    tls = {"ssl": "on", "ssl_cert_file": certificate, "ssl_key_file": key, "ssl_ca_file": certificate}
    settings = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": tree.paths.run, **tls}
    options = [f"-c{name}={value}" for name, value in settings.items()]
    client = f"host=localhost hostaddr=127.0.0.1 port={port} user=postgres dbname=postgres sslmode=verify-full"
    target = f"{client} sslcert={certificate} sslkey={key} sslrootcert={certificate}"
    ask = tree.command(["psql", target, "-Atc", "select 1"])
    with (tree.paths.root / "log").open("wb") as log:
        server = subprocess.Popen(
            tree.command(["postgres", "-D", str(tree.paths.pgdata), *options]), stdout=log, stderr=log
        )
        try:
            eventually(lambda: subprocess.run(ask, capture_output=True, check=False).stdout == b"1\n", "an answer")
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=120)
