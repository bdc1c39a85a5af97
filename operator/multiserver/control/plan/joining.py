"""When a site may come in: when its server may be made, and when the application may write there.

Invariants
* A site without data never begins with an empty database while another one was ever opened: it would never hear of what
  was written before. The other's volume is marked just before it first opens, so this needs no site to answer. The new
  site is told whom to copy from (`Blueprint.donors`) before its server is made.
* Its server is made only when every open site that answers keeps its changes for it, and at least one does: what is
  written while it copies waits for it in these slots.
* A site opens only when it has a slot for every peer, so nothing that is written there is missed; when its volume is
  marked; and when it is known to have all that every peer it reaches has to give. One that was put back to before what
  such a peer has forgotten never opens: nothing can be compared there (MS022), and its volume must be replaced.
"""

from datetime import datetime

from multiserver.api.moments import moment
from multiserver.api.names import OPENED_ANNOTATION
from multiserver.api.report import LinkState
from multiserver.control.plan.links import has_slot, is_complete
from multiserver.control.snapshot import Snapshot
from multiserver.replication.observe import DatabaseFacts
from multiserver.resources.blueprint import Blueprint, SitePlan


def is_marked(snapshot: Snapshot, site: str) -> bool:
    """Whether a site's data volume is marked as one that was opened."""
    claim = snapshot.get("PersistentVolumeClaim", snapshot.names.volume(site, "data"))
    return claim is not None and OPENED_ANNOTATION in claim["metadata"].get("annotations", {})


def was_opened(facts: DatabaseFacts | None) -> bool:
    """Whether a database is, or was, open for the application, as far as it says."""
    return facts is not None and (facts.opened_at is not None or facts.closed_at is not None)


def why_not_made(snapshot: Snapshot, blueprint: Blueprint, site: str) -> str:
    """Say why a new site's server is not made yet; empty if it is there or may be made.

    One whose volume was opened once is not new: with its own data it waits for nobody, even if all servers are deleted.
    """
    donors = blueprint.donors(site)
    is_there = snapshot.get("StatefulSet", snapshot.names.site(site)) is not None
    if is_there or not donors or is_marked(snapshot, site):
        return ""
    own = blueprint.plan(site)
    answering = {name: facts for name in donors if (facts := snapshot.seen(name).database) is not None}
    if not answering:
        return f"make site {site}: once one of {', '.join(donors)} answers, from which it copies"
    staying = {plan.name for plan in blueprint.sites}
    lacking = [name for name in answering if name in staying and not _keeps_changes(answering[name], own)]
    if lacking:
        return f"make site {site}: once {', '.join(lacking)} keeps its changes for it"
    return ""


def _keeps_changes(facts: DatabaseFacts, own: SitePlan) -> bool:
    return has_slot(facts, own) and facts.sites.get(own.server_number) == own.name


def givers(snapshot: Snapshot, blueprint: Blueprint, own: SitePlan) -> tuple[SitePlan, ...]:
    """Give the peers that ever were open, answer, and are not cut off from a site by its own word."""
    donors = (blueprint.plan(name) for name in blueprint.donors(own.name))
    return tuple(peer for peer in donors if snapshot.seen(peer.name).database and not _is_cut_off(snapshot, own, peer))


def incomplete_links(snapshot: Snapshot, blueprint: Blueprint, own: SitePlan, facts: DatabaseFacts) -> tuple[str, ...]:
    """Give the peers from which a site may lack something and can fetch it."""
    return tuple(
        peer.name
        for peer in givers(snapshot, blueprint, own)
        if (there := snapshot.seen(peer.name).database) and not is_complete(facts, own, peer, there)
    )


