"""Every refusal at apply, with the field and the way out that its message names."""

from copy import deepcopy
from typing import Any

import pytest

from multiserver.api.spec import OPERATOR_PARAMETERS, Spec
from tests.kubernetes.api import resource

RANGES = {"berlin": {"from": 1, "to": 100}, "hamburg": {"from": 101, "to": 200}}


def sites(*listed: dict[str, Any]) -> dict[str, Any]:
    return {"sites": list(listed)}


def ranges(**given: Any) -> dict[str, Any]:
    return {"numberRanges": [{"sequence": "public.patient_number", "ranges": given}]}


REFUSED_AT_CREATION = {
    "two sites of one name": (
        sites({"name": "berlin"}, {"name": "berlin"}),
        ["spec.sites[1]", 'Duplicate value: {"name":"berlin"}'],
    ),
    "two sites of one number": (
        sites({"name": "berlin", "serverNumber": 1}, {"name": "hamburg", "serverNumber": 1}),
        ["spec.sites", "two sites have the same serverNumber: give each its own"],
    ),
    "a number that is too small": (
        sites({"name": "berlin", "serverNumber": 0}),
        ["spec.sites[0].serverNumber", "greater than or equal to 1"],
    ),
    "a number that is too large": (
        sites({"name": "berlin", "serverNumber": 64}),
        ["spec.sites[0].serverNumber", "less than or equal to 63"],
    ),
    "a name that is no DNS label": (
        sites({"name": "Berlin_1"}),
        ["spec.sites[0].name", "a site's name is a DNS label: small letters, digits and '-'", "for example berlin"],
    ),
    "a name that ends in a hyphen": (sites({"name": "berlin-"}), ["spec.sites[0].name", "is a DNS label"]),
    "a name that is empty": (sites({"name": ""}), ["spec.sites[0].name", "is a DNS label"]),
    "a name that is reserved": (
        sites({"name": "operator"}),
        ["spec.sites[0].name", "this site name is reserved: choose one that is not 'operator'"],
    ),
    "names that are too long together": (
        sites({"name": "b" * 36}),
        ["the cluster's name and a site's name together have 38 characters at the most: shorten one"],
    ),
    "no site": (sites(), ["spec.sites", "should have at least 1 items"]),
    "too many sites": (
        sites(*({"name": f"site-{index}"} for index in range(33))),
        ["spec.sites", "must have at most 32 items"],
    ),
    "ranges that overlap": (
        ranges(berlin={"from": 1, "to": 100}, hamburg={"from": 100, "to": 200}),
        ["spec.numberRanges[0].ranges", "ranges of one sequence overlap: give each site numbers of its own"],
    ),
    "a range in another": (
        ranges(berlin={"from": 1, "to": 100}, hamburg={"from": 20, "to": 30}),
        ["spec.numberRanges[0].ranges", "ranges of one sequence overlap"],
    ),
    "a range that is reversed": (
        ranges(berlin={"from": 100, "to": 1}),
        [
            "spec.numberRanges[0].ranges[berlin]",
            "the range is reversed or empty: 'from' must be less than 'to'",
        ],
    ),
    "a range of an unknown site": (
        ranges(munich={"from": 1, "to": 100}),
        ["spec.numberRanges has a range for a site that is not in spec.sites: correct its name or remove the range"],
    ),
    "no range for a site": (
        ranges(berlin={"from": 1, "to": 100}),
        ["a sequence in spec.numberRanges has no range for one of spec.sites", "add one for each site"],
    ),
    "a sequence without a schema": (
        {"numberRanges": [{"sequence": "patient_number", "ranges": RANGES}]},
        ["spec.numberRanges[0].sequence", "should match"],
    ),
    "a local table without a schema": (
        {"schema": {"localTables": ["django_session"]}},
        ["spec.schema.localTables[0]", "should match"],
    ),
    "a field that does not exist": ({"sitez": 3}, ["strict decoding error", 'unknown field "spec.sitez"']),
    "a field that does not exist in a site": (
        sites({"name": "berlin", "number": 1}),
        ['unknown field "spec.sites[0].number"'],
    ),
    "a field of a feature that is not there yet": (
        {"numberCircles": [{"name": "invoice"}]},
        ['unknown field "spec.numberCircles"'],
    ),
    "an old version of PostgreSQL": (
        {"database": {"version": 17}},
        ["spec.database.version", "unsupported PostgreSQL version: supported are 18"],
    ),
    "a version of PostgreSQL that does not exist yet": (
        {"database": {"version": 99}},
        ["spec.database.version", "unsupported PostgreSQL version: supported are 18"],
    ),
    "a schedule in words": (
        {"backup": {"schedule": {"data": "every night"}}},
        ["spec.backup.schedule.data", "schedule is no cron expression: write five fields such as '0 2 * * *'"],
    ),
    "a schedule of four fields": (
        {"backup": {"schedule": {"files": "0 2 * *"}}},
        ["spec.backup.schedule.files", "schedule is no cron expression: write five fields"],
    ),
    "a size that is no amount": (
        {"database": {"storage": {"size": "a lot"}}},
        ["spec.database.storage.size", "should match"],
    ),
    "a setting that is the operator's": (
        {"database": {"parameters": {"wal_level": "minimal"}}},
        ["spec.database.parameters", "these parameters belong to the operator, remove them", "wal_level"],
    ),
    "a backlog without a limit": (
        {"database": {"parameters": {"max_slot_wal_keep_size": "-1"}}},
        ["spec.database.parameters", "max_slot_wal_keep_size", "needs an amount such as 8GB"],
    ),
    "a setting that has no proper name": (
        {"database": {"parameters": {"work mem": "1MB"}}},
        ["spec.database.parameters", "a parameter's name has small letters, digits, _ and . only"],
    ),
    "a database that is PostgreSQL's own": (
        {"database": {"name": "template1"}},
        ["spec.database.name", "this name is taken by PostgreSQL itself: choose another, for example app"],
    ),
    "an owner that is the operator's": (
        {"database": {"owner": "multiserver_peer"}},
        ["spec.database.owner", "this role is taken: choose an owner that is not postgres, pg_* or multiserver*"],
    ),
    "a schema site that is no site": (
        {"schema": {"site": "munich"}},
        ["spec.schema.site is no site of this cluster: name one of spec.sites, or remove it"],
    ),
    "two folders of one name": (
        {"files": {"folders": [{"name": "documents"}, {"name": "documents"}]}},
        ["spec.files.folders[1]", "Duplicate value"],
    ),
    "a folder that leads elsewhere": (
        {"files": {"folders": [{"name": "../etc"}]}},
        ["spec.files.folders[0].name", "should match"],
    ),
}


