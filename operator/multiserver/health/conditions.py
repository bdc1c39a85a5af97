"""From verdicts to the conditions in the status; a condition's time changes only when its status flips."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from multiserver.api.status import MESSAGE_LENGTH_MAX, Condition
from multiserver.health.checks.verdict import Verdict


def conditions(
    verdicts: Mapping[str, Verdict], previous: Iterable[Condition], generation: int, now: datetime
) -> list[Condition]:
    """Give the conditions for these verdicts, keeping the transition times of those that did not flip."""
    before = {condition.type: condition for condition in previous}
    result = []
    for name, verdict in verdicts.items():
        old = before.get(name)
        flipped = old is None or old.status != verdict.status
        result.append(
            Condition(
                type=name,
                status=verdict.status,
                observed_generation=generation,
                last_transition_time=now if old is None or flipped else old.last_transition_time,
                reason=verdict.reason,
                message=verdict.message[:MESSAGE_LENGTH_MAX],
            )
        )
    return result


def transitions(previous: Iterable[Condition], current: Iterable[Condition]) -> list[Condition]:
    """Give the conditions whose status flipped or whose reason changed: those worth an event."""
    before = {condition.type: (condition.status, condition.reason) for condition in previous}
    return [c for c in current if before.get(c.type) != (c.status, c.reason)]
