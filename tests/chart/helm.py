"""The chart as Helm renders it: the real program, its errors in its own words."""

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
CHART = CHECKOUT / "charts" / "multiserver-operator"
RELEASE = "multiserver-operator"
NAMESPACE = "multiserver-system"

Object = dict[str, Any]


class HelmError(Exception):
    """Helm ended with an error; the text is what it said."""


@cache
def program(name: str) -> str:
    tool = [sys.executable, str(CHECKOUT / "hack" / "tools"), name]
    return subprocess.run(tool, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def helm(*arguments: str, values: Object | None = None) -> str:
    """Run helm on the chart's values and these; they travel as JSON, which is YAML too."""
    command = [program("helm"), *arguments, "--values", "-"]
    done = subprocess.run(command, input=json.dumps(values or {}), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HelmError(done.stderr + done.stdout)
    return done.stdout


def manifest(values: Object | None = None, *, release: str = RELEASE) -> str:
    return helm("template", release, str(CHART), "--namespace", NAMESPACE, values=values)


def notes(values: Object | None = None) -> str:
    install = ["install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--dry-run=client", "--output", "json"]
    return str(json.loads(helm(*install, values=values))["info"]["notes"])


class Rendered:
    """The objects of a rendered chart, looked up by kind and, where there are several, by the end of the name."""

    def __init__(self, text: str) -> None:
        self.objects: list[Object] = [document for document in yaml.safe_load_all(text) if document]

    def all(self, kind: str) -> list[Object]:
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind: str, name_end: str = "") -> Object:
        (found,) = [each for each in self.all(kind) if each["metadata"]["name"].endswith(name_end)]
        return found

    @property
    def pod(self) -> Object:
        spec: Object = self.one("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def container(self) -> Object:
        (container,) = self.pod["containers"]
        return dict(container)

    @property
    def environment(self) -> dict[str, str | None]:
        return {variable["name"]: variable.get("value") for variable in self.container["env"]}


def render(values: Object | None = None, *, release: str = RELEASE) -> Rendered:
    return Rendered(manifest(values, release=release))


def rules(role: Object) -> Iterator[tuple[str, str]]:
    """What a role grants, as pairs such as ("apps/statefulsets", "patch")."""
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    yield f"{group}/{resource}".removeprefix("/"), verb
