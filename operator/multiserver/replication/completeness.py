"""Whether a site has everything that a peer ever had to send, and how a pull makes it so.

The agent asks a peer for `PeerFacts`, asks its own database `is_complete`, and if not, whether a pull may help
(`refuse_beyond_repair`), pulls the difference from the peer and calls `note_pull` with the same facts and the moment
before the pull.
"""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from multiserver.postgres.connect import Connection


class PeerFacts(BaseModel):
    """What a peer says of itself, as far as its link to the site that asks is concerned."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    server_number: int
    incarnation: str
    schema_version: int
    is_open: bool
    slot_birth: str | None
    """None while the peer has no slot for the site that asks which still keeps everything."""
    from_start: bool
    """The slot was made before the peer opened for the first time: nothing can be missing behind it."""
    receives_from: tuple[int, ...] = ()
    """Whom the peer has subscriptions to."""
    collected_horizon: int = 0
    """The version up to which the peer may have forgotten deletions."""


async def ask_peer(peer: Connection, own_number: int) -> PeerFacts | None:
    """Ask a peer, as multiserver_peer; None if it was not told its number yet. Raises DatabaseError."""
    rows = await peer.rows(
        "select server_number, incarnation::text, schema_version, is_open, slot_birth::text, from_start, receives_from,"
        " collected_horizon"
        " from multiserver.peer_facts(%s)",
        [own_number],
    )
    return PeerFacts.model_validate(rows[0]) if rows else None


async def is_complete(own: Connection, facts: PeerFacts) -> bool:
    """Tell whether the own database has all of the peer. Raises DatabaseError."""
    return bool(
        await own.value(
            "select multiserver.link_is_complete(%s, %s, %s, %s)",
            [facts.server_number, facts.incarnation, facts.slot_birth, facts.from_start],
        )
    )


async def refuse_beyond_repair(own: Connection, facts: PeerFacts) -> None:
    """Raise DatabaseError, MS022, if the own database was put back so far that a pull cannot find what it lacks."""
    await own.execute("select multiserver.refuse_beyond_repair(%s, %s)", [facts.server_number, facts.collected_horizon])


async def note_pull(own: Connection, facts: PeerFacts, began: datetime) -> bool:
    """Note that everything was pulled from the peer; `began` is a moment before the pull, by the own database's clock.

    Returns whether the link is complete now: a doubt that came up during the pull asks for another one, and so does a
    peer that still received from a site that has left. Raises DatabaseError, among them MS022: the own database was put
    back so far that comparing cannot find what it lacks.
    """
    return bool(
        await own.value(
            "select multiserver.complete_link(%s, %s, %s, %s, %s, %s)",
            [
                facts.server_number,
                facts.incarnation,
                facts.slot_birth,
                list(facts.receives_from),
                facts.collected_horizon,
                began,
            ],
        )
    )
