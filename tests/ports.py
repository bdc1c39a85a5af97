"""Ports of loopback for servers of tests, which run in several processes at once.

A port stays its process's own as long as the process lives, also while its server is stopped.
"""

import fcntl
import random
import socket
from itertools import cycle, islice
from pathlib import Path

PORTS = range(15_000, 30_000)
"""Below those that the kernel gives to whoever connects, and below those of Kubernetes' NodePorts."""

_taken = Path("/tmp/multiserver-test-ports").open("ab")  # noqa: SIM115
"""Byte N is locked by the process whose port N is, whatever its TMPDIR. Closing it would end all locks."""
_candidates = cycle(random.sample(PORTS, len(PORTS)))
"""So a port comes again only after all others, when its server is gone."""


def free_port() -> int:
    """Give a port that nobody uses and no other process of tests will get."""
    for port in islice(_candidates, len(PORTS)):
        if _take(port) and _is_unused(port):
            return port
    raise RuntimeError(f"no port of loopback from {PORTS.start} to {PORTS.stop - 1} is free: end other runs of tests")


def _take(port: int) -> bool:
    try:
        fcntl.lockf(_taken, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def _is_unused(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
