"""Who may ask the agent for what. Pure.

A caller is known by the common name of its certificate. The name can be believed because only certificates that the
operator put into the bundle are accepted at all: no one can make one with another's name.
"""

from enum import StrEnum

from multiserver.api.names import OPERATOR_CERTIFICATE_NAME, SITE_CERTIFICATE_PREFIX


class Kind(StrEnum):
    """What a caller is to this site."""

    OPERATOR = "operator"
    OWN_SITE = "own site"
    PEER = "peer"
    STRANGER = "stranger"


class Act(StrEnum):
    """What can be asked."""

    READ = "read the report"
    BACK_UP = "make or follow backups"
    VERIFY = "have rows compared"


ALLOWED: dict[Act, frozenset[Kind]] = {
    Act.READ: frozenset({Kind.OPERATOR, Kind.OWN_SITE, Kind.PEER}),
    Act.BACK_UP: frozenset({Kind.OPERATOR, Kind.OWN_SITE}),
    Act.VERIFY: frozenset({Kind.OPERATOR, Kind.OWN_SITE}),
}


def kind_of(common_name: str | None, own_site: str) -> Kind:
    """Tell what the caller with this common name is to `own_site`."""
    if common_name == OPERATOR_CERTIFICATE_NAME:
        return Kind.OPERATOR
    if common_name is None or not common_name.startswith(SITE_CERTIFICATE_PREFIX):
        return Kind.STRANGER
    site = common_name.removeprefix(SITE_CERTIFICATE_PREFIX)
    return Kind.OWN_SITE if site == own_site else Kind.PEER


def refusal(common_name: str | None, act: Act, own_site: str) -> str:
    """Say why the caller may not do this; empty if it may."""
    kind = kind_of(common_name, own_site)
    if kind in ALLOWED[act]:
        return ""
    allowed = " and ".join(sorted(ALLOWED[act]))
    return f"{common_name or 'a caller without a name'} ({kind} of {own_site}) may not {act}; that is for: {allowed}"
