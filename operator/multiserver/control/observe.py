"""Seeing what is: the resource, its children, and what each site says. Every part has a deadline of its own."""

import asyncio
import logging
from base64 import b64decode
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any, TypeVar

from pydantic import ValidationError

from multiserver.api.crd import KIND
from multiserver.api.names import Names
from multiserver.api.report import SiteReport
from multiserver.api.spec import Cluster
from multiserver.control.credentials import Credentials
from multiserver.control.queue import Key
from multiserver.control.reading import cluster_of, status_of, unreadable
from multiserver.control.sites import MAINTENANCE_DATABASE, AgentUnavailableError, Sites
from multiserver.control.snapshot import Object, SiteSeen, Snapshot, Unreadable, by_kind_and_name
from multiserver.kube.client import Kubernetes
from multiserver.postgres.deadlines import within
from multiserver.postgres.errors import DatabaseError, NoSuchDatabase
from multiserver.replication.observe import DatabaseFacts, observe
from multiserver.replication.reports import newest_reports

log = logging.getLogger(__name__)

Result = TypeVar("Result")

LIST_PERIOD_SECONDS = 60
"""Children are listed when something was seen to change, and after this time in any case: watches can miss things."""
SITE_DEADLINE_SECONDS = 8
"""A site that has not answered by then is unknown in this round; no other site waits for it longer."""

SYSTEM_ID = "select system_identifier::text from pg_control_system()"


@dataclass
class _Memory:
    """What the observer keeps of a cluster between rounds; losing it costs one full look."""

    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    warnings: tuple[Object, ...] = ()
    listed: float = float("-inf")
    errors_since: dict[str, datetime] = field(default_factory=dict)
    unreadable_since: datetime | None = None


@dataclass(frozen=True)
class Seen:
    """A snapshot, and how to reach the sites it speaks of."""

    snapshot: Snapshot
    sites: Sites | None
    """None while the operator's keys, or the certificates to trust, are not there."""


class Observer:
    """Looks at clusters."""

    def __init__(
        self, kubernetes: Kubernetes, credentials: Credentials, site_image: str, operator_namespace: str
    ) -> None:
        self._kubernetes = kubernetes
        self._credentials = credentials
        self._site_image = site_image
        self._operator_namespace = operator_namespace
        self._memories: dict[Key, _Memory] = {}

    def list_anew(self, key: Key) -> None:
        """Have the next look list everything."""
        if memory := self._memories.get(key):
            memory.listed = float("-inf")

    async def observe(self, key: Key, changed: bool) -> Seen | Unreadable | None:
        """Look at a cluster; None if it does not exist or is being deleted.

        `changed` says that a child was seen to change. Raises KubernetesError if the API server does not answer.
        """
        if changed:
            # Remembered, in case this list fails.
            self.list_anew(key)
        resource = await self._living(key)
        memory = self._memories.setdefault(key, _Memory())
        if resource is not None and monotonic() - memory.listed > LIST_PERIOD_SECONDS:
            await self._list(key, memory)
            # Once more: had it been deleted meanwhile, what the garbage collector took before the list would be made
            # again.
            resource = await self._living(key)
        if resource is None:
            self._memories.pop(key, None)
            return None
        now = datetime.now(UTC)
        try:
            cluster = cluster_of(resource)
        except ValidationError as error:
            memory.unreadable_since = memory.unreadable_since or now
            return unreadable(resource, error, memory.unreadable_since, now)
        memory.unreadable_since = None
        sites = self._reach(cluster, memory.objects)
        snapshot = Snapshot(
            now=now,
            cluster=cluster,
            status=status_of(resource),
            objects=memory.objects,
            warnings=memory.warnings,
            site_image=self._site_image,
            operator_namespace=self._operator_namespace,
        )
        if sites is not None:
            snapshot = replace(snapshot, sites=await _ask_all(sites, snapshot, memory))
        return Seen(snapshot, sites)

    async def _living(self, key: Key) -> Object | None:
        """Read the resource; None if it does not exist or is being deleted."""
        resource = await self._kubernetes.find(KIND, *key)
        if resource is None or resource["metadata"].get("deletionTimestamp"):
            return None
        return resource

    async def _list(self, key: Key, memory: _Memory) -> None:
        namespace, name = key
        objects, warnings = await asyncio.gather(
            self._kubernetes.list_owned(namespace, name),
            self._kubernetes.list_warnings(namespace),
        )
        memory.objects = by_kind_and_name(objects)
        memory.warnings = tuple(warnings)
        memory.listed = monotonic()

    def _reach(self, cluster: Cluster, objects: Mapping[tuple[str, str], Object]) -> Sites | None:
        names = Names(cluster.name, cluster.namespace)
        own = objects.get(("Secret", names.operator_identity), {}).get("data", {})
        maps = (objects.get(("ConfigMap", names.site(site.name)), {}) for site in cluster.spec.sites)
        trust: Mapping[str, str] = next((data for item in maps if "ca.crt" in (data := item.get("data", {}))), {})
        if not own.keys() >= {"tls.crt", "tls.key"} or not trust:
            return None
        files = {key: b64decode(own[key]) for key in ("tls.crt", "tls.key")}
        certificate = self._credentials.certificate(cluster.uid, {**files, "ca.crt": trust["ca.crt"].encode()})
        return Sites(names, cluster.spec.database.name, certificate)


