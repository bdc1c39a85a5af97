from dataclasses import replace

import pytest

from tests.clusters import a_blueprint, a_cluster

NUMBERED = [{"name": "berlin", "serverNumber": 7}, {"name": "hamburg", "serverNumber": 3}]


def test_the_schema_site_is_the_declared_one_or_the_one_with_the_lowest_number():
    assert a_blueprint(a_cluster(sites=NUMBERED)).schema_site == "hamburg"
    assert a_blueprint(a_cluster(sites=NUMBERED, schema={"site": "berlin"})).schema_site == "berlin"


def test_an_unknown_site_is_answered_with_the_known_ones():
    with pytest.raises(KeyError, match=r"leipzig is no site of lab; its sites are: \['berlin', 'hamburg'\]"):
        a_blueprint().plan("leipzig")


def test_a_site_copies_the_schema_site_first_then_the_others_that_were_opened_by_number():
    cluster = a_cluster(
        sites=[*NUMBERED, {"name": "leipzig", "serverNumber": 5}, {"name": "munich", "serverNumber": 9}]
    )
    opened = replace(a_blueprint(cluster), opened=frozenset({"berlin", "hamburg", "leipzig"}))

    assert a_blueprint(cluster).donors("munich") == ()
    assert opened.donors("munich") == ("hamburg", "leipzig", "berlin")
    assert replace(opened, known_schema_site="berlin").donors("munich") == ("berlin", "hamburg", "leipzig")
    assert opened.donors("hamburg") == ("leipzig", "berlin"), "no site copies itself"


def test_a_site_that_leaves_is_a_member_and_no_site():
    whole = a_blueprint(a_cluster("berlin", "hamburg", "leipzig"))
    leaving = replace(whole, sites=whole.sites[:2], leaving=whole.sites[2:])

    assert [plan.name for plan in leaving.members] == ["berlin", "hamburg", "leipzig"]
    assert [plan.name for plan in leaving.by_server_number] == ["berlin", "hamburg"]
    assert leaving.plan("leipzig").server_number == 3
