"""Which site may restart now, so that never two sites are away at once.

A pod is outdated when its StatefulSet has a newer revision; StatefulSets use OnDelete, so nothing restarts unless this
module says so. Invariant: a serving site is stopped only while every other site serves and none is on its way; one that
waits until somebody replaces its volume keeps no other from restarting but the last that is open. An outdated pod whose
server is broken goes at once, else a broken image could never be replaced. One whose server runs and that serves
nobody, since its agent or Syncthing fails or it is closed, goes while every other database answers: all sites may have
the same broken image, and each of them still holds what only it has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PodState:
    """What the rule needs to know of a site's pod."""

    outdated: bool
    broken: bool
    """Whether its PostgreSQL does not come up."""
    serves: bool
    """Whether the pod is ready, so that applications are led to it, and the site is open."""
    answers: bool
    """Whether its database answers the operator, and nobody stops the pod already."""
    healthy: bool
    """Whether the pod is ready and nothing is on its way there (`DatabasePlan.is_settled`); else no peer may stop."""


def to_restart(pods: Mapping[str, PodState]) -> tuple[str, ...]:
    """Give the sites to restart now: broken outdated ones at once, else at most one."""
    broken = tuple(site for site, pod in pods.items() if pod.outdated and pod.broken)
    if broken:
        return broken
    for site, pod in pods.items():
        others = [other for name, other in pods.items() if name != site]
        if pod.outdated and _may_stop(pod, others):
            return (site,)
    return ()


def _may_stop(pod: PodState, others: Sequence[PodState]) -> bool:
    if not pod.serves:
        return all(other.answers for other in others)
    return all(other.healthy for other in others) and (not others or any(other.serves for other in others))
