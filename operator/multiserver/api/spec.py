"""The specification of a MultiServerCluster: the one source of its types, defaults, descriptions and refusals.

`crds/` is generated from these models (see `api.crd`), so that Python and the API server cannot disagree. What a schema
can know is refused at `kubectl apply` by a CEL rule kept beside the field it speaks of; each message names the field
and the way out.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from multiserver.api.base import Model

SITES_MAX = 32
SERVER_NUMBER_MAX = 63
NAMES_LENGTH_MAX = 38
"""Cluster name plus site name. A CronJob's name may have 52 characters; ours are `<cluster>-<site>-backup-files`."""

RANGE_END_MAX = 2**53 - 1
"""The greatest number that JSON carries exactly: the API server compares a schema's limits as floating point."""

SUPPORTED_VERSIONS = (18,)

OPERATOR_PARAMETERS = (
    "archive_command", "archive_library", "archive_mode", "archive_timeout", "client_connection_check_interval",
    "cluster_name", "config_file", "data_directory", "event_triggers", "hba_file", "ident_file",
    "idle_replication_slot_timeout", "include", "include_dir", "include_if_exists", "listen_addresses",
    "log_destination", "logging_collector", "max_active_replication_origins", "max_logical_replication_workers",
    "max_replication_slots", "max_sync_workers_per_subscription", "max_wal_senders", "max_worker_processes", "port",
    "session_replication_role", "ssl", "ssl_ca_file", "ssl_cert_file", "ssl_key_file", "synchronous_commit",
    "tcp_keepalives_count", "tcp_keepalives_idle", "tcp_keepalives_interval", "track_commit_timestamp",
    "unix_socket_directories", "wal_level", "wal_receiver_timeout",
    "wal_retrieve_retry_interval", "wal_sender_timeout",
)  # fmt: skip
"""PostgreSQL settings that replication, TLS, backups or the pod depend on; a resource may not set them."""


def _rule(rule: str, message: str, **more: str) -> dict[str, str]:
    """A CEL rule of the API server with the sentence a user reads when it fails."""
    return {"rule": rule, "message": message, **more}


def _rules(*rules: dict[str, str], **more: Any) -> dict[str, Any]:
    """Extra schema of a field or model: CEL rules and further keys with the `x-kubernetes-` prefix."""
    extra: dict[str, Any] = {f"x-kubernetes-{key.replace('_', '-')}": value for key, value in more.items()}
    if rules:
        extra["x-kubernetes-validations"] = list(rules)
    return extra


def _config(**extra: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra=extra)


def _cron_field(value: str) -> str:
    """Pattern of a field of a cron expression: values, ranges and steps, separated by commas."""
    item = rf"(\*|({value})(-({value}))?)(/[1-9][0-9]*)?"
    return f"{item}(,{item})*"


_CRON_FIELDS = (
    "[0-5]?[0-9]",
    "[01]?[0-9]|2[0-3]",
    "0?[1-9]|[12][0-9]|3[01]",
    "0?[1-9]|1[0-2]|(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)",
    "[0-6]|(?i:sun|mon|tue|wed|thu|fri|sat)",
)
"""Minute, hour, day of the month, month, day of the week, each with the values that a CronJob takes."""
_CRON = f"^(@(hourly|daily|weekly|monthly)|{' '.join(map(_cron_field, _CRON_FIELDS))})$"
_IDENTIFIER = r"^[a-z_][a-z0-9_]*$"
_DNS_LABEL = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"

Quantity = Annotated[
    str,
    Field(
        pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$",
        max_length=24,
        description="An amount as Kubernetes writes it, for example 500m, 2Gi.",
    ),
]
SiteName = Annotated[str, Field(max_length=40, pattern=_DNS_LABEL)]


def _schedule(description: str, default: str) -> Any:
    message = "schedule is no cron expression: write five fields such as '0 2 * * *', or @hourly, @daily, @weekly"
    return Field(
        default=default,
        max_length=100,
        description=description,
        json_schema_extra=_rules(_rule(f"self.matches(r'{_CRON}')", message)),
    )


class Storage(Model):
    """A volume: its size, and the StorageClass that provides it."""

    model_config = _config(
        **_rules(
            _rule(
                "quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0",
                "a volume cannot shrink: keep size at its present value or larger",
                fieldPath=".size",
            ),
            _rule(
                "has(self.storageClassName) == has(oldSelf.storageClassName) && "
                "(!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",
                "storageClassName of an existing volume cannot change: restore the present value",
            ),
        )
    )

    size: Quantity
    """Size of the volume. It may grow where the StorageClass allows it, never shrink."""
    storage_class_name: str | None = Field(default=None, min_length=1, max_length=253)
    """StorageClass of the volume; without it the default class of the Kubernetes cluster."""


