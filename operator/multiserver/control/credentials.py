"""The operator's keys for each cluster, as the files that libpq and OpenSSL want."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from multiserver.postgres.connect import Certificate


class Credentials:
    """A private folder with certificate, key and trust of each cluster. `close` removes it."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="multiserver-keys-")

    def close(self) -> None:
        """Remove all files."""
        self._folder.cleanup()

    def certificate(self, cluster_uid: str, files: Mapping[str, bytes]) -> Certificate:
        """Write `tls.crt`, `tls.key` and `ca.crt` of a cluster where they changed, and give their places."""
        folder = Path(self._folder.name) / cluster_uid
        folder.mkdir(mode=0o700, exist_ok=True)
        for name, content in files.items():
            path = folder / name
            if not path.exists() or path.read_bytes() != content:
                path.touch(mode=0o600)
                path.write_bytes(content)
        return Certificate(folder / "tls.crt", folder / "tls.key", folder / "ca.crt")


def tls_context(certificate: Certificate) -> ssl.SSLContext:
    """Give a client context that shows the certificate and trusts only the cluster's own ones."""
    context = ssl.create_default_context(cafile=str(certificate.trust))
    context.load_cert_chain(str(certificate.certificate), str(certificate.key))
    return context
