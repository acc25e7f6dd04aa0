"""The store: indexes hold exactly what the objects say, whatever happens."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as some

from kube.informers.informer import Informers
from kube.informers.store import Store

Json = dict[str, Any]


def _object(name: str, revision: int, labels: list[str], node: str = "") -> Json:
    metadata = {"name": name, "resourceVersion": str(revision), "labels": labels}
    return {"metadata": metadata, "node": node}


def _store() -> Store:
    return Store({"label": lambda obj: obj["metadata"]["labels"], "node": lambda obj: obj["node"]})


def _put(store: Store, obj: Json) -> None:
    store.put(obj["metadata"]["name"], obj, orjson.dumps(obj))


def test_objects_are_found_by_each_of_their_values() -> None:
    store = _store()
    _put(store, _object("a", 1, ["x", "y"], "n1"))
    _put(store, _object("b", 2, ["y"], "n1"))
    _put(store, _object("c", 3, [], "n2"))
    assert set(store.keys("label", "y")) == {"a", "b"}
    assert store.keys("label", "x") == ("a",)
    assert store.count("node", "n1") == 2
    assert store.count("node", "none") == 0
    assert [obj["metadata"]["name"] for obj in store.find("node", "n2")] == ["c"]


def test_an_object_is_given_out_decoded_and_the_callers_own() -> None:
    store = _store()
    _put(store, _object("a", 1, ["x"]))
    first = store.get("a")
    assert first is not None
    first["metadata"]["labels"].append("mine")
    assert store.get("a") == _object("a", 1, ["x"])
    assert store.get("b") is None


def test_what_was_not_put_since_the_beginning_is_old() -> None:
    store = _store()
    for name in "abc":
        _put(store, _object(name, 1, []))
    store.begin()
    _put(store, _object("a", 1, []))  # unchanged
    _put(store, _object("b", 2, []))
    assert [key for part in store.old() for key in part] == ["c"]


_writes = some.lists(
    some.tuples(
        some.sampled_from("abcd"),
        some.none() | some.tuples(some.lists(some.sampled_from("xyz")), some.sampled_from("mn")),
    )
)


@given(_writes)
def test_indexes_follow_every_write(writes: list[tuple[str, tuple[list[str], str] | None]]) -> None:
    store, model = _store(), dict[str, Json]()
    for revision, (name, values) in enumerate(writes):
        if values is None:
            store.drop(name)
            model.pop(name, None)
        else:
            model[name] = _object(name, revision, *values)
            _put(store, model[name])
        store.check()
    assert {key: store.get(key) for key in store.all_keys()} == model
    assert len(store) == len(model)
    for value in "xyz":
        wanted = {name for name, obj in model.items() if value in obj["metadata"]["labels"]}
        assert set(store.keys("label", value)) == wanted


def test_those_who_ask_for_the_same_share_an_informer() -> None:
    client: Any = None
    informers = Informers(client)
    one = informers.of("/api/v1/pods", indexers={"a": lambda _: "x"})
    assert informers.of("/api/v1/pods", indexers={"b": lambda _: "y"}) is one
    assert informers.of("/api/v1/pods", metadata_only=True) is not one
    _put(one.store, _object("p", 1, []))
    assert one.store.keys("a", "x") == one.store.keys("b", "y") == ("p",)
    with pytest.raises(AssertionError, match="every object"):
        informers.of("/api/v1/pods", indexers={"late": lambda _: "z"})
