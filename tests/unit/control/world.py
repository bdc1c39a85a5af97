"""A world that the plan can be tried in: an API server, controllers, databases and agents, with just their rules.

It is plain memory, so a plan can be broken off after any action, and it checks the plan's invariants at every step:
no site opens without a slot for every peer or before it has what its peers have, none begins empty beside one that was
opened, and no serving site is stopped while another one does not serve.

Rows are names in a set. A slot holds those that its peer has not received; whatever else a site lacks, only its agent
can fetch. So a site that ends with all rows shows that the plan led it there.
"""

import json
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from multiserver.api.names import MANAGER, SITE_LABEL, Names
from multiserver.api.spec import Cluster
from multiserver.api.status import Status
from multiserver.control.act import Done
from multiserver.control.plan import CONTROLLER_REVISION_LABEL, plan
from multiserver.control.plan import actions as do
from multiserver.control.plan.joining import is_marked
from multiserver.control.plan.keys import blueprint_of
from multiserver.control.plan.links import conninfo_to
from multiserver.control.report import view_of
from multiserver.control.snapshot import SiteSeen, Snapshot
from multiserver.health.status import status
from multiserver.identity import certificates
from multiserver.kube.drift import marked
from multiserver.numbers.declared import declared_for
from multiserver.replication.install import engine_digest, engine_version
from multiserver.replication.links import link_name
from multiserver.replication.observe import (
    BrokenHistory,
    Completeness,
    DatabaseFacts,
    Heartbeat,
    Slot,
    Subscription,
)
from multiserver.resources import secrets
from multiserver.resources.blueprint import Blueprint

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SITE_IMAGE = "registry.example/site:1"
NEVER_NOTED = ("apiVersion", "kind", "name", "namespace", "uid")
"""What the API server notes of no manager: it names an object, and nobody changes it."""


@cache
def keys(kind: str, name: str) -> certificates.KeyPair:
    """Give keys, made once for all worlds: making them is slow."""
    names = Names("lab", "clinic")
    return {
        "site": lambda: certificates.make_site(names, name),
        "syncthing": certificates.make_syncthing,
        "operator": certificates.make_operator,
    }[kind]()


@dataclass
class KeptFor:
    """A slot: what a site keeps for a peer."""

    birth: str
    from_start: bool
    unsent: set[str] = field(default_factory=set)
    lost: bool = False


@dataclass
class Received:
    """What a site notes of a link from a peer, and its subscription."""

    incarnation: str
    birth: str | None = None
    doubted: bool = False
    conninfo: str | None = None
    """None without a subscription."""


