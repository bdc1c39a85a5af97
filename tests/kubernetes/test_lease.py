"""Leadership by a real Lease."""

import asyncio

from multiserver.kube.lease import Lease, lead


def lease(namespace: str, identity: str) -> Lease:
    return Lease(namespace, "operator", identity, duration_seconds=2, renew_seconds=0.2)


async def test_the_second_works_when_the_first_gives_back(kubernetes, namespace):
    first_works, second_works, first_ends = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def first() -> None:
        first_works.set()
        await first_ends.wait()

    async def second() -> None:
        second_works.set()

    leading = asyncio.create_task(lead(kubernetes, lease(namespace, "first"), first))
    await asyncio.wait_for(first_works.wait(), 10)
    waiting = asyncio.create_task(lead(kubernetes, lease(namespace, "second"), second))
    # Longer than the Lease lasts: it is renewed.
    await asyncio.sleep(3)
    assert not second_works.is_set()
    stored = await kubernetes.get("Lease", namespace, "operator")
    assert stored["spec"]["holderIdentity"] == "first"
    first_ends.set()
    await asyncio.wait_for(asyncio.gather(leading, waiting), 10)
    assert second_works.is_set()
    stored = await kubernetes.get("Lease", namespace, "operator")
    assert (stored["spec"]["holderIdentity"], stored["spec"]["leaseTransitions"]) == ("", 1)
