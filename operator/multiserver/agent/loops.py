"""A duty that is done again and again: one at a time, bounded, and without harm to any other when it fails."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from multiserver.api.moments import moment
from multiserver.postgres.deadlines import within

logger = logging.getLogger(__name__)

STUCK_MARGIN_SECONDS = 30.0
"""How much later than its deadline a turn may end on a busy machine before the loop counts as stuck."""


class NotYetError(Exception):
    """The duty has nothing to work on yet, for example while a new site is being set up; not a fault."""


@dataclass(frozen=True)
class Duty:
    """What a loop does."""

    name: str
    turn: Callable[[], Awaitable[None]]
    period_seconds: float
    """The pause between two turns."""
    limit_seconds: float
    """The deadline of one turn."""
    way_out: str
    """What a person may do when it keeps failing."""


class Loop:
    """A duty and how its turns ended. It logs when a duty starts to fail and when it works again, nothing between."""

    def __init__(self, duty: Duty, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.duty = duty
        self.last_success: datetime | None = None
        self.failing_since: datetime | None = None
        self.message = ""
        self._monotonic = monotonic
        self._last_end = monotonic()
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Ask for a turn at once."""
        self._wake.set()

    @property
    def stuck_seconds(self) -> float:
        """How long the running turn is overdue; zero or less while it is in time.

        Every turn has a deadline, so a turn that is overdue is a fault of the agent itself that a restart may cure. A
        turn that fails in time is none: its cause is elsewhere.
        """
        allowed = self.duty.period_seconds + self.duty.limit_seconds + STUCK_MARGIN_SECONDS
        return self._monotonic() - self._last_end - allowed

    async def run(self) -> None:
        """Do the duty until cancelled."""
        while True:
            self._wake.clear()
            await self.turn()
            try:
                # Not asyncio.wait_for: until Python 3.12 it loses a cancellation that comes together with the wake.
                async with asyncio.timeout(self.duty.period_seconds):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def turn(self) -> None:
        """Do the duty once; a failure is noted and logged, never raised."""
        try:
            await within(self.duty.limit_seconds, self._work())
        except NotYetError as not_yet:
            self.message = str(not_yet)
        except Exception as error:  # noqa: BLE001 - whatever one duty stumbles over must not end the others
            self._failed(error)
        else:
            self._succeeded()
        self._last_end = self._monotonic()

    async def _work(self) -> None:
        await self.duty.turn()

    def _succeeded(self) -> None:
        if self.failing_since:
            logger.info("duty %s works again; it had failed since %s", self.duty.name, moment(self.failing_since))
        self.last_success = datetime.now(UTC)
        self.failing_since = None
        self.message = ""

    def _failed(self, error: Exception) -> None:
        self.message = sentence(error)
        if self.failing_since is None:
            self.failing_since = datetime.now(UTC)
            way_out = f"{self.duty.way_out} (tried again by itself)"
            logger.warning("duty %s fails: %s; %s", self.duty.name, self.message, way_out)
        logger.debug("%s failed", self.duty.name, exc_info=error)


class Loops:
    """All loops of the agent."""

    def __init__(self, loops: tuple[Loop, ...]) -> None:
        self._by_name = {loop.duty.name: loop for loop in loops}

    def __iter__(self) -> Iterator[Loop]:
        return iter(self._by_name.values())

    def __getitem__(self, duty: str) -> Loop:
        """Give the loop of the duty with this name."""
        return self._by_name[duty]

    @property
    def stuck(self) -> tuple[str, ...]:
        """A sentence for every loop whose turn does not end; empty while the agent itself is well."""
        return tuple(
            f"{loop.duty.name} is overdue by {loop.stuck_seconds:.0f} s" for loop in self if loop.stuck_seconds > 0
        )


LIBPQ_GUESS = """
	This probably means the server terminated abnormally
	before or while processing the request."""
"""What libpq adds to every broken connection. On a cut line it is wrong."""


def sentence(error: Exception) -> str:
    """Give an error in one line; its kind too where the text alone would not say what it is."""
    text = " ".join(str(error).replace(LIBPQ_GUESS, "").split())
    return text if text and not isinstance(error, LookupError) else f"{type(error).__name__}: {text}".rstrip(": ")