@pytest.mark.parametrize(("spec", "words"), REFUSED_AT_CREATION.values(), ids=REFUSED_AT_CREATION)
async def test_refused_at_creation(api, namespace, spec, words):
    refusal = await api.refusal_to_create(resource(namespace, **spec))
    assert [word for word in words if word not in refusal] == [], refusal


STORED = {
    "sites": [{"name": "berlin", "serverNumber": 1}, {"name": "hamburg"}],
    "database": {"storage": {"size": "20Gi", "storageClassName": "local"}},
}


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    """The stored specification with one field changed."""
    spec: Any = deepcopy(STORED)
    place = spec
    for key in path[:-1]:
        place = place.setdefault(key, {}) if isinstance(place, dict) else place[key]
    place[path[-1]] = to
    return dict(spec)


REFUSED_AS_CHANGES = {
    "all other sites at once": (
        changed("sites", to=[{"name": "leipzig"}, {"name": "munich"}]),
        ["spec.sites", "at least one site must stay, since new sites copy from it"],
    ),
    "a number that another site had": (
        changed("sites", to=[{"name": "leipzig", "serverNumber": 1}, {"name": "hamburg"}]),
        ["spec.sites", "a serverNumber is never given to another site: give the new site a number that no site had"],
    ),
    "a smaller data volume": (
        changed("database", "storage", "size", to="19Gi"),
        ["spec.database.storage.size", "a volume cannot shrink: keep size at its present value or larger"],
    ),
    "a data volume that is smaller in another unit": (
        changed("database", "storage", "size", to="20G"),
        ["spec.database.storage.size", "a volume cannot shrink"],
    ),
    "a smaller volume of files": (
        changed("files", "storage", to={"size": "49Gi"}),
        ["spec.files.storage.size", "a volume cannot shrink"],
    ),
    "a smaller volume of backups": (
        changed("backup", "repository", to={"volume": {"size": "1Gi"}}),
        ["spec.backup.repository.volume.size", "a volume cannot shrink"],
    ),
    "another storage class": (
        changed("database", "storage", "storageClassName", to="fast"),
        ["spec.database.storage", "storageClassName of an existing volume cannot change: restore the present value"],
    ),
    "no storage class any more": (
        changed("database", "storage", to={"size": "20Gi"}),
        ["spec.database.storage", "storageClassName of an existing volume cannot change: restore the present value"],
    ),
    "an older version of PostgreSQL": (
        changed("database", "version", to=17),
        ["spec.database.version", "version cannot go down: restore the present major version"],
    ),
    "another name of the database": (
        changed("database", "name", to="other"),
        ["spec.database.name", "the database's name cannot change after creation"],
    ),
    "another owner of the database": (
        changed("database", "owner", to="other"),
        ["spec.database.owner", "the database's owner cannot change after creation"],
    ),
}


