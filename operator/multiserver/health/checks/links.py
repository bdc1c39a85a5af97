"""Whether changes flow on every link."""

from multiserver.api.report import LinkState
from multiserver.health.checks.verdict import Verdict, links, live, since, verdict, without_report
from multiserver.health.reasons import Reason
from multiserver.health.view import ClusterView, SiteView


def link_cut_off(view: ClusterView) -> Verdict | None:
    """A site does not reach a peer."""
    return verdict(
        "False",
        Reason.LINK_CUT_OFF,
        (
            f"{site.name} does not reach {peer.name}{since(peer.since)}: {peer.message}"
            for site, peer in links(view)
            if peer.state is LinkState.CUT_OFF
        ),
    )


def link_stuck(view: ClusterView) -> Verdict | None:
    """A site cannot apply a peer's change, so everything behind it on that link waits."""
    return verdict(
        "False",
        Reason.LINK_STUCK,
        (f"{site.name}: {error}" for site, report in live(view) for error in report.database.replication_errors),
    )


def link_inactive(view: ClusterView) -> Verdict | None:
    """A peer is reached, yet changes do not flow both ways."""
    return verdict(
        "False",
        Reason.LINK_INACTIVE,
        (
            f"replication between {site.name} and {peer.name} is not active"
            for site, peer in links(view)
            if peer.replication_active is False
        ),
    )


def link_catching_up(view: ClusterView) -> Verdict | None:
    """A site may lack what a peer wrote before its present slot; its agent compares the two and fetches it."""
    return verdict("False", Reason.LINK_CATCHING_UP, (_catching_up(site) for site in view.all if site.incomplete))


def _catching_up(site: SiteView) -> str:
    peers = ", ".join(site.incomplete)
    if site.blocked:
        return f"{site.name} may lack what {peers} has: {site.blocked}"
    fetching = f"{site.name} compares itself with {peers} and fetches what it missed"
    return f"{fetching}; {site.schema_behind}" if site.schema_behind else fetching


def replication_unknown(view: ClusterView) -> Verdict | None:
    """A site does not report, or does not know a link yet."""
    return without_report(view) or verdict(
        "Unknown",
        Reason.REPORT_MISSING,
        (
            f"{site.name} has not heard of {peer.name} yet"
            for site, peer in links(view)
            if peer.state is LinkState.UNKNOWN or peer.replication_active is None
        ),
    )


def all_links_replicate(view: ClusterView) -> Verdict:
    """Nothing spoke against it."""
    if len(view.sites) == 1:
        return Verdict("True", Reason.SINGLE_SITE, "one site only, nothing to replicate")
    return Verdict("True", Reason.ALL_LINKS_REPLICATE, "every site exchanges changes with every other")
