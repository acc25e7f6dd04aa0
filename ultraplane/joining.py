"""Becoming one more API server of a cluster that exists: what has to be alike is copied, once.

    pki/ca.crt, ca.key        so that clients and certificates of one server hold at all
    pki/front-proxy-ca.*      the same for extension API servers
    pki/service-account.key   so that tokens that one server gives are good at all
    pki/admin.token           so that one kubeconfig's token is
    checkpoints/<partition>   the newest: the journal may no longer have what is before it

Everything else comes from the journal. Settings that must be alike are not copied: partitions
(which the journal checks), service_cidr, node_port_range, service_account_issuer.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from ultraplane.errors import UserError
from ultraplane.files import private_directory, write_private

SHARED: Final = ("ca.crt", "ca.key", "service-account.key", "admin.token")
"""What all credentials of a cluster come from, in `pki/`."""
SHARED_IF_THERE: Final = ("front-proxy-ca.crt", "front-proxy-ca.key")
"""The same, which clusters made before did not have; each server makes what is missing, and that of
all of them is believed."""
_COPY_ATTEMPTS: Final = 5
_CHECKPOINTS: Final = (".ckpt", ".mdb")


class CannotJoin(UserError):
    """The other cluster's files can't be had, or ours are of another one; nothing was replaced."""


def join_cluster(source: Path, data_dir: Path) -> None:
    """Copy what is missing in `data_dir` of what the API servers of a cluster share.

    Args:
        source: data directory of another API server of the cluster.
        data_dir: ours; what is there is kept.

    Raises:
        CannotJoin: see there.
        UnsafeDirectory: a directory is somebody else's.
    """
    if os.path.realpath(source) == os.path.realpath(data_dir):
        raise CannotJoin(f"join: {source} is our own data directory; name another API server's")
    own = data_dir / "pki"
    if not source.exists() and all((own / name).exists() for name in SHARED):
        return  # it has joined, and needs nothing of the other any more
    names = [*SHARED, *(one for one in SHARED_IF_THERE if (source / "pki" / one).exists())]
    wanted = {name: _read(source / "pki" / name) for name in names}
    for name, content in wanted.items():
        path = own / name
        if name in SHARED and path.exists() and path.read_bytes() != content:
            raise CannotJoin(
                f"join: {path} is not the one in {source}: they belong to different clusters. Use "
                "another data_dir, or delete that file if nobody needs it"
            )
    private_directory(own)
    for name, content in wanted.items():
        if not (own / name).exists():
            write_private(own / name, content)
    for directory in sorted((source / "checkpoints").glob("*/")):
        _copy_newest(directory, data_dir / "checkpoints" / directory.name)


def _checkpoints(directory: Path) -> list[Path]:
    """Return a partition's checkpoints, newest last, as their names sort."""
    # The storage package is not asked: to import it takes a tenth of a second of each start.
    found = [path for suffix in _CHECKPOINTS for path in directory.glob(f"*{suffix}")]
    return sorted(found, key=lambda path: path.name)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CannotJoin(f"join: {path} cannot be read: {error.strerror}") from error


def _copy_newest(source: Path, target: Path) -> None:
    """Copy the newest checkpoint, unless there is one; its name says what it holds."""
    if _checkpoints(target):
        return
    for _ in range(_COPY_ATTEMPTS):
        # A running server may drop the one we chose, as it has written newer ones.
        found = _checkpoints(source)
        if not found:
            return
        newest = found[-1]
        private_directory(target.parent)
        private_directory(target)
        temporary = target / "joining.tmp"
        try:
            temporary.unlink(missing_ok=True)
            temporary.touch(mode=0o600)
            shutil.copyfile(newest, temporary)
        except FileNotFoundError:
            temporary.unlink(missing_ok=True)
            continue
        if not newest.exists():
            continue  # it may have been cut short under our hands
        temporary.rename(target / newest.name)
        return
    raise CannotJoin(f"join: the checkpoints in {source} come and go; try again")