async def _ask_all(sites: Sites, snapshot: Snapshot, memory: _Memory) -> dict[str, SiteSeen]:
    """Ask every site that has a pod, also those that leave, all at once."""
    members = (*(site.name for site in snapshot.cluster.spec.sites), *snapshot.leaving)
    names = [name for name in members if snapshot.get("Pod", snapshot.names.pod(name)) is not None]
    answers = await asyncio.gather(*(_ask(sites, name) for name in names))
    seen = dict(zip(names, answers, strict=True))
    memory.errors_since = {
        name: memory.errors_since.get(name, snapshot.now) for name, answer in seen.items() if answer.site.error
    }
    copies = _newest([answer.copies for answer in answers])
    return {
        name: replace(
            answer.site,
            report=answer.site.report or copies.get(name),
            since=memory.errors_since.get(name),
        )
        for name, answer in seen.items()
    }


@dataclass(frozen=True)
class _Answer:
    site: SiteSeen
    copies: tuple[SiteReport, ...] = ()
    """Reports of all sites that this site's database holds."""


async def _ask(sites: Sites, site: str) -> _Answer:
    """Ask a site's database and agent side by side; never raises for a site that does not answer."""
    (database, why_database), (report, why_report) = await asyncio.gather(
        _bounded(site, _ask_database(sites, site)), _bounded(site, sites.report(site))
    )
    base = database or _Answer(SiteSeen())
    error = "; ".join(why for why in (why_database, why_report) if why)
    seen = replace(base.site, report=report, report_is_live=report is not None, error=error)
    return replace(base, site=seen)


async def _bounded(site: str, question: Coroutine[Any, Any, Result]) -> tuple[Result | None, str]:
    """Give the answer, or why there is none."""
    try:
        return await within(SITE_DEADLINE_SECONDS, question), ""
    except (DatabaseError, AgentUnavailableError, TimeoutError) as error:
        return None, str(error)
    except Exception as error:  # whatever one site says, the round goes on for the others
        log.exception("what site %s answers is not understood", site)
        return None, f"what it answers is not understood ({type(error).__name__}, which the operator's log has in full)"


async def _ask_database(sites: Sites, site: str) -> _Answer:
    try:
        async with sites.connect(site) as connection:
            facts: DatabaseFacts = await observe(connection)
            copies = await newest_reports(connection) if facts.engine_version else ()
            return _Answer(SiteSeen(system_id=facts.system_identifier, database=facts), copies)
    except NoSuchDatabase:
        async with sites.connect(site, MAINTENANCE_DATABASE) as connection:
            return _Answer(SiteSeen(system_id=await connection.value(SYSTEM_ID)))


def _newest(reports: list[tuple[SiteReport, ...]]) -> dict[str, SiteReport]:
    """Give the newest copy of each site's report."""
    newest: dict[str, SiteReport] = {}
    for copy in (copy for copies in reports for copy in copies):
        if copy.site not in newest or copy.observed_at > newest[copy.site].observed_at:
            newest[copy.site] = copy
    return newest
