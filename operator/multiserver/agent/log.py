"""Log lines to stderr: when in UTC, how bad, and a sentence. Transitions only, so that every line is worth reading."""

import asyncio
import logging
import sys
import time
from typing import Any


def set_up(level: str = "INFO") -> None:
    """Send all log lines to stderr. The libraries speak only of what the agent does not say itself."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy, least in (("uvicorn", logging.WARNING), ("httpx", logging.WARNING), ("psycopg", logging.ERROR)):
        logging.getLogger(noisy).setLevel(least)


def leave_out_late_answers(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Handle what breaks in a callback, as an event loop wants it: log it, but for an answer that came too late.

    anyio wakes who reads a unix socket also if he was cancelled in that very moment, which breaks the callback and
    nothing else. Every deadline of a question to Syncthing may meet it.
    """
    if not isinstance(context.get("exception"), asyncio.InvalidStateError):
        loop.default_exception_handler(context)
