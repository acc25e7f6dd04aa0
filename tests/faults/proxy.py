"""A journal's address that is not the journal: everything passes through here, until it does not.

One thread accepts, two carry each connection. What is done to a connection holds for those that
are there at that moment; those made later are whole.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

_CHUNK_BYTES: Final = 65_536
_CONNECTIONS_MAX: Final = 512


class _Connection:
    """A client's connection and ours to the journal."""

    def __init__(self, client: socket.socket, service: socket.socket) -> None:
        self.client = client
        self.service = service
        self.open = threading.Event()
        self.open.set()
        self.swallows_answers = False
        self.bytes_left: int | None = None
        """Of the requests; then it ends, in the middle of a frame or not."""
        self.delay_s = 0.0

    def cut(self) -> None:
        self.open.set()
        for end in (self.client, self.service):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for end in (self.client, self.service):
            end.close()


class Proxy:
    """Listens at `path` and passes on to the Unix socket `behind`.

    Attributes:
        cuts: how many connections it has cut.
    """

    def __init__(self, path: Path, behind: Path) -> None:
        self.cuts = 0
        self._path = path
        self._behind = behind
        self._connections: list[_Connection] = []
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(128)
        self._closed = False
        threading.Thread(target=self._accept, name=f"proxy {path}", daemon=True).start()

    def close(self) -> None:
        """Take no more connections and end those there are."""
        self._closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        self._path.unlink(missing_ok=True)

    def cut(self) -> None:
        """End all connections now."""
        for connection in self._all():
            self.cuts += 1
            connection.cut()

    def cut_after(self, requests_bytes: int) -> None:
        """End each connection once so many more bytes of requests have passed."""
        for connection in self._all():
            connection.bytes_left = requests_bytes

    def swallow_answers(self) -> None:
        """Deliver requests and nothing that is answered, until the connection is cut."""
        for connection in self._all():
            connection.swallows_answers = True

    def freeze(self) -> None:
        """Carry nothing more, and keep the connections open."""
        for connection in self._all():
            connection.open.clear()

    def thaw(self) -> None:
        """Carry on."""
        for connection in self._all():
            connection.open.set()

    def delay(self, seconds: float) -> None:
        """Carry each piece only after a while."""
        for connection in self._all():
            connection.delay_s = seconds

    def _all(self) -> list[_Connection]:
        with self._lock:
            return list(self._connections)

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            service = socket.socket(socket.AF_UNIX)
            try:
                service.connect(str(self._behind))
            except OSError:
                # The journal is down: so are we.
                client.close()
                service.close()
                continue
            self._carry(_Connection(client, service))

    def _carry(self, connection: _Connection) -> None:
        with self._lock:
            assert len(self._connections) < _CONNECTIONS_MAX, "connections are not given back"
            self._connections.append(connection)
        ends = [
            threading.Thread(target=pump, args=(connection,), daemon=True)
            for pump in (self._pump_requests, self._pump_answers)
        ]
        for end in ends:
            end.start()
        threading.Thread(target=self._bury, args=(connection, ends), daemon=True).start()

    def _bury(self, connection: _Connection, ends: list[threading.Thread]) -> None:
        for end in ends:
            end.join()
        with self._lock:
            self._connections.remove(connection)
        connection.close()

    def _pump_requests(self, connection: _Connection) -> None:
        with suppress(OSError):
            while data := connection.client.recv(_CHUNK_BYTES):
                self._hold(connection)
                left = connection.bytes_left
                if left is not None:
                    connection.bytes_left = max(0, left - len(data))
                    if len(data) >= left:
                        connection.service.sendall(data[:left])
                        self.cuts += 1
                        break
                connection.service.sendall(data)
        connection.cut()

    def _pump_answers(self, connection: _Connection) -> None:
        with suppress(OSError):
            while data := connection.service.recv(_CHUNK_BYTES):
                self._hold(connection)
                if not connection.swallows_answers:
                    connection.client.sendall(data)
        connection.cut()

    def _hold(self, connection: _Connection) -> None:
        connection.open.wait()
        if connection.delay_s:
            threading.Event().wait(connection.delay_s)
