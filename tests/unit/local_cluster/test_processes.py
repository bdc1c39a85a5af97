import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_cluster import processes
from local_cluster.processes import Process
from tests.sites import eventually
from tests.unit.local_cluster.gen import cluster

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(60)"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like the etcd of a cluster, started with the fingerprint `abc`."""
    argv = [f"{cluster().programs}/etcd", "60"]
    child = subprocess.Popen(argv, executable="/bin/sleep", env={processes.FINGERPRINT: "abc"})
    # Until the program runs, the process looks like ours.
    eventually(lambda: processes.running(cluster()), "the process has its own program and environment", 10)
    yield child
    child.kill()
    child.wait()


def test_a_process_is_found_by_the_link_it_was_called_by(sleeper: subprocess.Popen[bytes]):
    (found,) = processes.running(cluster())["etcd"]
    assert (found.pid, found.fingerprint) == (sleeper.pid, "abc")
    assert processes.running(cluster("hamburg")) == {}


def test_a_stopped_process_is_gone(sleeper: subprocess.Popen[bytes]):
    processes.stop(processes.running(cluster())["etcd"])
    assert processes.running(cluster()) == {}


def test_a_process_that_does_not_listen_is_killed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(processes, "STOP_TIMEOUT_SECONDS", 0.2)
    child = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    processes.stop([Process(child.pid, (sys.executable, "-c", STUBBORN), "", 0)])
    assert child.wait() == -9
    child.stdout.close()


def test_a_process_that_is_gone_already_is_no_error():
    child = subprocess.Popen(["/bin/true"])
    child.wait()
    processes.kill([Process(child.pid, ("/bin/true",), "", 0)])


def test_the_log_that_is_not_there_has_no_end(tmp_path: Path):
    assert processes.log_tail(cluster(), "etcd") == ""
