"""A small client of Syncthing's REST interface on its unix socket."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

TIMEOUT_SECONDS = 10.0


class SyncthingError(Exception):
    """Syncthing cannot be asked, or refuses. The text says what was asked and what went wrong."""


class Syncthing:
    """Syncthing of the own site. An asynchronous context manager that keeps its connection.

    Every call raises SyncthingError when there is no answer in time, or one that is not success.
    """

    def __init__(self, socket: Path, api_key: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._where = str(socket)
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket)),
            base_url="http://localhost",
            headers={"X-API-Key": api_key},
            timeout=timeout_seconds,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._http.aclose()

    async def get(self, path: str, **parameters: str) -> Any:
        """Give the JSON answer of a question such as `/rest/system/connections`."""
        return (await self.call("GET", path, parameters=parameters)).json()

    async def call(
        self, method: str, path: str, body: object = None, parameters: dict[str, str] | None = None
    ) -> httpx.Response:
        """Ask or tell; `body` travels as JSON."""
        try:
            response = await self._http.request(method, path, json=body, params=parameters or None)
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise SyncthingError(f"Syncthing does not answer {method} {path} at {self._where}: {reason}") from error
        if response.is_error:
            words = response.text.strip() or response.reason_phrase
            raise SyncthingError(f"Syncthing refuses {method} {path} with {response.status_code}: {words}")
        return response
