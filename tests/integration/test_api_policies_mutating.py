"""MutatingAdmissionPolicy: apply configurations and JSON patches, and the documented examples."""

from __future__ import annotations

import pytest

from tests.integration.api_calls import Json, collection
from tests.integration.cluster import Cluster
from tests.integration.policy_calls import GROUP, MUTATING, about, policy, secret
from tests.integration.webhook_calls import MUTATING as MUTATING_HOOKS
from tests.integration.webhook_calls import asked
from tests.integration.webhook_server import WebhookServer, patch

POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def _apply(expression: str) -> Json:
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


def _patch(expression: str) -> Json:
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}


def _spec(*mutations: Json, **more: object) -> Json:
    return {"mutations": list(mutations), "reinvocationPolicy": "Never", **more}


SIDECAR = """
        Object{
          spec: Object.spec{
            initContainers: [
              Object.spec.initContainers{
                name: "mesh-proxy",
                image: "mesh-proxy/v1.0.0",
                restartPolicy: "Always"
              }
            ]
          }
        }"""


def test_the_documented_sidecar_is_added_once(cluster: Cluster, namespace: str) -> None:
    there = "!object.spec.?initContainers.orValue([]).exists(ic, ic.name == 'mesh-proxy')"
    spec = _spec(
        _apply(SIDECAR),
        matchConstraints=about("pods"),
        matchConditions=[{"name": "does-not-already-have-sidecar", "expression": there}],
    )
    with policy(cluster, namespace, spec, MUTATING):
        made = collection(cluster, namespace, "pods").made(POD)
    [added] = made["spec"]["initContainers"]
    assert (added["name"], added["restartPolicy"]) == ("mesh-proxy", "Always")
    # It is defaulted as what a client sends is.
    assert added["terminationMessagePath"] == "/dev/termination-log"
    assert made["spec"]["containers"][0]["name"] == "c"


def test_lists_that_are_one_field_cannot_be_applied_as_documented(
    cluster: Cluster, namespace: str
) -> None:
    # The website's example has args, and a server of 1.35 refuses it with these words.
    expression = SIDECAR.replace("restartPolicy", 'args: ["proxy"], restartPolicy')
    spec = _spec(_apply(expression), matchConstraints=about("pods"))
    with policy(cluster, namespace, spec, MUTATING):
        answer = collection(cluster, namespace, "pods").create(POD)
    assert answer.code == 403
    assert answer.json["message"].endswith(
        "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or "
        "structs: .spec.initContainers[0].args"
    )


def test_the_documented_json_patch_adds_to_lists(cluster: Cluster, namespace: str) -> None:
    expression = """
        [
          JSONPatch{
            op: "add", path: "/spec/initContainers",
            value: []
          },
          JSONPatch{
            op: "add", path: "/spec/initContainers/-",
            value: Object.spec.initContainers{
              name: "mesh-proxy",
              image: "mesh-proxy/v1.0.0",
              restartPolicy: "Always"
            }
          }
        ]"""
    with policy(
        cluster, namespace, _spec(_patch(expression), matchConstraints=about("pods")), MUTATING
    ):
        made = collection(cluster, namespace, "pods").made(POD)
    assert [one["name"] for one in made["spec"]["initContainers"]] == ["mesh-proxy"]


def test_labels_are_set_by_either_kind_in_order(cluster: Cluster, namespace: str) -> None:
    first = _apply('Object{metadata: Object.metadata{labels: Object.metadata.labels{a: "1"}}}')
    second = _patch(
        '[JSONPatch{op: "add", path: "/metadata/labels/b", value: object.metadata.labels.a + "2"}]'
    )
    with policy(cluster, namespace, _spec(first, second), MUTATING):
        made = collection(cluster, namespace, "secrets").made(secret())
    assert made["metadata"]["labels"] == {"a": "1", "b": "12"}


def test_a_key_is_escaped_and_a_failed_test_changes_nothing(
    cluster: Cluster, namespace: str
) -> None:
    key = _patch(
        '[JSONPatch{op: "add", path: "/metadata/annotations", value: {"a.com/b": "x"}}, '
        'JSONPatch{op: "replace", path: "/metadata/annotations/" + jsonpatch.escapeKey("a.com/b"), '
        'value: "y"}]'
    )
    failing = _patch(
        '[JSONPatch{op: "test", path: "/data/a", value: "no"}, '
        'JSONPatch{op: "remove", path: "/data/a"}]'
    )
    with policy(cluster, namespace, _spec(key, failing), MUTATING):
        made = collection(cluster, namespace, "secrets").made(secret())
    assert made["metadata"]["annotations"] == {"a.com/b": "y"}
    assert made["data"] == {"a": "Yg=="}


