"""Waiting for what an agent will see, without blocking it."""

import asyncio
from collections.abc import Awaitable, Callable

from multiserver.agent.agent import Agent
from multiserver.api.report import LinkState, PeerReport


async def wait_until(condition: Callable[[], bool | Awaitable[bool]], what: str, seconds: float = 60.0) -> None:
    """Wait until the condition holds; an assertion fails if it does not in time."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        holds = condition()
        if await holds if isinstance(holds, Awaitable) else holds:
            return
        assert asyncio.get_running_loop().time() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.05)


def peer(agent: Agent, name: str) -> PeerReport:
    """Give the agent's view of a peer."""
    return next(peer for peer in agent.report().peers if peer.name == name)


async def all_connected(agent: Agent) -> None:
    """Wait until the agent reaches every peer."""
    await wait_until(
        lambda: all(peer.state is LinkState.CONNECTED for peer in agent.report().peers), "all peers are connected"
    )
