"""Looking at a cluster whose children were meddled with goes on: only a look that ends can lead to their repair."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multiserver.api.names import Names
from multiserver.api.report import SiteReport
from multiserver.control import observe
from multiserver.control.credentials import Credentials
from multiserver.control.observe import Observer, _Answer
from multiserver.control.sites import AgentUnavailableError, Sites
from multiserver.control.snapshot import SiteSeen
from multiserver.kube.errors import UnreachableError
from multiserver.postgres.connect import Certificate
from multiserver.replication.observe import DatabaseFacts
from tests.unit.control.test_plan import settled
from tests.unit.control.world import SITE_IMAGE, World

KEY = ("clinic", "lab")


class KubernetesOf:
    """The API server of a simulated world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.is_deleted = False

    async def find(self, _kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        if self.is_deleted:
            return None
        cluster = self.world.cluster
        metadata = {"name": name, "namespace": namespace, "uid": cluster.uid, "generation": 1}
        return {"metadata": metadata, "spec": cluster.spec.model_dump(by_alias=True, exclude_none=True)}

    async def list_owned(self, _namespace: str, _cluster: str) -> list[dict[str, Any]]:
        return [item for (kind, _), item in self.world.objects.items() if kind != "Pod"]

    async def list_warnings(self, _namespace: str) -> list[dict[str, Any]]:
        return []


@pytest.fixture
def credentials() -> Iterator[Credentials]:
    made = Credentials()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("kind", "name", "key"),
    [("ConfigMap", "lab-berlin", "ca.crt"), ("Secret", "lab-operator-identity", "tls.key")],
)
async def test_a_key_that_was_taken_out_of_a_child_ends_no_look(credentials, kind, name, key):
    world = settled("berlin")
    del world.objects[kind, name]["data"][key]

    seen = await Observer(KubernetesOf(world), credentials, SITE_IMAGE, "multiserver-system").observe(KEY, changed=True)

    assert seen is not None
    assert seen.sites is None


async def test_a_certificate_that_is_none_makes_the_agent_unavailable_and_ends_no_round(tmp_path: Path):
    for name in ("tls.crt", "tls.key", "ca.crt"):
        (tmp_path / name).write_text("no certificate")
    certificate = Certificate(tmp_path / "tls.crt", tmp_path / "tls.key", tmp_path / "ca.crt")

    with pytest.raises(AgentUnavailableError, match="lab-berlin"):
        await Sites(Names("lab", "clinic"), "app", certificate).report("berlin")


async def test_a_change_that_was_seen_while_the_list_failed_is_not_forgotten(credentials, monkeypatch):
    kubernetes = KubernetesOf(settled())
    observer = Observer(kubernetes, credentials, SITE_IMAGE, "multiserver-system")
    del kubernetes.world.objects["Secret", "lab-operator-identity"]
    await observer.observe(KEY, changed=True)
    kubernetes.world.objects["Service", "lab-bonn"] = {"kind": "Service", "metadata": {"name": "lab-bonn"}}
    with monkeypatch.context() as away, pytest.raises(UnreachableError):
        away.setattr(kubernetes, "list_owned", no_answer)
        await observer.observe(KEY, changed=True)

    seen = await observer.observe(KEY, changed=False)

    assert seen.snapshot.get("Service", "lab-bonn") is not None


async def test_keys_that_the_garbage_collector_takes_while_they_are_listed_are_not_made_again(credentials, monkeypatch):
    kubernetes = KubernetesOf(settled())

    async def deleted_meanwhile(_namespace: str, _cluster: str) -> list[dict[str, Any]]:
        kubernetes.is_deleted = True
        return []

    monkeypatch.setattr(kubernetes, "list_owned", deleted_meanwhile)

    assert await Observer(kubernetes, credentials, SITE_IMAGE, "multiserver-system").observe(KEY, changed=True) is None


async def test_a_field_of_a_newer_definition_stops_no_operator_that_does_not_know_it(credentials, monkeypatch):
    kubernetes = KubernetesOf(settled())
    resource = await kubernetes.find("MultiServerCluster", *KEY)

    async def filled_in(_kind: str, _namespace: str, _name: str) -> dict[str, Any]:
        spec = {**resource["spec"], "database": {**resource["spec"]["database"], "newField": 1}, "other": {}}
        return {**resource, "spec": spec, "status": {"schemaSite": "berlin", "newField": 1}}

    monkeypatch.setattr(kubernetes, "find", filled_in)

    seen = await Observer(kubernetes, credentials, SITE_IMAGE, "multiserver-system").observe(KEY, changed=True)

    assert seen.snapshot.status.schema_site == "berlin"


async def no_answer(_namespace: str, _cluster: str) -> list[dict[str, Any]]:
    raise UnreachableError("cannot list Secrets: no answer")


async def test_one_site_whose_answer_is_not_understood_ends_no_look_at_the_others(credentials, monkeypatch):
    world = settled("berlin", "hamburg")

    async def ask(_sites: Sites, site: str) -> _Answer:
        if site == "berlin":
            DatabaseFacts.model_validate({})
        return _Answer(SiteSeen(system_id="7"))

    async def no_report(_sites: Sites, site: str) -> SiteReport:
        raise AgentUnavailableError(f"{site}: away")

    monkeypatch.setattr(observe, "_ask_database", ask)
    monkeypatch.setattr(Sites, "report", no_report)
    sites = Sites(world.names, "app", Certificate(*[Path("/none")] * 3))

    seen = await observe._ask_all(sites, world.snapshot(), observe._Memory())

    assert "what it answers is not understood (ValidationError, which the operator's log" in seen["berlin"].error
    assert seen["hamburg"].system_id == "7"


async def test_a_query_that_cannot_even_be_cancelled_delays_no_look_beyond_the_sites_deadline(monkeypatch):
    monkeypatch.setattr(observe, "SITE_DEADLINE_SECONDS", 0.05)
    line_is_back = asyncio.Event()

    async def query() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await line_is_back.wait()

    async with asyncio.timeout(5):
        assert await observe._bounded("berlin", query()) == (None, "no answer within 0.05 s")

    line_is_back.set()