class Resources(Model):
    """Requests and limits of a container."""

    requests: dict[Literal["cpu", "memory"], Quantity] = Field(default_factory=dict)
    """What the container is sure to get, by resource: cpu, memory."""
    limits: dict[Literal["cpu", "memory"], Quantity] = Field(default_factory=dict)
    """What the container may use at the most, by resource: cpu, memory."""


Parameter = Annotated[str, Field(max_length=1024, pattern=r"^[^\x00-\x1f]*$")]


class Database(Model):
    """The PostgreSQL database that every site holds whole."""

    version: int = Field(
        default=18,
        json_schema_extra=_rules(
            _rule(
                f"self in {list(SUPPORTED_VERSIONS)}",
                f"unsupported PostgreSQL version: supported are {', '.join(map(str, SUPPORTED_VERSIONS))}",
            ),
            _rule("self >= oldSelf", "version cannot go down: restore the present major version"),
        ),
    )
    """Major version of PostgreSQL. It cannot go down."""
    name: str = Field(
        default="app",
        pattern=_IDENTIFIER,
        max_length=63,
        json_schema_extra=_rules(
            _rule("self == oldSelf", "the database's name cannot change after creation"),
            _rule(
                "!(self in ['postgres', 'template0', 'template1'])",
                "this name is taken by PostgreSQL itself: choose another, for example app",
            ),
        ),
    )
    """Name of the application's database."""
    owner: str = Field(
        default="app",
        pattern=_IDENTIFIER,
        max_length=63,
        json_schema_extra=_rules(
            _rule("self == oldSelf", "the database's owner cannot change after creation"),
            _rule(
                "self != 'postgres' && !self.startsWith('pg_') && !self.startsWith('multiserver')",
                "this role is taken: choose an owner that is not postgres, pg_* or multiserver*, for example app",
            ),
        ),
    )
    """Role that owns the database and that the application logs in as; its password is in the Secret <cluster>-app."""
    storage: Storage = Storage(size="20Gi")
    """Volume of the data directory, at each site."""
    parameters: dict[str, Parameter] = Field(
        default_factory=dict,
        max_length=128,
        json_schema_extra=_rules(
            _rule(
                "self.all(p, p.matches('^[a-z_][a-z0-9_.]*$'))",
                "a parameter's name has small letters, digits, _ and . only",
            ),
            _rule(
                "!('max_slot_wal_keep_size' in self) || "
                "self['max_slot_wal_keep_size'].matches('^[1-9][0-9]{0,6}(MB|GB|TB)$')",
                "max_slot_wal_keep_size, which a peer that is cut off may hold back, needs an amount such as 8GB: "
                "without a limit it would fill the data volume",
            ),
            _rule(
                f"{list(OPERATOR_PARAMETERS)}.all(p, !(p in self))",
                "these parameters belong to the operator, remove them: " + ", ".join(OPERATOR_PARAMETERS),
            ),
        ),
    )
    """PostgreSQL settings by name, for example shared_buffers: 512MB. Values are strings."""
    verify_every_hours: int = Field(default=24, ge=1, le=720)
    """How often each site compares all its rows with those of every other; each time both read all tables once."""
    resources: Resources = Resources(requests={"cpu": "100m", "memory": "512Mi"})
    """Requests and limits of the PostgreSQL container. A change restarts one site at a time."""


class Folder(Model):
    """A folder whose files every site holds."""

    name: str = Field(pattern=_DNS_LABEL, max_length=40)
    """Name of the folder; at each site it is /var/lib/multiserver/files/folders/<name>."""


class Files(Model):
    """The files that every site holds whole."""

    folders: list[Folder] = Field(
        default=[Folder(name="documents")],
        max_length=32,
        json_schema_extra=_rules(list_type="map", list_map_keys=["name"]),
    )
    """Folders that are kept equal at all sites."""
    storage: Storage = Storage(size="50Gi")
    """Volume of the folders and of Syncthing's index, at each site."""
    resources: Resources = Resources(requests={"cpu": "50m", "memory": "128Mi"}, limits={"memory": "512Mi"})
    """Requests and limits of the Syncthing container. A change restarts one site at a time."""


