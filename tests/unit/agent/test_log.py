import asyncio

from multiserver.agent.log import leave_out_late_answers


async def test_an_answer_that_comes_as_its_reader_is_cancelled_is_not_logged(caplog):
    await break_a_callback(asyncio.InvalidStateError())
    assert not caplog.records


async def test_whatever_else_breaks_in_a_callback_is_logged(caplog):
    await break_a_callback(ZeroDivisionError())
    assert "ZeroDivisionError" in caplog.text


async def break_a_callback(error: Exception) -> None:
    def callback() -> None:
        raise error

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(leave_out_late_answers)
    loop.call_soon(callback)
    await asyncio.sleep(0)
