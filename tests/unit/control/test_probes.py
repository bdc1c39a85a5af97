import asyncio
import signal
import socket

from prometheus_client import CollectorRegistry

from multiserver.control.probes import serve
from multiserver.control.queue import Workers


async def test_the_probes_leave_signals_to_the_operator():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    before = signal.getsignal(signal.SIGTERM)

    serving = asyncio.create_task(serve(Workers(None), CollectorRegistry(), port))  # type: ignore[arg-type]
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except OSError:
                await asyncio.sleep(0.01)
    writer.close()

    assert signal.getsignal(signal.SIGTERM) is before
    serving.cancel()
    await asyncio.wait({serving})
