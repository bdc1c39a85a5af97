"""One Kubernetes, one operator and one cluster of three sites, shared by all tests; others where one needs them.

Several processes may work side by side, each with clusters of its own: all tests of the shared cluster are one's.
"""

from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from xdist.remote import Producer

from hack.common.lock import file_lock
from hack.demo import operator_install
from hack.demo.kubernetes import CHECKOUT, Local, local
from hack.demo.mesh import Mesh
from hack.demo.story import OPERATOR_NAMESPACE
from tests.e2e import dump
from tests.e2e.killable_operator import KillableOperator, killable_operator, remove_killable
from tests.e2e.lines import Lines
from tests.e2e.meshes import Namespaces, a_mesh
from tests.e2e.operator_pod import Operator
from tests.e2e.schedule import CLUSTERS_OF_THEIR_OWN, Schedule
from tests.e2e.turns import Turns
from tests.scratch import memory_suffices

NewMesh = Callable[..., Mesh]

SHARED = {"shared_mesh", "quiet_mesh"}
"""Tests with one of these fixtures are run by one process; see schedule.py."""
WITHOUT_OPERATOR = {"victim", "without_operator"}
"""While a test with one of these fixtures runs, no other one does."""

LOCKS = CHECKOUT / "build"
TURNS = Turns(LOCKS)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Schedule:
    """Keep together what belongs together, and all in the order of pytest_collection_modifyitems."""
    config.option.loadscopereorder = False
    return Schedule(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the operator taken away first, so that it leads for long while all other tests run: test_steady needs that.

    Refuse a test that would use the shared cluster from a process of its own.
    """
    items.sort(key=lambda item: not _has_any(item, WITHOUT_OPERATOR))
    for item in items:
        if item.path.stem in CLUSTERS_OF_THEIR_OWN and _has_any(item, SHARED):
            raise pytest.UsageError(
                f"{item.nodeid} uses the shared cluster: take its file out of tests/e2e/schedule.py"
            )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """Run a test, its fixtures included, when it is its turn."""
    TURNS.begin(alone=_has_any(item, WITHOUT_OPERATOR))
    try:
        return (yield)
    finally:
        TURNS.end(next_alone=nextitem is not None and _has_any(nextitem, WITHOUT_OPERATOR))


def _has_any(item: pytest.Item, fixtures: set[str]) -> bool:
    return not fixtures.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def kubernetes() -> Iterator[Local]:
    """Our own local Kubernetes, whatever the user's current context is."""
    with file_lock(LOCKS / "e2e-kubernetes.lock"):
        cluster = Lines.of(local("local", in_memory=memory_suffices()))
    yield cluster
    cluster.heal()


@pytest.fixture(scope="session")
def operator(kubernetes: Local) -> Operator:
    """The operator of this working tree, installed by one process after the other."""
    operator = Operator(kubernetes, OPERATOR_NAMESPACE)
    with file_lock(LOCKS / "e2e-operator.lock"):
        operator_install.install(kubernetes, OPERATOR_NAMESPACE)
        remove_killable(operator)
        operator.start()
    return operator


@pytest.fixture(scope="session")
def namespaces(kubernetes: Local, testrun_uid: str) -> Iterator[Namespaces]:
    """Where tests make their clusters; nothing of an interrupted session is left."""
    made = Namespaces(kubernetes, testrun_uid[:4])
    made.remove_those_of_other_sessions()
    yield made
    made.remove(made.made)


@pytest.fixture(scope="session")
def shared_mesh(request: pytest.FixtureRequest, kubernetes: Local, operator: Operator, namespaces: Namespaces) -> Mesh:
    """The cluster of berlin, hamburg and leipzig, which is applied only once.

    The quiet one is made before it, so that its quiet minutes pass while tests use this one.
    """
    if any(_has_any(item, {"quiet_mesh"}) for item in request.session.items):
        request.getfixturevalue("quiet_mesh")
    mesh = a_mesh(kubernetes, namespaces.make("clinic"), ("berlin", "hamburg", "leipzig"), {})
    mesh.apply()
    return mesh


@pytest.fixture(scope="session")
def quiet_mesh(kubernetes: Local, operator: Operator, namespaces: Namespaces) -> Mesh:
    """A cluster that no test touches."""
    mesh = a_mesh(kubernetes, namespaces.make("quiet"), ("berlin", "hamburg"), {})
    mesh.apply()
    return mesh


@pytest.fixture(scope="module")
def new_mesh(kubernetes: Local, operator: Operator, namespaces: Namespaces) -> Iterator[NewMesh]:
    """Make a cluster in a namespace of its own: `new_mesh(purpose, *sites, **spec)`. It is not applied yet.

    It is gone after the module, so that it does not take the machine's time from other tests.
    """
    made = []

    def make(purpose: str, *sites: str, **spec: Any) -> Mesh:
        made.append(namespaces.make(purpose))
        return a_mesh(kubernetes, made[-1], sites, spec)

    yield make
    namespaces.remove(made)


@pytest.fixture(scope="module")
def victim(operator: Operator) -> Iterator[KillableOperator]:
    """An operator to be killed, in place of the installed one as long as the module runs."""
    operator.stop()
    with killable_operator(operator) as victim:
        yield victim
    operator.start()


@pytest.fixture
def mesh(shared_mesh: Mesh, operator: Operator, kubernetes: Local) -> Iterator[Mesh]:
    """The cluster of berlin, hamburg and leipzig, as applied and healthy whatever the test before did to it."""
    shared_mesh.wait_until_healthy()
    yield shared_mesh
    kubernetes.heal()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the cluster beside a failure."""
    report = yield
    kubernetes = getattr(item, "funcargs", {}).get("kubernetes")
    if report.failed and kubernetes:
        report.sections += list(dump.sections(kubernetes))
    return report
