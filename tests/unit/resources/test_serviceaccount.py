from multiserver.resources.serviceaccount import service_account
from tests.clusters import a_blueprint


def test_the_service_account_has_no_token():
    account = service_account(a_blueprint(), "berlin")
    assert (account["kind"], account["metadata"]["name"]) == ("ServiceAccount", "lab-berlin")
    assert account["automountServiceAccountToken"] is False
