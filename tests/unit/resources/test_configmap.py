from dataclasses import replace
from pathlib import Path

from multiserver.api import paths
from multiserver.api.siteconfig import SiteConfig
from multiserver.resources.configmap import config_map, trust_bundle
from tests.clusters import a_blueprint, a_cluster

NUMBERED = [{"name": "hamburg", "serverNumber": 7}, {"name": "berlin", "serverNumber": 3}]


def test_the_config_map_is_as_it_was(snapshot):
    assert config_map(a_blueprint(), "berlin") == snapshot


def test_a_site_is_told_of_all_members_by_server_number():
    cluster = a_cluster(sites=NUMBERED, files={"folders": [{"name": "scans"}, {"name": "letters"}]})
    told = SiteConfig.model_validate_json(config_map(a_blueprint(cluster), "hamburg")["data"]["site.json"])
    assert (told.cluster, told.namespace, told.site, told.schema_site) == ("lab", "clinic", "hamburg", "berlin")
    assert [(member.name, member.server_number, member.host) for member in told.members] == [
        ("berlin", 3, "lab-berlin-server.clinic.svc"),
        ("hamburg", 7, "lab-hamburg-server.clinic.svc"),
    ]
    assert told.folders == ("letters", "scans")


def test_every_member_and_the_operator_are_trusted():
    assert trust_bundle(a_blueprint(a_cluster(sites=NUMBERED))) == (
        "certificate of berlin\ncertificate of hamburg\ncertificate of the operator\n"
    )


def test_a_site_that_leaves_is_still_told_of_and_trusted():
    whole = a_blueprint()
    leaving = replace(whole, sites=whole.sites[:1], leaving=whole.sites[1:])
    told = SiteConfig.model_validate_json(config_map(leaving, "berlin")["data"]["site.json"])

    assert [member.name for member in told.members] == ["berlin", "hamburg"]
    assert "certificate of hamburg" in trust_bundle(leaving)


def test_a_site_is_told_whom_to_copy_if_it_has_no_data():
    opened = replace(a_blueprint(), opened=frozenset({"berlin", "hamburg"}))
    told = SiteConfig.model_validate_json(config_map(opened, "berlin")["data"]["site.json"])

    assert told.donors == ("hamburg",)


def test_every_file_is_where_the_programs_look_for_it():
    mounted = {str(paths.CONFIG / name) for name in config_map(a_blueprint(), "berlin")["data"]}
    assert mounted == {
        str(path)
        for path in (
            paths.SITE_CONFIG,
            paths.POSTGRES_CONFIG,
            paths.POSTGRES_ACCESS,
            paths.POSTGRES_IDENT,
            paths.PGBACKREST_CONFIG,
            paths.TRUST,
        )
    }


def test_nothing_secret_is_in_it():
    text = str(config_map(a_blueprint(), "berlin")).lower()
    assert not any(word in text for word in ("private key", "cipher-pass", "password'"))
    assert not Path(paths.PASSPHRASE).is_relative_to(paths.CONFIG)
