"""Which server number each site has."""

from collections.abc import Mapping

from multiserver.api.spec import SERVER_NUMBER_MAX, Site


class NumbersConflictError(ValueError):
    """A declared server number contradicts the one a site has for good; the sentence names both."""


def assign(sites: list[Site], recorded: Mapping[str, int]) -> dict[str, int]:
    """Give every site its server number: the recorded one, else the declared one, else the least free one.

    `recorded` holds the numbers of all keys ever made in this cluster's name, also of sites that are gone: a number is
    never reused. Raises NumbersConflictError if a site declares another number than it has, or one that another has.
    """
    numbers = dict(recorded)
    for site in sites:
        if site.server_number is None:
            continue
        has = recorded.get(site.name, site.server_number)
        if has != site.server_number:
            raise NumbersConflictError(
                f"site {site.name} has server number {has} for good; its keys are kept from before. "
                f"Declare serverNumber: {has}, or none, instead of {site.server_number}"
            )
        holder = next((name for name, number in recorded.items() if number == has and name != site.name), None)
        if holder:
            raise NumbersConflictError(
                f"server number {has} of site {site.name} is taken by {holder}: declare another one"
            )
        numbers[site.name] = has
    for site in sites:
        if site.name not in numbers:
            numbers[site.name] = _least_free(set(numbers.values()))
    return {site.name: numbers[site.name] for site in sites}


def _least_free(taken: set[int]) -> int:
    for number in range(1, SERVER_NUMBER_MAX + 1):
        if number not in taken:
            return number
    raise NumbersConflictError(f"all {SERVER_NUMBER_MAX} server numbers are used; a number is never reused")
