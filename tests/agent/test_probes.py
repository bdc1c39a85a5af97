from datetime import UTC, datetime, timedelta

from multiserver.api.report import LinkState
from tests.agent.sites import Mesh, Site, running
from tests.agent.waiting import all_connected, peer, wait_until

NOTICED_SECONDS = 15.0
"""How long a cut may go unnoticed on a machine that has other things to do too; the agent gives up after 3 s."""


async def test_each_peer_is_unknown_first_and_then_connected_with_ping_and_offset(berlin: Site) -> None:
    async with running(berlin) as (agent,):
        assert peer(agent, "hamburg").state is LinkState.UNKNOWN
        await all_connected(agent)
        seen = peer(agent, "hamburg")
    assert seen.ping_milliseconds is not None
    assert 0 < seen.ping_milliseconds < 1000
    assert seen.clock_offset_milliseconds is not None
    assert abs(seen.clock_offset_milliseconds) < 100
    assert seen.last_ping is not None
    assert datetime.now(UTC) - seen.last_ping < timedelta(seconds=5)


async def test_a_refused_line_is_noticed_and_leaves_the_other_alone(berlin: Site) -> None:
    async with running(berlin) as (agent,):
        await all_connected(agent)
        cut_at = datetime.now(UTC)
        berlin.lines["hamburg"].cut()
        await wait_until(
            lambda: peer(agent, "hamburg").state is LinkState.CUT_OFF, "hamburg is cut off", NOTICED_SECONDS
        )
        cut, other = peer(agent, "hamburg"), peer(agent, "leipzig")
        assert cut.since is not None
        assert cut_at <= cut.since <= datetime.now(UTC)
        assert cut.message
        assert cut.ping_milliseconds is None
        assert other.state is LinkState.CONNECTED
        berlin.lines["hamburg"].heal()
        await wait_until(lambda: peer(agent, "hamburg").state is LinkState.CONNECTED, "hamburg is back")
        assert peer(agent, "hamburg").message == ""


async def test_a_line_that_swallows_everything_is_noticed_too(berlin: Site) -> None:
    async with running(berlin) as (agent,):
        await all_connected(agent)
        berlin.lines["hamburg"].silence()
        await wait_until(
            lambda: peer(agent, "hamburg").state is LinkState.CUT_OFF, "hamburg is cut off", NOTICED_SECONDS
        )
        first = peer(agent, "hamburg")
        assert first.message == "no answer within 3 s"

        def has_failed_again() -> bool:
            seen = peer(agent, "hamburg")
            return seen.state is LinkState.CUT_OFF and seen.message != first.message

        await wait_until(has_failed_again, "an attempt to connect again has failed")
        assert peer(agent, "hamburg").since == first.since
        assert peer(agent, "leipzig").state is LinkState.CONNECTED
        berlin.lines["hamburg"].heal()
        await wait_until(lambda: peer(agent, "hamburg").state is LinkState.CONNECTED, "hamburg is back")


async def test_a_peer_that_leaves_is_probed_no_more_and_one_that_joins_is(mesh: Mesh, berlin: Site) -> None:
    both = mesh.config(berlin)
    async with running(berlin) as (agent,):
        await all_connected(agent)
        berlin.write(
            berlin.tree.paths.site_config, mesh.config(berlin, ["berlin", "hamburg"]).model_dump_json(by_alias=True)
        )
        await wait_until(lambda: [p.name for p in agent.report().peers] == ["hamburg"], "leipzig has left")
        berlin.write(berlin.tree.paths.site_config, both.model_dump_json(by_alias=True))
        await wait_until(lambda: len(agent.report().peers) == 2, "leipzig has joined")
        await all_connected(agent)