def test_parameters_and_variables_can_be_named(cluster: Cluster, namespace: str) -> None:
    collection(cluster, namespace, "configmaps").made(
        {"metadata": {"name": "team"}, "data": {"team": "blue"}}
    )
    expression = (
        "Object{metadata: Object.metadata{labels: Object.metadata.labels{team: variables.team}}}"
    )
    spec = _spec(
        _apply(expression),
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        variables=[{"name": "team", "expression": "params.data.team"}],
    )
    reference = {"name": "team", "parameterNotFoundAction": "Deny"}
    with policy(cluster, namespace, spec, MUTATING, paramRef=reference):
        made = collection(cluster, namespace, "secrets").made(secret())
    assert made["metadata"]["labels"] == {"team": "blue"}


@pytest.mark.parametrize(
    ("mutation", "text"),
    [
        (_patch('[JSONPatch{op: "remove", path: "/data/absent"}]'), "JSON Patch: Unable to remove"),
        (_apply("Object{spec: Object.spec{x: object.absent}}"), "no such key: absent"),
        (_apply('Object{metadata: Object.metadata{wrong: "x"}}'), "field not declared in schema"),
        (
            _apply('Object{spec: Object.spec{containers: [Object.spec.containers{name: "c", '
                   'args: ["x"]}], overhead: {"cpu": "1"}}}'),
            "may not mutate atomic arrays, maps or structs: .spec.containers[0].args",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("failure", "code"), [("Fail", 403), ("Ignore", 201)])
def test_a_mutation_that_cannot_be_done_counts_by_the_failure_policy(
    cluster: Cluster, namespace: str, mutation: Json, text: str, failure: str, code: int
) -> None:
    is_pod = "containers" in str(mutation)
    plural = "pods" if is_pod else "secrets"
    spec = _spec(mutation, failurePolicy=failure, matchConstraints=about(plural))
    with policy(cluster, namespace, spec, MUTATING) as name:
        answer = collection(cluster, namespace, plural).create(POD if is_pod else secret())
    assert answer.code == code
    if code == 403:
        head = f"policy '{name}' with binding '{name}-binding' denied request: "
        assert answer.json["message"].startswith(head)
        assert text in answer.json["message"]
        assert answer.json["reason"] == "Invalid"


def test_a_policy_that_wants_it_sees_what_a_webhook_has_changed(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    count = _patch(
        '[JSONPatch{op: "add", path: "/metadata/labels", value: '
        '{"seen": "added" in object.data ? "after" : "before"}}]'
    )
    add = {"op": "add", "path": "/data/added", "value": "eWVz"}
    for wanted, label in (("IfNeeded", "after"), ("Never", "before")):
        spec = {**_spec(count), "reinvocationPolicy": wanted}
        with (
            policy(cluster, namespace, spec, MUTATING),
            asked(cluster, webhooks, MUTATING_HOOKS, namespace, patch(add)),
        ):
            made = collection(cluster, namespace, "secrets").made(secret(wanted.lower()))
        assert made["metadata"]["labels"] == {"seen": label}


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ({"mutations": []}, "mutations must contain at least one item"),
        (_spec({"patchType": "Odd"}), 'Unsupported value: "Odd"'),
        (_spec({"patchType": "JSONPatch"}), "must be specified when patchType is JSONPatch"),
        (_spec(_apply("1")), "must evaluate to Object"),
        (_spec(_patch("Object{}")), "must evaluate to list(JSONPatch)"),
        (_spec(_patch("[JSONPatch{odd: 1}]")), "undefined field 'odd'"),
        ({**_spec(_patch("[]")), "reinvocationPolicy": "Often"}, 'Unsupported value: "Often"'),
    ],
)
def test_what_a_mutating_policy_cannot_be_is_refused(
    cluster: Cluster, spec: Json, fault: str
) -> None:
    whole = {"matchConstraints": about("secrets"), "reinvocationPolicy": "Never", **spec}
    answer = collection(cluster, "", MUTATING, GROUP).create(
        {"metadata": {"name": "bad"}, "spec": whole}
    )
    assert answer.code == 422, answer.body
    assert fault in answer.json["message"]
