"""The number ranges that the resource declares for a site's sequences.

They are told to the site by name before a sequence exists, so that they hold from its first number. A sequence that is
not declared draws from its site's block (replication/sql/13_number_ranges.sql).
"""

from collections.abc import Iterable, Mapping

from psycopg.types.json import Jsonb

from multiserver.api.spec import NumberRange
from multiserver.postgres.connect import Connection

DeclaredRanges = Mapping[str, tuple[int, int]]
"""First and last number by sequence, for example public.patient_number; the sequence need not exist yet."""


def declared_for(site: str, ranges: Iterable[NumberRange]) -> dict[str, tuple[int, int]]:
    """Give what the resource declares for one site."""
    own = ((declared.sequence, declared.ranges.get(site)) for declared in ranges)
    return {sequence: (numbers.from_, numbers.to) for sequence, numbers in own if numbers}


async def ensure_declared(connection: Connection, ranges: DeclaredRanges) -> bool:
    """Tell a site its ranges, and confine the sequences that exist; give whether anything changed.

    Raises StatementFailed (MS020), and changes nothing, if a sequence has already gone past its range.
    """
    document = {sequence: {"from": first, "to": last} for sequence, (first, last) in ranges.items()}
    return bool(await connection.value("select multiserver.declare_number_ranges(%s)", [Jsonb(document)]))
