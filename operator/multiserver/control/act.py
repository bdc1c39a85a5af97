"""Doing what the plan says. Each action is small and may be repeated; a failure is a finding, not an end."""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from multiserver.api.names import Names
from multiserver.api.spec import Cluster
from multiserver.control.plan import Plan
from multiserver.control.plan import actions as do
from multiserver.control.plan.links import conninfo_to
from multiserver.control.sites import MAINTENANCE_DATABASE, Sites
from multiserver.health.view import ActionFailure
from multiserver.identity import certificates
from multiserver.identity.passwords import make_passphrase, make_password
from multiserver.kube.client import Kubernetes
from multiserver.kube.errors import KubernetesError, RefusedError
from multiserver.numbers.declared import declared_for, ensure_declared
from multiserver.postgres.deadlines import within
from multiserver.postgres.errors import AccessRefused, DatabaseError, StatementFailed, Unavailable
from multiserver.replication import install, leave, links, slots, subscriptions
from multiserver.replication.local_tables import ensure_local_tables
from multiserver.resources import secrets
from multiserver.resources.blueprint import Blueprint

log = logging.getLogger(__name__)

SITE_SECONDS_MAX = 60.0
"""How long a site's actions may take in one round, so that the round ends and tells what was seen."""


@dataclass(frozen=True)
class Done:
    """What came of a round's actions."""

    changed: bool
    """Whether anything was changed, so that the next look should come at once."""
    failures: tuple[ActionFailure, ...]
    waiting: tuple[str, ...]
    """Actions that wait for a peer, in words with the reason; that is no failure."""


