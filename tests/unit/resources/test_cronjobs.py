from multiserver.resources.cronjobs import backup_job
from tests.clusters import a_blueprint, a_cluster


def test_the_backup_of_the_data_is_as_it_was(snapshot):
    assert backup_job(a_blueprint(), "berlin", "data") == snapshot


def test_each_kind_has_a_schedule_and_a_command_of_its_own():
    blueprint = a_blueprint(a_cluster(backup={"schedule": {"data": "@daily", "files": "5 * * * *"}}))
    jobs = [backup_job(blueprint, "hamburg", kind) for kind in ("data", "files")]
    assert [job["spec"]["schedule"] for job in jobs] == ["@daily", "5 * * * *"]
    containers = [job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0] for job in jobs]
    agent = "https://lab-hamburg-server.clinic.svc:8443"
    assert [item["command"] for item in containers] == [
        ["multiserver", "backup", "--kind", "data", "--agent", agent],
        ["multiserver", "backup", "--kind", "files", "--agent", agent],
    ]


def test_two_backups_of_a_kind_never_run_at_once():
    assert backup_job(a_blueprint(), "berlin", "files")["spec"]["concurrencyPolicy"] == "Forbid"


def test_a_job_is_no_server_that_a_service_would_lead_to():
    template = backup_job(a_blueprint(), "berlin", "data")["spec"]["jobTemplate"]["spec"]["template"]
    assert template["metadata"]["labels"]["app.kubernetes.io/component"] == "backup"
