"""The whole status from the view: every site's own viewpoint in words and steady figures."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from multiserver.api.report import FilesReport, PeerReport, SiteReport, VolumeReport
from multiserver.api.status import PeerFiles, PeerStatus, SiteStatus, Status, Truth
from multiserver.backup.sentences import backup_sentence
from multiserver.health.checks import judge
from multiserver.health.checks.verdict import Verdict, since
from multiserver.health.conditions import conditions
from multiserver.health.steps import steady, steady_autonomy, steady_lag
from multiserver.health.view import ClusterView, SiteView

REFRESH = timedelta(minutes=30)
"""Times that only say "still so" are written anew after this long."""
LAG_BYTES_TOLERANCE = 1 << 20
LAG_SECONDS_TOLERANCE = 15
RETAINED_BYTES_TOLERANCE = 64 << 20
PING_MILLISECONDS_TOLERANCE = 50
COUNT_TOLERANCE = 0
"""Of rows and conflicts: the first is told at once, and so is that there is none any more; many in large steps."""
CLOCK_OFFSET_MILLISECONDS_TOLERANCE = 25
DISK_PERCENT_TOLD = 80
"""Below this share no figure is told, since it changes all the time."""


def status(view: ClusterView, previous: Status) -> Status:
    """Give the status for this view, as near to the previous one as the truth allows."""
    verdicts = judge(view)
    told = {site.name: site for site in previous.sites}
    sites = [_site(site, told.get(site.name, SiteStatus(name=site.name)), view.now) for site in view.all]
    return Status(
        observed_generation=view.cluster.generation,
        summary=_summary(view, verdicts),
        schema_site=view.schema_site or previous.schema_site,
        sites_ready=f"{sum(site.serving.state == 'Ready' for site in view.all)}/{len(view.sites)}",
        lag=_lag_word(sites),
        files=_word(verdicts["FilesInSync"]),
        backup=_word(verdicts["BackupsCurrent"]),
        conditions=conditions(verdicts, previous.conditions, view.cluster.generation, view.now),
        sites=sites,
    )


def is_worth_writing(new: Status, told: Status) -> bool:
    """Whether the new status tells more than when figures were read, or those times have become old."""
    if _without_times(new) != _without_times(told):
        return True
    before = {site.name: site.observed_at for site in told.sites}
    return any(_is_old(before[site.name], site.observed_at) for site in new.sites)


def _is_old(told: datetime | None, now: datetime | None) -> bool:
    return now is not None and (told is None or abs(now - told) >= REFRESH)


def _without_times(status: Status) -> Status:
    return status.model_copy(update={"sites": [_site_without_times(site) for site in status.sites]})


def _site_without_times(site: SiteStatus) -> SiteStatus:
    peers = [peer.model_copy(update={"observed_at": None, "last_ping": None}) for peer in site.peers]
    return site.model_copy(update={"observed_at": None, "peers": peers})


def _summary(view: ClusterView, verdicts: Mapping[str, Verdict]) -> str:
    """The most urgent thing in one sentence."""
    ready = verdicts["Ready"]
    if ready.status != "True":
        return ready.message
    faults = [
        verdict.message
        for name, verdict in verdicts.items()
        if name not in ("Ready", "Reconciling", "Stalled") and verdict.status == "False"
    ]
    if verdicts["Stalled"].status == "True":
        faults.insert(0, verdicts["Stalled"].message)
    if faults:
        return f"{ready.message}, but {faults[0]}"
    return f"{ready.message}; data, files and clocks agree" if len(view.sites) > 1 else ready.message


def _word(verdict: Verdict) -> str:
    return {"True": "OK", "False": str(verdict.reason), "Unknown": "Unknown"}[verdict.status]


def _lag_word(sites: Iterable[SiteStatus]) -> str:
    """The greatest lag, if every site tells of every other; what nobody tells of is not up to date."""
    sites = list(sites)
    links = [peer for site in sites for peer in site.peers]
    if any(peer.state == "CutOff" for peer in links):
        return "cut off"
    names = {site.name for site in sites}
    are_all_told = all(names - {site.name} <= {peer.name for peer in site.peers} for site in sites)
    if not are_all_told or any(peer.state != "Connected" or peer.lag_bytes is None for peer in links):
        return "Unknown"
    return in_bytes(max((peer.lag_bytes or 0 for peer in links), default=0))


def in_bytes(count: int) -> str:
    """Give a number of bytes for a reader: 0, 512 B, 3 MiB."""
    if count == 0:
        return "0"
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def _site(site: SiteView, told: SiteStatus, now: datetime) -> SiteStatus:
    report = site.report
    message = site.blocked or site.serving.message or (f"it {site.catches_up}" if site.catches_up else "")
    if not message and site.unreachable:
        message = f"the operator does not reach it{since(site.unreachable_since)}: {site.unreachable}"
    database = report.database if report and site.report_is_live else None
    return SiteStatus(
        name=site.name,
        server_number=site.server_number,
        address=site.address,
        system_id=site.system_id or told.system_id,
        state=site.serving.state,
        message=message,
        version=_version(report) or told.version,
        observed_at=report.observed_at if report else told.observed_at,
        parked_rows=steady(told.parked_rows, database.parked_rows, COUNT_TOLERANCE) if database else None,
        conflicts_last_day=steady(told.conflicts_last_day, database.conflicts_last_day, COUNT_TOLERANCE)
        if database
        else None,
        files=_files_sentence(report.files) if report and site.report_is_live else "Unknown",
        backup=backup_sentence(report, now) if report and site.report_is_live else "Unknown",
        raid=report.raid if report and site.report_is_live else "Unknown",
        disk=_disk_sentence(report.volumes) if report and site.report_is_live else "Unknown",
        peers=_peers(site, told),
    )


def _version(report: SiteReport | None) -> str:
    if report is None or report.database.version is None:
        return ""
    return f"PostgreSQL {report.database.version}, agent {report.agent_version}"


def _files_sentence(files: FilesReport) -> str:
    if not files.available:
        return f"Syncthing does not answer: {files.message}"
    if files.errors:
        return f"errors: {'; '.join(files.errors)}"
    if files.percent is None:
        return "Unknown"
    return "OK: all files are here" if files.percent >= 100 else f"{files.percent:.0f} % of the files are here"


def _disk_sentence(volumes: tuple[VolumeReport, ...]) -> str:
    if not volumes:
        return "Unknown"
    fullest = max(volumes, key=lambda volume: volume.used_percent)
    if fullest.used_percent < DISK_PERCENT_TOLD:
        return f"OK: every volume is less than {DISK_PERCENT_TOLD} % full"
    return f"volume {fullest.name} is about {5 * round(fullest.used_percent / 5)} % full"


def _peers(site: SiteView, told: SiteStatus) -> list[PeerStatus]:
    before = {peer.name: peer for peer in told.peers}
    if site.report is None:
        return [unknown_link(peer) for peer in told.peers]
    return [
        _peer(peer, before.get(peer.name, PeerStatus(name=peer.name)), live=site.report_is_live)
        for peer in site.report.peers
    ]


def unknown_link(peer: PeerStatus) -> PeerStatus:
    """What was told of a link that nobody observes any more: its times stay, its judgements are unknown."""
    return PeerStatus(
        name=peer.name, observed_at=peer.observed_at, last_connection=peer.last_connection, last_ping=peer.last_ping
    )


def _truth(fact: bool | None) -> Truth:
    return "Unknown" if fact is None else "True" if fact else "False"


def _peer(peer: PeerReport, told: PeerStatus, *, live: bool) -> PeerStatus:
    if not live:
        return unknown_link(told.model_copy(update={"observed_at": peer.observed_at, "last_ping": peer.last_ping}))
    return PeerStatus(
        name=peer.name,
        observed_at=peer.observed_at,
        state=peer.state.value,
        since=peer.since,
        message=peer.message,
        last_connection=peer.last_connection,
        last_ping=peer.last_ping,
        ping_milliseconds=steady(told.ping_milliseconds, peer.ping_milliseconds, PING_MILLISECONDS_TOLERANCE),
        clock_offset_milliseconds=steady(
            told.clock_offset_milliseconds, peer.clock_offset_milliseconds, CLOCK_OFFSET_MILLISECONDS_TOLERANCE
        ),
        files=PeerFiles(
            reachable=_truth(peer.files_reachable),
            percent=None if peer.files_percent is None else int(peer.files_percent),
        ),
        replication_active=_truth(peer.replication_active),
        lag_bytes=steady_lag(told.lag_bytes, peer.lag_bytes, LAG_BYTES_TOLERANCE),
        lag_seconds=steady_lag(told.lag_seconds, peer.lag_seconds, LAG_SECONDS_TOLERANCE),
        retained_bytes=steady_lag(told.retained_bytes, peer.retained_bytes, RETAINED_BYTES_TOLERANCE),
        autonomy_left=steady_autonomy(told.autonomy_left, peer.autonomy_seconds),
    )
