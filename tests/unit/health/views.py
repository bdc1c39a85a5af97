"""A view in which all is well, with named changes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from multiserver.api.report import SiteReport
from multiserver.health.view import ClusterView, Serving, SiteView
from tests.clusters import a_cluster
from tests.unit.agent.reports import peer_report, site_report

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SITES = ("berlin", "hamburg", "leipzig")


def a_report(site: str, *, peer: str = "", **changes: Any) -> SiteReport:
    """The site's report, all well; changes are to its link to `peer` if one is named, else to the report itself."""
    peers = tuple(peer_report(NOW, name, **(changes if name == peer else {})) for name in SITES if name != site)
    return site_report(NOW, site=site, peers=peers, **({} if peer else changes))


def a_site(name: str, **changes: Any) -> SiteView:
    values: dict[str, Any] = {
        "serving": Serving("Ready"),
        "server_number": SITES.index(name) + 1,
        "address": f"lab-{name}-server.clinic.svc:5432",
        "report": a_report(name),
        "report_is_live": True,
        "system_id": str(SITES.index(name)),
        "missing_links": (),
        "open": True,
    }
    return SiteView(name=name, **(values | changes))


def a_view(*changed: SiteView, **changes: Any) -> ClusterView:
    """Three sites, all well but for those given."""
    sites = {name: a_site(name) for name in SITES} | {site.name: site for site in changed}
    return replace(ClusterView(now=NOW, cluster=a_cluster(*SITES), sites=sites), **changes)


def silent(name: str) -> SiteView:
    """A site that stopped reporting a minute ago; a peer still holds a copy of its last report."""
    return a_site(
        name,
        report_is_live=False,
        unreachable="no answer within 8 s",
        unreachable_since=NOW - timedelta(minutes=1),
        open=None,
        missing_links=None,
    )
