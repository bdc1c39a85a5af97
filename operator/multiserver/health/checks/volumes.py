"""Whether every volume has room."""

from multiserver.api.names import VOLUME_PURPOSES
from multiserver.health.checks.verdict import Verdict, live, verdict, without_report
from multiserver.health.reasons import Reason
from multiserver.health.view import ClusterView

VOLUME_PERCENT_FULL = 90


def volume_nearly_full(view: ClusterView) -> Verdict | None:
    """A volume is about to run full."""
    return verdict(
        "False",
        Reason.VOLUME_NEARLY_FULL,
        (
            f"volume {volume.name} of {site.name} is {volume.used_percent:.0f} % full: "
            "enlarge its storage.size or delete what is not needed"
            for site, report in live(view)
            for volume in report.volumes
            if volume.used_percent >= VOLUME_PERCENT_FULL
        ),
    )


def volumes_unknown(view: ClusterView) -> Verdict | None:
    """A site does not report, or its agent cannot measure a volume."""
    return without_report(view) or verdict(
        "Unknown",
        Reason.REPORT_MISSING,
        (
            f"how full volume {name} of {site.name} is, is not known: see the log of its container agent"
            for site, report in live(view)
            for name in VOLUME_PURPOSES
            if name not in {volume.name for volume in report.volumes}
        ),
    )


def volumes_have_room(view: ClusterView) -> Verdict:
    """Nothing spoke against it."""
    return Verdict("True", Reason.VOLUMES_HAVE_ROOM, f"every volume is less than {VOLUME_PERCENT_FULL} % full")
