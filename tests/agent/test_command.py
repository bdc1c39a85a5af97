import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.agent.sites import Site
from tests.agent.waiting import wait_until
from tests.ports import free_port


@asynccontextmanager
async def command(root: Path, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `multiserver agent` on a tree, as the pod's container does."""
    argv = (sys.executable, "-m", "multiserver", "agent", "--root", str(root), "--host", "127.0.0.1", *options)
    process = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def words(process: asyncio.subprocess.Process) -> str:
    """Give all that the process has said, once it has ended."""
    assert process.stderr
    async with asyncio.timeout(60):
        said = await process.stderr.read()
        await process.wait()
    return said.decode()


async def test_the_agent_starts_serves_and_ends_in_order_when_it_is_told_to(berlin: Site) -> None:
    ports = {"--api-port": free_port(), "--probe-port": free_port(), "--postgres-port": berlin.port}
    options = [str(word) for pair in ports.items() for word in pair]
    health = f"http://127.0.0.1:{ports['--probe-port']}/healthz"

    async def healthy() -> bool:
        try:
            async with httpx.AsyncClient(trust_env=False) as http:
                return (await http.get(health)).status_code == 200
        except httpx.TransportError:
            return False

    async with command(berlin.tree.paths.root, *options) as process:
        await wait_until(healthy, "the agent is healthy")
        process.send_signal(signal.SIGTERM)
        said = await words(process)
    assert process.returncode == 0, said
    first, *_, last = said.splitlines()
    assert first.endswith("INFO agent of site berlin starts")
    assert last.endswith("INFO agent of site berlin has ended")
    assert "Traceback" not in said, said


async def test_without_its_configuration_the_agent_says_what_is_missing(tmp_path: Path) -> None:
    async with command(tmp_path) as process:
        said = await words(process)
    assert process.returncode == 1
    assert said == (
        f"Error: {tmp_path}/etc/multiserver/config/site.json cannot be read (No such file or directory): "
        "is the ConfigMap mounted?\n"
    )
