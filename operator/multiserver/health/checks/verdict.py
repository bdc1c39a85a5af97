"""What a check is and says, and the words that several lists share."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from multiserver.api.moments import moment
from multiserver.api.report import PeerReport, SiteReport
from multiserver.api.status import Truth
from multiserver.health.reasons import Reason
from multiserver.health.view import ClusterView, SiteView


@dataclass(frozen=True)
class Verdict:
    """What a check says of its condition."""

    status: Truth
    reason: Reason
    message: str


SENTENCES_MAX = 10
"""How many sentences a verdict holds: 32 sites that are all cut off have 992 links, and a status has little room."""

Check = Callable[[ClusterView], Verdict | None]


def verdict(status: Truth, reason: Reason, sentences: Iterable[str]) -> Verdict | None:
    """Give a verdict that joins the first sentences and counts the rest; none where there is no sentence."""
    found = list(sentences)
    more = [f"and {len(found) - SENTENCES_MAX} more"] if len(found) > SENTENCES_MAX else []
    return Verdict(status, reason, "; ".join([*found[:SENTENCES_MAX], *more])) if found else None


def since(at: datetime | None) -> str:
    """Say since when, in UTC; empty if not known."""
    return f" since {moment(at)}" if at else ""


def silent(sites: Iterable[SiteView]) -> Verdict | None:
    """Unknown, for sites that do not report."""
    return verdict(
        "Unknown",
        Reason.REPORT_MISSING,
        (f"{s.name} does not report{since(s.unreachable_since)}: {s.unreachable or 'no answer yet'}" for s in sites),
    )


def without_report(view: ClusterView) -> Verdict | None:
    """A site does not report, so nothing is known of it."""
    return silent(site for site in view.all if not site.report_is_live)


def live(view: ClusterView) -> Iterator[tuple[SiteView, SiteReport]]:
    """Every site that reports now, with its report."""
    return ((site, site.report) for site in view.all if site.report is not None and site.report_is_live)


def links(view: ClusterView) -> Iterator[tuple[SiteView, PeerReport]]:
    """Every link of a site that reports now: the observer and what it says of the peer.

    All is unknown of a peer that it does not tell of. A site that leaves is no peer.
    """
    for site, report in live(view):
        told = {peer.name: peer for peer in report.peers}
        for name in view.sites:
            if name != site.name:
                yield site, told.get(name) or PeerReport(name=name, observed_at=report.observed_at)
