"""Figures that change all the time, told so that a quiet cluster causes no writes: the last told value stays until the
true one has moved noticeably."""


def steady(told: int | None, now: float | None, tolerance: float, share: float = 0.5) -> int | None:
    """Give the figure to tell: the one told before while the true one is within a tolerance of it.

    `tolerance` is in the figure's own unit; `share` widens it for large figures (0.5: half of the figure told). The way
    back to exactly 0 is always told, since 0 means "none" to a reader.
    """
    if now is None:
        return None
    rounded = round(now)
    if told is None or ((rounded == 0) != (told == 0) and abs(rounded - told) > tolerance):
        return rounded
    return told if abs(rounded - told) <= max(tolerance, share * abs(told)) else rounded


def steady_lag(told: int | None, now: float | None, tolerance: float) -> int | None:
    """Give a lag to tell: anything up to the tolerance is told as 0, which means up to date."""
    if now is None:
        return None
    if now <= tolerance:
        return 0
    return steady(told, now, tolerance)


_AUTONOMY_STEPS = (
    (30 * 24, "more than 30 days"),
    (7 * 24, "more than 7 days"),
    (2 * 24, "more than 2 days"),
    (24, "more than 24 h"),
    (12, "more than 12 h"),
    (6, "more than 6 h"),
    (3, "more than 3 h"),
    (1, "more than 1 h"),
)
"""Hours, falling, and the words for having at least so many left."""
_STEP_KEPT = 0.9
"""A time that has fallen a little below the step told is still told as that step."""


def steady_autonomy(told: str | None, seconds: float | None) -> str | None:
    """Give how long a peer may stay away, in words: in steps, so that it changes rarely."""
    if seconds is None:
        return None
    for hours, words in _AUTONOMY_STEPS:
        if seconds >= hours * 3600 * (_STEP_KEPT if words == told else 1):
            return words
    return "less than 1 h"
