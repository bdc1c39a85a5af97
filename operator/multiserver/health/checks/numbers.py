"""Whether every site has numbers left."""

from multiserver.health.checks.verdict import Verdict, silent, verdict
from multiserver.health.reasons import Reason
from multiserver.health.view import ClusterView

NUMBERS_PERCENT_WARN = 80


def range_nearly_used(view: ClusterView) -> Verdict | None:
    """A site is about to run out of numbers."""
    return verdict(
        "False",
        Reason.RANGE_NEARLY_USED,
        (
            f"{site.name} has used {usage.percent:.0f} % of its range of {usage.sequence} "
            f"({usage.current} of {usage.minimum} to {usage.maximum}): give it a new range in spec.numberRanges"
            for site in view.all
            for usage in site.sequences
            if usage.percent >= NUMBERS_PERCENT_WARN
        ),
    )


def numbers_unknown(view: ClusterView) -> Verdict | None:
    """A site's sequences could not be read."""
    return silent(site for site in view.all if site.open is None)


def numbers_left(view: ClusterView) -> Verdict:
    """Nothing spoke against it."""
    return Verdict("True", Reason.NUMBERS_LEFT, f"every range is used by less than {NUMBERS_PERCENT_WARN} %")
