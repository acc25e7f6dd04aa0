"""Stencils: where a body is cut, and that a hole is never in the wrong place."""

from __future__ import annotations

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from apiserver.resources import Resource
from apiserver.stencils import (
    _PREFIXES_MAX,
    _SUFFIXES_MAX,
    BODY_BYTES_MAX,
    Cut,
    Stencils,
    cut,
    is_sound,
)
from apiserver.types.registry import hooks_for
from kube.builtin_kinds import builtin_registry

_INFO = builtin_registry().by_kind("", "v1", "Pod")
MADE_FOR = ("robot", 1)
NAMES = st.from_regex(r"[a-z0-9.-]{1,20}", fullmatch=True)
LEAVES = st.text(max_size=8) | NAMES | st.integers(0, 9) | st.none()
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)
)


def resource() -> Resource:
    """Return the resource of pods, with a search blob of its own."""
    assert _INFO is not None
    return Resource(_INFO, hooks_for(_INFO.storage_resource))


def pod(name: str) -> dict[str, object]:
    """Return a pod as it is completed."""
    return {"metadata": {"name": name, "labels": {"a": "b"}}, "spec": {}, "status": {}}


@example(name="0", other="00", more={}, rest="0")
@given(name=NAMES, other=NAMES, more=st.dictionaries(NAMES, TREES, max_size=4), rest=TREES)
def test_a_sound_cut_takes_any_other_name(
    name: str, other: str, more: dict[str, object], rest: object
) -> None:
    obj = {"rest": rest, "metadata": {"labels": more, "name": name}}
    body = orjson.dumps(obj)
    split = cut(body, name)
    assert split is not None
    if is_sound(split, body):
        again = orjson.loads(split.prefix + other.encode() + split.suffix)
        assert again == {"rest": rest, "metadata": {"labels": more, "name": other}}


def test_a_name_that_stands_elsewhere_first_is_not_cut_soundly() -> None:
    body = orjson.dumps({"spec": {"hostname": "web"}, "metadata": {"name": "web"}})
    split = cut(body, "web")
    assert split is not None
    assert not is_sound(split, body)


def test_a_name_written_with_escapes_is_not_cut() -> None:
    assert cut(rb'{"metadata":{"name":"w\u0065b"}}', "web") is None


def test_a_stencil_is_found_by_bytes_around_a_plain_name_only() -> None:
    stencils = Stencils()
    body = orjson.dumps(pod("web"))
    split = cut(body, "web")
    assert split is not None
    stencils.keep(
        split, resource(), {"metadata": {"labels": {"a": "b"}}, "spec": {}, "status": {}}, MADE_FOR
    )
    found = stencils.find(body.replace(b"web", b"other-1"))
    assert found is not None
    alike, name = found
    assert alike.account == "robot"
    stencil = alike.by_profile[1]
    assert orjson.loads(orjson.dumps(stencil.fill(name))) == pod("other-1")
    assert stencil.resource.known_meta is not None
    assert b"\0a=b\0" in stencil.resource.known_meta
    for bad in (b"", b"We", rb"w\u0065", b"w" * 254, b"w b"):
        assert stencils.find(body.replace(b'"web"', b'"%b"' % bad)) is None
    assert stencils.find(body + b" ") is None


def test_a_fill_shares_nothing_with_the_next() -> None:
    stencils = Stencils()
    stencils.keep(
        Cut(b"", b"body"), resource(), {"metadata": {"generateName": "a-"}, "spec": {}}, MADE_FOR
    )
    found = stencils.find(b"body")
    assert found is not None
    first = found[0].by_profile[1].fill("")
    first["metadata"]["uid"] = "1"
    assert found[0].by_profile[1].fill("")["metadata"] == {"generateName": "a-"}


def test_the_oldest_goes_when_there_are_too_many_of_one_beginning() -> None:
    stencils = Stencils()
    for number in range(_SUFFIXES_MAX + 1):
        stencils.keep(Cut(b'{"', b'"%d' % number), resource(), pod("a"), MADE_FOR)
    assert stencils.find(b'{"web"0') is None
    for number in (1, _SUFFIXES_MAX):
        assert stencils.find(b'{"web"%d' % number) is not None


def test_the_oldest_beginning_goes_when_there_are_too_many() -> None:
    stencils = Stencils()
    for number in range(_PREFIXES_MAX + 1):
        stencils.keep(Cut(b'%d:"' % number, b'"'), resource(), pod("a"), MADE_FOR)
    assert stencils.find(b'0:"web"') is None
    assert stencils.find(b'1:"web"') is not None


def test_a_body_too_large_to_keep_is_not_cut() -> None:
    body = orjson.dumps(pod("web")) + b" " * BODY_BYTES_MAX
    assert cut(body, "web") is None
    assert cut(body, "") is None