@dataclass
class Database:
    """What is on a site's data volume."""

    system_id: str
    engine: str | None = None
    number: int | None = None
    incarnation: str | None = None
    schema_site: int | None = None
    sites: dict[int, str] = field(default_factory=dict)
    slots: dict[int, KeptFor] = field(default_factory=dict)
    links: dict[int, Received] = field(default_factory=dict)
    opened: bool = False
    closed: bool = False
    broken: str | None = None
    """How its history broke: copied or rewound."""
    complete_until: int | None = None
    """If it was put back in time and did not open since: up to when it has all events of all sites, in seconds."""
    collected: int = 0
    """Up to when it has forgotten deletions, in seconds."""
    must_begin_anew: bool = False
    """Whether it was found rewound and the server not restarted since."""
    ranges: dict[str, tuple[int, int]] = field(default_factory=dict)
    local_tables: tuple[str, ...] = ()
    heard: dict[int, str] = field(default_factory=dict)
    """System ids of the peers whose heartbeats arrived, by server number."""
    rows: set[str] = field(default_factory=set)

    @property
    def subscriptions(self) -> dict[int, str]:
        """Connection strings by server number."""
        return {number: link.conninfo for number, link in self.links.items() if link.conninfo}

    def facts(self) -> DatabaseFacts:
        """Give what the database says of itself."""
        return DatabaseFacts(
            observed_at=NOW,
            system_identifier=self.system_id,
            server_version="18.6",
            engine_version=self.engine,
            engine_digest=engine_digest() if self.engine == engine_version() else None,
            is_in_recovery=False,
            server_number=self.number,
            incarnation=self.incarnation,
            schema_site=self.schema_site,
            schema_version=0,
            sites=self.sites,
            opened_at=NOW if self.opened else None,
            closed_at=NOW if self.closed else None,
            closed_lsn="0/1" if self.closed else None,
            broken_history=self._broken_history(),
            collected_horizon=self.collected,
            log_must_begin_anew=self.must_begin_anew,
            owner_may_login=self.opened,
            slots=tuple(_slot(number, kept) for number, kept in sorted(self.slots.items())),
            subscriptions=tuple(
                Subscription(
                    name=link_name(n), enabled=True, conninfo=c, worker_active=True, last_message_at=NOW, apply_errors=0
                )
                for n, c in sorted(self.subscriptions.items())
            ),
            links=tuple(
                Completeness(
                    peer_number=number,
                    peer_incarnation=link.incarnation,
                    slot_birth=link.birth,
                    doubted_at=NOW if link.doubted else None,
                )
                for number, link in sorted(self.links.items())
            ),
            heartbeats=tuple(
                Heartbeat(server_number=n, sent_at=NOW, received_at=NOW, system_identifier=s, sent_lsn="0/0")
                for n, s in self.heard.items()
            ),
            sequences=(),
            declared_ranges=self.ranges,
            local_tables=self.local_tables,
            pending_restarts=(),
        )

    def _broken_history(self) -> BrokenHistory | None:
        if self.broken is None:
            return None
        until = self.complete_until
        moment = datetime.fromtimestamp(until, UTC) if until else None
        return BrokenHistory(
            how=self.broken, broken_at=NOW, donor_number=None, complete_until=until, complete_until_time=moment
        )


def _slot(number: int, kept: KeptFor) -> Slot:
    return Slot(
        peer_number=number,
        active=not kept.lost,
        wal_status="lost" if kept.lost else "reserved",
        confirmed_lsn=None if kept.lost else "0/0" if kept.unsent else "0/1",
        lag_bytes=len(kept.unsent),
        retained_bytes=len(kept.unsent),
        inactive_since=None,
        birth=kept.birth,
        from_start=kept.from_start,
    )


