"""managedFields are cut out of stored objects, and nothing else is."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.managed.cut import cut, without_own_entries

PREFIX = b'{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"'
# Whatever could be taken for the end, or the beginning.
_texts = st.sampled_from(
    ["", "a", '"', "}]", '}],"a', '}]},"a', '}],"', "}]}}", '"managedFields":[{', "\\", "\\\\"]
) | st.text(max_size=6)
_fields = st.recursive(st.just({}), lambda inner: st.dictionaries(_texts, inner, max_size=3))
_entries = st.lists(
    st.fixed_dictionaries({"manager": _texts, "time": _texts}, optional={"fieldsV1": _fields}),
    min_size=1,
    max_size=3,
)
_values = st.recursive(
    _texts | st.integers(-9, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
)


def _stored(metadata: dict[str, Any], rest: dict[str, Any]) -> bytes:
    head = {"kind": "Pod", "apiVersion": "v1"}
    return orjson.dumps({**head, "metadata": {"resourceVersion": "7", **metadata}, **rest})


@given(
    _entries,
    _texts,
    st.dictionaries(_texts, _texts, max_size=3),
    st.sampled_from([{}, {"namespace": "n"}]),
    st.data(),
)
def test_only_the_entries_are_cut_whatever_is_in_them(
    entries: list[Any],
    name: str,
    labels: dict[str, str],
    after: dict[str, str],
    data: st.DataObject,
) -> None:
    before = {"name": name, "labels": labels, "annotations": labels}
    rest = {
        **data.draw(st.sampled_from([{}, {"spec": {"managedFields": [{"a": "b"}]}}])),
        **data.draw(st.fixed_dictionaries({}, optional={"status": _values})),
    }
    body = _stored({**before, "managedFields": entries, **after}, rest)
    bare, raw = cut(body, PREFIX)
    assert orjson.loads(bare) == orjson.loads(_stored({**before, **after}, rest))
    assert raw == orjson.dumps(entries)


@pytest.mark.parametrize(
    "body",
    [
        b'{"metadata":{"name":"a","managedFields":[{"manager":"m"}]}}',
        _stored({"name": "a"}, {"spec": {}}),
        _stored({"name": "a", "managedFields": []}, {"spec": {}}),
    ],
)
def test_what_is_not_certain_stays(body: bytes) -> None:
    assert cut(body, PREFIX) == (body, b"")


def test_the_entries_are_gone_from_an_object_as_it_is_stored() -> None:
    entries = [{"manager": "m", "fieldsV1": {'k:{"name":"}],"}': {}}}]
    body = _stored({"name": "a", "managedFields": entries}, {"spec": {}})
    bare, raw = cut(body, PREFIX)
    assert b"managedFields" not in bare
    assert raw == orjson.dumps(entries)


def test_entries_that_stand_deeper_are_left_and_own_ones_are_not() -> None:
    entry = b'"managedFields":[{"manager":"m","fieldsV1":{"f:x":{}}}]'
    rest = b'},"spec":{"template":{"metadata":{"name":"n",%b},"spec":{}}}}' % entry
    without = PREFIX + b'1","name":"a"' + rest
    assert without_own_entries(without, PREFIX) is without
    own = PREFIX + b'1","name":"a",' + entry + rest
    assert without_own_entries(own, PREFIX) == without
    assert without_own_entries(b'{"other":1}', PREFIX) == b'{"other":1}'
