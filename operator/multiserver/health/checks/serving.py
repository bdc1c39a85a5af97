"""Whether every site serves."""

from multiserver.health.checks.verdict import Verdict, since, verdict
from multiserver.health.reasons import Reason
from multiserver.health.view import ClusterView


def site_held_back(view: ClusterView) -> Verdict | None:
    """A site that cannot open before somebody acts: its volume is not the one it had, or too old to be mended."""
    return verdict("False", Reason.SITE_HELD_BACK, (f"{s.name}: {s.blocked}" for s in view.all if s.blocked))


def site_not_ready(view: ClusterView) -> Verdict | None:
    """A site's pod fails, or its node is silent."""
    failing = (site for site in view.all if site.serving.state in ("NotReady", "Unknown"))
    words = (f"{s.name}: {s.serving.message or 'nothing is known of its pod'}" for s in failing)
    return verdict("False", Reason.SITE_NOT_READY, words)


def site_starting(view: ClusterView) -> Verdict | None:
    """A site's pod is on its way."""
    starting = (site for site in view.all if site.serving.state == "Starting")
    return verdict("False", Reason.SITE_STARTING, (f"{s.name}: {s.serving.message}" for s in starting))


def site_unreachable(view: ClusterView) -> Verdict | None:
    """A pod is ready, yet the operator cannot speak to its database or agent."""
    return verdict(
        "Unknown",
        Reason.SITE_UNREACHABLE,
        (f"{s.name} does not answer{since(s.unreachable_since)}: {s.unreachable}" for s in view.all if s.unreachable),
    )


def site_catching_up(view: ClusterView) -> Verdict | None:
    """A site that was copied, came back or was put back in time stays closed until it has what it lacks."""
    waiting = (site for site in view.all if site.catches_up)
    return verdict("False", Reason.SITE_CATCHING_UP, (f"{s.name} {s.catches_up}" for s in waiting))


def links_missing(view: ClusterView) -> Verdict | None:
    """A slot or subscription is still to be made, or the application is not let in yet."""
    missing = (
        f"{s.name}: link to {', '.join(s.missing_links)} is still to be made" for s in view.all if s.missing_links
    )
    closed = (f"{s.name} is not open yet" for s in view.all if not s.open)
    return verdict("False", Reason.LINKS_MISSING, (*missing, *closed))


def all_sites_serve(view: ClusterView) -> Verdict:
    """Nothing spoke against it."""
    words = f"all {len(view.sites)} sites serve" if len(view.sites) > 1 else "the site serves"
    return Verdict("True", Reason.ALL_SITES_SERVE, words)
