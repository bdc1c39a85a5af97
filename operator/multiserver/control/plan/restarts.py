"""Which site may restart now, so that never two sites are away at once.

A pod is outdated when its StatefulSet has a newer revision; StatefulSets use OnDelete, so nothing restarts unless this
module says so. Invariant: a serving site is stopped only while every other site serves and none is on its way. An
outdated pod whose server is broken goes at once, else a broken image could never be replaced. One whose server runs and
that serves nobody, since its agent or Syncthing fails, goes while every other database answers: all sites may have the
same broken image, and each of them still holds what only it has.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PodState:
    """What the rule needs to know of a site's pod."""

    outdated: bool
    broken: bool
    """Whether its PostgreSQL does not come up."""
    serves: bool
    """Whether the pod is ready, so that applications are led to it."""
    answers: bool
    """Whether its database answers the operator, and nobody stops the pod already."""
    healthy: bool
    """Whether the site serves, its database answers and its links stand; never stop a peer of one that is not."""


def to_restart(pods: Mapping[str, PodState]) -> tuple[str, ...]:
    """Give the sites to restart now: broken outdated ones at once, else at most one."""
    broken = tuple(site for site, pod in pods.items() if pod.outdated and pod.broken)
    if broken:
        return broken
    for site, pod in pods.items():
        others = [other for name, other in pods.items() if name != site]
        if pod.outdated and all(other.healthy if pod.serves else other.answers for other in others):
            return (site,)
    return ()
