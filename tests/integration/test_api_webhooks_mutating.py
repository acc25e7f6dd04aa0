"""Mutating webhooks: what they change, in which order, and who is asked again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.api_calls import Json, check_status, collection
from tests.integration.cluster import Cluster
from tests.integration.webhook_calls import (
    MUTATING,
    VALIDATING,
    asked,
    configured,
    hook_spec,
    rule,
)
from tests.integration.webhook_server import Reply, WebhookServer, allow, patch

ADD = {"op": "add", "path": "/data/added", "value": "eWVz"}


def _secret(name: str = "m", **data: str) -> Json:
    return {"metadata": {"name": name}, "data": {"a": "Yg==", **data}}


def test_what_a_webhook_changes_is_what_is_stored_and_validated_by_the_next(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    secrets = collection(cluster, namespace, "secrets")
    with (
        asked(cluster, webhooks, MUTATING, namespace, patch(ADD)),
        asked(cluster, webhooks, VALIDATING, namespace, allow()) as judge,
    ):
        assert secrets.made(_secret())["data"] == {"a": "Yg==", "added": "eWVz"}
    assert secrets.get("m").json["data"] == {"a": "Yg==", "added": "eWVz"}
    [request] = judge.requests
    assert request["object"]["data"] == {"a": "Yg==", "added": "eWVz"}
    assert request["object"]["metadata"]["uid"]


def test_updates_and_patches_are_changed_too(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    secrets = collection(cluster, namespace, "secrets")
    secrets.made(_secret())
    rules = [rule("secrets", operations=("UPDATE",))]
    with asked(cluster, webhooks, MUTATING, namespace, patch(ADD), rules=rules):
        assert secrets.patch("m", {"data": {"c": "ZA=="}}).json["data"] == {
            "a": "Yg==",
            "added": "eWVz",
            "c": "ZA==",
        }


def test_nobody_owns_what_a_webhook_has_added(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    secrets = collection(cluster, namespace, "secrets")
    with asked(cluster, webhooks, MUTATING, namespace, patch(ADD)):
        made = secrets.made(_secret())
    [entry] = made["metadata"]["managedFields"]
    assert entry["fieldsV1"]["f:data"] == {".": {}, "f:a": {}}


def test_webhooks_are_asked_in_the_order_of_their_configurations_names(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    order: list[str] = []

    def noting(path: str) -> Json:
        def respond(_request: Json) -> Json:
            order.append(path)
            return {"allowed": True}

        webhooks.hook(path, respond)
        return hook_spec(webhooks, path, namespace)

    second = [noting("/order-b1"), noting("/order-b2")]
    with (
        configured(cluster, MUTATING, *second, name=f"b-{namespace}"),
        configured(cluster, MUTATING, noting("/order-a"), name=f"a-{namespace}"),
    ):
        collection(cluster, namespace, "secrets").made(_secret())
    assert order == ["/order-a", "/order-b1", "/order-b2"]


@pytest.mark.parametrize(("policy", "times"), [("IfNeeded", 2), ("Never", 1)])
def test_who_wants_it_is_asked_again_when_a_later_one_has_changed_the_object(
    cluster: Cluster, namespace: str, webhooks: WebhookServer, policy: str, times: int
) -> None:
    first = webhooks.hook(f"/first-{policy.lower()}", allow())
    webhooks.hook("/second", patch(ADD))
    specs = [
        {**hook_spec(webhooks, path, namespace), "reinvocationPolicy": wanted}
        for path, wanted in ((f"/first-{policy.lower()}", policy), ("/second", "Never"))
    ]
    with configured(cluster, MUTATING, *specs):
        collection(cluster, namespace, "secrets").made(_secret(policy.lower()))
    assert len(first.reviews) == times
    assert first.requests[-1]["object"]["data"].get("added") == ("eWVz" if times == 2 else None)


def test_nobody_is_asked_again_when_nothing_changed(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    same = {"op": "replace", "path": "/data/a", "value": "Yg=="}
    first = webhooks.hook("/idle-1", allow())
    webhooks.hook("/idle-2", patch(same))
    specs = [
        {**hook_spec(webhooks, path, namespace), "reinvocationPolicy": "IfNeeded"}
        for path in ("/idle-1", "/idle-2")
    ]
    with configured(cluster, MUTATING, *specs):
        collection(cluster, namespace, "secrets").made(_secret())
    assert len(first.reviews) == 1


def test_a_pods_defaults_are_seen_by_webhooks_and_filled_in_after_them(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    sidecar = {"name": "sidecar", "image": "side"}
    add = {"op": "add", "path": "/spec/containers/-", "value": sidecar}
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    with asked(cluster, webhooks, MUTATING, namespace, patch(add), rules=[rule("pods")]) as hook:
        made = collection(cluster, namespace, "pods").made(pod)
    [request] = hook.requests
    assert request["object"]["spec"]["restartPolicy"] == "Always"
    assert made["spec"]["containers"][1]["terminationMessagePath"] == "/dev/termination-log"


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        ({"op": "remove", "path": "/data/absent"}, "Unable to remove nonexistent key: absent"),
        ({"op": "replace", "path": "/kind", "value": "Pod"}, "cannot be handled as a Secret"),
        ({"op": "replace", "path": "/data", "value": [1]}, "cannot be handled as a Secret"),
        (
            {"op": "replace", "path": "/metadata/namespace", "value": "default"},
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
    ],
)
def test_a_patch_that_does_not_fit_is_the_clusters_fault(
    cluster: Cluster, namespace: str, webhooks: WebhookServer, operation: Json, text: str
) -> None:
    secrets = collection(cluster, namespace, "secrets")
    with asked(cluster, webhooks, MUTATING, namespace, patch(operation)):
        answer = secrets.create(_secret())
    assert answer.code == 500
    assert answer.json["message"].startswith("Internal error occurred: ")
    assert text in answer.json["message"]
    assert secrets.get("m").code == 404


def test_what_a_webhook_makes_of_an_object_is_validated(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    bad = {"op": "add", "path": "/data/bad~1key", "value": "eA=="}
    with asked(cluster, webhooks, MUTATING, namespace, patch(bad)):
        answer = collection(cluster, namespace, "secrets").create(_secret())
    assert (answer.code, answer.json["reason"]) == (422, "Invalid")
    assert answer.json["details"]["causes"][0]["field"] == "data[bad/key]"


@pytest.mark.parametrize(
    ("response", "text"),
    [
        ({"patch": "W10="}, "webhook returned response.patch but not response.patchType"),
        ({"patchType": "JSONPatch"}, "webhook returned response.patchType but not response.patch"),
        ({"patchType": "Merge", "patch": "W3t9XQ=="}, 'unsupported patch type "Merge"'),
        ({"patchType": "JSONPatch", "patch": "e30="}, "received undecodable patch in webhook"),
        ({"patchType": "JSONPatch", "patch": "eA=="}, "received undecodable patch in webhook"),
        ({"patchType": "JSONPatch", "patch": "*"}, "received invalid webhook response: illegal"),
        ({"uid": "another"}, "received invalid webhook response: expected response.uid="),
        ({"allowed": "yes"}, "json: cannot unmarshal string"),
        ({"status": []}, "json: cannot unmarshal array"),
        ({"warnings": [1]}, "json: cannot unmarshal number"),
        ({"auditAnnotations": {"a": 1}}, "json: cannot unmarshal number"),
    ],
)
def test_an_answer_that_is_none_is_a_failure_of_the_webhook(
    cluster: Cluster, namespace: str, webhooks: WebhookServer, response: Json, text: str
) -> None:
    def respond(_request: Json) -> Any:
        return {"allowed": True, **response}

    with asked(cluster, webhooks, MUTATING, namespace, respond) as hook:
        answer = collection(cluster, namespace, "secrets").create(_secret())
        name = hook.paths[0].split("?")[0].strip("/")
    assert answer.code == 500
    head = f'Internal error occurred: failed calling webhook "{name}.example.com": '
    assert answer.json["message"].startswith(head)
    assert text in answer.json["message"]


def test_validating_webhooks_may_not_patch(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    with asked(cluster, webhooks, VALIDATING, namespace, patch(ADD)):
        answer = collection(cluster, namespace, "secrets").create(_secret())
    assert answer.code == 500
    assert "validating webhook may not return response.patch" in answer.json["message"]


def test_a_review_of_another_kind_is_no_answer(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    def respond(request: Json) -> Reply:
        body = b'{"response":{"allowed":true,"uid":"%s"}}' % request["uid"].encode()
        return Reply(body=body)

    with asked(cluster, webhooks, MUTATING, namespace, respond):
        answer = collection(cluster, namespace, "secrets").create(_secret())
    text = "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind="
    assert text in answer.json["message"]


def test_a_webhook_of_v1beta1_is_asked_and_believed_as_such(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    def respond(request: Json) -> Json:
        answer = patch(ADD)(request)
        del answer["patchType"]
        return {**answer, "uid": ""}

    more = {"admissionReviewVersions": ["v9", "v1beta1", "v1"]}
    with asked(cluster, webhooks, MUTATING, namespace, respond, **more) as hook:
        made = collection(cluster, namespace, "secrets").made(_secret())
    assert made["data"]["added"] == "eWVz"
    assert hook.reviews[0]["apiVersion"] == "admission.k8s.io/v1beta1"


def test_a_delete_cannot_be_patched(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    secrets = collection(cluster, namespace, "secrets")
    secrets.made(_secret())
    rules = [rule("secrets", operations=("DELETE",))]
    with asked(cluster, webhooks, MUTATING, namespace, patch(ADD), rules=rules):
        answer = secrets.delete("m")
    assert answer.code == 500
    assert "attempted to modify the object, which is not supported" in answer.json["message"]
    assert secrets.get("m").code == 200


def test_dry_run_asks_those_without_effects_and_stores_nothing(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    secrets = collection(cluster, namespace, "secrets")
    more = {"sideEffects": "NoneOnDryRun"}
    with asked(cluster, webhooks, MUTATING, namespace, patch(ADD), **more) as hook:
        answer = secrets.create(_secret(), "?dryRun=All")
    assert answer.json["data"]["added"] == "eWVz"
    assert hook.requests[0]["dryRun"] is True
    assert hook.requests[0]["options"]["dryRun"] == ["All"]
    assert secrets.get("m").code == 404


def test_a_generated_name_is_not_known_to_mutating_webhooks_but_to_validating_ones(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    with (
        asked(cluster, webhooks, MUTATING, namespace, allow()) as changer,
        asked(cluster, webhooks, VALIDATING, namespace, allow()) as judge,
    ):
        obj = {"metadata": {"generateName": "g-"}}
        made = collection(cluster, namespace, "secrets").made(obj)
    assert "name" not in changer.requests[0]
    assert judge.requests[0]["object"]["metadata"]["name"] == made["metadata"]["name"]


def test_a_mutating_webhook_may_deny(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    respond = allow(allowed=False, status={"message": "no", "reason": "BadRequest"})
    with asked(cluster, webhooks, MUTATING, namespace, respond) as hook:
        answer = collection(cluster, namespace, "secrets").create(_secret())
        name = hook.paths[0].split("?")[0].strip("/")
    check_status(
        answer, 400, "BadRequest", f'admission webhook "{name}.example.com" denied the request: no'
    )
