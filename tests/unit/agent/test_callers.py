import pytest

from multiserver.agent.callers import Act, Kind, kind_of, refusal


@pytest.mark.parametrize(
    ("common_name", "kind"),
    [
        ("operator", Kind.OPERATOR),
        ("site:berlin", Kind.OWN_SITE),
        ("site:hamburg", Kind.PEER),
        ("site:operator", Kind.PEER),
        ("berlin", Kind.STRANGER),
        ("", Kind.STRANGER),
        (None, Kind.STRANGER),
    ],
)
def test_a_caller_is_known_by_the_name_in_its_certificate(common_name: str | None, kind: Kind) -> None:
    assert kind_of(common_name, "berlin") is kind


@pytest.mark.parametrize("common_name", ["operator", "site:berlin", "site:hamburg"])
def test_every_member_may_read(common_name: str) -> None:
    assert refusal(common_name, Act.READ, "berlin") == ""


@pytest.mark.parametrize("common_name", ["operator", "site:berlin"])
def test_the_operator_and_the_own_site_may_back_up(common_name: str) -> None:
    assert refusal(common_name, Act.BACK_UP, "berlin") == ""


def test_a_peer_is_told_why_it_may_not_back_up() -> None:
    assert refusal("site:hamburg", Act.BACK_UP, "berlin") == (
        "site:hamburg (peer of berlin) may not make or follow backups; that is for: operator and own site"
    )


@pytest.mark.parametrize("act", Act)
@pytest.mark.parametrize("common_name", [None, "", "someone"])
def test_a_stranger_may_do_nothing(common_name: str | None, act: Act) -> None:
    assert refusal(common_name, act, "berlin")
