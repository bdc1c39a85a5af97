import asyncio
import logging

import pytest

from multiserver.agent.loops import STUCK_MARGIN_SECONDS, Duty, Loop, Loops, NotYetError, sentence


def duty(turn, *, period_seconds: float = 3600, limit_seconds: float = 5) -> Duty:
    return Duty("heartbeat", turn, period_seconds, limit_seconds, "look at the postgres container")


class Turns:
    """A duty whose turns end as told, one after the other; the last way of ending stays."""

    def __init__(self, *endings: Exception | None) -> None:
        self.endings = list(endings)
        self.done = 0
        self.changed = asyncio.Event()

    async def __call__(self) -> None:
        self.done += 1
        self.changed.set()
        ending = self.endings.pop(0) if len(self.endings) > 1 else self.endings[0]
        if ending:
            raise ending


async def test_only_the_start_and_the_end_of_a_failure_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    loop = Loop(duty(Turns(None, OSError("refused"), OSError("refused"), OSError("refused"), None)))
    for _ in range(6):
        await loop.turn()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert caplog.messages[0] == (
        "duty heartbeat fails: refused; look at the postgres container (tried again by itself)"
    )
    assert caplog.messages[1].startswith("duty heartbeat works again; it had failed since ")


async def test_a_failure_is_remembered_with_its_beginning() -> None:
    loop = Loop(duty(Turns(OSError("refused"))))
    await loop.turn()
    since = loop.failing_since
    await loop.turn()
    assert since is not None
    assert (loop.failing_since, loop.message, loop.last_success) == (since, "refused", None)


async def test_a_duty_without_anything_to_do_yet_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    loop = Loop(duty(Turns(NotYetError("no schema yet"))))
    await loop.turn()
    assert (loop.failing_since, loop.message, caplog.messages) == (None, "no schema yet", [])


async def test_a_turn_that_hangs_fails_at_its_deadline() -> None:
    loop = Loop(duty(asyncio.Event().wait, limit_seconds=0.05))
    await loop.turn()
    assert loop.message == "no answer within 0.05 s"


async def test_a_woken_loop_does_its_duty_at_once() -> None:
    turns = Turns(None)
    loop = Loop(duty(turns))
    running = asyncio.create_task(loop.run())
    await turns.changed.wait()
    turns.changed.clear()
    loop.wake()
    await asyncio.wait_for(turns.changed.wait(), 5)
    running.cancel()
    assert turns.done == 2


@pytest.mark.parametrize("steps", range(5))
async def test_a_loop_that_is_woken_while_it_is_stopped_ends_nonetheless(steps: int) -> None:
    loop = Loop(duty(Turns(None)))
    running = asyncio.create_task(loop.run())
    await asyncio.sleep(0.05)
    loop.wake()
    for _ in range(steps):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait({running}, timeout=2)
    assert running.cancelled()


async def test_one_failing_loop_does_not_end() -> None:
    turns = Turns(ValueError("unexpected"))
    running = asyncio.create_task(Loop(duty(turns, period_seconds=0.01)).run())
    while turns.done < 3:
        turns.changed.clear()
        await asyncio.wait_for(turns.changed.wait(), 5)
    assert not running.done()
    running.cancel()


async def test_a_loop_is_stuck_when_its_turn_does_not_end_and_not_when_it_fails() -> None:
    now = 0.0
    loop = Loop(duty(Turns(OSError("refused")), period_seconds=10, limit_seconds=5), lambda: now)
    loops = Loops((loop,))
    now = 100.0
    await loop.turn()
    now += 15 + STUCK_MARGIN_SECONDS
    assert loops.stuck == ()
    now += 7
    assert loops.stuck == ("heartbeat is overdue by 7 s",)


def test_a_broken_connection_is_told_without_libpqs_guess_at_the_cause() -> None:
    error = OSError(
        "connection failed: server closed the connection unexpectedly\n"
        "\tThis probably means the server terminated abnormally\n"
        "\tbefore or while processing the request."
    )
    assert sentence(error) == "connection failed: server closed the connection unexpectedly"
