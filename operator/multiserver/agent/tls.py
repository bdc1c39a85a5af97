"""Mutual TLS of the agent's API, and how a request learns the name in its caller's certificate."""

import asyncio
import ssl
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from multiserver.postgres.connect import Certificate

CALLER = "multiserver.caller"
"""Key in the request's scope: the common name of the caller's certificate."""


def server_context(own: Certificate) -> ssl.SSLContext:
    """Give a context that shows the site's certificate and accepts only callers whose certificate is in the bundle.

    Raises OSError (ssl.SSLError is one) if a file is missing or is no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(own.certificate, own.key)
    context.load_verify_locations(own.trust)
    return context


def common_name(certificate: dict[str, Any] | None) -> str | None:
    """Find the common name in what `SSLObject.getpeercert` gives."""
    subject = (certificate or {}).get("subject", ())
    return next((value for part in subject for key, value in part if key == "commonName"), None)


class KnownCallerProtocol(H11Protocol):
    """uvicorn's protocol that puts the caller's name into the scope of each request; uvicorn itself does not."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Read the name once: the certificate belongs to the connection."""
        super().connection_made(transport)
        connection = transport.get_extra_info("ssl_object")
        name = common_name(connection.getpeercert()) if connection else None
        app = self.app

        async def named(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, CALLER: name}, receive, send)

        self.app = named
