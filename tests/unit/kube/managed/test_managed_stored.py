"""managedFields as bytes: read entry by entry, and only what changed is written anew."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kube.managed import stored
from kube.managed.entries import UPDATE, Identity, Owned, encode

_T0, _T1, _T2 = (f"2026-01-01T00:00:0{second}Z" for second in range(3))
_A = Identity("a", UPDATE, "v1")
_B = Identity("b", UPDATE, "v1", "status")
# Keys in which what stands between entries, and times, may be looked for in vain.
_FIELDS: dict[str, Any] = {
    "f:data": {'f:}},{"manager":"x"': {}, 'f:","time":"2026': {}, 'k:{"time":"2026"}': {}}
}
_MANAGERS = {_A: Owned("v1", _FIELDS, _T0), _B: Owned("v1", {"f:status": {"f:a": {}}}, _T1)}


def _raw(managers: Any) -> bytes:
    return orjson.dumps(encode(managers))


def _read(managers: Any) -> stored.Stored:
    found = stored.read(_raw(managers))
    assert found is not None
    return found


def test_entries_are_read_whatever_their_fields_are_called() -> None:
    assert _read(_MANAGERS).managers() == _MANAGERS


def test_entries_that_differ_in_their_times_alone_share_all_else() -> None:
    later = {who: owned._replace(time=_T2) for who, owned in _MANAGERS.items()}
    assert _read(_MANAGERS).shape is _read(later).shape
    assert _read(later).managers() == later


def test_an_entry_with_another_time_takes_its_place_by_it() -> None:
    after = {**_MANAGERS, _A: Owned("v1", _FIELDS, _T2)}
    assert _read(_MANAGERS).renewed(0, _T2) == _raw(after)


@pytest.mark.parametrize("now", [_T0, _T1, _T2])
def test_an_entry_is_added_where_its_time_belongs(now: str) -> None:
    who = Identity("a0", UPDATE, "v1", "status")
    fields = {"f:status": {"f:b": {}}}
    after = {**_MANAGERS, who: Owned("v1", fields, now)}
    assert _read(_MANAGERS).joined(who, "v1", now, orjson.dumps(fields)) == _raw(after)


def test_what_is_managed_otherwise_is_written_anew_and_what_is_gone_is_not() -> None:
    kept = _read(_MANAGERS)
    before = kept.managers()
    other = Owned("v1", {"f:status": {"f:b": {}}}, _T2)
    assert kept.changed(before, {**before, _B: other}) == _raw({**_MANAGERS, _B: other})
    assert kept.changed(before, {_A: before[_A]}) == _raw({_A: _MANAGERS[_A]})
    assert kept.changed(before, {}) == b"[]"


def _without(name: str) -> bytes:
    (entry,) = encode({_A: Owned("v1", {}, _T0)})
    del entry[name]
    return orjson.dumps([entry])


@pytest.mark.parametrize(
    "raw",
    [
        b"[]",
        *map(_without, ("time", "fieldsV1", "fieldsType", "apiVersion")),
        _raw({_A: Owned("v1", {}, _T0), _B: Owned("v1", {}, "")}),
        _raw({_A: Owned("v1", {}, ""), _B: Owned("v1", {}, _T0)}),
        _raw({_A: Owned("v1", {}, "2026-01-01T00:00:00.000000Z")}),
    ],
)
def test_entries_without_a_time_or_a_set_are_left_to_others(raw: bytes) -> None:
    assert stored.read(raw) is None