@pytest.fixture
async def stored(api, kubernetes, namespace):
    made = await api.create(resource(namespace, name="stored", **STORED))
    yield made
    await kubernetes.delete(made)


@pytest.mark.parametrize(("spec", "words"), REFUSED_AS_CHANGES.values(), ids=REFUSED_AS_CHANGES)
async def test_refused_as_a_change(api, stored, spec, words):
    refusal = await api.refusal_to_change({**stored, "spec": spec})
    assert [word for word in words if word not in refusal] == [], refusal


REFUSED_ONCE_THE_SCHEMA_SITE_IS_KNOWN = {
    "the schema site leaves": (
        changed("sites", to=STORED["sites"][1:]),
        ["the schema site (status.schemaSite) must stay in spec.sites", "put it back"],
    ),
    "another schema site": (
        changed("schema", to={"site": "hamburg"}),
        ["spec.schema.site cannot change in this version: name the present one (status.schemaSite)"],
    ),
}
ACCEPTED_ONCE_THE_SCHEMA_SITE_IS_KNOWN = {
    "another site leaves": changed("sites", to=STORED["sites"][:1]),
    "the schema site is named": changed("schema", to={"site": "berlin"}),
}


@pytest.fixture
async def opened(kubernetes, stored):
    """A cluster whose schema site is known, as the operator tells it."""
    return await kubernetes.apply_status(stored, {"schemaSite": "berlin"})


@pytest.mark.parametrize(
    ("spec", "words"), REFUSED_ONCE_THE_SCHEMA_SITE_IS_KNOWN.values(), ids=REFUSED_ONCE_THE_SCHEMA_SITE_IS_KNOWN
)
async def test_refused_once_the_schema_site_is_known(api, opened, spec, words):
    refusal = await api.refusal_to_change({**opened, "spec": spec})
    assert [word for word in words if word not in refusal] == [], refusal


@pytest.mark.parametrize(
    "spec", ACCEPTED_ONCE_THE_SCHEMA_SITE_IS_KNOWN.values(), ids=ACCEPTED_ONCE_THE_SCHEMA_SITE_IS_KNOWN
)
async def test_accepted_once_the_schema_site_is_known(api, opened, spec):
    assert await api.refusal_to_change({**opened, "spec": spec}) == ""