class World:
    """One cluster and everything around it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.status = Status()
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.volumes: dict[str, Database] = {}
        self.unready: set[str] = set()
        self.half_broken: set[str] = set()
        """Sites whose agent stops again and again while their server runs."""
        self.cut: set[str] = set()
        self.lines_stall = False
        """Whether nothing arrives anywhere although all answer."""
        self.volumes_can_grow = True
        self.refused: set[str] = set()
        """Actions, in words, that the API server refuses."""
        self._uids = 0

    @property
    def names(self) -> Names:
        """Names of the cluster's objects."""
        return Names(self.cluster.name, self.cluster.namespace)

    def snapshot(self) -> Snapshot:
        """Observe."""
        for site in self.all_sites:
            self._set_readiness(site)
        return Snapshot(
            now=NOW,
            cluster=self.cluster,
            status=self.status,
            objects=dict(self.objects),
            site_image=SITE_IMAGE,
            operator_namespace="multiserver-system",
            sites={site: self._seen(site) for site in self.all_sites},
        )

    @property
    def all_sites(self) -> tuple[str, ...]:
        """All sites that have, or will have, a server."""
        declared = {site.name for site in self.cluster.spec.sites}
        servers = [item for (kind, _), item in self.objects.items() if kind == "StatefulSet"]
        return tuple(sorted(declared | {server["metadata"]["labels"][SITE_LABEL] for server in servers}))

    def round(self, *, actions_done: int | None = None, only_in_databases: bool = False) -> bool:
        """Plan and do the first `actions_done` actions, or all; then let the rest work. Tells if anything changed.

        Only those in databases are done where the API server refuses what is shared.
        """
        whole = plan(self.snapshot())
        possible = [done for done in whole.actions if not only_in_databases or isinstance(done, do.DatabaseAction)]
        planned = possible[:actions_done]
        for action in planned:
            self.do(action, whole.blueprint)
        others = [self.controllers(), self.agents()]
        return bool(planned) or any(others)

    def settle(self, rounds: int = 40) -> None:
        """Let it run undisturbed until there is nothing to do."""
        for _ in range(rounds):
            if not self.round():
                return
        raise AssertionError(f"never at rest; still to do: {[a.words for a in plan(self.snapshot()).actions]}")

    def do(self, action: do.Action, blueprint: Blueprint | None = None) -> None:
        """Do an action as the real world would; what the real world refuses is an error here too.

        `blueprint` is what it was planned from; without it, what is there now.
        """
        if action.words in self.refused:
            return
        match action:
            case do.MakeSiteKeys(site=site, server_number=number):
                made = secrets.site_identity(self.cluster, site, number, keys("site", site), keys("syncthing", site))
                self._create_once(made)
            case do.MakeOperatorKeys():
                self._create_once(secrets.operator_identity(self.cluster, keys("operator", "")))
            case do.MakeApplicationPassword():
                self._create_once(secrets.application_password(self.cluster, "password"))
            case do.MakeBackupPassphrase():
                self._create_once(secrets.backup_passphrase(self.cluster, "passphrase"))
            case do.Apply(desired=desired):
                self._apply(desired)
            case do.Delete(live=live):
                self._delete(live)
            case do.RestartPod(pod=pod):
                self._check_restart(pod)
                self._delete(pod)
            case _:
                self._do_in_database(action, blueprint or blueprint_of(self.snapshot()))

    def controllers(self) -> bool:
        """Do what Kubernetes does: bind volumes, make pods; tell whether anything changed."""
        changed = False
        for (kind, name), item in list(self.objects.items()):
            if kind == "PersistentVolumeClaim" and "status" not in item:
                item["status"] = {"phase": "Bound"}
                changed = True
            if kind == "StatefulSet":
                changed |= self._make_pod(name, item)
        return changed

    def agents(self) -> bool:
        """Do what goes on between sites that reach each other: changes arrive, and agents fetch what is missing."""
        if self.lines_stall:
            return False
        before = deepcopy(self.volumes)
        for site in self.all_sites:
            for peer in self.all_sites:
                if site != peer and self._speaks(site) and self._speaks(peer):
                    _receive(self.volumes[site], self.volumes[peer])
                    _fetch(self.volumes[site], self.volumes[peer])
        return before != self.volumes

    def write(self, site: str, row: str) -> bool:
        """Have the application write a row; gives whether the site took it."""
        if not self._is_up(site) or not self.volumes[site].opened:
            return False
        self.volumes[site].rows.add(row)
        for kept in self.volumes[site].slots.values():
            if not kept.lost:
                kept.unsent.add(row)
        return True

    def lose_volume(self, site: str) -> None:
        """The content of the site's data volume is gone, and its pod starts anew."""
        self.volumes.pop(site, None)
        self.objects.pop(("Pod", self.names.pod(site)), None)

    def replace_volume(self, site: str) -> None:
        """The site's data volume is replaced by one with an empty database, as if by hand."""
        self.volumes[site] = Database(self._uid())

    def lose_slots(self, site: str) -> None:
        """The site gives up what it keeps for its peers, for the sake of its volume."""
        for kept in self.volumes[site].slots.values() if site in self.volumes else ():
            kept.unsent, kept.lost = set(), True

    def rewind(self, site: str, earlier: Database) -> None:
        """The site's volume is put back in time, and its agent notices that before the pod is ready."""
        database = deepcopy(earlier)
        if database.number is not None:
            database.incarnation, database.broken, database.must_begin_anew = self._uid(), "rewound", True
            database.closed, database.opened = database.opened or database.closed, False
            database.slots = {}
            for link in database.links.values():
                link.doubted = True
        self.volumes[site] = database

    def _make_pod(self, name: str, owner: dict[str, Any]) -> bool:
        revision = str(hash(str(owner["spec"]["template"])))
        changed = owner.get("status", {}).get("updateRevision") != revision
        owner["status"] = {"updateRevision": revision, "observedGeneration": owner["metadata"]["generation"]}
        site = owner["metadata"]["labels"][SITE_LABEL]
        if ("Pod", f"{name}-0") in self.objects:
            return self._prepare(site) or changed
        template = deepcopy(owner["spec"]["template"])
        metadata = {**template["metadata"], "name": f"{name}-0", "namespace": "clinic", "uid": self._uid()}
        metadata["labels"][CONTROLLER_REVISION_LABEL] = revision
        self.objects["Pod", f"{name}-0"] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": template["spec"],
        }
        self._begin_anew_if_rewound(site)
        self._prepare(site)
        return True

    def _begin_anew_if_rewound(self, site: str) -> None:
        """Do what a pod does before its server starts: slots do not outlive the log."""
        database = self.volumes.get(site)
        if database and database.must_begin_anew:
            database.must_begin_anew, database.system_id, database.slots = False, self._uid(), {}

    def _prepare(self, site: str) -> bool:
        """Fill the volume of a site that has no data: copy the first donor that answers, or begin empty without any."""
        told = self.objects.get(("ConfigMap", self.names.site(site)))
        if site in self.volumes or told is None:
            return False
        donors = json.loads(told["data"]["site.json"])["donors"]
        if not donors:
            others = [name for name in self.all_sites if name in self.volumes and self.volumes[name].opened]
            assert not others, f"{site} begins empty although {others} were opened"
            self.volumes[site] = Database(self._uid())
            return True
        donor = next((name for name in donors if self._speaks(name)), None)
        if donor is None:
            return False
        there = self.volumes[donor]
        self.volumes[site] = Database(
            self._uid(),
            engine=there.engine,
            sites=dict(there.sites),
            schema_site=there.schema_site,
            broken="copied",
            rows=set(there.rows),
        )
        return True

    def _is_declared(self, site: str) -> bool:
        return site in {one.name for one in self.cluster.spec.sites}

    def _speaks(self, site: str) -> bool:
        return self._is_up(site) and site not in self.cut

    def _is_up(self, site: str) -> bool:
        has_pod = ("Pod", self.names.pod(site)) in self.objects
        return has_pod and site in self.volumes and site not in self.unready

    def _seen(self, site: str) -> SiteSeen:
        if not self._is_up(site) or site in self.cut:
            return SiteSeen()
        database = self.volumes[site]
        if database.engine is None:
            return SiteSeen(system_id=database.system_id)
        facts = database.facts()
        slots = [
            slot.model_copy(update={"active": slot.active and self._is_connected(database, number)})
            for slot, number in zip(facts.slots, sorted(database.slots), strict=True)
        ]
        return SiteSeen(system_id=database.system_id, database=facts.model_copy(update={"slots": tuple(slots)}))

    def _is_connected(self, database: Database, peer_number: int) -> bool:
        """Whether the peer's subscription is connected with its slot."""
        peers = (name for name, volume in self.volumes.items() if volume.number == peer_number and self._speaks(name))
        return any(self.volumes[name].subscriptions.get(database.number) for name in peers)

    def _set_readiness(self, site: str) -> None:
        if pod := self.objects.get(("Pod", self.names.pod(site))):
            is_ready = self._is_up(site) and site not in self.half_broken
            states = {True: {"running": {}}, False: {"waiting": {"reason": "CrashLoopBackOff"}}}
            pod["status"] = {
                "conditions": [{"type": "Ready", "status": str(is_ready)}],
                "containerStatuses": [
                    {"name": "postgres", "state": states[site not in self.unready]},
                    {"name": "agent", "state": states[site not in self.half_broken]},
                ],
            }

    def _create_once(self, wanted: dict[str, Any]) -> None:
        key = (wanted["kind"], wanted["metadata"]["name"])
        if key not in self.objects:
            self._store(wanted)

    def _apply(self, desired: dict[str, Any]) -> None:
        live = self.objects.get((desired["kind"], desired["metadata"]["name"]), {})
        if "uid" in desired["metadata"]:
            assert live.get("metadata", {}).get("uid") == desired["metadata"]["uid"], "it was deleted meanwhile"
        size = live.get("spec", {}).get("resources")
        if size and not self.volumes_can_grow and desired["spec"]["resources"] != size:
            return  # it is refused as a whole
        wanted = marked(desired)
        fields = _fields(wanted)
        before = next((entry["fieldsV1"] for entry in live.get("metadata", {}).get("managedFields", ())), {})
        item = _merged(_without(live, before, fields), wanted)
        item["metadata"]["managedFields"] = [{"manager": MANAGER, "operation": "Apply", "fieldsV1": fields}]
        self._store(item)

    def _store(self, item: dict[str, Any]) -> None:
        item = deepcopy(item)
        metadata = item["metadata"]
        metadata.setdefault("uid", self._uid())
        metadata["generation"] = metadata.get("generation", 0) + 1
        self.objects[item["kind"], metadata["name"]] = item

    def _delete(self, live: Any) -> None:
        key = (live["kind"], live["metadata"]["name"])
        if key[0] == "StatefulSet":
            self.objects.pop(("Pod", f"{key[1]}-0"), None)
        assert key[0] not in ("PersistentVolumeClaim", "Secret"), "volumes and keys are never deleted"
        if self.objects.get(key, {}).get("metadata", {}).get("uid") == live["metadata"]["uid"]:
            del self.objects[key]

    def _check_restart(self, pod: Any) -> None:
        site = pod["metadata"]["labels"]["multiserver.dev/site"]
        keyed = [
            one.name for one in self.cluster.spec.sites if ("Secret", self.names.identity(one.name)) in self.objects
        ]
        others = [name for name in keyed if name != site]
        if site not in self.unready and not self.volumes[site].must_begin_anew:
            assert all(self._is_up(other) for other in others), f"{site} is stopped while another site is away"
            is_last = self.volumes[site].opened and not any(self.volumes[other].opened for other in others)
            assert not (others and is_last), f"{site} is stopped although no other site is open"

    def _do_in_database(self, action: Any, blueprint: Blueprint) -> None:
        database = self.volumes[action.site]
        numbers = {entry.name: entry.server_number for entry in blueprint.members}
        match action:
            case do.InstallEngine():
                database.engine = engine_version()
            case do.ConfigureSite(site=site, also=also):
                database.sites = {number: name for name, number in numbers.items()} | dict(also)
                database.schema_site = numbers[blueprint.schema_site]
                database.local_tables = tuple(self.cluster.spec.schema_.local_tables)
                if database.number is None:
                    database.number, database.incarnation = numbers[site], self._uid()
            case do.MakeSlot(peer=peer) | do.ReplaceSlot(peer=peer):
                is_first = not (database.opened or database.closed or database.broken == "rewound")
                database.slots[numbers[peer]] = KeptFor(self._uid(), from_start=is_first)
            case do.SetRanges(site=site):
                database.ranges = declared_for(site, self.cluster.spec.number_ranges)
            case do.OpenSite(site=site, complete_with=peers):
                needed = {number for name, number in numbers.items() if self._is_declared(name) and name != site}
                assert needed <= database.slots.keys(), f"{site} opens without a slot for every peer"
                assert is_marked(self.snapshot(), site), f"{site} opens although its volume is not marked"
                noted = [database.links.get(numbers[peer]) for peer in peers]
                if database.broken:
                    assert all(link and link.birth and not link.doubted for link in noted), f"{site} opens too early"
                database.opened, database.closed, database.complete_until = True, False, None
            case do.CloseSite():
                database.opened, database.closed = False, True
            case do.ForgetSite(number=number):
                assert number not in numbers.values(), f"site number {number} has not left"
                is_known = database.links.pop(number, None) or database.slots.pop(number, None)
                database.slots.pop(number, None)
                database.heard.pop(number, None)
                if is_known:
                    _doubt(database)
            case (
                do.Subscribe(site=site, peer=peer, incarnation=known)
                | do.Resubscribe(site=site, peer=peer, incarnation=known)
            ):
                if known is None:
                    return  # it waits: a peer that is not made yet publishes nothing
                before = database.links.get(numbers[peer])
                conninfo = conninfo_to(blueprint, blueprint.plan(site), blueprint.plan(peer))
                link = Received(known, before and before.birth, bool(database.broken), conninfo)
                database.links[numbers[peer]] = link
                if before and before.incarnation != known:
                    _doubt(database)
            case _:
                raise AssertionError(f"the world does not know {action}")

    def _uid(self) -> str:
        self._uids += 1
        return str(self._uids)

    def told(self) -> None:
        """Write the status, as the operator's report would."""
        snapshot = self.snapshot()
        view = view_of(snapshot, plan(snapshot), Done(changed=False, failures=(), waiting=()))
        self.status = status(view, self.status)


