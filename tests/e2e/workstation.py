"""A pod from which an application or an intruder would connect, with the programs of the site's image."""

from dataclasses import dataclass
from typing import Any

from hack.demo.mesh import Mesh

# libpq takes no key that others may read, and a Secret's files belong to root.
_START = "cp /stranger/tls.key /tmp/tls.key && chmod 600 /tmp/tls.key && sleep infinity"
_PSQL = 'psql "{connection}" -qAtX -v ON_ERROR_STOP=1 -c "{statement}"'


@dataclass(frozen=True)
class Workstation:
    """The pod `workstation` in a cluster's namespace."""

    mesh: Mesh

    def psql(self, connection: str, statement: str) -> str:
        """Run a statement and give its rows. `$URI` and `$PASSWORD` stand for what the Secret says."""
        command = _PSQL.format(connection=connection, statement=statement)
        return self.mesh.kubectl("exec", "workstation", "--", "sh", "-c", command).strip()


def workstation_manifest(image: str, application_secret: str, stranger_secret: str) -> dict[str, Any]:
    """Give the pod: the application's Secret at /application, a stranger's certificate and key at /stranger."""
    variables = {"URI": "uri", "PASSWORD": "password"}
    container = {
        "name": "shell",
        "image": image,
        "command": ["sh", "-c", _START],
        "env": [
            {"name": name, "valueFrom": {"secretKeyRef": {"name": application_secret, "key": key}}}
            for name, key in variables.items()
        ],
        "volumeMounts": [
            {"name": "application", "mountPath": "/application"},
            {"name": "stranger", "mountPath": "/stranger"},
        ],
    }
    volumes = [
        {"name": "application", "secret": {"secretName": application_secret}},
        {"name": "stranger", "secret": {"secretName": stranger_secret}},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "workstation"},
        "spec": {
            "containers": [container],
            "volumes": volumes,
            "securityContext": {"runAsUser": 10001, "runAsGroup": 10001, "runAsNonRoot": True},
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 0,
        },
    }
