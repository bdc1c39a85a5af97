"""Whether the clocks agree; the faster one wins concurrent changes."""

from multiserver.health.checks.verdict import Verdict, links, verdict, without_report
from multiserver.health.reasons import Reason
from multiserver.health.view import ClusterView

CLOCK_OFFSET_MILLISECONDS_MAX = 1000


def clock_off(view: ClusterView) -> Verdict | None:
    """Two clocks differ so much that the faster site wins concurrent changes unfairly."""
    return verdict(
        "False",
        Reason.CLOCK_OFF,
        (
            f"the clock of {peer.name} is {peer.clock_offset_milliseconds:+.0f} ms from that of {site.name}: "
            "check the time service of both"
            for site, peer in links(view)
            if abs(peer.clock_offset_milliseconds or 0) > CLOCK_OFFSET_MILLISECONDS_MAX
        ),
    )


def clocks_unknown(view: ClusterView) -> Verdict | None:
    """A clock could not be compared."""
    return without_report(view) or verdict(
        "Unknown",
        Reason.REPORT_MISSING,
        (
            f"{site.name} does not know the clock of {peer.name}"
            for site, peer in links(view)
            if peer.clock_offset_milliseconds is None
        ),
    )


def clocks_agree(view: ClusterView) -> Verdict:
    """Nothing spoke against it."""
    return Verdict("True", Reason.CLOCKS_AGREE, f"all clocks agree within {CLOCK_OFFSET_MILLISECONDS_MAX} ms")