def _doubt(database: Database) -> None:
    for link in database.links.values():
        link.doubted = True


def _receive(own: Database, peer: Database) -> None:
    """What the peer keeps for a site arrives there, unless the subscription counts on another history."""
    if own.number is None or peer.number is None:
        return
    link, kept = own.links.get(peer.number), peer.slots.get(own.number)
    if link and link.conninfo and kept and not kept.lost and link.incarnation == peer.incarnation:
        own.rows |= kept.unsent
        kept.unsent = set()
        own.heard[peer.number] = peer.system_id


def _fetch(own: Database, peer: Database) -> None:
    """The agent of a site fetches what a peer has, if it is not known that nothing is missing."""
    if own.number is None or peer.number is None:
        return
    link, kept = own.links.get(peer.number), peer.slots.get(own.number)
    if not link or not kept or kept.lost or link.incarnation != peer.incarnation:
        return
    if link.doubted or (link.birth != kept.birth and not kept.from_start):
        own.rows |= peer.rows
        if own.complete_until is not None and own.complete_until < peer.collected:
            return  # the engine refuses to note it
    link.birth, link.doubted = kept.birth, False


def _fields(node: Any) -> dict[str, Any]:
    """Give what the API server notes of an applied object; nothing of a list but that it was applied."""
    if not isinstance(node, dict):
        return {}
    return {f"f:{name}": _fields(below) for name, below in node.items() if name not in NEVER_NOTED}


def _without(live: Any, before: dict[str, Any], now: dict[str, Any]) -> Any:
    """Give the object without the fields that were applied before and are not any more."""
    if not isinstance(live, dict):
        return live
    gone = {key.removeprefix("f:") for key in before.keys() - now.keys()}
    left = {name: below for name, below in live.items() if name not in gone}
    return {name: _without(node, before.get(f"f:{name}", {}), now.get(f"f:{name}", {})) for name, node in left.items()}


def _merged(live: Any, desired: Any) -> Any:
    if isinstance(live, dict) and isinstance(desired, dict):
        return {**live, **{key: _merged(live.get(key), value) for key, value in desired.items()}}
    return desired


def essence(world: World) -> Any:
    """Give what must be the same whatever was interrupted: objects by name, and what the databases hold."""
    databases = {
        name: (database.engine, database.number, set(database.slots), set(database.subscriptions), database.opened)
        for name, database in world.volumes.items()
        if name in {site.name for site in world.cluster.spec.sites}
    }
    return set(world.objects), databases
