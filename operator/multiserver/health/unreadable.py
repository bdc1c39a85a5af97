"""The status of a resource of which nothing is known: it cannot be read, or the operator itself fails. Pure."""

from datetime import datetime

from multiserver.api.status import SiteStatus, Status
from multiserver.health.checks import CHECKS
from multiserver.health.checks.verdict import Verdict
from multiserver.health.conditions import conditions
from multiserver.health.reasons import Reason
from multiserver.health.status import unknown_link


def unreadable(
    previous: Status, generation: int, why: str, now: datetime, reason: Reason = Reason.RESOURCE_UNREADABLE
) -> Status:
    """Give the status: nothing that was known before is told as if it still were, and `why` says the way out."""
    verdicts = {name: Verdict("Unknown", reason, "not known: see Stalled") for name in CHECKS}
    verdicts["Ready"] = Verdict("Unknown", reason, why)
    verdicts["Stalled"] = Verdict("True", reason, why)
    return Status(
        observed_generation=generation,
        summary=why,
        schema_site=previous.schema_site,
        sites_ready="Unknown",
        lag="Unknown",
        files="Unknown",
        backup="Unknown",
        conditions=conditions(verdicts, previous.conditions, generation, now),
        sites=[_site(site) for site in previous.sites],
    )


def _site(told: SiteStatus) -> SiteStatus:
    """What was told of a site: what it is stays, how it is is unknown."""
    return SiteStatus(
        name=told.name,
        server_number=told.server_number,
        address=told.address,
        system_id=told.system_id,
        version=told.version,
        observed_at=told.observed_at,
        peers=[unknown_link(peer) for peer in told.peers],
    )
