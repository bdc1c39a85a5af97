"""The PodDisruptionBudget of a cluster: nodes may be drained, but never two sites at once."""

from multiserver.resources.blueprint import Blueprint
from multiserver.resources.objects import Object, named


def disruption_budget(blueprint: Blueprint) -> Object:
    """Build one budget for all sites. A pod that is not ready may always be evicted: it serves no one."""
    return named(
        "policy/v1/PodDisruptionBudget",
        blueprint.names.disruption_budget,
        blueprint.cluster,
        component="server",
        spec={
            # Not maxUnavailable, for which a site without any pod counts as none that is away.
            "minAvailable": len(blueprint.members) - 1,
            "selector": {"matchLabels": blueprint.names.selector()},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    )
