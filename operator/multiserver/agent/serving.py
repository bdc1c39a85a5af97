"""The agent's two HTTP servers on sockets that stay open while the servers behind them are replaced."""

import contextlib
import socket
import ssl
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from multiserver.agent.tls import KnownCallerProtocol

GRACE_SECONDS = 5


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket; an empty host means every address, IPv4 and IPv6 where the machine has it."""
    if host or not socket.has_dualstack_ipv6():
        return socket.create_server((host, port))
    return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)


class _Server(uvicorn.Server):
    """A server that leaves signals to the agent."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpService:
    """An application on one listening socket, with TLS if a context is given.

    `reload` replaces the server, so that new keys and a new trust apply to every connection. Callers that come in
    between wait in the socket's queue; requests under way are finished.
    """

    def __init__(self, app: ASGIApp, listener: socket.socket, context: ssl.SSLContext | None = None) -> None:
        self._app = app
        self._listener = listener
        self._context = context
        self._server: _Server | None = None
        self._stopping = False

    @property
    def port(self) -> int:
        """The port it listens on."""
        port: int = self._listener.getsockname()[1]
        return port

    async def run(self) -> None:
        """Serve until `stop`."""
        with self._listener:
            while not self._stopping:
                self._server = _Server(self._config(self._context))
                await self._server.serve(sockets=[self._listener.dup()])

    def reload(self, context: ssl.SSLContext) -> None:
        """Take new certificates into use; connections made under the old ones are closed."""
        self._context = context
        self._end_server()

    def stop(self) -> None:
        """Finish what is under way and end."""
        self._stopping = True
        self._end_server()

    def _end_server(self) -> None:
        if self._server:
            self._server.should_exit = True

    def _config(self, context: ssl.SSLContext | None) -> uvicorn.Config:
        return uvicorn.Config(
            self._app,
            http=KnownCallerProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            ssl_context_factory=(lambda _config, _default: context) if context else None,
        )
