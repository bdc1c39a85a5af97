"""The operator's own HTTP endpoint: whether it is alive, and its figures. Nothing here is secret."""

import contextlib
from collections.abc import Iterator

import uvicorn
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from multiserver.control.queue import Workers

STUCK_SECONDS = 180.0
"""A worker whose last round ended longer ago is stuck: a round is cancelled well before."""


def application(workers: Workers, registry: CollectorRegistry) -> Starlette:
    """Give `/healthz`, which fails when a worker is stuck, and `/metrics`."""

    async def healthz(_: Request) -> Response:
        stuck = {key: age for key, age in workers.seconds_since_round().items() if age > STUCK_SECONDS}
        if not stuck:
            return PlainTextResponse("ok\n")
        lines = [f"{'/'.join(key)}: no round for {age:.0f} s\n" for key, age in stuck.items()]
        return PlainTextResponse("".join(lines), status_code=503)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/healthz", healthz), Route("/metrics", metrics)])


class _Server(uvicorn.Server):
    """A server that leaves signals to the operator."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(workers: Workers, registry: CollectorRegistry, port: int) -> None:
    """Serve until cancelled."""
    config = uvicorn.Config(
        application(workers, registry), host="0.0.0.0", port=port, log_config=None, access_log=False, lifespan="off"
    )
    await _Server(config).serve()
