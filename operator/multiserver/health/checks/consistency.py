"""Whether the sites hold the same."""

from collections.abc import Iterator
from datetime import timedelta

from multiserver.api.moments import is_ahead, still_to_come
from multiserver.api.report import COUNTED_MAX, DatabaseReport, PeerReport, TableDifference
from multiserver.health.checks.verdict import Verdict, links, live, since, verdict, without_report
from multiserver.health.reasons import Reason
from multiserver.health.view import ClusterView, SiteView


def tables_not_replicated(view: ClusterView) -> Verdict | None:
    """A table's rows stay at the site where they were written."""
    tables = {table for _, report in live(view) for table in report.database.unreplicated_tables}
    told = max((len(report.database.unreplicated_tables) for _, report in live(view)), default=0)
    count = max((report.database.unreplicated_count or 0 for _, report in live(view)), default=0)
    in_all = [f"{count} tables in all"] if count > told else []
    return verdict("False", Reason.TABLES_NOT_REPLICATED, [*in_all, *sorted(tables)])


def rows_parked(view: ClusterView) -> Verdict | None:
    """Rows are kept aside since they break a rule at this site."""
    return verdict(
        "False",
        Reason.ROWS_PARKED,
        (
            f"{site.name} keeps {_at_least(report.database)}{report.database.parked_rows} rows aside "
            f"(multiserver.parked){_refused(report.database)}"
            for site, report in live(view)
            if report.database.parked_rows
        ),
    )


def _refused(database: DatabaseReport) -> str:
    if not database.refused_rows:
        return ""
    return f", of which it refuses {_at_least(database)}{database.refused_rows} by a rule of its own"


def _at_least(database: DatabaseReport) -> str:
    return "at least " if (database.parked_rows or 0) >= COUNTED_MAX else ""


def rows_damaged(view: ClusterView) -> Verdict | None:
    """Two sites hold one version of a row and yet different rows: something changed it past the replication."""
    return verdict(
        "False",
        Reason.ROWS_DAMAGED,
        (
            f"{table.damaged} rows of {table.table} differ between {site.name} and {peer.name} although no change "
            f"explains it{since(peer.verified.verified_at)}, such as {', '.join(table.examples)}: "
            "write them again at the site where they are right"
            for site, peer, table in _differences(view)
            if table.damaged
        ),
    )


def rows_differ(view: ClusterView) -> Verdict | None:
    """A site lacks changes that a peer has, and none is under way."""
    return verdict(
        "False",
        Reason.ROWS_DIFFER,
        (
            f"{'' if table.is_exact else 'at least '}{table.rows} rows of {table.table} differ between {site.name} and "
            f"{peer.name}{since(peer.verified.verified_at)}, such as {', '.join(table.examples)}: "
            "the missing changes are fetched, and the rows compared again"
            for site, peer, table in _differences(view)
        ),
    )


def _differences(view: ClusterView) -> Iterator[tuple[SiteView, PeerReport, TableDifference]]:
    return (
        (site, peer, table)
        for site, peer in links(view)
        if peer.verified.is_equal is False
        for table in peer.verified.differences
    )


def not_verified(view: ClusterView) -> Verdict | None:
    """Two sites have not been compared for longer than twice the time that is set, or a site does not report."""
    return without_report(view) or verdict(
        "Unknown",
        Reason.NOT_VERIFIED,
        (f"{site.name} {words}" for site, peer in links(view) if (words := _unverified(peer, view))),
    )


def _unverified(peer: PeerReport, view: ClusterView) -> str:
    """Say of a site that it was not compared with a peer lately; empty if it was."""
    verified_at, message = peer.verified.verified_at, peer.verified.message
    longest = 2 * timedelta(hours=view.cluster.spec.database.verify_every_hours)
    if verified_at is not None and is_ahead(verified_at, view.now):
        return (
            f"has a comparison of its rows with those of {peer.name} that is {still_to_come(verified_at)}; compare its "
            "clock with the operator's"
        )
    if verified_at is not None and verified_at >= view.now - longest:
        return ""
    words = f"has not compared its rows with those of {peer.name}{since(verified_at) or ' yet'}"
    return f"{words}: {message}" if message else words


def rows_equal(view: ClusterView) -> Verdict:
    """Nothing spoke against it."""
    if len(view.sites) == 1:
        return Verdict("True", Reason.SINGLE_SITE, "one site only, nothing to compare")
    times = [peer.verified.verified_at for _, peer in links(view) if peer.verified.verified_at]
    compared = f"compared{since(min(times))} or later" if times else "compared"
    return Verdict("True", Reason.ROWS_EQUAL, f"every site holds the rows of every other, {compared}")
