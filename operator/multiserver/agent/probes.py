"""A probe for every peer, each in a task of its own, following the members of the cluster as they change."""

import asyncio
from collections.abc import Callable

from multiserver.agent.link import Link
from multiserver.agent.probe import Probe, conninfo
from multiserver.api.siteconfig import SiteConfig
from multiserver.postgres.connect import Certificate


class Probes:
    """The probes of all peers. `follow` and `stop` need a running event loop."""

    def __init__(self, certificate: Certificate, on_change: Callable[[], None]) -> None:
        self._certificate = certificate
        self._on_change = on_change
        self._probes: dict[str, tuple[str, Probe, asyncio.Task[None]]] = {}
        """By peer: how it is reached, its probe and the probe's task."""

    @property
    def links(self) -> dict[str, Link]:
        """The present view of each peer."""
        return {peer: probe.link for peer, (_, probe, _) in self._probes.items()}

    def follow(self, config: SiteConfig) -> None:
        """Probe exactly these peers: start with new ones, end those that left, begin anew where the address is new."""
        wanted = {peer.name: conninfo(config, peer, self._certificate) for peer in config.peers}
        for peer, (address, _, task) in tuple(self._probes.items()):
            if wanted.get(peer) != address:
                task.cancel()
                del self._probes[peer]
        for peer, address in wanted.items():
            if peer not in self._probes:
                probe = Probe(peer, address, self._on_change)
                task = asyncio.create_task(probe.run(), name=f"probe of {peer}")
                self._probes[peer] = (address, probe, task)

    async def stop(self) -> None:
        """End all probes."""
        tasks = [task for _, _, task in self._probes.values()]
        self._probes.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
