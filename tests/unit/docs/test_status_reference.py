"""The status reference knows every field and condition, and shows a status that the operator could write."""

import pytest
import yaml

from multiserver.api.status import Condition, PeerFiles, PeerStatus, SiteStatus, Status
from multiserver.health.checks import CHECKS
from tests.unit.docs.pages import CHECKOUT, blocks

REFERENCE = (CHECKOUT / "docs" / "status.md").read_text()


@pytest.mark.parametrize(
    "model", [Status, Condition, SiteStatus, PeerStatus, PeerFiles], ids=lambda model: model.__name__
)
def test_every_field_is_described(model: type[Status]) -> None:
    names = [str(field.alias) for field in model.model_fields.values()]

    assert not [name for name in names if f"`{name}`" not in REFERENCE]


def test_every_condition_is_described() -> None:
    assert not [condition for condition in CHECKS if f"`{condition}`" not in REFERENCE]


def test_status_shown_is_one_that_the_operator_writes() -> None:
    shown = [yaml.safe_load(block) for block in blocks(REFERENCE, "yaml")]
    statuses = [each["status"] for each in shown if "status" in each]

    assert statuses
    for each in statuses:
        Status.model_validate(each)
