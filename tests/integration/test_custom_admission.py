"""Custom types meet admission: equivalents, conversion within it, params, and who manages what."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.api_calls import Collection, collection, named, watching
from tests.integration.cluster import Cluster
from tests.integration.definitions import change, definition, install, remove, version
from tests.integration.policy_calls import MUTATING as MUTATING_POLICIES
from tests.integration.policy_calls import policy
from tests.integration.webhook_calls import MUTATING, VALIDATING, asked, rule
from tests.integration.webhook_server import WebhookServer, allow, patch

GROUP = "admitted.example.com"
Json = dict[str, Any]
Of = Callable[[str], Collection]


def _schema(*names: str) -> Json:
    spec = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
    return {"type": "object", "properties": {"spec": spec}}


OLD = _schema("joined", "shared")
NEW = _schema("host", "port", "shared")


def _select(*names: str) -> Json:
    return {"selectableFields": [{"jsonPath": f".spec.{name}"} for name in names]}


@pytest.fixture(scope="module")
def cluster(bare_cluster: Cluster) -> Cluster:
    """Nobody but the test has objects converted."""
    return bare_cluster


@pytest.fixture
def plain(cluster: Cluster, namespace: str) -> Iterator[Of]:
    """A type whose two versions are alike."""
    made = definition(GROUP, "Plain", version(schema=NEW), version("v2", NEW, storage=False))
    install(cluster, made)
    yield lambda which: collection(cluster, namespace, "plains", f"{GROUP}/{which}")
    remove(cluster, f"plains.{GROUP}")


def _converted(request: Json) -> Json:
    """Convert between `joined`, and `host` and `port`."""
    wanted = request["desiredAPIVersion"]
    objects = []
    for obj in request["objects"]:
        spec = dict(obj.get("spec") or {})
        if wanted.endswith("/v2"):
            host, _, port = spec.pop("joined", ":").partition(":")
            spec |= {"host": host, "port": port}
        else:
            spec["joined"] = f"{spec.pop('host', '')}:{spec.pop('port', '')}"
        objects.append({**obj, "apiVersion": wanted, "spec": spec})
    return {"result": {"status": "Success"}, "convertedObjects": objects}


@pytest.fixture
def hooked(cluster: Cluster, namespace: str, webhooks: WebhookServer) -> Iterator[Of]:
    """A type that a webhook converts, stored as v1."""
    webhooks.hook("/convert-admitted", _converted)
    made = definition(
        GROUP,
        "Hooked",
        version(schema=OLD, **_select("joined")),
        version("v2", NEW, storage=False, **_select("host", "port")),
        conversion={
            "strategy": "Webhook",
            "webhook": {
                "clientConfig": webhooks.config("/convert-admitted"),
                "conversionReviewVersions": ["v1"],
            },
        },
    )
    install(cluster, made)
    yield lambda which: collection(cluster, namespace, "hookeds", f"{GROUP}/{which}")
    remove(cluster, f"hookeds.{GROUP}")


def _of_version(which: str, plural: str, *operations: str) -> Json:
    found = rule(plural, operations=operations or ("CREATE",))
    return {**found, "apiGroups": [GROUP], "apiVersions": [which]}


def _policy_about(which: str, plural: str) -> Json:
    return {"matchConstraints": {"resourceRules": [_of_version(which, plural)]}}


def test_a_webhook_about_another_version_sees_a_custom_object_in_that_one(
    cluster: Cluster, namespace: str, webhooks: WebhookServer, plain: Of
) -> None:
    rules = [_of_version("v1", "plains")]
    with asked(cluster, webhooks, VALIDATING, namespace, allow(), rules=rules) as hook:
        plain("v2").made({**named("a"), "spec": {"host": "x"}})
    (request,) = hook.requests
    assert request["object"]["apiVersion"] == f"{GROUP}/v1"
    assert request["object"]["spec"] == {"host": "x"}
    assert request["kind"] == {"group": GROUP, "version": "v1", "kind": "Plain"}
    assert request["resource"] == {"group": GROUP, "version": "v1", "resource": "plains"}
    assert request["requestKind"]["version"] == request["requestResource"]["version"] == "v2"


def test_a_webhook_that_wants_exactly_one_version_hears_of_no_other(
    cluster: Cluster, namespace: str, webhooks: WebhookServer, plain: Of
) -> None:
    rules = [_of_version("v1", "plains")]
    exact = {"rules": rules, "matchPolicy": "Exact"}
    with asked(cluster, webhooks, VALIDATING, namespace, allow(), **exact) as hook:
        plain("v2").made(named("a"))
        assert hook.requests == []
        plain("v1").made(named("b"))
    assert [request["name"] for request in hook.requests] == ["b"]


def test_a_version_that_a_definition_gets_later_is_an_equivalent_from_then_on(
    cluster: Cluster, namespace: str, webhooks: WebhookServer, plain: Of
) -> None:
    rules = [_of_version("v1", "plains")]
    with asked(cluster, webhooks, VALIDATING, namespace, allow(), rules=rules) as hook:
        plain("v2").made(named("a"))
        versions = [version(schema=NEW)]
        versions += [version(name, NEW, storage=False) for name in ("v2", "v3")]
        change(cluster, f"plains.{GROUP}", {"spec": {"versions": versions}})
        plain("v3").made(named("b"))
    assert [request["object"]["apiVersion"] for request in hook.requests] == [f"{GROUP}/v1"] * 2
    assert hook.requests[1]["requestKind"]["version"] == "v3"


def test_what_a_webhook_changes_in_another_version_is_stored_by_way_of_the_requests(
    cluster: Cluster, namespace: str, webhooks: WebhookServer, hooked: Of
) -> None:
    rules = [_of_version("v1", "hookeds", "CREATE", "UPDATE")]
    change_ = patch({"op": "replace", "path": "/spec/joined", "value": "z:9"})
    with asked(cluster, webhooks, MUTATING, namespace, change_, rules=rules) as hook:
        made = hooked("v2").made({**named("a"), "spec": {"host": "x", "port": "1"}})
        assert made["apiVersion"] == f"{GROUP}/v2"
        assert made["spec"] == {"host": "z", "port": "9"}
        after = hooked("v2").patch("a", {"spec": {"shared": "s"}})
        assert after.json["spec"] == {"host": "z", "port": "9", "shared": "s"}
    first, second = hook.requests
    assert first["object"]["spec"] == {"joined": "x:1"}
    assert second["oldObject"]["spec"] == {"joined": "z:9"}
    assert hooked("v1").get("a").json["spec"] == {"joined": "z:9", "shared": "s"}


def test_a_deletion_is_shown_in_the_version_the_webhook_wants(
    cluster: Cluster, namespace: str, webhooks: WebhookServer, hooked: Of
) -> None:
    hooked("v1").made({**named("a"), "spec": {"joined": "x:1"}})
    rules = [_of_version("v2", "hookeds", "DELETE")]
    with asked(cluster, webhooks, VALIDATING, namespace, allow(), rules=rules) as hook:
        assert hooked("v1").delete("a").code == 200
    (request,) = hook.requests
    assert request["oldObject"]["spec"] == {"host": "x", "port": "1"}


def test_a_policy_about_another_version_judges_a_custom_object_in_that_one(
    cluster: Cluster, namespace: str, hooked: Of
) -> None:
    spec = {
        **_policy_about("v1", "hookeds"),
        "validations": [{"expression": "object.spec.joined != 'x:1'"}],
    }
    with policy(cluster, namespace, spec):
        refused = hooked("v2").create({**named("a"), "spec": {"host": "x", "port": "1"}})
        assert refused.code == 422, refused.body
        hooked("v2").made({**named("b"), "spec": {"host": "y", "port": "1"}})


def test_a_policy_changes_a_custom_object_in_the_version_it_is_about(
    cluster: Cluster, namespace: str, hooked: Of
) -> None:
    applied = "Object{spec: Object.spec{joined: object.spec.joined + '0', shared: 'by policy'}}"
    spec = {
        **_policy_about("v1", "hookeds"),
        "reinvocationPolicy": "Never",
        "mutations": [
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": applied}}
        ]
        * 2,
    }
    with policy(cluster, namespace, spec, MUTATING_POLICIES):
        made = hooked("v2").made({**named("a"), "spec": {"host": "x", "port": "1"}})
    assert made["spec"] == {"host": "x", "port": "100", "shared": "by policy"}


@pytest.mark.parametrize("ref", ["name", "labels"])
def test_params_of_a_custom_kind_are_seen_in_the_version_the_policy_names(
    cluster: Cluster, namespace: str, hooked: Of, ref: str
) -> None:
    hooked("v1").made(
        {"metadata": {"name": "limits", "labels": {"a": "b"}}, "spec": {"joined": "most:3"}}
    )
    spec = {
        "paramKind": {"apiVersion": f"{GROUP}/v2", "kind": "Hooked"},
        "validations": [{"expression": "object.metadata.name != params.spec.host"}],
    }
    found: Json = {"name": "limits"} if ref == "name" else {"selector": {"matchLabels": {"a": "b"}}}
    found["parameterNotFoundAction"] = "Deny"
    secrets = collection(cluster, namespace, "secrets")
    with policy(cluster, namespace, spec, paramRef=found):
        assert secrets.create(named("most")).code == 422
        assert secrets.create(named("least")).code == 201


@pytest.mark.parametrize("plural", [MUTATING, VALIDATING])
def test_reviews_of_creates_show_who_manages_the_object(
    cluster: Cluster, namespace: str, webhooks: WebhookServer, plural: str
) -> None:
    secrets = collection(cluster, namespace, "secrets")
    with asked(cluster, webhooks, plural, namespace, allow()) as hook:
        answer = secrets.create({**named("a"), "data": {"k": "Yg=="}}, "?fieldManager=me")
    (entry,) = hook.requests[0]["object"]["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"]) == ("me", "Update")
    assert "f:k" in entry["fieldsV1"]["f:data"]
    assert answer.json["metadata"]["managedFields"] == [entry]


def test_fields_of_a_version_that_a_webhook_converts_select_in_lists_and_deletions(
    hooked: Of,
) -> None:
    old, new = hooked("v1"), hooked("v2")
    for number, joined in enumerate(("x:1", "x:2", "y:1")):
        old.made({**named(f"a{number}"), "spec": {"joined": joined}})
    assert new.names("?fieldSelector=spec.host=x") == ["a0", "a1"]
    assert new.names("?fieldSelector=spec.host=x,spec.port=2") == ["a1"]
    assert new.names("?fieldSelector=spec.host!=x") == ["a2"]
    assert new.names("?fieldSelector=spec.host=x,metadata.name=a2") == []
    assert old.names("?fieldSelector=spec.joined=y:1") == ["a2"]
    # Of a page, what the webhook's answer leaves out is not made up for.
    page = new.list("?fieldSelector=spec.host=y&limit=2").json
    assert page["items"] == []
    rest = new.list(f"?fieldSelector=spec.host=y&limit=2&continue={page['metadata']['continue']}")
    assert [item["metadata"]["name"] for item in rest.json["items"]] == ["a2"]
    gone = new.delete(query="?fieldSelector=spec.host=x")
    assert [item["metadata"]["name"] for item in gone.json["items"]] == ["a0", "a1"]
    assert new.names() == ["a2"]


def test_fields_of_a_version_that_a_webhook_converts_select_in_watches(hooked: Of) -> None:
    old, new = hooked("v1"), hooked("v2")
    old.made({**named("a"), "spec": {"joined": "x:1"}})
    old.made({**named("b"), "spec": {"joined": "y:1"}})
    with (
        watching(new, "&fieldSelector=spec.host=x") as many,
        watching(new, "&fieldSelector=metadata.name=b,spec.host=x") as one,
    ):
        first = many.next()
        assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "a")
        old.patch("b", {"spec": {"joined": "x:2"}})
        for watch in (many, one):
            begun = watch.next()
            assert (begun["type"], begun["object"]["spec"]["port"]) == ("ADDED", "2")
        old.patch("b", {"spec": {"joined": "z:2"}})
        for watch in (many, one):
            ended = watch.next()
            assert (ended["type"], ended["object"]["spec"]["host"]) == ("DELETED", "x")
