"""A line can be cut, silent and slow, and is well again afterwards."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.chaos.proxy import WELL, Condition, Line, Network, network


@pytest.fixture
def echo_port() -> Iterator[int]:
    """Something that answers what it is told."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=[server], daemon=True).start()
        yield server.getsockname()[1]


def serve(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=answer, args=[connection], daemon=True).start()


def answer(connection: socket.socket) -> None:
    try:
        while data := connection.recv(100):
            connection.sendall(data)
    except OSError:
        return


@pytest.fixture
def lines() -> Iterator[Network]:
    with network() as made:
        yield made


def talk(line: Line) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", line.port), timeout=5)
    connection.sendall(b"x")
    return connection


def test_a_line_that_is_well_carries_everything(lines: Network, echo_port: int) -> None:
    with talk(lines.line_to(echo_port)) as connection:
        assert connection.recv(1) == b"x"


def test_a_cut_ends_connections_and_refuses_new_ones(lines: Network, echo_port: int) -> None:
    line = lines.line_to(echo_port)
    with talk(line) as connection:
        assert connection.recv(1) == b"x"
        lines.become(line, Condition(is_cut=True))
        assert ended(connection)
    with socket.create_connection(("127.0.0.1", line.port), timeout=5) as connection:
        assert ended(connection)
    lines.become(line, WELL)
    with talk(line) as connection:
        assert connection.recv(1) == b"x"


def test_a_silent_line_keeps_what_was_said_until_it_is_well(lines: Network, echo_port: int) -> None:
    line = lines.line_to(echo_port)
    lines.become(line, Condition(is_silent=True))
    with talk(line) as connection:
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        lines.become(line, WELL)
        connection.settimeout(5)
        assert connection.recv(1) == b"x"


def test_a_slow_line_takes_its_time(lines: Network, echo_port: int) -> None:
    line = lines.line_to(echo_port)
    lines.become(line, Condition(delay_seconds=0.1))
    started = time.monotonic()
    with talk(line) as connection:
        assert connection.recv(1) == b"x"
    assert time.monotonic() - started >= 0.2  # there and back


def ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
