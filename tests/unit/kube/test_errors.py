import asyncio

import pytest
from aiohttp import ClientConnectionError
from kubernetes.aio.client.exceptions import ApiException

from multiserver.kube.errors import ConflictError, NotFoundError, RefusedError, UnreachableError, translated


def answer(status: int, body: str | None = '{"message": "the server says no"}', reason: str = "") -> ApiException:
    error = ApiException(status=status, reason=reason)
    error.body = body
    return error


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, RefusedError),
        (401, RefusedError),
        (403, RefusedError),
        (404, NotFoundError),
        (409, ConflictError),
        (422, RefusedError),
        (429, UnreachableError),
        (500, UnreachableError),
        (503, UnreachableError),
    ],
)
async def test_an_answer_becomes_the_error_that_says_what_to_do_and_keeps_the_servers_words(status, expected):
    with pytest.raises(expected, match=f"cannot apply Service lab: the server says no .HTTP {status}."):
        async with translated("apply Service lab", 1):
            raise answer(status)


@pytest.mark.parametrize("body", [None, "", "<html>", "[]", '{"other": 1}'])
async def test_a_proxys_answer_is_told_as_far_as_it_goes(body):
    with pytest.raises(UnreachableError, match="Bad Gateway"):
        async with translated("apply Service lab", 1):
            raise answer(502, body, "Bad Gateway")


@pytest.mark.parametrize("error", [ClientConnectionError("refused"), OSError("refused")])
async def test_a_server_that_is_not_reached_says_so(error):
    with pytest.raises(UnreachableError, match="the API server is not reached: refused"):
        async with translated("apply Service lab", 1):
            raise error


async def test_a_server_that_is_silent_is_given_up_at_the_deadline():
    with pytest.raises(UnreachableError, match=r"no answer within 0\.01 s"):
        async with translated("apply Service lab", 0.01):
            await asyncio.Event().wait()


async def test_a_fault_of_our_own_is_no_error_of_the_server():
    with pytest.raises(ZeroDivisionError):
        async with translated("apply Service lab", 1):
            raise ZeroDivisionError
