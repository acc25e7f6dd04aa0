"""ValidatingAdmissionPolicy: what policies say, what bindings do, and the documented examples."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.api_calls import Json, check_status, collection, watching
from tests.integration.cluster import Cluster
from tests.integration.personas import grant, persona, rule
from tests.integration.policy_calls import (
    GROUP,
    MUTATING,
    VALIDATING,
    about,
    made,
    policy,
    secret,
    within,
)


def _deployment(name: str, replicas: int) -> Json:
    labels = {"app": "a"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


def _deny(expression: str, **more: object) -> Json:
    return {"validations": [{"expression": expression, **more}]}


def test_what_a_validation_denies_is_invalid_and_says_by_whom(
    cluster: Cluster, namespace: str
) -> None:
    secrets = collection(cluster, namespace, "secrets")
    with policy(cluster, namespace, _deny("object.metadata.name.startsWith('x')")) as name:
        answer = secrets.create(secret())
        assert secrets.create(secret("x")).code == 201
    message = (
        f"secrets \"m\" is forbidden: ValidatingAdmissionPolicy '{name}' with binding "
        f"'{name}-binding' denied request: failed expression: "
        "object.metadata.name.startsWith('x')"
    )
    details = check_status(answer, 422, "Invalid", message)
    assert details["causes"] == [{"message": message.partition(": ")[2]}]
    assert secrets.get("m").code == 404
    assert secrets.create(secret()).code == 201


def test_the_documented_limit_of_replicas_holds(cluster: Cluster, namespace: str) -> None:
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": about("deployments", operations=("CREATE", "UPDATE")),
        **_deny("object.spec.replicas <= 5"),
    }
    deployments = collection(cluster, namespace, "deployments", "apps/v1")
    with policy(cluster, namespace, spec):
        assert deployments.create(_deployment("many", 6)).code == 422
        assert deployments.create(_deployment("few", 0)).code == 201
        answer = deployments.patch("few", {"spec": {"replicas": 6}})
        assert answer.code == 422
        assert "failed expression: object.spec.replicas <= 5" in answer.json["message"]


def test_the_documented_limit_by_parameters_is_different_where_bindings_say_so(
    cluster: Cluster, namespace: str
) -> None:
    maps = collection(cluster, namespace, "configmaps")
    maps.made({"metadata": {"name": "limit"}, "data": {"maxReplicas": "3"}})
    spec = {
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConstraints": about("deployments"),
        **_deny(
            "object.spec.replicas <= int(params.data.maxReplicas)",
            messageExpression="'at most ' + params.data.maxReplicas",
            reason="Forbidden",
        ),
    }
    reference = {"name": "limit", "parameterNotFoundAction": "Deny"}
    deployments = collection(cluster, namespace, "deployments", "apps/v1")
    with policy(cluster, namespace, spec, paramRef=reference):
        answer = deployments.create(_deployment("many", 4))
        assert (answer.code, answer.json["reason"]) == (403, "Forbidden")
        assert answer.json["message"].endswith("denied request: at most 3")
        assert maps.patch("limit", {"data": {"maxReplicas": "4"}}).code == 200
        assert deployments.create(_deployment("many", 4)).code == 201


@pytest.mark.parametrize(("action", "code"), [("Deny", 422), ("Allow", 201)])
def test_parameters_that_are_not_there_count_as_the_binding_says(
    cluster: Cluster, namespace: str, action: str, code: int
) -> None:
    spec = {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}, **_deny("false")}
    reference = {"name": "absent", "parameterNotFoundAction": action}
    with policy(cluster, namespace, spec, paramRef=reference):
        answer = collection(cluster, namespace, "secrets").create(secret())
    assert answer.code == code
    if code == 422:
        text = (
            "failed to configure binding: no params found for policy binding with `Deny` "
            "parameterNotFoundAction"
        )
        assert text in answer.json["message"]


def test_parameters_by_labels_are_all_held_against_the_object(
    cluster: Cluster, namespace: str
) -> None:
    maps = collection(cluster, namespace, "configmaps")
    for name in ("one", "two"):
        metadata = {"name": name, "labels": {"is": "param"}}
        maps.made({"metadata": metadata, "data": {"forbidden": name}})
    spec = {
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        **_deny("object.metadata.name != params.data.forbidden"),
    }
    selector = {"matchLabels": {"is": "param"}}
    reference = {"selector": selector, "parameterNotFoundAction": "Deny"}
    secrets = collection(cluster, namespace, "secrets")
    with policy(cluster, namespace, spec, paramRef=reference):
        codes = [secrets.create(secret(name)).code for name in ("one", "two", "three")]
    assert codes == [422, 422, 201]


def test_a_param_kind_that_nobody_knows_is_a_fault_of_the_policy(
    cluster: Cluster, namespace: str
) -> None:
    kind = {"apiVersion": "rules.example.com/v1", "kind": "Limit"}
    reference = {"name": "x", "parameterNotFoundAction": "Allow"}
    for failure, code in (("Fail", 422), ("Ignore", 201)):
        spec = {"paramKind": kind, "failurePolicy": failure, **_deny("true")}
        with policy(cluster, namespace, spec, paramRef=reference):
            answer = collection(cluster, namespace, "secrets").create(secret())
        assert answer.code == code
        if code == 422:
            assert (
                "failed to configure policy: failed to find resource referenced by paramKind: "
                "'rules.example.com/v1, Kind=Limit'" in answer.json["message"]
            )


def test_warn_takes_the_object_and_tells(cluster: Cluster, namespace: str) -> None:
    spec = _deny("false", message="mind the gap")
    with policy(cluster, namespace, spec, validationActions=["Warn", "Audit"]) as name:
        answer = collection(cluster, namespace, "secrets").create(secret())
    assert answer.code == 201
    text = (
        f"Validation failed for ValidatingAdmissionPolicy '{name}' with binding "
        f"'{name}-binding': mind the gap"
    )
    assert answer.headers["warning"] == f'299 - "{text}"'


@pytest.mark.parametrize(
    ("validation", "text"),
    [
        ({"message": "words"}, "words"),
        ({"messageExpression": "'it is ' + object.metadata.name"}, "it is m"),
        ({"messageExpression": "'it is ' + object.metadata.absent", "message": "w"}, "w"),
        ({"messageExpression": "'two\\nlines'"}, "failed expression: false"),
        ({"messageExpression": "'  '", "message": "w"}, "w"),
    ],
)
def test_a_refusal_is_worded_by_the_first_that_has_words(
    cluster: Cluster, namespace: str, validation: Json, text: str
) -> None:
    with policy(cluster, namespace, _deny("false", **validation)):
        answer = collection(cluster, namespace, "secrets").create(secret())
    assert answer.json["message"].endswith(f"denied request: {text}")


@pytest.mark.parametrize(("failure", "code"), [("Fail", 422), ("Ignore", 201)])
def test_an_expression_that_fails_counts_by_the_failure_policy(
    cluster: Cluster, namespace: str, failure: str, code: int
) -> None:
    spec = {"failurePolicy": failure, **_deny("object.spec.absent == 1")}
    with policy(cluster, namespace, spec):
        answer = collection(cluster, namespace, "secrets").create(secret())
    assert answer.code == code
    if code == 422:
        text = "expression 'object.spec.absent == 1' resulted in error: no such key: spec"
        assert answer.json["message"].endswith(text)


def test_variables_are_named_by_validations_and_by_each_other(
    cluster: Cluster, namespace: str
) -> None:
    spec = {
        "variables": [
            {"name": "labels", "expression": "object.metadata.?labels.orValue({})"},
            {
                "name": "team",
                "expression": "'team' in variables.labels ? variables.labels.team : ''",
            },
        ],
        **_deny("variables.team != ''", messageExpression="'team is ' + variables.team"),
    }
    secrets = collection(cluster, namespace, "secrets")
    with policy(cluster, namespace, spec):
        assert secrets.create(secret()).code == 422
        assert secrets.create(secret(team="a")).code == 201


def test_conditions_exclude_requests(cluster: Cluster, namespace: str) -> None:
    conditions = [
        {"name": "not-the-exempt", "expression": "!object.metadata.name.startsWith('exempt')"},
        {"name": "creates", "expression": "request.operation == 'CREATE'"},
    ]
    secrets = collection(cluster, namespace, "secrets")
    with policy(cluster, namespace, {"matchConditions": conditions, **_deny("false")}):
        assert secrets.create(secret("exempt-1")).code == 201
        assert secrets.create(secret("other")).code == 422


def test_rules_by_name_and_exclusions_choose_objects(cluster: Cluster, namespace: str) -> None:
    constraints = about("secrets", operations=("CREATE", "UPDATE"))
    constraints["resourceRules"][0]["resourceNames"] = ["a", "b"]
    excluded = about("secrets")["resourceRules"]
    excluded[0]["resourceNames"] = ["b"]
    constraints["excludeResourceRules"] = excluded
    secrets = collection(cluster, namespace, "secrets")
    with policy(cluster, namespace, {"matchConstraints": constraints, **_deny("false")}):
        codes = [secrets.create(secret(name)).code for name in ("a", "b", "c")]
    assert codes == [422, 201, 201]


def test_a_binding_narrows_by_labels_and_rules(cluster: Cluster, namespace: str) -> None:
    narrowed = within(namespace, objectSelector={"matchLabels": {"strict": "yes"}})
    secrets = collection(cluster, namespace, "secrets")
    with policy(cluster, namespace, _deny("false"), matchResources=narrowed):
        assert secrets.create(secret("lax")).code == 201
        assert secrets.create(secret("strict", strict="yes")).code == 422


def test_old_object_namespace_request_and_authorizer_can_be_asked(
    cluster: Cluster, namespace: str
) -> None:
    spec = {
        "matchConstraints": about("secrets", operations=("UPDATE", "DELETE")),
        "validations": [
            {"expression": "oldObject != null && oldObject.metadata.name == 'm'"},
            {"expression": "request.operation != 'DELETE' || object == null"},
            {"expression": f"namespaceObject.metadata.name == '{namespace}'"},
            {"expression": "request.userInfo.username != '' && !request.dryRun"},
            {
                "expression": "authorizer.group('').resource('nodes').check('list').allowed()",
                "reason": "Forbidden",
            },
        ],
    }
    collection(cluster, namespace, "secrets").made(secret())
    weak, strong = persona(cluster), persona(cluster)
    for user in (weak, strong):
        grant(user, namespace, rule("patch delete", "secrets"))
    grant(strong, "", rule("list", "nodes"))
    path = f"/api/v1/namespaces/{namespace}/secrets/m"
    change = {"metadata": {"labels": {"a": "b"}}}
    merge = "application/merge-patch+json"
    with policy(cluster, namespace, spec):
        assert weak.call("PATCH", path, change, content_type=merge).code == 403
        assert strong.call("PATCH", path, change, content_type=merge).code == 200
        assert strong.call("DELETE", path).code == 200


def test_what_costs_too_much_is_stopped_and_refused(cluster: Cluster, namespace: str) -> None:
    costly = (
        "object.data.all(a, object.data.all(b, object.data.all(c, "
        "object.data[a] + object.data[b] + object.data[c] != '')))"
    )
    many = {"metadata": {"name": "many"}, "data": {f"k{n}": "Yg==" for n in range(200)}}
    with policy(cluster, namespace, _deny(costly)):
        answer = collection(cluster, namespace, "secrets").create(many)
    assert answer.code == 422
    assert "cost limit exceeded" in answer.json["message"]


def test_a_policy_without_a_binding_counts_for_nothing(cluster: Cluster, namespace: str) -> None:
    spec = {"matchConstraints": about("secrets"), **_deny("false")}
    with made(cluster, VALIDATING, {"metadata": {"name": "alone"}, "spec": spec}):
        assert collection(cluster, namespace, "secrets").create(secret()).code == 201


def test_policies_cannot_keep_anybody_from_changing_policies(cluster: Cluster) -> None:
    constraints = about("*", operations=("*",))
    constraints["resourceRules"][0]["apiGroups"] = ["admissionregistration.k8s.io"]
    spec = {"matchConstraints": constraints, **_deny("false")}
    policies = collection(cluster, "", VALIDATING, GROUP)
    policies.made({"metadata": {"name": "lock"}, "spec": spec})
    bindings = collection(cluster, "", "validatingadmissionpolicybindings", GROUP)
    bindings.made(
        {
            "metadata": {"name": "lock"},
            "spec": {"policyName": "lock", "validationActions": ["Deny"]},
        }
    )
    assert bindings.delete("lock").code == 200
    assert policies.delete("lock").code == 200


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        (_deny("object.metadata.name =="), "spec.validations[0].expression: Invalid value"),
        (_deny("1"), "must evaluate to bool"),
        (_deny("true", messageExpression="1"), "must evaluate to string"),
        (_deny("true", messageExpression="string(authorizer)"), "undeclared reference"),
        (_deny("params.x"), "undeclared reference to 'params'"),
        (_deny("true", message="two\nlines"), "message must not contain line breaks"),
        (_deny("true", reason="Odd"), 'Unsupported value: "Odd"'),
        ({"variables": [{"name": "in", "expression": "1"}], **_deny("true")}, "CEL identifier"),
        ({}, "validations or auditAnnotations must contain at least one item"),
        (
            {"matchConditions": [{"name": "a", "expression": "'x'"}], **_deny("true")},
            "spec.matchConditions[0].expression",
        ),
        ({"paramKind": {"apiVersion": "a/b/c", "kind": "K"}, **_deny("true")}, "unexpected"),
        ({"auditAnnotations": [{"key": "k", "valueExpression": "1"}]}, "must evaluate to"),
        ({"matchConstraints": about("*", "pods"), **_deny("true")}, "if '*' is present"),
    ],
)
def test_what_a_policy_cannot_be_is_refused_with_its_place(
    cluster: Cluster, spec: Json, fault: str
) -> None:
    whole = {"matchConstraints": about("secrets"), **spec}
    policies = collection(cluster, "", VALIDATING, GROUP)
    answer = policies.create({"metadata": {"name": "bad"}, "spec": whole})
    assert answer.code == 422, answer.body
    assert fault in answer.json["message"]


def test_mutating_policies_are_about_nothing_that_is_deleted(cluster: Cluster) -> None:
    mutation = {"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}
    spec = {
        "matchConstraints": about("secrets", operations=("DELETE",)),
        "mutations": [mutation],
        "reinvocationPolicy": "Never",
    }
    answer = collection(cluster, "", MUTATING, GROUP).create(
        {"metadata": {"name": "bad"}, "spec": spec}
    )
    assert answer.code == 422
    assert (
        'spec.matchConstraints.resourceRules.operations: Unsupported value: "DELETE": supported '
        'values: "*", "CONNECT", "CREATE", "UPDATE"' in answer.json["message"]
    )


def test_the_status_tells_of_fields_that_a_policys_types_do_not_have(cluster: Cluster) -> None:
    # The website's example: replicas is a field of the spec.
    constraints = about("deployments")
    constraints["resourceRules"][0] |= {"apiGroups": ["apps"], "apiVersions": ["v1"]}
    spec = {"matchConstraints": constraints, **_deny("object.replicas > 1")}
    policies = collection(cluster, "", VALIDATING, GROUP)
    with made(cluster, VALIDATING, {"metadata": {"name": "typed"}, "spec": spec}):
        status = _status(cluster, "typed", 1)
        [warning] = status["typeChecking"]["expressionWarnings"]
        assert warning["fieldRef"] == "spec.validations[0].expression"
        assert warning["warning"].startswith(
            "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'replicas'\n"
            " | object.replicas > 1\n"
        )
        spec["validations"] = [{"expression": "object.spec.replicas > 1"}]
        assert policies.patch("typed", {"spec": spec}).code == 200
        assert not _status(cluster, "typed", 2)["typeChecking"].get("expressionWarnings")


def _status(cluster: Cluster, name: str, generation: int) -> Json:
    """Return a policy's status once it has been observed."""
    policies = collection(cluster, "", VALIDATING, GROUP)
    with watching(policies, f"&fieldSelector=metadata.name%3D{name}") as seen:
        while True:
            status: Json = seen.next()["object"].get("status") or {}
            if status.get("observedGeneration") == generation:
                return status


def test_a_costly_expression_holds_up_nobody_else(cluster: Cluster, namespace: str) -> None:
    costly = (
        "object.data.all(a, object.data.all(b, object.data.all(c, "
        "object.data[a] + object.data[b] + object.data[c] != '')))"
    )
    many = {"data": {f"k{n}": "Yg==" for n in range(200)}}
    spec = {"validations": [{"expression": costly}] * 9}
    secrets = collection(cluster, namespace, "secrets")
    with policy(cluster, namespace, spec), ThreadPoolExecutor(1) as pool:
        assert secrets.create({"metadata": {"name": "first"}, **many}).code == 422
        slow = pool.submit(secrets.create, {"metadata": {"name": "second"}, **many})
        answered = 0
        while not slow.done():
            assert cluster.call("GET", "/livez").code == 200
            answered += 1
        assert slow.result().code == 422
    # It takes seconds, and an answer milliseconds; where it held up the loop, there was one.
    assert answered > 10
