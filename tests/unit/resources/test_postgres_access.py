from multiserver.api.spec import Database
from multiserver.resources.postgres_access import certificate_names, host_based_access


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


def test_everyone_who_may_log_in_is_named_and_all_others_are_rejected():
    assert lines(host_based_access(Database(name="praxis", owner="doctor"))) == [
        ["local", "all", '"postgres"', "peer"],
        ["hostssl", '"praxis"', '"multiserver_peer"', "all", "cert", "map=sites"],
        ["hostssl", "replication", '"multiserver_peer"', "all", "cert", "map=sites"],
        ["hostssl", "all", '"postgres"', "all", "cert", "map=operator"],
        ["hostssl", '"praxis"', '"doctor"', "all", "scram-sha-256"],
        ["local", "all", "all", "reject"],
        ["host", "all", "all", "all", "reject"],
    ]


def test_a_database_named_like_a_keyword_opens_no_other_database():
    text = host_based_access(Database(name="all", owner="samerole"))
    assert ["hostssl", '"all"', '"samerole"', "all", "scram-sha-256"] in lines(text)


def test_a_certificate_is_good_for_one_role_only():
    assert lines(certificate_names()) == [
        ["sites", '"/^site:[-a-z0-9]+$"', '"multiserver_peer"'],
        ["operator", '"operator"', '"postgres"'],
    ]
