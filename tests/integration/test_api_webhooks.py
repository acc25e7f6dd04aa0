"""Webhooks: who is asked about what, what they are told, and what their denials look like."""

from __future__ import annotations

import pytest

from tests.integration.api_calls import Json, check_status, collection
from tests.integration.cluster import Cluster
from tests.integration.webhook_calls import (
    GROUP,
    MUTATING,
    VALIDATING,
    asked,
    configured,
    hook_spec,
    rule,
)
from tests.integration.webhook_server import WebhookServer, allow, deny

BOTH = pytest.mark.parametrize("plural", [MUTATING, VALIDATING])


def _secret(name: str = "m", **more: object) -> Json:
    return {"metadata": {"name": name, **more}, "data": {"a": "Yg=="}}


@BOTH
def test_a_webhook_is_told_all_about_a_create(
    cluster: Cluster, namespace: str, webhooks: WebhookServer, plural: str
) -> None:
    secrets = collection(cluster, namespace, "secrets")
    with asked(cluster, webhooks, plural, namespace, allow()) as hook:
        secrets.made(_secret())
    [review] = hook.reviews
    assert (review["kind"], review["apiVersion"]) == ("AdmissionReview", "admission.k8s.io/v1")
    request = review["request"]
    assert len(request.pop("uid")) == 36
    obj = request.pop("object")
    assert (obj["kind"], obj["apiVersion"]) == ("Secret", "v1")
    assert obj["metadata"]["name"] == "m"
    assert obj["data"] == {"a": "Yg=="}
    assert request == {
        "kind": {"group": "", "version": "v1", "kind": "Secret"},
        "resource": {"group": "", "version": "v1", "resource": "secrets"},
        "requestKind": {"group": "", "version": "v1", "kind": "Secret"},
        "requestResource": {"group": "", "version": "v1", "resource": "secrets"},
        "name": "m",
        "namespace": namespace,
        "operation": "CREATE",
        "userInfo": {
            "username": "tester",
            "uid": "tester",
            "groups": ["system:masters", "system:authenticated"],
        },
        "oldObject": None,
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    }


def test_an_update_shows_both_objects_and_a_delete_the_old_one(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    secrets = collection(cluster, namespace, "secrets")
    rules = [rule("secrets", operations=("UPDATE", "DELETE"))]
    with asked(cluster, webhooks, VALIDATING, namespace, allow(), rules=rules) as hook:
        secrets.made(_secret())
        assert secrets.patch("m", {"data": {"a": "Yw=="}}, "?fieldManager=me").code == 200
        assert secrets.delete("m", {"gracePeriodSeconds": 0}).code == 200
    update, delete = hook.requests
    assert update["operation"] == "UPDATE"
    assert update["oldObject"]["data"] == {"a": "Yg=="}
    assert update["object"]["data"] == {"a": "Yw=="}
    assert update["options"]["kind"] == "UpdateOptions"
    assert update["options"]["fieldManager"] == "me"
    assert delete["operation"] == "DELETE"
    assert delete["object"] is None
    assert delete["oldObject"]["data"] == {"a": "Yw=="}
    assert delete["options"]["gracePeriodSeconds"] == 0


@BOTH
def test_a_denial_is_answered_with_the_webhooks_words_and_code(
    cluster: Cluster, namespace: str, webhooks: WebhookServer, plural: str
) -> None:
    respond = deny(message="not on Fridays", code=422, reason="Invalid")
    with asked(cluster, webhooks, plural, namespace, respond) as hook:
        name = hook.paths or "hook"
        answer = collection(cluster, namespace, "secrets").create(_secret())
        name = hook.paths[0].split("?")[0].strip("/")
    message = f'admission webhook "{name}.example.com" denied the request: not on Fridays'
    check_status(answer, 422, "Invalid", message)


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        ({}, 400, " without explanation"),
        ({"reason": "NoReason"}, 400, ": NoReason"),
        ({"message": "m", "code": 200, "status": "Success"}, 400, ": m"),
        ({"message": "m", "code": 999}, 400, ": m"),
        ({"message": "m", "code": 503}, 503, ": m"),
    ],
)
def test_a_denial_without_words_or_code_is_a_400(
    cluster: Cluster, namespace: str, webhooks: WebhookServer, status: Json, code: int, text: str
) -> None:
    with asked(cluster, webhooks, VALIDATING, namespace, deny(**status)) as hook:
        answer = collection(cluster, namespace, "secrets").create(_secret())
        name = hook.paths[0].split("?")[0].strip("/")
    assert answer.code == code
    assert answer.json["status"] == "Failure"
    head = f'admission webhook "{name}.example.com" denied the request'
    assert answer.json["message"] == head + text


