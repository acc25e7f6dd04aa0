"""Short forms for tests of admission policies: a policy and its bindings as long as a block."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.integration.api_calls import Json, collection
from tests.integration.cluster import Cluster

GROUP = "admissionregistration.k8s.io/v1"
VALIDATING = "validatingadmissionpolicies"
MUTATING = "mutatingadmissionpolicies"
_numbers = itertools.count(1)


def about(*resources: str, operations: tuple[str, ...] = ("CREATE",), **more: Any) -> Json:
    """Return matchConstraints for resources of any group and version."""
    rule = {
        "operations": list(operations),
        "apiGroups": ["*"],
        "apiVersions": ["*"],
        "resources": list(resources),
    }
    return {"resourceRules": [rule], **more}


def within(namespace: str, **more: Any) -> Json:
    """Return matchResources for one namespace."""
    return {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        **more,
    }


@contextmanager
def made(cluster: Cluster, plural: str, obj: Json, version: str = GROUP) -> Iterator[Any]:
    """Have a cluster-scoped object within the block."""
    objects = collection(cluster, "", plural, version)
    answer = objects.create(obj)
    assert answer.code == 201, answer.body
    try:
        yield answer.json
    finally:
        gone = objects.delete(obj["metadata"]["name"])
        assert gone.code == 200, gone.body


@contextmanager
def policy(
    cluster: Cluster, namespace: str, spec: Json, plural: str = VALIDATING, **binding: Any
) -> Iterator[str]:
    """Have a policy in force in one namespace within the block; gives its name.

    Args:
        cluster: the cluster.
        namespace: where its binding counts.
        spec: of the policy; about secrets, if it does not say so.
        plural: of its type.
        binding: more of the binding's spec.
    """
    name = f"policy-{next(_numbers)}"
    whole = {"matchConstraints": about("secrets"), **spec}
    bound: Json = {"policyName": name, "matchResources": within(namespace), **binding}
    if plural == VALIDATING:
        bound.setdefault("validationActions", ["Deny"])
    bindings = plural.replace("policies", "policybindings")
    with ExitStack() as stack:
        stack.enter_context(made(cluster, plural, {"metadata": {"name": name}, "spec": whole}))
        stack.enter_context(
            made(cluster, bindings, {"metadata": {"name": f"{name}-binding"}, "spec": bound})
        )
        yield name


def secret(name: str = "m", **labels: str) -> Json:
    """Return a secret."""
    return {"metadata": {"name": name, "labels": labels}, "data": {"a": "Yg=="}}
