"""A line between two sites: a TCP forwarder on loopback that can be cut, silenced and healed."""

import contextlib
import socket
import threading
from dataclasses import dataclass, field
from typing import Self

BLOCK_BYTES = 65536


@dataclass
class Line:
    """Forwards everything that arrives at `port` to the port `target`, until it is cut."""

    target: int
    whole: bool = True
    _listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    _open: set[socket.socket] = field(default_factory=set)
    _flows: threading.Event = field(default_factory=threading.Event)

    @property
    def port(self) -> int:
        """The port at which the line begins."""
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._flows.set()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()
        self._flows.set()

    def cut(self) -> None:
        """End all connections and refuse new ones."""
        self.whole = False
        for end in list(self._open):
            _close(end)

    def silence(self) -> None:
        """Keep all connections open and let nothing through, as a line that drops packets does."""
        self._flows.clear()

    def heal(self) -> None:
        """Let connections through again, and what was held back."""
        self.whole = True
        self._flows.set()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return  # The test is over.
            try:
                far = socket.create_connection(("127.0.0.1", self.target)) if self.whole else None
            except OSError:
                far = None
            if far is None:
                near.close()
                continue
            self._open |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while block := source.recv(BLOCK_BYTES):
                self._flows.wait()
                sink.sendall(block)
        except OSError:
            pass  # Cut, or an end went away; both directions end below.
        finally:
            for end in (source, sink):
                _close(end)
                self._open.discard(end)


def _close(end: socket.socket) -> None:
    """Wake whoever reads from the socket, then close it."""
    with contextlib.suppress(OSError):  # It may be closed already.
        end.shutdown(socket.SHUT_RDWR)
    end.close()
