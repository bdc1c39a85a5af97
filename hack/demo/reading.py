"""Reading the resource from the API server without starting a program, for those who look twice a second."""

from functools import cache
from pathlib import Path
from typing import Any, cast

from kubernetes.client import ApiException, CustomObjectsApi
from kubernetes.config import ConfigException, new_client_from_config
from urllib3.exceptions import HTTPError

from hack.common.command import CommandFailed
from multiserver.api.crd import GROUP, PLURAL, VERSION

ANSWER_SECONDS = 30


def read_cluster(kubeconfig: Path | None, namespace: str, name: str) -> dict[str, Any]:
    """Give a MultiServerCluster as the API server has it. Raises CommandFailed, as kubectl does."""
    try:
        document = _api(kubeconfig).get_namespaced_custom_object(
            GROUP, VERSION, namespace, PLURAL, name, _request_timeout=ANSWER_SECONDS
        )
    except (ApiException, ConfigException, HTTPError) as error:
        raise CommandFailed(f"cannot read {PLURAL} {namespace}/{name}: {error}") from error
    return cast(dict[str, Any], document)


@cache
def _api(kubeconfig: Path | None) -> CustomObjectsApi:
    return CustomObjectsApi(new_client_from_config(str(kubeconfig) if kubeconfig else None))
