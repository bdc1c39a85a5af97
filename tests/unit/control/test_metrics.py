from multiserver.api.status import Status
from multiserver.control.metrics import ControlMetrics
from multiserver.health.status import status
from tests.unit.health.views import a_view


def test_an_operator_that_leads_no_longer_tells_nothing_of_clusters():
    metrics = ControlMetrics()
    metrics.tell(("clinic", "lab"), status(a_view(), Status()))
    assert any(family.samples for family in metrics.collect())

    metrics.forget()

    assert not any(family.samples for family in metrics.collect())
