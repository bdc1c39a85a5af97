"""Lines between sites: each is a small TCP proxy on loopback that can be cut, go silent or be slow.

PostgreSQL sees real sockets: a cut resets them, a silence leaves them open with nothing coming, as a bad router does.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

CHUNK_BYTES = 65536


@dataclass(frozen=True)
class Condition:
    """How a line is. A cut line is neither silent nor slow."""

    is_cut: bool = False
    is_silent: bool = False
    delay_seconds: float = 0.0


WELL = Condition()


@dataclass
class Line:
    """One direction between two sites: what listens at `port` leads to the target's port."""

    target_port: int
    port: int = 0
    condition: Condition = WELL
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _can_speak: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self._can_speak.set()

    async def end(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        await self.become(Condition(is_cut=True))

    async def become(self, condition: Condition) -> None:
        """Take over a condition; it holds for the connections that are there, too."""
        self.condition = condition
        if condition.is_cut:
            for writer in self._writers:
                writer.transport.abort()
        if condition.is_silent:
            self._can_speak.clear()
        else:
            self._can_speak.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.condition.is_cut:
            writer.transport.abort()
            return
        try:
            beyond_reader, beyond_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, beyond_writer}
        ways = (self._carry(reader, beyond_writer), self._carry(beyond_reader, writer))
        tasks = [asyncio.ensure_future(way) for way in ways]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for end in (writer, beyond_writer):
            end.transport.abort()
            self._writers.discard(end)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await asyncio.sleep(self.condition.delay_seconds)
                await self._can_speak.wait()
                writer.write(data)
                await writer.drain()


class Network:
    """Lines that live in an event loop of their own thread; its methods may be called from any other one thread."""

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def line_to(self, target_port: int) -> Line:
        """Open a line."""
        line = Line(target_port)
        self._run(line.open())
        self._lines.append(line)
        return line

    def become(self, line: Line, condition: Condition) -> None:
        if line.condition != condition:
            self._run(line.become(condition))

    def close(self) -> None:
        """End every connection and the thread."""
        self._run(self._end_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end_all(self) -> None:
        for line in self._lines:
            await line.end()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=10)


@contextmanager
def network() -> Iterator[Network]:
    """A network that is gone at the end."""
    made = Network()
    try:
        yield made
    finally:
        made.close()
