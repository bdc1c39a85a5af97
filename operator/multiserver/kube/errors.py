"""What can go wrong between the operator and the API server, in five kinds that the control loop treats differently.

KubernetesError
├── NotFoundError       the object does not exist
├── ConflictError       it changed meanwhile, or exists already: look again
├── RefusedError        the API server says no: trying again unchanged cannot help
│   └── NameTakenError  an object of this name belongs to someone else
└── UnreachableError    no answer, or one that says nothing: try again later
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import ClientError
from kubernetes.aio.client.exceptions import ApiException

_LATER = frozenset({408, 429})


class KubernetesError(Exception):
    """A call to the API server that failed; its text says which and why."""


class NotFoundError(KubernetesError):
    """The object does not exist."""


class ConflictError(KubernetesError):
    """The object changed meanwhile, or exists already."""


class RefusedError(KubernetesError):
    """The API server refuses the request; unchanged it always will."""


class NameTakenError(RefusedError):
    """An object of this name belongs to someone else."""


class UnreachableError(KubernetesError):
    """The API server gives no usable answer at present."""


@asynccontextmanager
async def translated(action: str, timeout_seconds: float) -> AsyncIterator[None]:
    """Bound a call by a deadline and turn its failures into the errors of this module.

    `action` is what is tried, in words that follow "cannot", for example "apply Service lab".
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            yield
    except ApiException as error:
        raise _from_answer(action, error) from error
    except TimeoutError as error:
        text = f"cannot {action}: the API server gave no answer within {timeout_seconds:g} s"
        raise UnreachableError(text) from error
    except (ClientError, OSError) as error:
        raise UnreachableError(f"cannot {action}: the API server is not reached: {error}") from error


def _from_answer(action: str, error: ApiException) -> KubernetesError:
    text = f"cannot {action}: {_message(error)}"
    if error.status == 404:
        return NotFoundError(text)
    if error.status == 409:
        return ConflictError(text)
    if error.status in _LATER or not 400 <= error.status < 500:
        return UnreachableError(text)
    return RefusedError(text)


def _message(error: ApiException) -> str:
    """Give the API server's own sentence, or what is left if a proxy answered in its place."""
    try:
        message = json.loads(error.body or "")["message"]
    except (TypeError, ValueError, KeyError):
        message = error.reason
    return f"{message} (HTTP {error.status})"