class Toleration(Model):
    """A taint that the site's pod tolerates."""

    key: str | None = Field(default=None, max_length=316)
    """Key of the taint; empty with operator Exists means all."""
    operator: Literal["Exists", "Equal"] | None = None
    """How value is compared; Equal if left out."""
    value: str | None = Field(default=None, max_length=63)
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; all effects if left out."""
    toleration_seconds: int | None = None
    """How long a NoExecute taint is tolerated, in seconds; for ever if left out."""


class Placement(Model):
    """On which nodes a site's pod runs."""

    node_selector: dict[str, str] = Field(default_factory=dict, max_length=16)
    """Labels that the node must have."""
    tolerations: list[Toleration] = Field(
        default_factory=list, max_length=16, json_schema_extra=_rules(list_type="atomic")
    )
    """Taints that the pod tolerates."""


class SiteService(Model):
    """How workstations reach a site's server."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """Type of the Service <cluster>-<site>-server."""
    annotations: dict[str, str] = Field(default_factory=dict, max_length=32)
    """Annotations of that Service, for example for a load balancer."""


class Site(Model):
    """One location with a complete server."""

    name: str = Field(
        max_length=40,
        json_schema_extra=_rules(
            _rule(
                f"self.matches(r'{_DNS_LABEL}')",
                "a site's name is a DNS label: small letters, digits and '-', a letter first, for example berlin-mitte",
            ),
            _rule(
                "self != 'operator' && !self.endsWith('-server')",
                "this site name is reserved: choose one that is not 'operator' and does not end in '-server'",
            ),
        ),
    )
    """Name of the site, a DNS label such as berlin."""
    server_number: int | None = Field(default=None, ge=1, le=SERVER_NUMBER_MAX)
    """Server number, 1 to 63, never reused. Without it the operator gives the next free one and keeps it for good."""
    placement: Placement = Placement()
    """On which nodes the site's pod runs."""
    service: SiteService = SiteService()
    """How workstations reach the site's server."""


TablePattern = Annotated[
    str,
    Field(max_length=127, pattern=r"^[^.]+\.[^.]+$"),
]
"""Schema and table, in which * stands for any characters."""


class SchemaChanges(Model):
    """Where tables are made and altered."""

    site: SiteName | None = None
    """Site at which the application changes the schema; without it, the site with the lowest server number at creation.

    It stays for good once the first site has opened.
    """
    local_tables: list[TablePattern] = Field(default=[], max_length=100)
    """Tables whose rows stay at the site where they are written, such as sessions and job queues: schema and table, `*`
    for any characters, for example public.session or scratch.*. The tables themselves exist at every site."""


class Range(Model):
    """Numbers that one site may give, both ends included."""

    model_config = _config(
        **_rules(_rule("self.from < self.to", "the range is reversed or empty: 'from' must be less than 'to'"))
    )

    from_: int = Field(alias="from", ge=1)
    """First number."""
    to: int = Field(le=RANGE_END_MAX)
    """Last number."""


class NumberRange(Model):
    """A range of one sequence for each site."""

    model_config = _config(
        **_rules(
            _rule(
                "self.ranges.all(a, self.ranges.all(b, a == b || self.ranges[a].to < self.ranges[b].from || "
                "self.ranges[b].to < self.ranges[a].from))",
                "ranges of one sequence overlap: give each site numbers of its own",
                fieldPath=".ranges",
            )
        )
    )

    sequence: str = Field(max_length=127, pattern=r"^[^.]+\.[^.]+$")
    """Sequence with its schema, for example public.patient_number."""
    ranges: dict[str, Range] = Field(max_length=SITES_MAX, min_length=1)
    """The range of each site, by site name; every site of the cluster is named."""


class BackupRepository(Model):
    """Where a site's backups live."""

    volume: Storage = Storage(size="100Gi")
    """A volume of its own, at each site."""


class BackupSchedule(Model):
    """When backups are made; times are in the time zone of the Kubernetes control plane."""

    data: str = _schedule("Backup of the data with pgBackRest: weekly a full one, else incremental.", "17 2 * * *")
    files: str = _schedule("Backup of the files with restic.", "47 */4 * * *")


class Backup(Model):
    """Backups of each site. Write-ahead log is archived all the time, besides these."""

    repository: BackupRepository = BackupRepository()
    """Where backups live."""
    schedule: BackupSchedule = BackupSchedule()
    """When backups are made."""


class ImagePullSecret(Model):
    """A Secret with credentials for a registry."""

    name: str = Field(max_length=253)
    """Name of the Secret in the cluster's namespace."""


