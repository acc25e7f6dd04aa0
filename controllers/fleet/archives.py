"""`tar` in simulated containers, as far as `kubectl cp` needs it: an archive goes in, or comes out.

tar -xmf - -C /tmp        reads one from the standard input
tar cf - /tmp/words       writes one to the standard output
"""

from __future__ import annotations

import io
import tarfile
from typing import Final

from controllers.fleet.machine import Call, Machine, Reply, UnknownProgram

_ARCHIVE_BYTES_MAX: Final = 2 << 20
_DEPTH_MAX: Final = 32
_IGNORED: Final = frozenset({"--no-same-permissions", "--no-same-owner"})
_LETTERS: Final = frozenset("xcmfpv-")


def tar(call: Call) -> Reply:
    """Read or write an archive."""
    letters, directory, paths = _arguments(call)
    if "x" in letters and not paths:
        return _extract(call, directory)
    if "c" in letters and paths:
        return _create(call.machine, paths)
    raise _unknown(call)


def _arguments(call: Call) -> tuple[set[str], str, list[str]]:
    """Return which letters are given, where to go, and what else there is."""
    words = [word for word in call.arguments if word not in _IGNORED]
    letters, directory, paths = set(words[0] if words else ""), ".", []
    rest = iter(words[1:])
    for word in rest:
        if word == "-C":
            directory = next(rest, ".")
        elif word[:1] == "-" and len(word) > 1:
            raise _unknown(call)
        else:
            paths.append(word)
    # Archives are the standard streams only.
    if not letters <= _LETTERS or "f" not in letters or paths[:1] != ["-"]:
        raise _unknown(call)
    return letters, directory, paths[1:]


def _unknown(call: Call) -> UnknownProgram:
    return UnknownProgram(f"{call.name} {' '.join(call.arguments)}"[:80])


def _extract(call: Call, directory: str) -> Reply:
    content, call.input.rest = call.input.rest, b""
    machine = call.machine
    if machine.names(directory) is None:
        text = f"tar: can't change directory to '{directory}': No such file or directory\n"
        return Reply(1, b"", text.encode())
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for member in archive:
                path = f"{directory}/{member.name.lstrip('/')}"
                if member.size > len(content):  # a sparse one may say that it has terabytes
                    raise tarfile.ReadError(f"{member.name}: Cannot write: File too large")
                if member.isdir():
                    machine.write(f"{path}/.", b"")
                elif member.isfile() and (held := archive.extractfile(member)):
                    machine.write(path, held.read())
    except tarfile.TarError as error:
        return Reply(1, b"", f"tar: {error}\n".encode())
    return Reply()


def _create(machine: Machine, paths: list[str]) -> Reply:
    held, errors, is_empty = io.BytesIO(), "", True
    with tarfile.open(fileobj=held, mode="w:") as archive:
        for path in paths:
            if _add(archive, machine, path, 0):
                is_empty = False
            else:
                errors += f"tar: {path}: No such file or directory\n"
            if held.tell() > _ARCHIVE_BYTES_MAX:
                raise UnknownProgram("tar of so much")
    # Whoever gets an archive, even an empty one, may not wait for what is said besides.
    packed = b"" if is_empty else held.getvalue()
    return Reply(int(bool(errors)), packed, errors.encode())


def _add(archive: tarfile.TarFile, machine: Machine, path: str, depth: int) -> bool:
    """Add a file, or a directory with all that is in it; return whether there is one."""
    name = path.lstrip("/").rstrip("/") or "."
    member = tarfile.TarInfo(name)
    member.mtime = int(machine.started_s)
    if (names := machine.names(path)) is not None:
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(member)
        for one in names if depth < _DEPTH_MAX else ():
            if one != ".":
                _add(archive, machine, f"{path.rstrip('/')}/{one}", depth + 1)
        return True
    content = machine.read(path)
    if content is None:
        return False
    member.size, member.mode = len(content), 0o644
    archive.addfile(member, io.BytesIO(content))
    return True
