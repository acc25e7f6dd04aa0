"""`tar` in simulated containers: what goes in comes out, and nothing else is made up."""

from __future__ import annotations

import io
import tarfile
from types import SimpleNamespace
from typing import Any

import pytest

from controllers.fleet.archives import tar
from controllers.fleet.machine import Call, Input, Machine, UnknownProgram


def _machine(**files: bytes) -> Machine:
    world: Any = SimpleNamespace(
        hostname="p",
        address="10.0.0.9",
        environment={},
        read=lambda _path: None,
        names=lambda path: [] if path in ("/", "/tmp") else None,
        is_shared=lambda _path: False,
    )
    machine = Machine(world, {}, 0.0, lambda _: None, lambda _: None, Input(), goes_on=True)
    machine.files = {f"/tmp/{name}": content for name, content in files.items()}
    return machine


def _called(machine: Machine, words: str, stdin: bytes = b"") -> Any:
    return tar(Call("tar", words.split(), Input(stdin), machine))


def test_what_is_packed_is_unpacked_elsewhere() -> None:
    packed = _called(_machine(**{"d/a": b"1", "d/e/b": b"\x00\xff"}), "cf - /tmp/d")
    assert packed.code == 0
    other = _machine()
    assert _called(other, "-xmf - -C /", packed.out).code == 0
    assert other.read("/tmp/d/a") == b"1"
    assert other.read("/tmp/d/e/b") == b"\x00\xff"


def test_what_is_not_there_is_told() -> None:
    reply = _called(_machine(), "cf - /tmp/none")
    assert (reply.code, reply.error) == (1, b"tar: /tmp/none: No such file or directory\n")
    reply = _called(_machine(), "-xmf - -C /none")
    assert reply.error == b"tar: can't change directory to '/none': No such file or directory\n"
    assert _called(_machine(), "-xf -", b"no archive").code == 1


def test_links_are_passed_over() -> None:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    machine = _machine()
    assert _called(machine, "-xmf - -C /tmp", held.getvalue()).code == 0
    assert not machine.files


def test_a_file_of_holes_is_refused_however_small_its_archive() -> None:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("holes")
        member.size = 512
        sparse = {"GNU.sparse.map": "0,512", "GNU.sparse.size": str(1 << 40)}
        member.pax_headers = sparse
        archive.addfile(member, io.BytesIO(bytes(512)))
    machine = _machine()
    reply = _called(machine, "-xmf - -C /tmp", held.getvalue())
    assert (reply.code, reply.error) == (1, b"tar: holes: Cannot write: File too large\n")
    assert not machine.files


@pytest.mark.parametrize("words", ["xf a.tar", "czf - /tmp", "tf -", "", "cf - -X y z", "xf - a"])
def test_other_ways_to_use_it_are_not_known(words: str) -> None:
    with pytest.raises(UnknownProgram):
        _called(_machine(), words)