def schema_behind(snapshot: Snapshot, blueprint: Blueprint, own: SitePlan, facts: DatabaseFacts) -> str:
    """Say that a site waits for schema changes which it may have missed for good; empty if it does not.

    Sites are compared only with equal schemas, and schema changes come only by the stream. The peer that has more need
    not be the schema site: that one may have lost its volume, and be a copy of a site that lags.
    """
    incomplete = incomplete_links(snapshot, blueprint, own, facts)
    versions = {peer: _schema_version(snapshot.seen(peer).database) for peer in incomplete}
    newest = max(versions, key=versions.__getitem__, default="")
    version = _schema_version(facts)
    if not newest or versions[newest] <= version:
        return ""
    return (
        f"its schema has the version {version}, that of {newest} {versions[newest]}: if "
        f"that stays, {own.name} missed schema changes for good and must be replaced (docs/a-sites-life.md)"
    )


def _schema_version(facts: DatabaseFacts | None) -> int:
    return facts.schema_version or 0 if facts is not None else 0


def closed_since(blueprint: Blueprint, facts: DatabaseFacts) -> str:
    """Say since when a site is closed and what closed it, in words that begin with "since"; empty if it is new."""
    broken, closed_at = facts.broken_history, facts.closed_at
    if broken is not None and (closed_at is None or closed_at <= broken.broken_at):
        if broken.how == "rewound":
            cause = "its peers were found to know a later state of it: an old volume or backup was put back"
        else:
            cause = f"its database was copied from {_donor(blueprint, facts)}: it is new, or had lost its volume"
        return f"{_since(broken.broken_at)}, when {cause}"
    return f"{_since(closed_at)}, when it was taken out of spec.sites" if closed_at is not None else ""


def _donor(blueprint: Blueprint, facts: DatabaseFacts) -> str:
    number = facts.broken_history.donor_number if facts.broken_history else None
    return next((plan.name for plan in blueprint.members if plan.server_number == number), "a peer")


def _since(at: datetime) -> str:
    return f"since {moment(at)}"


def beyond_repair(snapshot: Snapshot, blueprint: Blueprint, own: SitePlan, facts: DatabaseFacts) -> str:
    """Say that no comparing can bring a site what it lacks, and the way out; empty if that is not so.

    It was put back in time, and peers have forgotten deletions since then: a row that was deleted there and one that is
    new here cannot be told apart. The engine refuses to note such a comparison (`complete_link` in 21_links.sql).
    """
    broken = facts.broken_history
    if broken is None or broken.how != "rewound" or broken.complete_until is None:
        return ""
    forgetful = [
        peer
        for peer in incomplete_links(snapshot, blueprint, own, facts)
        if (there := snapshot.seen(peer).database) and there.collected_horizon > broken.complete_until
    ]
    if not forgetful:
        return ""
    names, until = snapshot.names, broken.complete_until_time
    has = f"it has all changes only up to {moment(until)}" if until else "it never had all changes"
    return (
        f"it is closed {closed_since(blueprint, facts)}. Comparing cannot repair it: {has}, and what was deleted since "
        f"then is forgotten at {', '.join(forgetful)}. Replace its data volume, which is then filled from a peer; what "
        f"only the old one holds is lost: kubectl delete pvc {names.volume(own.name, 'data')} --wait=false; "
        f"kubectl delete pod {names.pod(own.name)} (docs/a-sites-life.md)"
    )


def why_closed(snapshot: Snapshot, blueprint: Blueprint, own: SitePlan, incomplete: tuple[str, ...]) -> str:
    """Say when a site that is closed opens; empty if it may open now."""
    if incomplete:
        return f"once it has fetched from {', '.join(incomplete)} what it lacks"
    if blueprint.donors(own.name) and not givers(snapshot, blueprint, own):
        others = ", ".join(blueprint.donors(own.name))
        return (
            f"once it reaches one of {others}, to see what it lacks; if they are gone for good, take them out of "
            "spec.sites"
        )
    return ""


def _is_cut_off(snapshot: Snapshot, own: SitePlan, peer: SitePlan) -> bool:
    """Whether a site's own agent says that it does not reach a peer."""
    seen = snapshot.seen(own.name)
    reports = seen.report.peers if seen.report is not None and seen.report_is_live else ()
    return any(told.name == peer.name and told.state is LinkState.CUT_OFF for told in reports)
