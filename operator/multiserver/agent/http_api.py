"""What the agent answers: over mutual TLS to the operator, its own site and peers, and plainly to the kubelet.

```
GET  /v1/ping          anyone in the cluster     {"site": ...}
GET  /v1/report        anyone in the cluster     api.report.SiteReport
POST /v1/backups       operator, own site        {"kind": "data"} -> 202 and the backup
GET  /v1/backups/<id>  operator, own site        the same: {"id", "kind", "state", "progress", "message", ...}
POST /v1/verifications operator, own site        202 and the report of now; all rows are compared with all peers', and
                                                 later reports have the results
```
Errors carry {"message": a sentence}.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from multiserver.agent.backups import BackupRuns
from multiserver.agent.callers import Act, refusal
from multiserver.agent.last_runs import Run
from multiserver.agent.loops import Loops
from multiserver.agent.tls import CALLER
from multiserver.api.moments import moment
from multiserver.api.report import SiteReport

BODY_BYTES_MAX = 4096

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class PeerApi:
    """The API over mutual TLS."""

    site: str
    report: Callable[[], SiteReport]
    backups: BackupRuns
    verify: Callable[[], None]

    def app(self) -> Starlette:
        """Build the application."""
        routes = [
            self._route("/v1/ping", self.get_ping, "GET", Act.READ),
            self._route("/v1/report", self.get_report, "GET", Act.READ),
            self._route("/v1/backups", self.post_backup, "POST", Act.BACK_UP),
            self._route("/v1/backups/{id}", self.get_backup, "GET", Act.BACK_UP),
            self._route("/v1/verifications", self.post_verification, "POST", Act.VERIFY),
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: _error})

    def _route(self, path: str, handler: Handler, method: str, act: Act) -> Route:
        """Make a route that asks first whether the caller may do this."""

        async def guarded(request: Request) -> Response:
            if reason := refusal(request.scope.get(CALLER), act, self.site):
                raise HTTPException(403, reason)
            return await handler(request)

        return Route(path, guarded, methods=[method])

    async def get_ping(self, _request: Request) -> Response:
        """Say which site answers."""
        return JSONResponse({"site": self.site})

    async def get_report(self, _request: Request) -> Response:
        """Give the report of this moment."""
        return JSONResponse(self.report().wire())

    async def post_backup(self, request: Request) -> Response:
        """Start a backup, or join the one that is under way."""
        kind = await _kind(request)
        if kind not in self.backups.kinds:
            known = ", ".join(self.backups.kinds)
            raise HTTPException(400, f'the body must be {{"kind": one of {known}}}; kind is: {kind!r}')
        return JSONResponse(_wire(self.backups.start(kind)), status_code=202)

    async def get_backup(self, request: Request) -> Response:
        """Say how far a backup is."""
        run_id = request.path_params["id"]
        run = self.backups.get(run_id)
        if run is None:
            raise HTTPException(404, f"no backup {run_id} since this agent started: see the repository's catalogue")
        return JSONResponse(_wire(run))

    async def post_verification(self, _request: Request) -> Response:
        """Have all rows compared with all peers' from now on; what the report says until now is no answer."""
        self.verify()
        return JSONResponse(self.report().wire(), status_code=202)


@dataclass(frozen=True)
class ProbeApi:
    """The API without TLS, for the kubelet and Prometheus: it only tells, and tells no secret."""

    loops: Loops
    registry: CollectorRegistry
    refusal: Callable[[], Awaitable[str]]
    """Why the site's PostgreSQL takes no connections; empty if it does."""
    waits_for: Callable[[], str] = str
    """What the site waits for before it may serve; empty if nothing."""

    def app(self) -> Starlette:
        """Build the application."""
        return Starlette(
            routes=[
                Route("/healthz", self.get_health),
                Route("/readyz", self.get_readiness),
                Route("/readyz/postgres", self.get_postgres_readiness),
                Route("/metrics", self.get_metrics),
            ],
            exception_handlers={HTTPException: _error},
        )

    async def get_health(self, _request: Request) -> Response:
        """Fail only if the agent itself is stuck: a failing duty has its cause elsewhere, and a restart is no cure."""
        stuck = self.loops.stuck
        lines = [f"stuck: {reason}" for reason in stuck] or ["ok"]
        lines += [
            f"{loop.duty.name}: fails since {moment(loop.failing_since)}: {loop.message}"
            for loop in self.loops
            if loop.failing_since
        ]
        return PlainTextResponse("\n".join(lines) + "\n", status_code=503 if stuck else 200)

    async def get_readiness(self, _request: Request) -> Response:
        """Fail until it is known, as far as peers answer, that the site was not put back in time."""
        if waits_for := self.waits_for():
            return PlainTextResponse(f"not asked yet whether the site is up to date: {waits_for}\n", status_code=503)
        return PlainTextResponse("ok\n")

    async def get_postgres_readiness(self, _request: Request) -> Response:
        """Fail while PostgreSQL lets nobody in: it does not run, it recovers, or it is being stopped."""
        if refusal := await self.refusal():
            return PlainTextResponse(f"{refusal}\n", status_code=503)
        return PlainTextResponse("ok\n")

    async def get_metrics(self, _request: Request) -> Response:
        """Give the metrics in Prometheus' text format."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)


async def _kind(request: Request) -> object:
    """Read the wished kind from the body; None if there is none."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise HTTPException(413, f"the body is larger than {BODY_BYTES_MAX} bytes")
    try:
        asked = json.loads(body)
    except ValueError:
        return None
    return asked.get("kind") if isinstance(asked, dict) else None


def _wire(run: Run) -> dict[str, object]:
    values = {name: value for name, value in asdict(run).items() if value is not None}
    return values | {name: values[name].isoformat() for name in ("started", "ended") if name in values}


async def _error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"message": error.detail}, status_code=error.status_code)
