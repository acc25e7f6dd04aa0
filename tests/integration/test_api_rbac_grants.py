"""Nobody gives away what they do not hold; and the policy that every cluster begins with."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.integration.api_calls import MERGE, Json, check_status, labelled, named
from tests.integration.cluster import Answer, Cluster
from tests.integration.personas import GROUP, RBAC, Persona, grant, made, persona, rule

AUTHENTICATED = '["system:authenticated"]'
PATIENCE_S = 30.0
_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"


@pytest.fixture
def writer(cluster: Cluster, namespace: str) -> Persona:
    """One who may write roles and bindings everywhere, and read pods in the namespace."""
    user = persona(cluster)
    names = "roles rolebindings clusterroles clusterrolebindings"
    grant(user, "", rule("get create update patch delete", names, GROUP))
    grant(user, namespace, rule("get list", "pods"))
    return user


def _role(name: str, *rules: Json) -> Json:
    return {"metadata": {"name": name}, "rules": list(rules)}


def _binding(name: str, kind: str, role: str, user: Persona) -> Json:
    reference = {"apiGroup": GROUP, "kind": kind, "name": role}
    return {"metadata": {"name": name}, "roleRef": reference, "subjects": [user.subject()]}


def test_a_role_with_rules_not_held_is_refused_naming_them(writer: Persona, namespace: str) -> None:
    where = f"{RBAC}/namespaces/{namespace}/roles"
    assert writer.call("POST", where, _role("a", rule("get", "pods"))).code == 201
    wanted = _role("b", rule("get delete create", "pods"), rule("get", "secrets", names="s"))
    message = (
        f'roles.{GROUP} "b" is forbidden: user "{writer.name}" (groups={AUTHENTICATED}) is '
        "attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete" "create"]}\n'
        '{APIGroups:[""], Resources:["secrets"], ResourceNames:["s"], Verbs:["get"]}'
    )
    check_status(writer.call("POST", where, wanted), 403, "Forbidden", message)
    # What is held in a namespace only is not held everywhere.
    assert writer.call("POST", f"{RBAC}/clusterroles", _role("c", rule("get", "pods"))).code == 403


def test_a_role_cannot_be_widened_but_otherwise_changed(
    cluster: Cluster, writer: Persona, namespace: str
) -> None:
    where = f"{RBAC}/namespaces/{namespace}/roles"
    made(cluster, where, _role("a", rule("get", "secrets")))
    role = f"{where}/a"
    label = {"metadata": {"labels": {"a": "b"}}}
    assert writer.call("PATCH", role, label, content_type=MERGE).code == 200
    for rules in ([rule("get list", "secrets")], [rule("get", "secrets"), rule("get", "nodes")]):
        refused = writer.call("PATCH", role, {"rules": rules}, content_type=MERGE)
        assert (refused.code, refused.json["reason"]) == (403, "Forbidden")
        refused = writer.call("PUT", role, _role("a", *rules))
        assert (refused.code, refused.json["reason"]) == (403, "Forbidden")
    fewer = {"rules": [rule("get", "pods")]}
    assert writer.call("PATCH", role, fewer, content_type=MERGE).code == 200
    absent = writer.call("PUT", f"{where}/new", _role("new", rule("get", "secrets")))
    assert absent.code == 403


def test_who_may_escalate_may_grant_anything(
    cluster: Cluster, writer: Persona, namespace: str
) -> None:
    where = f"{RBAC}/namespaces/{namespace}/roles"
    grant(writer, namespace, rule("escalate", "roles", GROUP, names="one"))
    made(cluster, where, _role("one"))
    rules = {"rules": [rule("get", "secrets")]}
    assert writer.call("PATCH", f"{where}/one", rules, content_type=MERGE).code == 200
    assert writer.call("POST", where, _role("two", rule("get", "secrets"))).code == 403
    grant(writer, namespace, rule("escalate", "roles", GROUP))
    assert writer.call("POST", where, _role("two", rule("get", "secrets"))).code == 201


def test_a_binding_to_a_role_not_held_is_refused(
    cluster: Cluster, writer: Persona, namespace: str
) -> None:
    where = f"{RBAC}/namespaces/{namespace}"
    made(cluster, f"{where}/roles", _role("read", rule("get", "pods")))
    made(cluster, f"{where}/roles", _role("spy", rule("get", "secrets")))
    bindings = f"{where}/rolebindings"
    assert writer.call("POST", bindings, _binding("a", "Role", "read", writer)).code == 201
    message = (
        f'rolebindings.{GROUP} "b" is forbidden: user "{writer.name}" (groups={AUTHENTICATED}) is '
        "attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}'
    )
    refused = writer.call("POST", bindings, _binding("b", "Role", "spy", writer))
    check_status(refused, 403, "Forbidden", message)
    refused = writer.call("POST", bindings, _binding("b", "Role", "absent", writer))
    check_status(refused, 404, "NotFound", f'roles.{GROUP} "absent" not found')
    admin = _binding("b", "ClusterRole", "cluster-admin", writer)
    refused = writer.call("POST", f"{RBAC}/clusterrolebindings", admin)
    assert '{NonResourceURLs:["*"], Verbs:["*"]}' in refused.json["message"]
    assert refused.code == 403


def test_who_may_bind_a_role_may_bind_it_to_anybody(
    cluster: Cluster, writer: Persona, namespace: str
) -> None:
    # It is filled by a controller, and who binds an empty role gives nothing away.
    _until_has(cluster, "edit", rule("create", "pods/eviction"))
    bindings = f"{RBAC}/namespaces/{namespace}/rolebindings"
    edit = _binding("edit", "ClusterRole", "edit", writer)
    assert writer.call("POST", bindings, edit).code == 403
    grant(writer, namespace, rule("bind", "clusterroles", GROUP, names="edit"))
    assert writer.call("POST", bindings, edit).code == 201
    assert writer.call("POST", bindings, _binding("x", "ClusterRole", "admin", writer)).code == 403


def test_an_aggregation_needs_everything(writer: Persona) -> None:
    selector = {"matchLabels": {"a": "b"}}
    obj = {**named("any"), "aggregationRule": {"clusterRoleSelectors": [selector]}}
    message = (
        f'clusterroles.{GROUP} "any" is forbidden: must have cluster-admin privileges to use an '
        "aggregationRule"
    )
    check_status(writer.call("POST", f"{RBAC}/clusterroles", obj), 403, "Forbidden", message)


def _rules_of(cluster: Cluster, role: str) -> Any:
    return cluster.call("GET", f"{RBAC}/clusterroles/{role}").json.get("rules") or []


def _until_has(cluster: Cluster, role: str, wanted: Json, *, there: bool = True) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while (wanted in _rules_of(cluster, role)) is not there:
        assert time.monotonic() < deadline_s, (role, wanted)


def test_aggregated_roles_follow_the_roles_they_are_made_of(cluster: Cluster) -> None:
    wanted = rule("get list watch", "crontabs", "stable.example.com")
    part = labelled("crontabs-view", {f"{_AGGREGATE}view": "true"}, rules=[wanted])
    made(cluster, f"{RBAC}/clusterroles", part)
    for role in ("view", "edit", "admin"):
        _until_has(cluster, role, wanted)
    assert cluster.call("DELETE", f"{RBAC}/clusterroles/crontabs-view").code == 200
    for role in ("view", "edit", "admin"):
        _until_has(cluster, role, wanted, there=False)


def test_the_default_roles_of_people_allow_what_upstreams_do(
    cluster: Cluster, namespace: str
) -> None:
    in_namespace = f"/api/v1/namespaces/{namespace}"
    _until_has(cluster, "admin", rule("create", "pods/eviction"))
    _until_has(cluster, "view", rule("get list watch", "namespaces"))
    bindings = f"{RBAC}/namespaces/{namespace}/rolebindings"
    people = {role: persona(cluster) for role in ("view", "edit", "admin")}
    for role, user in people.items():
        made(cluster, bindings, _binding(role, "ClusterRole", role, user))

    def allowed(role: str, answer: Answer) -> bool:
        assert answer.code in (200, 201, 403), (role, answer.body)
        return answer.code != 403

    for number, (role, user) in enumerate(people.items()):
        assert allowed(role, user.call("GET", f"{in_namespace}/pods"))
        assert allowed(role, user.call("GET", f"{in_namespace}/secrets")) is (number > 0)
        created = user.call("POST", f"{in_namespace}/configmaps", named(f"of-{role}"))
        assert allowed(role, created) is (number > 0)
        assert allowed(role, user.call("GET", bindings)) is (number > 1)
    # An admin of a namespace gives away what admins hold there, and no more.
    admin, other = people["admin"], persona(cluster)
    view = _binding("more", "ClusterRole", "view", other)
    assert admin.call("POST", bindings, view).code == 201
    everything = _binding("most", "ClusterRole", "cluster-admin", other)
    assert admin.call("POST", bindings, everything).code == 403