@pytest.mark.kubectl
def test_kubectl_shows_a_denial_as_the_server_says_it(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    with asked(cluster, webhooks, VALIDATING, namespace, deny(message="no")) as hook:
        result = cluster.kubectl(
            "create", "secret", "generic", "m", "-n", namespace, "--from-literal=a=b", check=False
        )
        name = hook.paths[0].split("?")[0].strip("/")
    expected = f'admission webhook "{name}.example.com" denied the request: no'
    assert result.returncode == 1
    assert expected in result.stderr


def test_what_was_denied_was_not_stored_and_nothing_is_asked_of_other_namespaces(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    secrets = collection(cluster, namespace, "secrets")
    with asked(cluster, webhooks, VALIDATING, namespace, deny()) as hook:
        assert secrets.create(_secret()).code == 400
        other = collection(cluster, "default", "secrets")
        other.made(_secret(f"other-{namespace}"))
        assert other.delete(f"other-{namespace}").code == 200
        assert len(hook.reviews) == 1
    assert secrets.get("m").code == 404


def test_an_object_is_selected_by_its_labels_of_before_or_after(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    secrets = collection(cluster, namespace, "secrets")
    more = {
        "objectSelector": {"matchLabels": {"watched": "yes"}},
        "rules": [rule("secrets", operations=("*",))],
    }
    with asked(cluster, webhooks, VALIDATING, namespace, allow(), **more) as hook:
        secrets.made(_secret("plain"))
        assert not hook.reviews
        assert secrets.patch("plain", {"metadata": {"labels": {"watched": "yes"}}}).code == 200
        assert len(hook.reviews) == 1
        assert secrets.patch("plain", {"metadata": {"labels": {"watched": None}}}).code == 200
        assert len(hook.reviews) == 2
        assert secrets.delete("plain").code == 200
        assert len(hook.reviews) == 2


def test_a_subresource_is_asked_about_by_its_own_rule(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    budgets = collection(cluster, namespace, "poddisruptionbudgets", "policy/v1")
    rules = [rule("poddisruptionbudgets/*", operations=("UPDATE",))]
    with asked(cluster, webhooks, VALIDATING, namespace, allow(), rules=rules) as hook:
        made = budgets.made({"metadata": {"name": "b"}, "spec": {"minAvailable": 1}})
        made["status"]["observedGeneration"] = 1
        assert budgets.put("b/status", made).code == 200
    [request] = hook.requests
    assert request["subResource"] == request["requestSubResource"] == "status"


def test_scale_is_shown_as_what_it_is(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    sets = collection(cluster, namespace, "replicasets", "apps/v1")
    labels = {"app": "a"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    rules = [rule("replicasets/scale", operations=("UPDATE",))]
    with asked(cluster, webhooks, VALIDATING, namespace, allow(), rules=rules) as hook:
        sets.made({"metadata": {"name": "s"}, "spec": spec})
        assert sets.patch("s/scale", {"spec": {"replicas": 1}}).code == 200
    # More than one, where a controller has written the status meanwhile.
    *_, request = hook.requests
    assert request["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    assert request["resource"]["resource"] == "replicasets"
    assert (request["object"]["kind"], request["object"]["spec"]) == ("Scale", {"replicas": 1})
    assert request["oldObject"]["spec"] == {}


def test_an_equivalent_type_is_shown_in_the_version_the_webhook_wants(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    events = collection(cluster, namespace, "events")
    wanted = rule("events")
    wanted["apiGroups"] = ["events.k8s.io"]
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "namespace": namespace, "name": "p"},
        "reason": "r",
        "message": "told",
    }
    with asked(cluster, webhooks, VALIDATING, namespace, allow(), rules=[wanted]) as hook:
        events.made(event)
    [request] = hook.requests
    assert request["resource"]["group"] == request["kind"]["group"] == "events.k8s.io"
    assert request["requestResource"]["group"] == request["requestKind"]["group"] == ""
    assert request["object"]["apiVersion"] == "events.k8s.io/v1"
    assert request["object"]["note"] == "told"


def test_a_webhook_that_matches_exactly_is_not_asked_about_equivalents(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    wanted = rule("events")
    wanted["apiGroups"] = ["events.k8s.io"]
    more = {"rules": [wanted], "matchPolicy": "Exact"}
    with asked(cluster, webhooks, VALIDATING, namespace, deny(), **more) as hook:
        collection(cluster, namespace, "events").made(
            {"metadata": {"name": "e"}, "involvedObject": {"namespace": namespace}}
        )
    assert not hook.reviews


def test_configurations_of_admission_can_always_be_changed(
    cluster: Cluster, webhooks: WebhookServer
) -> None:
    webhooks.hook("/all", deny())
    spec = hook_spec(webhooks, "/all", "")
    spec["rules"] = [rule("*/*", operations=("*",))]
    spec["rules"][0]["apiGroups"] = ["admissionregistration.k8s.io", "authorization.k8s.io"]
    del spec["namespaceSelector"]
    with configured(cluster, VALIDATING, spec) as name:
        configurations = collection(cluster, "", VALIDATING, GROUP)
        labels = {"metadata": {"labels": {"a": "b"}}}
        assert configurations.patch(name, labels).code == 200
        reviews = collection(cluster, "", "selfsubjectaccessreviews", "authorization.k8s.io/v1")
        wanted = {"resourceAttributes": {"verb": "get", "resource": "pods"}}
        assert reviews.create({"spec": wanted}).code == 201


def test_a_namespace_is_selected_by_its_own_labels(
    cluster: Cluster, webhooks: WebhookServer
) -> None:
    selector = {"matchLabels": {"guarded": "yes"}}
    spec = hook_spec(webhooks, "/spaces", "")
    hook = webhooks.hook("/spaces", deny(message="guarded"))
    spec |= {"rules": [rule("namespaces", scope="Cluster")], "namespaceSelector": selector}
    spaces = collection(cluster, "", "namespaces")
    with configured(cluster, VALIDATING, spec):
        assert spaces.create(_space("guarded", guarded="yes")).code == 400
        assert spaces.create(_space("unguarded")).code == 201
    [request] = hook.requests
    assert (request["name"], request["namespace"]) == ("guarded", "guarded")
    assert spaces.delete("unguarded").code == 200


def _space(name: str, **labels: str) -> Json:
    return {"metadata": {"name": name, "labels": labels}}


def test_warnings_reach_the_client_within_their_limits(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    with asked(cluster, webhooks, VALIDATING, namespace, allow(warnings=["x" * 5000])):
        answer = collection(cluster, namespace, "secrets").create(_secret())
    assert answer.code == 201
    assert answer.headers["warning"] == f'299 - "{"x" * 256}"'


def test_a_pod_from_a_template_is_asked_about_every_time(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    pods = collection(cluster, namespace, "pods")
    spec = {"containers": [{"name": "c", "image": "i"}]}

    def pod(name: str) -> Json:
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"a": "b"}},
            "spec": spec,
        }

    for number in range(4):
        pods.made(pod(f"before-{number}"))
    with asked(cluster, webhooks, VALIDATING, namespace, allow(), rules=[rule("pods")]) as hook:
        for number in range(4):
            pods.made(pod(f"asked-{number}"))
        assert [request["name"] for request in hook.requests] == [
            f"asked-{number}" for number in range(4)
        ]
    pods.made(pod("after"))
    assert len(hook.reviews) == 4


def test_conditions_exclude_requests_before_anybody_is_asked(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    conditions = [
        {"name": "named", "expression": "object.metadata.name.startsWith('seen')"},
        {"name": "fails-for-some", "expression": "object.metadata.labels.team != 'x'"},
    ]
    more = {"matchConditions": conditions}
    secrets = collection(cluster, namespace, "secrets")
    with asked(cluster, webhooks, VALIDATING, namespace, allow(), **more) as hook:
        assert secrets.create(_secret("unseen")).code == 201
        assert secrets.create(_secret("seen-1", labels={"team": "y"})).code == 201
        assert [request["name"] for request in hook.requests] == ["seen-1"]
        answer = secrets.create(_secret("seen-2"))
        assert answer.code == 403
        assert "no such key: labels" in answer.json["message"]
    more["failurePolicy"] = "Ignore"
    with asked(cluster, webhooks, VALIDATING, namespace, deny(), **more) as hook:
        assert secrets.create(_secret("seen-2")).code == 201
        assert not hook.reviews


def test_a_condition_that_does_not_compile_is_refused_with_its_place(
    cluster: Cluster, webhooks: WebhookServer
) -> None:
    spec = hook_spec(webhooks, "/bad", "default")
    spec["matchConditions"] = [{"name": "a", "expression": "object.x =="}]
    answer = collection(cluster, "", VALIDATING, GROUP).create(
        {"metadata": {"name": "bad"}, "webhooks": [spec]}
    )
    assert answer.code == 422
    causes = answer.json["details"]["causes"]
    assert [cause["field"] for cause in causes] == ["webhooks[0].matchConditions[0].expression"]
    assert "compilation failed: ERROR: <input>:1:" in answer.json["message"]
