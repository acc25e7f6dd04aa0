"""The index of roles and bindings: it holds what the last version of each object says."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as some

from apiserver.authn import User
from apiserver.rbac.index import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
    RbacIndex,
)

Json = dict[str, Any]
SUBJECTS = (
    {"kind": "User", "name": "jo"},
    {"kind": "Group", "name": "g"},
    {"kind": "ServiceAccount", "name": "sa", "namespace": "a"},
    {"kind": "ServiceAccount", "name": "sa"},
    {"kind": "Robot", "name": "jo"},
)


def binding(namespace: str, name: str, role: str, *subjects: Json) -> Json:
    """Return a binding to a ClusterRole."""
    return {
        "metadata": {"name": name, **({"namespace": namespace} if namespace else {})},
        "roleRef": {"kind": "ClusterRole", "name": role},
        "subjects": list(subjects),
    }


_steps = some.lists(
    some.tuples(
        some.sampled_from(["put", "drop", "clear"]),
        some.sampled_from(["", "a", "b"]),
        some.sampled_from(["x", "y"]),
        some.sampled_from(["r", "s"]),
        some.lists(some.sampled_from(SUBJECTS), max_size=4),
    ),
    max_size=30,
)


@given(_steps)
def test_what_is_found_is_what_the_last_version_of_each_binding_says(steps: list[Any]) -> None:
    index, model = RbacIndex(), dict[tuple[str, str], Json]()
    for what, namespace, name, role, subjects in steps:
        storage = ROLE_BINDINGS if namespace else CLUSTER_ROLE_BINDINGS
        if what == "put":
            model[namespace, name] = obj = binding(namespace, name, role, *subjects)
            index.put(storage, obj)
        elif what == "drop":
            model.pop((namespace, name), None)
            index.drop(storage, namespace, name)
        else:
            model = {key: obj for key, obj in model.items() if bool(key[0]) != bool(namespace)}
            index.clear(storage)
        index.check()
    assert len(index) == len(model)
    for namespace in ("a", "b", ""):
        found = sorted(
            (bound.namespace, bound.name) for bound in index.bound_to(User("jo", ("g",)), namespace)
        )
        wanted = sorted(
            key
            for key, obj in model.items()
            if key[0] in ("", namespace)
            for subject in obj["subjects"]
            if subject in SUBJECTS[:2]
        )
        assert found == wanted


def test_a_service_account_without_a_namespace_is_of_the_bindings_own() -> None:
    index = RbacIndex()
    account = {"kind": "ServiceAccount", "name": "sa"}
    index.put(ROLE_BINDINGS, binding("a", "x", "r", account))
    index.put(CLUSTER_ROLE_BINDINGS, binding("", "y", "r", account))
    user = User("system:serviceaccount:a:sa", ())
    assert [bound.name for bound in index.bound_to(user, "a")] == ["x"]


def test_roles_of_the_cluster_and_of_namespaces_are_kept_apart() -> None:
    index = RbacIndex()
    rule = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
    index.put(CLUSTER_ROLES, {"metadata": {"name": "r"}, "rules": [rule]})
    index.put(ROLES, {"metadata": {"name": "r", "namespace": "a"}, "rules": []})
    assert len(index.rules_of(("", "r")) or ()) == 1
    assert index.rules_of(("a", "r")) == ()
    index.clear(ROLES)
    assert index.rules_of(("a", "r")) is None
    assert index.rules_of(("", "r")) is not None
