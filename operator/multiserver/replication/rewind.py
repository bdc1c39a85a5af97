"""Whether a site was put back in time, by an old snapshot of its volume or a restored backup, and what it does then.

A rewound site is the worst of traps: its peers remember a later position in its log than it has, so everything that it
writes until it has passed that position would silently never reach them. Peers can tell: they know how far they have
got with it.
"""

from multiserver.postgres.connect import Connection
from multiserver.replication.leave import end_sessions


async def rewound_incarnation(own: Connection, peer: Connection, own_number: int) -> str | None:
    """Ask a peer, as multiserver_peer, how it knows this site.

    Returns the incarnation that this site has to give up, since the peer knows a later state of it; None if it has not
    to. Raises DatabaseError.
    """
    known = await peer.rows(
        "select incarnation::text, run, sent_lsn::text, applied_lsn::text, promised"
        " from multiserver.known_position(%s)",
        [own_number],
    )
    position = known[0] if known else dict.fromkeys(("incarnation", "run", "sent_lsn", "applied_lsn", "promised"))
    is_rewound = await own.value(
        "select multiserver.is_rewound(%(incarnation)s, %(run)s, %(sent_lsn)s, %(applied_lsn)s, %(promised)s)", position
    )
    return str(await own.value("select multiserver.incarnation()")) if is_rewound else None


async def renounce(own: Connection, incarnation: str) -> bool:
    """Stop being the site that peers know: a new incarnation, closed until it has fetched all that it lacks.

    Returns whether this was still the incarnation to give up. Raises DatabaseError, or NotReady while a session of the
    application does not end.
    """
    renounced = bool(await own.value("select multiserver.renounce(%s)", [incarnation]))
    await end_sessions(own)
    return renounced
