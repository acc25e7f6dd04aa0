"""Unix sockets of any path, for their owner alone."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from runtime.unix_sockets import listen, short_path


@pytest.mark.parametrize("length", [1, 200])
def test_a_socket_is_reached_however_long_its_path(tmp_path: Path, length: int) -> None:
    directory = tmp_path / ("d" * length)
    directory.mkdir()
    path = directory / "a.sock"
    for _ in range(2):
        # The second time in the place of the first.
        with listen(path) as server, socket.socket(socket.AF_UNIX) as client:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            with short_path(path) as name:
                client.connect(name)
            server.accept()[0].close()


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        listen(tmp_path / ("d" * 200) / "a.sock")