ACCEPTED_AS_CHANGES = {
    "a site more": changed("sites", to=[*STORED["sites"], {"name": "leipzig"}]),
    "a site less": changed("sites", to=STORED["sites"][:1]),
    "a site in the place of another": changed("sites", to=[STORED["sites"][0], {"name": "leipzig"}]),
    "a larger volume": changed("database", "storage", "size", to="21Gi"),
    "the same volume in another unit": changed("database", "storage", "size", to="20480Mi"),
    "another server number, which the plan compares with the keys": changed("sites", 0, "serverNumber", to=2),
    "no server number any more": changed("sites", 0, to={"name": "berlin"}),
    "a number for a site that had none": changed("sites", 1, "serverNumber", to=2),
    "sites in another order": changed("sites", to=STORED["sites"][::-1]),
    "a setting": changed("database", "parameters", to={"work_mem": "64MB"}),
    "a limit of the backlog": changed("database", "parameters", to={"max_slot_wal_keep_size": "12GB"}),
}


@pytest.mark.parametrize("spec", ACCEPTED_AS_CHANGES.values(), ids=ACCEPTED_AS_CHANGES)
async def test_accepted_as_a_change(api, stored, spec):
    assert await api.refusal_to_change({**stored, "spec": spec}) == ""


ACCEPTED_SCHEDULES = ["@daily", "@hourly", "*/15 * * * *", "0 2 * * 1-5", "5,35 0-6/2 1 jan,jul mon", "0 0 31 12 Sat"]


@pytest.mark.parametrize("schedule", ACCEPTED_SCHEDULES)
async def test_what_the_resource_takes_as_a_schedule_a_cronjob_takes_too(api, namespace, schedule):
    assert await api.refusal_to_create(resource(namespace, backup={"schedule": {"data": schedule}})) == ""
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "none"}]}
    job = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "schedule", "namespace": namespace},
        "spec": {"schedule": schedule, "jobTemplate": {"spec": {"template": {"spec": pod}}}},
    }
    assert await api.refusal_to_create(job) == ""


@pytest.mark.parametrize("schedule", ["0 2 * *", "61 2 * * *", "0 25 * * *", "0 2 0 * *", "0 2 * 13 *", "0 2 * * 9"])
async def test_what_a_cronjob_refuses_the_resource_refuses_first(api, namespace, schedule):
    refusal = await api.refusal_to_create(resource(namespace, backup={"schedule": {"data": schedule}}))
    assert "schedule is no cron expression" in refusal


async def test_the_smallest_resource_gets_all_defaults(api, namespace):
    made = await api.create(resource(namespace), dry_run=True)
    assert Spec.model_validate(made["spec"]) == Spec.model_validate(
        {"sites": [{"name": "berlin"}, {"name": "hamburg"}]}
    )
    assert made["spec"]["database"]["version"] == 18
    assert made["spec"]["files"]["folders"] == [{"name": "documents"}]
    assert made["spec"]["deletionPolicy"] == "Retain"


async def test_one_site_is_a_cluster_and_so_are_32(api, namespace):
    assert await api.refusal_to_create(resource(namespace, **sites({"name": "berlin"}))) == ""
    most = [{"name": f"site-{index}", "serverNumber": index + 1} for index in range(32)]
    assert await api.refusal_to_create(resource(namespace, **sites(*most))) == ""


@pytest.mark.parametrize("name", ["my.lab", "1st-lab"])
async def test_a_name_that_no_service_could_begin_with_is_refused(api, namespace, name):
    refusal = await api.refusal_to_create(resource(namespace, name=name))
    assert "so it is a DNS label: small letters, digits and '-', a letter first, for example my-lab" in refusal, refusal


async def test_every_setting_of_the_operator_is_refused(api, namespace):
    for name in OPERATOR_PARAMETERS:
        refusal = await api.refusal_to_create(resource(namespace, database={"parameters": {name: "x"}}))
        assert "these parameters belong to the operator" in refusal, name
