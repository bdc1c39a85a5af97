"""At which site the schema is changed, and that it stays there.

Invariant: once a site has opened, the schema site never changes. Its layouts number the columns as its own catalogue
does, and it alone knows what its peers were told of the schema; another site could not go on from there. So a site with
a lower number that joins does not take its place, and an edit of the resource that would move it is not followed.
"""

from collections.abc import Mapping

from multiserver.control.snapshot import Snapshot


class SchemaSiteGoneError(ValueError):
    """The schema site is not declared any more; the sentence says the way out."""


def known_schema_site(snapshot: Snapshot, numbers: Mapping[str, int]) -> str | None:
    """Give the schema site as opened databases, or the status, know it; None while no site was ever opened.

    `numbers` holds the numbers of all keys ever made, by site. Raises SchemaSiteGoneError.
    """
    names = {number: name for name, number in numbers.items()}
    told = [
        seen.database.schema_site
        for seen in snapshot.sites.values()
        if seen.database is not None and seen.database.opened_at is not None
    ]
    known = next((names[number] for number in told if number in names), snapshot.status.schema_site)
    if known is not None and known not in {site.name for site in snapshot.cluster.spec.sites}:
        raise SchemaSiteGoneError(
            f"{known} is the schema site and is not in spec.sites: put it back. Nothing is done until then; what runs "
            "goes on running"
        )
    return known


def why_not_moved(snapshot: Snapshot, known: str | None) -> str:
    """Say that the resource names another schema site than there is; empty if it does not."""
    declared = snapshot.cluster.spec.schema_.site
    if known is None or declared is None or declared == known:
        return ""
    return (
        f"spec.schema.site is {declared}, but the schema site is {known} and cannot change in this version: "
        f"set it to {known}, or remove it"
    )
