"""Whether every site can go on keeping what its peers have not confirmed.

A peer that is cut off costs room at all others. Before the room runs out the site gives up what it keeps for that peer,
for the sake of its own volume; the peer is not lost, it then compares itself and fetches what it missed, which takes
long and costs both. So this alarms long before.
"""

from collections.abc import Iterator

from multiserver.api.report import PeerReport
from multiserver.health.checks.verdict import Verdict, links, live, verdict, without_report
from multiserver.health.reasons import Reason
from multiserver.health.steps import steady_autonomy
from multiserver.health.view import ClusterView, SiteView

ALARM_SECONDS = 6 * 3600
ALARM_PERCENT = 80
WARN_SECONDS = 24 * 3600
BACKLOG_PERCENT_MIN = 5
"""Below this share a peer is not behind; that a burst of writing would fill the room in hours is no news then."""


def backlog_nearly_full(view: ClusterView) -> Verdict | None:
    """A site must soon give up what it keeps for a peer."""
    return verdict(
        "False",
        Reason.BACKLOG_NEARLY_FULL,
        (
            f"{site.name} must soon give up what it keeps for {peer.name}: {_left(peer)}. Bring {peer.name} or the "
            "line to it back, enlarge spec.database.storage.size, or take it out of spec.sites"
            for site, peer in _behind(view)
            if (peer.backlog_percent or 0) >= ALARM_PERCENT or _lasts_less(peer, ALARM_SECONDS)
        ),
    )


def backlog_grows(view: ClusterView) -> Verdict | None:
    """What a site keeps for a peer lasts for less than a day."""
    return verdict(
        "False",
        Reason.BACKLOG_GROWS,
        (
            f"{site.name} can keep what {peer.name} has not confirmed for less than a day: {_left(peer)}"
            for site, peer in _behind(view)
            if _lasts_less(peer, WARN_SECONDS)
        ),
    )


def backlogs_unknown(view: ClusterView) -> Verdict | None:
    """A site does not report, or its agent does not reach the database."""
    return without_report(view) or verdict(
        "Unknown",
        Reason.REPORT_MISSING,
        (
            f"what {site.name} keeps for its peers is not known, as its database does not answer: "
            f"{report.database.message or 'no answer yet'}"
            for site, report in live(view)
            if report.peers and not report.database.available
        ),
    )


def backlogs_have_room(view: ClusterView) -> Verdict:
    """Nothing spoke against it."""
    return Verdict("True", Reason.BACKLOGS_HAVE_ROOM, "every site can keep what its peers have not confirmed for a day")


def _behind(view: ClusterView) -> Iterator[tuple[SiteView, PeerReport]]:
    return ((site, peer) for site, peer in links(view) if (peer.backlog_percent or 0) >= BACKLOG_PERCENT_MIN)


def _lasts_less(peer: PeerReport, seconds: float) -> bool:
    return peer.autonomy_seconds is not None and peer.autonomy_seconds < seconds


def _left(peer: PeerReport) -> str:
    """Say how full it is and how long it lasts, in steps."""
    time = steady_autonomy(None, peer.autonomy_seconds)
    used = f"about {10 * round((peer.backlog_percent or 0) / 10)} % of the room is used"
    return f"{used}, and at the last hour's rate it lasts {time}" if time else used
