"""A scenario: the numbers that one seed draws, and the faults that follow from them. Pure: one seed, one plan.

Every kind of fault is a count in one frozen record. What each fault is (which sites, when, how long) is drawn from the
seed, the kind and its index alone, so taking one away leaves all others as they were: that is what lets a failing
scenario shrink (shrink.py).
"""

import json
from dataclasses import asdict, dataclass, fields, replace
from random import Random

LONGEST_SKEW_SECONDS = 600.0
SLOWEST_LINK_SECONDS = 0.15
SCHEMA_SITE = 1


@dataclass(frozen=True)
class Scenario:
    """How many of what. The fields after `keys` count faults by kind."""

    seed: int
    sites: int = 3
    clients: int = 2
    """Concurrent clients at each site."""
    transactions: int = 20
    """Transactions of each client."""
    keys: int = 8
    """So many keys of each table are fought over; fewer keys, more conflicts."""
    cuts: int = 0
    """One direction between two sites refuses connections and ends the present ones."""
    partings: int = 0
    """Both directions between two sites are cut."""
    isolations: int = 0
    """One site is cut from all others, both ways."""
    hangs: int = 0
    """One direction goes silent without closing a connection."""
    slow_links: int = 0
    """One direction delays everything it carries."""
    kills: int = 0
    """A server is killed as by a power failure, and stays away for a while."""
    skews: int = 0
    """A clock is wrong by up to ten minutes, either way, for a while."""
    schema_changes: int = 0
    """Columns, tables and indexes come and go at the schema site."""
    lost_slots: int = 0
    """A site loses what it keeps for a peer; the peer must pull."""
    refusals: int = 0
    """One site alone has a CHECK that refuses some rows for a while, those of clients and those of peers."""
    collections: int = 0
    """All sites forget what they need no longer, with no margin."""
    joins: int = 0
    """A further site joins, copied from a donor, and its clients begin."""
    leaves: int = 0
    """A site is closed, hands over what it wrote, and goes for good."""
    lost_volumes: int = 0
    """A site's data is gone, once a peer has all that it wrote; it is filled again from a peer."""
    rewinds: int = 0
    """A site's data of an earlier moment is put back, once a peer has all that it wrote since."""

    @classmethod
    def draw(cls, seed: int, longest: int = 30) -> "Scenario":
        """Return the scenario of a seed, its clients with at most `longest` transactions."""
        dice = Random(f"{seed} scenario")
        counts = {kind: dice.choice((0, 0, 1, 2, 3)) for kind in FAULTS if kind not in MEMBERSHIP}
        return cls(
            seed,
            sites=dice.choice((3, 3, 3, 4, 5)),
            clients=dice.choice((1, 2, 3)),
            transactions=dice.randint(longest // 2, longest),
            keys=dice.choice((3, 6, 12)),
            **counts,
            **draw_membership(seed),
        )

    @classmethod
    def read(cls, text: str) -> "Scenario":
        """Return the scenario that `str` wrote."""
        return cls(**json.loads(text))

    def __str__(self) -> str:
        return json.dumps({name: value for name, value in asdict(self).items() if value or name not in FAULTS})

    def count(self, kind: str) -> int:
        return int(getattr(self, kind))


FAULTS = tuple(field.name for field in fields(Scenario))[5:]
MEMBERSHIP = ("joins", "leaves", "lost_volumes", "rewinds")
"""The kinds that the keeper brings about; they take long, so few histories have one."""
ONE_IN = 3
EARLY = 0.6
"""They begin and end earlier than others by this factor, so that clients work meanwhile and afterwards."""


def draw_membership(seed: int) -> dict[str, int]:
    """Return what befalls the membership, by a dice of its own, so that all else of a seed stays as it is."""
    dice = Random(f"{seed} membership")
    return {dice.choice(MEMBERSHIP): dice.choice((1, 1, 2))} if dice.randrange(ONE_IN) == 0 else {}


@dataclass(frozen=True)
class Fault:
    """Something that befalls the mesh while the clients' work is between two fractions of its whole."""

    kind: str
    begins: float
    ends: float
    sites: tuple[int, ...]
    """The sites concerned; of a link first the receiver, then the sender."""
    amount: float = 0.0
    """Seconds of skew or delay."""


def schedule(scenario: Scenario) -> tuple[Fault, ...]:
    """Return the scenario's faults in the order of their beginning."""
    faults = [draw_fault(scenario, kind, n) for kind in FAULTS for n in range(scenario.count(kind))]
    return tuple(sorted(faults, key=lambda fault: fault.begins))


def draw_fault(scenario: Scenario, kind: str, index: int) -> Fault:
    """Return one fault, drawn from the seed, the kind and the index alone."""
    dice = Random(f"{scenario.seed} {kind} {index}")
    begins, lasts = dice.uniform(0.0, 0.9), dice.uniform(0.02, 0.5)
    amount = {
        "skews": dice.uniform(-1, 1) * LONGEST_SKEW_SECONDS,
        "slow_links": dice.uniform(0.01, 1) * SLOWEST_LINK_SECONDS,
    }
    sites = tuple(dice.sample(range(1, scenario.sites + 1), 2))
    if kind in MEMBERSHIP:
        begins, lasts = EARLY * begins, EARLY * lasts
    if kind == "joins":
        sites = (scenario.sites + 1 + index,)
    elif kind == "leaves" and sites[0] == SCHEMA_SITE:
        sites = sites[::-1]
    return Fault(kind, begins, min(begins + lasts, 1.0), sites, amount.get(kind, 0.0))


def without_faults(scenario: Scenario) -> Scenario:
    """Return the scenario with its transactions only."""
    return replace(scenario, **dict.fromkeys(FAULTS, 0))
