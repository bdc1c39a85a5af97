"""The operator as it runs in the cluster: stopped for good, started, asked for its log."""

import json
from dataclasses import dataclass

from hack.demo.kubernetes import Kubernetes
from hack.demo.operator_install import RELEASE
from hack.demo.waiting import wait_for

SELECTOR = f"app.kubernetes.io/instance={RELEASE}"
LEASE = RELEASE
LEADS_SECONDS = 120


@dataclass(frozen=True)
class Operator:
    """The installed operator."""

    kubernetes: Kubernetes
    namespace: str

    @property
    def user(self) -> str:
        """The name under which the API server knows it."""
        return f"system:serviceaccount:{self.namespace}:{RELEASE}"

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        return self.kubernetes.kubectl("-n", self.namespace, *arguments, stdin=stdin)

    def stop(self) -> None:
        self.kubectl("scale", f"deployment/{RELEASE}", "--replicas=0")
        self.kubectl("wait", "pod", "-l", SELECTOR, "--for=delete", "--timeout=60s")
        self.take_lease()

    def start(self) -> None:
        """Start it, and wait until it leads."""
        self.kubectl("scale", f"deployment/{RELEASE}", "--replicas=1")
        self.kubectl("rollout", "status", f"deployment/{RELEASE}", "--timeout=60s")
        pods = json.loads(self.kubectl("get", "pod", "-l", SELECTOR, "-o", "json"))["items"]
        # One of an earlier image may lead for a moment yet, on its way out.
        self.await_leader(*(pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]))

    def take_lease(self) -> None:
        """Take its Lease away: a successor would wait until it runs out, which only makes tests longer."""
        self.kubectl("delete", "lease", LEASE, "--ignore-not-found")

    def await_leader(self, *pods: str) -> None:
        """Wait until the operator in one of these pods leads."""
        wait_for(
            f"the operator in {' or '.join(pods)} leads",
            lambda: self.kubectl("get", "lease", LEASE, "-o", "jsonpath={.spec.holderIdentity}"),
            until=lambda holder: holder.startswith(pods),
            timeout_seconds=LEADS_SECONDS,
        )

    def log(self, last_lines: int = -1) -> str:
        return self.kubectl("logs", f"deployment/{RELEASE}", f"--tail={last_lines}")
