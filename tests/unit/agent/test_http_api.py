import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from multiserver.agent.backups import BackupRuns, Report
from multiserver.agent.http_api import PeerApi, ProbeApi
from multiserver.agent.last_runs import LastRuns
from multiserver.agent.loops import Duty, Loop, Loops
from multiserver.agent.tls import CALLER
from multiserver.api.report import SiteReport
from tests.unit.agent.reports import site_report

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOWHERE = Path("/nowhere/last-backups.json")


async def backup(report: Report) -> str:
    report("copying")
    return "done"


def client(
    caller: str | None, backups: BackupRuns | None = None, verify: Callable[[], None] | None = None
) -> httpx.AsyncClient:
    """Make a client whose requests come from the caller with this common name."""
    backups = backups or BackupRuns({"data": backup}, lambda: None, LastRuns(NOWHERE))
    app = PeerApi("berlin", lambda: site_report(NOON), backups, verify or (lambda: None)).app()

    async def called(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, CALLER: caller}, receive, send)

    return httpx.AsyncClient(transport=httpx.ASGITransport(called), base_url="http://agent")


@pytest.mark.parametrize("caller", ["operator", "site:berlin", "site:hamburg"])
async def test_the_report_travels_as_the_shared_type(caller: str) -> None:
    response = await client(caller).get("/v1/report")
    assert SiteReport.model_validate(response.json()) == site_report(NOON)


async def test_a_peer_may_ask_which_site_answers() -> None:
    assert (await client("site:hamburg").get("/v1/ping")).json() == {"site": "berlin"}


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/backups"), ("GET", "/v1/backups/data-1")])
async def test_a_peer_may_not_start_or_follow_backups(method: str, path: str) -> None:
    response = await client("site:hamburg").request(method, path, json={"kind": "data"})
    assert response.status_code == 403
    assert response.json()["message"].startswith("site:hamburg (peer of berlin) may not make or follow backups")


async def test_the_operator_and_the_site_may_have_rows_compared() -> None:
    asked: list[str] = []
    for caller in ("operator", "site:berlin"):
        response = await client(caller, verify=lambda caller=caller: asked.append(caller)).post("/v1/verifications")
        assert response.status_code == 202
        assert SiteReport.model_validate(response.json()) == site_report(NOON)
    assert asked == ["operator", "site:berlin"]
    refused = await client("site:hamburg", verify=lambda: asked.append("hamburg")).post("/v1/verifications")
    assert refused.status_code == 403
    assert len(asked) == 2


async def test_a_caller_without_a_name_may_not_even_read() -> None:
    assert (await client(None).get("/v1/report")).status_code == 403


async def test_a_backup_is_started_and_followed_by_its_id() -> None:
    backups = BackupRuns({"data": backup}, lambda: None, LastRuns(NOWHERE))
    async with client("operator", backups) as http:
        started = await http.post("/v1/backups", json={"kind": "data"})
        run_id = started.json()["id"]
        await asyncio.wait_for(backups.finished(run_id), 5)
        followed = (await http.get(f"/v1/backups/{run_id}")).json()
    assert (started.status_code, started.json()["state"], started.json()["kind"]) == (202, "running", "data")
    assert (followed["state"], followed["message"], followed["progress"]) == ("succeeded", "done", "copying")
    assert datetime.fromisoformat(followed["ended"]) >= datetime.fromisoformat(followed["started"])


async def test_an_unknown_backup_says_where_to_look() -> None:
    response = await client("operator").get("/v1/backups/data-1")
    assert response.status_code == 404
    assert response.json()["message"] == ("no backup data-1 since this agent started: see the repository's catalogue")


@pytest.mark.parametrize("body", ["", "nonsense", "[]", '"data"', "{}", '{"kind": "all"}', '{"kind": ["data"]}'])
async def test_a_bad_wish_is_refused_with_what_is_possible(body: str) -> None:
    response = await client("operator").post("/v1/backups", content=body)
    assert response.status_code == 400
    assert response.json()["message"].startswith('the body must be {"kind": one of data}; kind is: ')


async def test_a_huge_body_is_refused() -> None:
    response = await client("operator").post("/v1/backups", content=json.dumps({"kind": "x" * 10_000}))
    assert response.status_code == 413


async def takes_connections() -> str:
    return ""


def probe_client(loop: Loop) -> httpx.AsyncClient:
    app = ProbeApi(Loops((loop,)), CollectorRegistry(), takes_connections).app()
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://agent")


async def fail() -> None:
    raise OSError("connection refused")


async def test_a_failing_duty_is_told_and_is_no_reason_to_restart_the_agent() -> None:
    loop = Loop(Duty("heartbeat", fail, 1, 1, "look"))
    await loop.turn()
    response = await probe_client(loop).get("/healthz")
    assert response.status_code == 200
    first, second = response.text.splitlines()
    assert first == "ok"
    assert second.startswith("heartbeat: fails since ")
    assert second.endswith(": connection refused")


async def test_a_stuck_duty_is_a_reason_to_restart_the_agent() -> None:
    now = 0.0
    loop = Loop(Duty("heartbeat", fail, 1, 1, "look"), lambda: now)
    now = 100.0
    response = await probe_client(loop).get("/healthz")
    assert (response.status_code, response.text) == (503, "stuck: heartbeat is overdue by 68 s\n")


async def test_a_site_that_waits_for_its_peers_answers_is_not_ready() -> None:
    waits_for = "hamburg"
    app = ProbeApi(Loops(()), CollectorRegistry(), takes_connections, lambda: waits_for).app()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://agent") as client:
        response = await client.get("/readyz")
        assert response.status_code == 503
        assert response.text == "not asked yet whether the site is up to date: hamburg\n"
        waits_for = ""
        assert (await client.get("/readyz")).status_code == 200


async def test_a_server_that_lets_nobody_in_is_not_ready_and_says_why() -> None:
    told = "the server lets nobody in"

    async def refusal() -> str:
        return told

    app = ProbeApi(Loops(()), CollectorRegistry(), refusal).app()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://agent") as client:
        response = await client.get("/readyz/postgres")
        assert (response.status_code, response.text) == (503, f"{told}\n")
        told = ""
        assert (await client.get("/readyz/postgres")).status_code == 200
