"""What kopf is told, and what is kept from it; and how clusters are met that kopf does not tell of."""

import asyncio
import datetime
import ssl
from pathlib import Path
from typing import Any

import kopf
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from multiserver.control import watching
from multiserver.control.queue import Key
from multiserver.control.watching import _Connection, settings
from multiserver.kube.errors import KubernetesError, NotFoundError, UnreachableError

LAB = {"metadata": {"namespace": "clinic", "name": "lab"}}


def test_kopf_kills_no_process_that_only_lost_its_leadership():
    assert settings(watches_one_namespace=False).process.ultimate_exiting_timeout is None


def test_an_api_server_whose_authority_has_no_key_identifier_is_trusted(tmp_path: Path):
    """Strict checks, which newer Pythons make by default, would refuse it."""
    authority = tmp_path / "ca.crt"
    authority.write_bytes(plain_authority())
    context = _Connection(server="https://localhost", ca_path=authority).as_ssl_context()
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert isinstance(_Connection(server="https://localhost"), kopf.ConnectionInfo)


class Lists:
    """An API server that answers each list as the test says, and the one after these never."""

    def __init__(self, *answers: list[dict[str, Any]] | KubernetesError) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str | None]] = []
        self.has_answered = asyncio.Event()

    async def list_kind(self, kind: str, namespace: str | None) -> list[dict[str, Any]]:
        self.asked.append((kind, namespace))
        if not self.answers:
            self.has_answered.set()
            await asyncio.Event().wait()
        answer = self.answers.pop(0)
        if isinstance(answer, KubernetesError):
            raise answer
        return answer


async def look(kubernetes: Lists, monkeypatch: pytest.MonkeyPatch) -> list[Key]:
    """Look until all answers were given; give whom that met."""
    met: list[Key] = []
    monkeypatch.setattr(watching, "LIST_SECONDS", 0.001)
    looking = asyncio.create_task(watching.look(kubernetes, "clinic", met.append))  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        await kubernetes.has_answered.wait()
    looking.cancel()
    return met


async def test_a_cluster_is_met_although_its_definition_came_after_the_operator(monkeypatch, caplog):
    undefined = NotFoundError("cannot list MultiServerClusters: page not found (HTTP 404)")
    kubernetes = Lists(undefined, undefined, [LAB])

    assert await look(kubernetes, monkeypatch) == [("clinic", "lab")]
    assert set(kubernetes.asked) == {("MultiServerCluster", "clinic")}
    assert [record.getMessage() for record in caplog.records] == [
        "the API server knows no MultiServerCluster: install the definition multiserverclusters.multiserver.dev "
        "(folder crds); looked for again every 0.001 s"
    ]


async def test_an_api_server_that_is_away_for_a_while_ends_no_looking_and_is_told_each_time_anew(monkeypatch, caplog):
    away = UnreachableError("cannot list MultiServerClusters: no answer")
    kubernetes = Lists(away, [LAB], away, [LAB])

    assert await look(kubernetes, monkeypatch) == 2 * [("clinic", "lab")]
    assert len(caplog.records) == 2


def plain_authority() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)