class Actor:
    """Does the actions of one cluster's plan."""

    def __init__(
        self, kubernetes: Kubernetes, cluster: Cluster, sites: Sites | None, blueprint: Blueprint | None
    ) -> None:
        self._kubernetes = kubernetes
        self._cluster = cluster
        self._sites = sites
        self._blueprint = blueprint
        self._changed = False
        self._failures: list[ActionFailure] = []
        self._waiting: list[str] = []

    async def run(self, plan: Plan) -> Done:
        """Do the cluster's actions, then those of all sites side by side; if one fails, only those in databases."""
        is_done = await self._sequence(None, plan.cluster)
        async with asyncio.TaskGroup() as group:
            for site, actions in plan.sites.items():
                possible = [action for action in actions if is_done or isinstance(action, do.DatabaseAction)]
                group.create_task(self._bounded(site, possible))
        return Done(self._changed, tuple(self._failures), tuple(self._waiting))

    async def _bounded(self, site: str, actions: Iterable[do.Action]) -> None:
        """Do a site's actions for so long at the most; what is left comes in the next round."""
        try:
            await within(SITE_SECONDS_MAX, self._sequence(site, actions))
        except TimeoutError:
            why = f"not everything could be done within {SITE_SECONDS_MAX:g} s"
            self._failures.append(ActionFailure(site, f"bring {site} to what is declared", why, refused=False))

    async def _sequence(self, site: str | None, actions: Iterable[do.Action]) -> bool:
        """Do actions in order until one fails; give whether the last one was reached.

        An object that is not as declared keeps no database from anything, but all other objects: they may need it. A
        peer that is waited for holds up no other, and a volume that cannot grow still serves.
        """
        are_objects_done = True
        for action in actions:
            if not are_objects_done and not isinstance(action, do.DatabaseAction):
                continue
            try:
                changed = await self._do(action)
            except links.NotReady as reason:
                self._waiting.append(f"{action.words}: {reason}")
                if isinstance(action, do.Subscribe | do.Resubscribe | do.ForgetSite):
                    continue
                return False
            except (KubernetesError, DatabaseError, install.CannotUpgrade) as error:
                self._failures.append(ActionFailure(site, action.words, str(error), _is_refusal(error)))
                if isinstance(action, do.DatabaseAction):
                    return False
                are_objects_done &= _is_growth(action)
                continue
            if changed:
                log.info("%s/%s: %s", self._cluster.namespace, self._cluster.name, action.words)
            self._changed |= changed
        return are_objects_done

    async def _do(self, action: do.Action) -> bool:
        """Do one action; give whether it changed something."""
        match action:
            case do.Apply(desired=desired):
                live = dict(action.live) if action.live else None
                applied = await self._kubernetes.apply(desired, live)
                return applied.drift != ""
            case do.Delete(live=live) | do.RestartPod(pod=live):
                await self._kubernetes.delete(live)
                return True
            case do.MakeSiteKeys() | do.MakeOperatorKeys() | do.MakeApplicationPassword() | do.MakeBackupPassphrase():
                return await self._kubernetes.create_once(_secret(self._cluster, action))
            case do.InstallEngine(site=site):
                return await self._install(site)
            case _:
                return await self._in_database(action)

    async def _install(self, site: str) -> bool:
        sites, database = self._reach(), self._cluster.spec.database
        async with sites.connect(site, MAINTENANCE_DATABASE) as connection:
            changed = await install.ensure_roles(connection, database.owner)
            changed |= await install.ensure_database(connection, database.name, database.owner)
        async with sites.connect(site) as connection:
            return await install.ensure_engine(connection) or changed

    async def _in_database(self, action: do.Action) -> bool:
        """Do an action that needs the application's database of a site."""
        blueprint = self._planned()
        match action:
            case do.ConfigureSite(site=site, also=also):
                numbers = {plan.server_number: plan.name for plan in blueprint.members} | dict(also)
                schema_site = blueprint.plan(blueprint.schema_site).server_number
                async with self._reach().connect(site) as connection:
                    changed = await links.ensure_site(connection, _number(blueprint, site), schema_site, numbers)
                    patterns = self._cluster.spec.schema_.local_tables
                    return await ensure_local_tables(connection, patterns) or changed
            case do.MakeSlot(site=site, peer=peer) | do.ReplaceSlot(site=site, peer=peer):
                async with self._reach().connect(site) as connection:
                    return await slots.ensure_slot(connection, _number(blueprint, peer))
            case do.SetRanges(site=site):
                ranges = declared_for(site, self._cluster.spec.number_ranges)
                async with self._reach().connect(site) as connection:
                    return await ensure_declared(connection, ranges)
            case do.OpenSite(site=site, complete_with=complete_with):
                peers = [plan.server_number for plan in blueprint.sites if plan.name != site]
                complete = [_number(blueprint, name) for name in complete_with]
                async with self._reach().connect(site) as connection:
                    return await links.ensure_open(connection, peers, complete)
            case do.CloseSite(site=site):
                async with self._reach().connect(site) as connection:
                    return await leave.ensure_closed(connection)
            case do.ForgetSite(site=site, number=number):
                async with self._reach().connect(site) as connection:
                    return await leave.ensure_forgotten(connection, number)
            case (
                do.Subscribe(site=site, peer=peer, incarnation=known)
                | do.Resubscribe(site=site, peer=peer, incarnation=known)
            ):
                return await self._subscribe(blueprint, site, peer, known)
        raise TypeError(f"unknown action {action!r}")

    async def _subscribe(self, blueprint: Blueprint, site: str, peer: str, incarnation: str | None) -> bool:
        """Subscribe a site to a peer. Raises NotReady while the peer is cut off or not made yet."""
        if incarnation is None:
            raise links.NotReady(f"{peer} does not answer yet")
        conninfo = conninfo_to(blueprint, blueprint.plan(site), blueprint.plan(peer))
        try:
            async with self._reach().connect(site) as connection:
                return await subscriptions.ensure_subscription(
                    connection, _number(blueprint, peer), conninfo, incarnation
                )
        except (Unavailable, AccessRefused) as error:
            # The site itself serves all the same.
            raise links.NotReady(str(error)) from error

    def _reach(self) -> Sites:
        assert self._sites is not None, "database actions are planned only once the operator's keys exist"
        return self._sites

    def _planned(self) -> Blueprint:
        assert self._blueprint is not None, "database actions are planned only from a blueprint"
        return self._blueprint


def _is_refusal(error: Exception) -> bool:
    """Whether trying again unchanged cannot help."""
    if isinstance(error, StatementFailed):
        return not error.is_passing
    return isinstance(error, RefusedError | install.CannotUpgrade)


def _is_growth(action: do.Action) -> bool:
    """Whether the action changes a volume that is there; many a StorageClass refuses that."""
    return isinstance(action, do.Apply) and action.desired["kind"] == "PersistentVolumeClaim" and bool(action.live)


def _number(blueprint: Blueprint, site: str) -> int:
    return blueprint.plan(site).server_number


def _secret(cluster: Cluster, action: do.Action) -> dict[str, object]:
    """Make the keys or the password, and the Secret around them."""
    match action:
        case do.MakeSiteKeys(site=site, server_number=number):
            tls = certificates.make_site(Names(cluster.name, cluster.namespace), site)
            return secrets.site_identity(cluster, site, number, tls, certificates.make_syncthing())
        case do.MakeOperatorKeys():
            return secrets.operator_identity(cluster, certificates.make_operator())
        case do.MakeApplicationPassword():
            return secrets.application_password(cluster, make_password())
        case do.MakeBackupPassphrase():
            return secrets.backup_passphrase(cluster, make_passphrase())
    raise TypeError(f"unknown action {action!r}")
