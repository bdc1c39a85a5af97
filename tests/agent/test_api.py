import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

import httpx
import pytest

from multiserver.agent.agent import Agent
from multiserver.api.report import SiteReport
from multiserver.identity.certificates import KeyPair, make
from tests.agent.clients import caller, passer_by
from tests.agent.sites import OPERATOR, Mesh, Site, running
from tests.agent.waiting import wait_until

STRANGER = make("operator", ["localhost"])
"""Claims to be the operator, with a certificate that is not in the bundle."""


@pytest.fixture
async def agent(berlin: Site) -> AsyncIterator[Agent]:
    async with running(berlin) as (agent,):
        yield agent


async def status(agent: Agent, mesh: Mesh, own: KeyPair | None, method: str, path: str) -> int:
    async with caller(agent, mesh.trust, own) as http:
        return (await http.request(method, path, json={"kind": "data"})).status_code


async def test_the_operator_reads_the_report(agent: Agent, mesh: Mesh) -> None:
    async with caller(agent, mesh.trust, OPERATOR) as http:
        report = SiteReport.model_validate((await http.get("/v1/report")).json())
    assert (report.site, report.server_number) == ("berlin", 1)
    assert [peer.name for peer in report.peers] == ["hamburg", "leipzig"]


async def test_a_peer_reads_and_may_not_start_a_backup(agent: Agent, mesh: Mesh, hamburg: Site) -> None:
    assert await status(agent, mesh, hamburg.tls, "GET", "/v1/report") == 200
    assert await status(agent, mesh, hamburg.tls, "GET", "/v1/ping") == 200
    assert await status(agent, mesh, hamburg.tls, "POST", "/v1/backups") == 403


@pytest.mark.parametrize("kind", ["data", "files"])
async def test_the_own_site_makes_a_backup_that_the_repository_lists(
    agent: Agent, mesh: Mesh, berlin: Site, kind: str
) -> None:
    run = await back_up(agent, mesh, berlin, kind)
    assert run["state"] == "succeeded", run

    def listed() -> bool:
        report = agent.report()
        backup = report.data_backup if kind == "data" else report.files_backup
        return backup.last_label is not None and backup.last_label in run["message"]

    await wait_until(listed, "the report names the backup")


async def test_no_backup_can_begin_once_those_under_way_are_ended(
    mesh: Mesh, berlin: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[int] = []
    async with running(berlin) as (agent,):
        stop, http = agent._backups.stop, caller(agent, mesh.trust, OPERATOR)
        assert (await http.get("/v1/ping")).status_code == 200

        async def ask_and_stop() -> None:
            with contextlib.suppress(httpx.TransportError):
                answers.append((await http.post("/v1/backups", json={"kind": "data"})).status_code)
            await stop()

        monkeypatch.setattr(agent._backups, "stop", ask_and_stop)
    await http.aclose()
    assert answers == []


async def test_a_backup_that_fails_is_told_with_its_reason(agent: Agent, mesh: Mesh, berlin: Site) -> None:
    secrets = berlin.tree.paths.pgbackrest_secrets
    secrets.rename(secrets.with_name("away"))
    try:
        run = await back_up(agent, mesh, berlin, "data")
    finally:
        secrets.with_name("away").rename(secrets)
    assert run["state"] == "failed"
    assert "pgbackrest" in run["message"]
    await wait_until(lambda: agent.report().data_backup.last_failure is not None, "the report tells of the failure")


async def back_up(agent: Agent, mesh: Mesh, site: Site, kind: str) -> dict[str, str]:
    """Ask for a backup as the site's CronJob does, and give its end."""
    async with caller(agent, mesh.trust, site.tls) as http:
        started = await http.post("/v1/backups", json={"kind": kind})
        assert started.status_code == 202
        address = f"/v1/backups/{started.json()['id']}"

        async def ended() -> bool:
            return (await http.get(address)).json()["state"] != "running"

        await wait_until(ended, "the backup ends")
        run: dict[str, str] = (await http.get(address)).json()
    return run


@pytest.mark.parametrize("own", [None, STRANGER], ids=["no certificate", "foreign certificate"])
async def test_who_is_not_in_the_bundle_is_not_even_answered(agent: Agent, mesh: Mesh, own: KeyPair | None) -> None:
    with pytest.raises((httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError, ssl.SSLError)):
        await status(agent, mesh, own, "GET", "/v1/report")


async def test_plain_http_is_not_spoken(agent: Agent) -> None:
    with pytest.raises(httpx.TransportError):
        async with httpx.AsyncClient(trust_env=False) as http:
            await http.get(f"http://localhost:{agent.api_port}/v1/report")


async def test_a_member_is_trusted_as_soon_as_it_is_in_the_bundle_and_no_longer_than_that(
    agent: Agent, mesh: Mesh, berlin: Site
) -> None:
    dresden = make("site:dresden", ["localhost"])
    answered = dropped = 0

    async def reads(own: KeyPair) -> bool:
        try:
            return await status(agent, mesh, own, "GET", "/v1/ping") == 200
        except (httpx.TransportError, ssl.SSLError):
            return False

    async def others_go_on() -> None:
        nonlocal answered, dropped
        while True:
            try:
                assert await status(agent, mesh, OPERATOR, "GET", "/v1/ping") == 200
                answered += 1
            except httpx.RemoteProtocolError:  # The change came between its connection and its request.
                dropped += 1

    assert not await reads(dresden)
    others = asyncio.create_task(others_go_on())
    try:
        berlin.write(berlin.tree.paths.trust, mesh.trust + dresden.certificate_pem)
        await wait_until(lambda: reads(dresden), "dresden is trusted")
        berlin.write(berlin.tree.paths.trust, mesh.trust)

        async def refused() -> bool:
            return not await reads(dresden)

        await wait_until(refused, "dresden is no longer trusted")
    finally:
        berlin.write(berlin.tree.paths.trust, mesh.trust)
        others.cancel()
    with pytest.raises(asyncio.CancelledError):
        await others
    assert answered > 5
    assert dropped <= 2


async def test_half_a_certificate_does_not_stop_the_service(agent: Agent, mesh: Mesh, berlin: Site) -> None:
    try:
        berlin.write(berlin.tree.paths.trust, "nonsense")

        async def told() -> bool:
            async with passer_by(agent) as http:
                return "certificates: fails since" in (await http.get("/healthz")).text

        await wait_until(told, "the agent tells that the certificates cannot be used")
        assert await status(agent, mesh, OPERATOR, "GET", "/v1/ping") == 200
    finally:
        berlin.write(berlin.tree.paths.trust, mesh.trust)


async def test_health_and_metrics_are_read_without_a_certificate(agent: Agent) -> None:
    async with passer_by(agent) as http:
        health, metrics = await http.get("/healthz"), await http.get("/metrics")
    assert (health.status_code, health.text.splitlines()[0]) == (200, "ok")
    assert "multiserver_site_info{" in metrics.text
    assert 'multiserver_peer_state{peer="hamburg",site="berlin",state=' in metrics.text