class Spec(Model):
    """What a user declares: the sites and what they share."""

    sites: list[Site] = Field(
        min_length=1,
        max_length=SITES_MAX,
        json_schema_extra=_rules(
            _rule(
                "self.all(s, !has(s.serverNumber) || self.filter(o, has(o.serverNumber) && "
                "o.serverNumber == s.serverNumber).size() == 1)",
                "two sites have the same serverNumber: give each its own",
            ),
            _rule(
                "self.exists(s, oldSelf.exists(o, o.name == s.name))",
                "at least one site must stay, since new sites copy from it: keep one, and change the others in steps",
            ),
            _rule(
                "self.all(s, !has(s.serverNumber) || oldSelf.all(o, o.name == s.name || !has(o.serverNumber) || "
                "o.serverNumber != s.serverNumber))",
                "a serverNumber is never given to another site: give the new site a number that no site had before",
            ),
            list_type="map",
            list_map_keys=["name"],
        ),
    )
    """The locations, each with a complete server. One is a valid cluster.

    A site that is added joins: it copies all rows from a site that serves. One that is taken out leaves; its volumes,
    keys and server number are kept, and under its name it may come back.
    """
    database: Database = Database()
    """The PostgreSQL database that every site holds whole."""
    files: Files = Files()
    """The files that every site holds whole."""
    schema_: SchemaChanges = Field(default=SchemaChanges(), alias="schema")
    """Where tables are made and altered."""
    number_ranges: list[NumberRange] = Field(
        default_factory=list, max_length=64, json_schema_extra=_rules(list_type="map", list_map_keys=["sequence"])
    )
    """Ranges of sequences by site. A sequence that is not named here gets a block for each server number by itself."""
    backup: Backup = Backup()
    """Backups of each site."""
    deletion_policy: Literal["Retain", "Delete"] = "Retain"
    """What happens to volumes and keys when the resource is deleted: Retain keeps, Delete removes them for good."""
    image: str | None = Field(default=None, min_length=1, max_length=512)
    """Image of the site pods. Without it: the operator's own choice when a site is made, kept until it is set here."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When the image is pulled."""
    image_pull_secrets: list[ImagePullSecret] = Field(
        default_factory=list, max_length=16, json_schema_extra=_rules(list_type="map", list_map_keys=["name"])
    )
    """Credentials for the registry."""


_NO_SCHEMA_SITE_YET = "!has(oldSelf.status) || !has(oldSelf.status.schemaSite)"

ROOT_RULES = (
    _rule(
        f"self.metadata.name.matches(r'{_DNS_LABEL}')",
        "the cluster's name begins the names of its Services, so it is a DNS label: small letters, digits and '-', a "
        "letter first, for example my-lab",
    ),
    _rule(
        f"self.spec.sites.all(s, size(self.metadata.name) + size(s.name) <= {NAMES_LENGTH_MAX})",
        f"the cluster's name and a site's name together have {NAMES_LENGTH_MAX} characters at the most: shorten one",
    ),
    _rule(
        "!has(self.spec.schema.site) || self.spec.sites.exists(s, s.name == self.spec.schema.site)",
        "spec.schema.site is no site of this cluster: name one of spec.sites, or remove it",
    ),
    _rule(
        "!has(self.spec.numberRanges) || "
        "self.spec.numberRanges.all(r, r.ranges.all(n, self.spec.sites.exists(s, s.name == n)))",
        "spec.numberRanges has a range for a site that is not in spec.sites: correct its name or remove the range",
    ),
    _rule(
        "!has(self.spec.numberRanges) || self.spec.numberRanges.all(r, self.spec.sites.all(s, s.name in r.ranges))",
        "a sequence in spec.numberRanges has no range for one of spec.sites, which could give numbers that lie in the "
        "range of another: add one for each site",
    ),
    _rule(
        f"{_NO_SCHEMA_SITE_YET} || self.spec.sites.exists(s, s.name == oldSelf.status.schemaSite)",
        "the schema site (status.schemaSite) must stay in spec.sites, since schema changes begin there: put it back. "
        "If its volume is lost, it is filled again from another site",
    ),
    _rule(
        f"{_NO_SCHEMA_SITE_YET} || !has(self.spec.schema.site) || self.spec.schema.site == oldSelf.status.schemaSite",
        "spec.schema.site cannot change in this version: name the present one (status.schemaSite), or remove it",
    ),
)
"""Rules over the whole object, since they need its name or compare distant fields."""


class Cluster(Model):
    """A MultiServerCluster as the loop sees it: its identity and its specification, defaults filled in."""

    name: str
    namespace: str
    uid: str
    generation: int
    spec: Spec
