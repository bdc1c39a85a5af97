"""Whether every site holds all files."""

from multiserver.health.checks.verdict import Verdict, links, live, silent, verdict
from multiserver.health.reasons import Reason
from multiserver.health.view import ClusterView


def files_faulty(view: ClusterView) -> Verdict | None:
    """A site's Syncthing is down or reports errors."""
    return verdict(
        "False",
        Reason.FILES_FAULTY,
        (
            f"{site.name}: {'; '.join(report.files.errors) or report.files.message}"
            for site, report in live(view)
            if not report.files.available or report.files.errors
        ),
    )


def files_cut_off(view: ClusterView) -> Verdict | None:
    """A site's Syncthing does not reach a peer's."""
    return verdict(
        "False",
        Reason.FILES_CUT_OFF,
        (
            f"Syncthing at {site.name} does not reach {peer.name}"
            for site, peer in links(view)
            if peer.files_reachable is False
        ),
    )


def files_unknown(view: ClusterView) -> Verdict | None:
    """A site does not report, or does not know whether it reaches a peer's Syncthing."""
    found = silent(
        site for site in view.all if not site.report_is_live or (site.report and site.report.files.percent is None)
    )
    return found or verdict(
        "Unknown",
        Reason.REPORT_MISSING,
        (
            f"{site.name} does not know whether its Syncthing reaches {peer.name}"
            for site, peer in links(view)
            if peer.files_reachable is None
        ),
    )


def files_transferring(view: ClusterView) -> Verdict | None:
    """Files are on their way."""
    return verdict(
        "False",
        Reason.FILES_TRANSFERRING,
        (
            f"{site.name} holds {report.files.percent:.0f} %"
            for site, report in live(view)
            if report.files.percent is not None and report.files.percent < 100
        ),
    )


def files_equal(view: ClusterView) -> Verdict:
    """Nothing spoke against it."""
    return Verdict("True", Reason.FILES_EQUAL, "every site holds all files")
