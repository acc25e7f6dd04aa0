"""Custom types in several versions: converted by name alone, or by a webhook that is checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.api_calls import Collection, collection, named, watching
from tests.integration.cbor_calls import ACCEPT, answered
from tests.integration.cluster import Cluster
from tests.integration.definitions import change, definition, install, read, remove, version
from tests.integration.webhook_server import Hook, Reply, WebhookServer, run_webhooks

GROUP = "versions.example.com"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
Json = dict[str, Any]


def fields(**properties: Any) -> Json:
    """Return a schema whose spec has these fields."""
    spec = {"type": "object", "properties": properties}
    return {"type": "object", "properties": {"spec": spec}}


OLD = fields(hostPort={"type": "string"}, shared={"type": "string", "default": "by v1"})
NEW = fields(host={"type": "string"}, port={"type": "string"}, shared={"type": "string"})


@pytest.fixture(scope="module")
def cluster(bare_cluster: Cluster) -> Cluster:
    """Nobody but the test has objects converted."""
    return bare_cluster


@pytest.fixture
def plain(cluster: Cluster, namespace: str) -> Iterator[Callable[[str], Collection]]:
    """A type whose versions differ by their schemas alone."""
    name = f"plains.{GROUP}"
    made = definition(GROUP, "Plain", version(schema=OLD), version("v2", NEW, storage=False))
    install(cluster, made)
    yield lambda which: collection(cluster, namespace, "plains", f"{GROUP}/{which}")
    remove(cluster, name)


def test_a_version_shows_what_its_schema_knows(plain: Callable[[str], Collection]) -> None:
    old, new = plain("v1"), plain("v2")
    made = old.made({**named("a"), "spec": {"hostPort": "x:1"}})
    assert made["spec"] == {"hostPort": "x:1", "shared": "by v1"}
    seen = new.get("a").json
    assert seen["apiVersion"] == f"{GROUP}/v2"
    assert seen["spec"] == {"shared": "by v1"}
    listed = new.list().json
    assert listed["apiVersion"] == f"{GROUP}/v2"
    assert listed["items"][0]["spec"] == {"shared": "by v1"}
    # What the stored version has no field for is lost, and its defaults are there when read.
    assert new.made({**named("b"), "spec": {"host": "y"}})["spec"] == {"shared": "by v1"}


def test_watches_show_events_in_the_version_asked_for(plain: Callable[[str], Collection]) -> None:
    old, new = plain("v1"), plain("v2")
    with watching(new) as watch:
        old.made({**named("a"), "spec": {"hostPort": "x:1"}})
        event = watch.next()
        assert (event["type"], event["object"]["apiVersion"]) == ("ADDED", f"{GROUP}/v2")
        assert event["object"]["spec"] == {"shared": "by v1"}
        old.delete("a")
        assert watch.next()["object"]["apiVersion"] == f"{GROUP}/v2"


def test_managers_are_known_by_the_version_they_wrote_in(
    plain: Callable[[str], Collection],
) -> None:
    apply = "application/apply-patch+yaml"
    for which, value in (("v1", "one"), ("v2", "two")):
        config = {"apiVersion": f"{GROUP}/{which}", "kind": "Plain", **named("a")}
        config["spec"] = {"shared": value}
        answer = plain(which).patch("a", config, f"?fieldManager={value}", content_type=apply)
        if which == "v2":
            assert answer.code == 409
            assert answer.json["details"]["causes"][0]["field"] == ".spec.shared"
    entries = plain("v2").get("a").json["metadata"]["managedFields"]
    assert [entry["apiVersion"] for entry in entries] == [f"{GROUP}/v1"]


def test_a_new_storage_version_is_remembered_and_taken_at_the_next_write(
    cluster: Cluster, plain: Callable[[str], Collection]
) -> None:
    name = f"plains.{GROUP}"
    old, new = plain("v1"), plain("v2")
    old.made({**named("a"), "spec": {"hostPort": "x:1"}})
    versions = [version(schema=OLD, storage=False), version("v2", NEW)]
    change(cluster, name, {"spec": {"versions": versions}})
    assert read(cluster, name).json["status"]["storedVersions"] == ["v1", "v2"]
    assert old.get("a").json["spec"] == {"hostPort": "x:1", "shared": "by v1"}
    revision = new.get("a").json["metadata"]["resourceVersion"]
    # A write that changes nothing stores it anew all the same: so are objects migrated.
    written = new.patch("a", {}).json
    assert written["metadata"]["resourceVersion"] != revision
    assert old.get("a").json["spec"] == {"shared": "by v1"}
    assert new.patch("a", {}).json["metadata"]["resourceVersion"] == str(
        written["metadata"]["resourceVersion"]
    )


@pytest.fixture(scope="module")
def webhooks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebhookServer]:
    """A server for webhooks."""
    with run_webhooks(tmp_path_factory.mktemp("webhooks")) as server:
        yield server


def converted(request: Json) -> Json:
    """Convert between hostPort and host and port."""
    wanted = request["desiredAPIVersion"]
    objects = []
    for obj in request["objects"]:
        spec = dict(obj.get("spec") or {})
        if wanted.endswith("/v2"):
            host, _, port = spec.pop("hostPort", ":").partition(":")
            spec |= {"host": host, "port": port}
        else:
            spec["hostPort"] = f"{spec.pop('host', '')}:{spec.pop('port', '')}"
        labels = {**(obj["metadata"].get("labels") or {}), "converted": "yes"}
        metadata = {**obj["metadata"], "labels": labels, "generation": 99}
        objects.append({**obj, "apiVersion": wanted, "metadata": metadata, "spec": spec})
    return {"result": {"status": "Success"}, "convertedObjects": objects}


@pytest.fixture
def hooked(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> Iterator[tuple[Hook, Callable[[str], Collection]]]:
    """A type that a webhook converts, stored as v1, and the webhook."""
    hook = webhooks.hook("/convert", converted)
    made = definition(
        GROUP,
        "Hooked",
        version(schema=OLD),
        version("v2", NEW, storage=False),
        conversion={
            "strategy": "Webhook",
            "webhook": {
                "clientConfig": webhooks.config("/convert"),
                "conversionReviewVersions": ["v1"],
            },
        },
    )
    install(cluster, made)
    yield hook, lambda which: collection(cluster, namespace, "hookeds", f"{GROUP}/{which}")
    remove(cluster, f"hookeds.{GROUP}")


def test_a_webhook_converts_what_is_written_and_read(
    hooked: tuple[Hook, Callable[[str], Collection]],
) -> None:
    hook, of = hooked
    old, new = of("v1"), of("v2")
    old.made({**named("a"), "spec": {"hostPort": "x:1"}})
    assert hook.reviews == []
    seen = new.get("a").json
    assert seen["spec"] == {"host": "x", "port": "1", "shared": "by v1"}
    # Of metadata, labels and annotations alone are the webhook's to change.
    assert seen["metadata"]["labels"] == {"converted": "yes"}
    assert seen["metadata"]["generation"] == 1
    (review,) = hook.reviews
    assert (review["kind"], review["apiVersion"]) == (
        "ConversionReview",
        "apiextensions.k8s.io/v1",
    )
    assert review["request"]["desiredAPIVersion"] == f"{GROUP}/v2"
    made = new.made({**named("b"), "spec": {"host": "y", "port": "2"}})
    assert made["spec"] == {"host": "y", "port": "2", "shared": "by v1"}
    assert old.get("b").json["spec"] == {"hostPort": "y:2", "shared": "by v1"}
    after = new.patch("a", {"spec": {"port": "3"}}).json
    assert after["spec"]["port"] == "3"
    assert old.get("a").json["spec"]["hostPort"] == "x:3"


def test_a_list_is_converted_together_in_every_shape(
    hooked: tuple[Hook, Callable[[str], Collection]],
) -> None:
    hook, of = hooked
    old, new = of("v1"), of("v2")
    for number in range(5):
        old.made({**named(f"a{number}"), "spec": {"hostPort": f"x:{number}"}})
    items = new.list().json["items"]
    assert [item["spec"]["port"] for item in items] == ["0", "1", "2", "3", "4"]
    assert [len(request["objects"]) for request in hook.requests] == [5]
    assert len(new.list("?limit=2").json["items"]) == 2
    assert len(new.list(headers=TABLE).json["rows"]) == 5
    assert len(answered(new.list(headers=ACCEPT))["items"]) == 5
    text = new.list(headers={"Accept": "application/yaml"}).body.decode()
    assert text.count("port: ") == 5
    assert [item["spec"]["host"] for item in new.delete().json["items"]] == ["x"] * 5
    assert new.list().json["items"] == []


def test_watches_and_apply_go_through_the_webhook(
    hooked: tuple[Hook, Callable[[str], Collection]],
) -> None:
    _, of = hooked
    old, new = of("v1"), of("v2")
    old.made({**named("a"), "spec": {"hostPort": "x:1"}})
    with watching(new) as watch:
        assert watch.next()["object"]["spec"]["host"] == "x"
        old.patch("a", {"spec": {"hostPort": "z:1"}})
        assert watch.next()["object"]["spec"]["host"] == "z"
        old.delete("a")
        assert watch.next()["object"]["spec"]["host"] == "z"
    apply = "application/apply-patch+yaml"
    for which, spec in (("v1", {"hostPort": "x:1"}), ("v2", {"host": "y", "port": "1"})):
        config = {"apiVersion": f"{GROUP}/{which}", "kind": "Hooked", **named("b"), "spec": spec}
        answer = of(which).patch("b", config, f"?fieldManager={which}", content_type=apply)
        assert answer.code == (201 if which == "v1" else 409), answer.body


FAULTS: dict[str, tuple[Any, str]] = {
    "says no": (
        {"result": {"status": "Failed", "message": "cannot do that"}},
        "failed: cannot do that",
    ),
    "says nothing": (
        {"result": {}},
        "failed: response.result.status was '', not 'Success'",
    ),
    "too few": (
        {"result": {"status": "Success"}, "convertedObjects": []},
        "returned 0 objects, expected 1",
    ),
    "other kind": (
        {"kind": "Other"},
        "invalid kind (expected Hooked, received Other)",
    ),
    "other version": (
        {"apiVersion": f"{GROUP}/v3"},
        f"invalid groupVersion (expected {GROUP}/v2, received {GROUP}/v3)",
    ),
    "other name": (
        {"metadata": {"name": "b"}},
        "must have the same name: a != b",
    ),
    "bad label": (
        {"metadata": {"labels": {"x y": "z"}}},
        "returned invalid metadata in object at index 0: metadata.labels: Invalid value",
    ),
    "no review": (
        Reply(body=b"{}"),
        "failed: expected webhook response of "
        "apiextensions.k8s.io/v1, Kind=ConversionReview, got /, Kind=",
    ),
    "no answer": (Reply(500, b"broken"), "failed: an error on the server"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_webhook_may_not_do_is_told_with_a_500_in_upstreams_words(
    hooked: tuple[Hook, Callable[[str], Collection]], fault: str
) -> None:
    hook, of = hooked
    of("v1").made({**named("a"), "spec": {"hostPort": "x:1"}})
    answer, text = FAULTS[fault]

    def respond(request: Json) -> Any:
        if isinstance(answer, Reply) or "result" in answer:
            return answer
        good = converted(request)
        (obj,) = good["convertedObjects"]
        changed = {**obj, **answer, "metadata": {**obj["metadata"], **answer.get("metadata", {})}}
        return {**good, "convertedObjects": [changed]}

    hook.respond = respond
    refused = of("v2").get("a")
    assert refused.code == 500
    assert "reason" not in refused.json
    head = f"conversion webhook for {GROUP}/v1, Kind=Hooked"
    assert refused.json["message"].startswith(head)
    assert text in refused.json["message"], json.dumps(refused.json)
    # The version that is stored needs nobody, and neither does the end of the type.
    assert of("v1").get("a").code == 200
    assert of("v1").delete("a").code == 200
