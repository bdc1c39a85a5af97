"""What the operator is still doing, and what it cannot do."""

from multiserver.health.checks.verdict import Verdict, verdict
from multiserver.health.reasons import Reason
from multiserver.health.view import ClusterView


def actions_pending(view: ClusterView) -> Verdict | None:
    """The plan is not done."""
    if not view.pending:
        return None
    return Verdict("True", Reason.ACTIONS_PENDING, "to do: " + "; ".join(view.pending[:10]))


def up_to_date(view: ClusterView) -> Verdict:
    """The plan is done."""
    return Verdict("False", Reason.UP_TO_DATE, "everything is as declared")


def action_refused(view: ClusterView) -> Verdict | None:
    """An action that cannot succeed unchanged."""
    return verdict("True", Reason.ACTION_REFUSED, (f"{f.action}: {f.message}" for f in view.failures if f.refused))


def action_failed(view: ClusterView) -> Verdict | None:
    """An action that failed and is tried again."""
    failures = (f"{f.action}: {f.message} (tried again by itself)" for f in view.failures)
    return verdict("True", Reason.ACTION_FAILED, failures)


def not_stalled(view: ClusterView) -> Verdict:
    """No action fails."""
    return Verdict("False", Reason.NOT_STALLED, "no action fails")
