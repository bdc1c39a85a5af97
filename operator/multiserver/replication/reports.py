"""The reports of all sites as one site's database holds them."""

from multiserver.api.report import SiteReport
from multiserver.postgres.connect import Connection


async def newest_reports(connection: Connection) -> tuple[SiteReport, ...]:
    """Return the newest report of each site that has reached this database; raises DatabaseError.

    A report in a form that this version cannot read, as a newer agent may write, is left out: not known.
    """
    rows = await connection.rows("select report from multiserver.reports order by server_number")
    reports = (SiteReport.readable(row["report"]) for row in rows)
    return tuple(report for report in reports if report is not None)
