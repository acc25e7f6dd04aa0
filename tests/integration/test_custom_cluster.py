"""Custom types meet what acts in a cluster: quotas, the garbage collector, policies' controller."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.api_calls import Collection, Json, collection, named
from tests.integration.cluster import Cluster
from tests.integration.definitions import definition, install, remove, version
from tests.integration.policy_calls import VALIDATING, made

GROUP = "seams.example.com"
_WAIT_S_MAX = 30.0
_SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {"type": "object", "properties": {"size": {"type": "integer"}}},
    },
}


def _until(what: str, found: Callable[[], Any]) -> Any:
    until_s = time.monotonic() + _WAIT_S_MAX
    while not (value := found()):
        assert time.monotonic() < until_s, f"in {_WAIT_S_MAX:g} s there was no {what}"
        time.sleep(0.02)
    return value


@pytest.fixture(scope="module", autouse=True)
def _types(cluster: Cluster) -> Iterator[None]:
    install(cluster, definition(GROUP, "Knob", version(schema=_SCHEMA)))
    install(cluster, definition(GROUP, "Panel", version(schema=_SCHEMA), scope="Cluster"))
    yield
    remove(cluster, f"knobs.{GROUP}")
    remove(cluster, f"panels.{GROUP}")


@pytest.fixture
def knobs(cluster: Cluster, namespace: str) -> Collection:
    """Namespaced custom objects."""
    return collection(cluster, namespace, "knobs", f"{GROUP}/v1")


def _owner(obj: Json, **more: Any) -> Json:
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "name": obj["metadata"]["name"],
        "uid": obj["metadata"]["uid"],
        **more,
    }


def _owned(name: str, owner: Json, **more: Any) -> Json:
    return {"metadata": {"name": name, "ownerReferences": [_owner(owner, **more)]}}


def test_a_quota_counts_custom_objects_and_gives_back_those_that_go(
    cluster: Cluster, namespace: str, knobs: Collection
) -> None:
    quotas = collection(cluster, namespace, "resourcequotas")
    key = f"count/knobs.{GROUP}"
    quotas.made({**named("q"), "spec": {"hard": {key: "2"}}})

    def used() -> Any:
        return (quotas.get("q").json.get("status") or {}).get("used", {}).get(key)

    _until("count of nothing", lambda: used() == "0")
    knobs.made(named("a"))
    knobs.made(named("b"))
    refused = knobs.create(named("c"))
    assert refused.code == 403, refused.body
    assert (
        f"exceeded quota: q, requested: {key}=1, used: {key}=2, limited: {key}=2"
        in (refused.json["message"])
    )
    assert knobs.delete("a").code == 200
    _until("count of one", lambda: used() == "1")
    knobs.made(named("c"))


def test_a_quota_that_is_there_before_its_type_counts_it_from_the_start(
    cluster: Cluster, namespace: str
) -> None:
    group, key = "late.example.com", "count/levers.late.example.com"
    quotas = collection(cluster, namespace, "resourcequotas")
    quotas.made({**named("q"), "spec": {"hard": {key: "1", "pods": "1"}}})

    def status() -> Any:
        return quotas.get("q").json.get("status") or {}

    _until("count of pods", lambda: status().get("used", {}).get("pods") == "0")
    assert key not in status()["used"]
    install(cluster, definition(group, "Lever", version(schema=_SCHEMA)))
    try:
        # Types are not polled for: those who do, as upstream's controller, take half a minute.
        until_s = time.monotonic() + 10
        while status()["used"].get(key) != "0":
            assert time.monotonic() < until_s, status()
            time.sleep(0.02)
        levers = collection(cluster, namespace, "levers", f"{group}/v1")
        levers.made(named("a"))
        assert levers.create(named("b")).code == 403
    finally:
        remove(cluster, f"levers.{group}")


def test_what_a_custom_object_owns_goes_with_it_built_in_or_custom(
    cluster: Cluster, namespace: str, knobs: Collection
) -> None:
    maps = collection(cluster, namespace, "configmaps")
    owner = knobs.made(named("owner"))
    maps.made(_owned("map", owner))
    below = knobs.made(_owned("below", owner))
    maps.made(_owned("last", below))
    assert knobs.delete("owner").code == 200
    for known, name in ((maps, "map"), (knobs, "below"), (maps, "last")):
        _until(f"end of {name}", lambda known=known, name=name: known.get(name).code == 404)


def test_a_custom_object_waits_for_those_that_block_it(
    cluster: Cluster, namespace: str, knobs: Collection
) -> None:
    maps = collection(cluster, namespace, "configmaps")
    owner = knobs.made(named("owner"))
    held = _owned("held", owner, blockOwnerDeletion=True)
    held["metadata"]["finalizers"] = ["example.org/hold"]
    maps.made(held)
    assert knobs.delete("owner", {"propagationPolicy": "Foreground"}).code == 200
    _until("deletion of what it owns", lambda: _is_going(maps.get("held")))
    assert knobs.get("owner").json["metadata"]["finalizers"] == ["foregroundDeletion"]
    maps.patch("held", {"metadata": {"finalizers": None}})
    _until("end of the owner", lambda: knobs.get("owner").code == 404)


def _is_going(answer: Any) -> bool:
    return answer.code == 200 and "deletionTimestamp" in answer.json["metadata"]


def test_what_a_custom_object_leaves_behind_as_an_orphan_names_it_no_more(
    cluster: Cluster, namespace: str, knobs: Collection
) -> None:
    maps = collection(cluster, namespace, "configmaps")
    owner = knobs.made(named("owner"))
    maps.made(_owned("map", owner))
    assert knobs.delete("owner", {"propagationPolicy": "Orphan"}).code == 200
    _until("end of the owner", lambda: knobs.get("owner").code == 404)
    assert "ownerReferences" not in maps.get("map").json["metadata"]


def test_objects_in_namespaces_go_with_a_cluster_wide_custom_owner(
    cluster: Cluster, namespace: str, knobs: Collection
) -> None:
    panels = collection(cluster, "", "panels", f"{GROUP}/v1")
    owner = panels.made(named(f"owner-{namespace}"))
    knobs.made(_owned("knob", owner))
    assert panels.delete(owner["metadata"]["name"]).code == 200
    _until("end of the knob", lambda: knobs.get("knob").code == 404)


def test_what_a_deleted_types_objects_owned_goes_too(cluster: Cluster, namespace: str) -> None:
    install(cluster, definition(GROUP, "Brief", version(schema=_SCHEMA)))
    briefs = collection(cluster, namespace, "briefs", f"{GROUP}/v1")
    maps = collection(cluster, namespace, "configmaps")
    # The collector follows the type by then: what it never saw it cannot tell gone.
    maps.made(_owned("first", briefs.made(named("short-lived"))))
    briefs.delete("short-lived")
    _until("end of what the first owned", lambda: maps.get("first").code == 404)
    maps.made(_owned("map", briefs.made(named("owner"))))
    remove(cluster, f"briefs.{GROUP}")
    _until("end of the map", lambda: maps.get("map").code == 404)


def test_a_policys_expressions_are_checked_against_the_schema_of_a_custom_type(
    cluster: Cluster,
) -> None:
    rule = {
        "operations": ["CREATE"],
        "apiGroups": [GROUP],
        "apiVersions": ["v1"],
        "resources": ["knobs"],
    }
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [
            {"expression": "object.spec.size > 1"},
            {"expression": "object.spec.colour == 'red'"},
        ],
    }
    policies = collection(cluster, "", VALIDATING, "admissionregistration.k8s.io/v1")
    with made(cluster, VALIDATING, {**named("typed-knobs"), "spec": spec}):

        def checked() -> Any:
            status = policies.get("typed-knobs").json.get("status") or {}
            return status if status.get("observedGeneration") else None

        status = _until("check of its types", checked)
    (warning,) = status["typeChecking"]["expressionWarnings"]
    assert warning["fieldRef"] == "spec.validations[1].expression"
    assert warning["warning"].startswith(f"{GROUP}/v1, Kind=Knob: ERROR: <input>:1:12: ")
    assert "undefined field 'colour'" in warning["warning"]
