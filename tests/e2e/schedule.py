"""Which tests stay together when several processes run them."""

from xdist.scheduler import LoadScopeScheduling

CLUSTERS_OF_THEIR_OWN = {
    "test_delete_and_apply",
    "test_join_leave",
    "test_lives_operator_killed",
    "test_operator_killed",
    "test_repair",
    "test_single_site",
}
"""Files that use neither the shared cluster nor the quiet one."""


class Schedule(LoadScopeScheduling):
    """Each file with clusters of its own goes to the next idle process; all others to one, in their order."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0].rsplit("/", 1)[-1].removesuffix(".py")
        return file if file in CLUSTERS_OF_THEIR_OWN else "shared"
