"""Which site may restart now, so that never two sites are away at once.

A pod is outdated when its StatefulSet has a newer revision; StatefulSets use OnDelete, so nothing restarts unless this
module says so. Invariant: a serving site is stopped only while every other site serves and none is on its way.
An outdated pod that serves nobody may go at once: else a broken image could never be replaced.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from multiserver.health.view import Serving


@dataclass(frozen=True)
class PodState:
    """What the rule needs to know of a site's pod."""

    serving: Serving
    outdated: bool
    healthy: bool
    """Whether the site serves, its database answers and its links stand; never stop a peer of one that is not."""


def to_restart(pods: Mapping[str, PodState]) -> tuple[str, ...]:
    """Give the sites to restart now: broken outdated ones at once, else at most one."""
    broken = tuple(site for site, pod in pods.items() if pod.outdated and pod.serving.state == "NotReady")
    if broken:
        return broken
    for site, pod in pods.items():
        if pod.outdated and all(other.healthy for name, other in pods.items() if name != site):
            return (site,)
    return ()
