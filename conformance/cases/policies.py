"""Admission policies: as objects, and at work on Deployments."""

from __future__ import annotations

from typing import Any, Final

from conformance.checks import CaseFailed, eventually, refused, same
from conformance.operations import (
    Operations,
    annotating,
    annotation,
    check_discovery,
    check_operations,
    check_status,
    setting,
)
from conformance.registry import case
from conformance.resource import Resource
from conformance.samples import workload
from conformance.stage import Stage
from kube.json_types import JsonObject
from kube.status import StatusError

_GROUP: Final = "admissionregistration.k8s.io/v1"
_ANNOTATE: Final = (
    'Object{metadata: Object.metadata{annotations: {"mutated-by": "admission-policy"}}}'
)


def _deployments(stage: Stage) -> Resource:
    return stage.of("apps/v1", "deployments", "Deployment")


def _rules(*operations: str) -> list[JsonObject]:
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]}
    return [{**rule, "operations": list(operations or ("CREATE", "UPDATE"))}]


def _policy(stage: Stage, **spec: Any) -> JsonObject:
    constraints = {
        "resourceRules": _rules(),
        "namespaceSelector": {"matchLabels": {stage.unique: "true"}},
    }
    name = f"{stage.unique}.policy.example.com"
    return {"metadata": {"name": name}, "spec": {"matchConstraints": constraints, **spec}}


def _binding(stage: Stage, **spec: Any) -> JsonObject:
    selector = {"matchLabels": {stage.unique: "true"}}
    return {
        "metadata": {"name": f"{stage.unique}.binding.example.com"},
        "spec": {
            "policyName": f"{stage.unique}.policy.example.com",
            "matchResources": {"namespaceSelector": selector},
            **spec,
        },
    }


def _applying(expression: str) -> JsonObject:
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


async def _install(stage: Stage, word: str, policy: JsonObject, binding: JsonObject) -> None:
    """Create a policy and its binding, which hold in the case's namespace only."""
    labels = {"metadata": {"labels": {stage.unique: "true"}}}
    await stage.namespaces.patch(stage.namespace, labels)
    policies = stage.cluster(_GROUP, f"{word.lower()}admissionpolicies", f"{word}AdmissionPolicy")
    bindings = stage.cluster(
        _GROUP, f"{word.lower()}admissionpolicybindings", f"{word}AdmissionPolicyBinding"
    )
    for resource, obj in ((policies, policy), (bindings, binding)):
        created = await resource.create(obj)
        stage.remove(resource, created["metadata"]["name"])


async def _until_denied(stage: Stage) -> None:
    """Wait until a Deployment of one replica is refused, as the policy demands."""
    deployments = _deployments(stage)

    async def look() -> bool:
        try:
            await deployments.create(workload("marker-deployment", 1))
        except StatusError as error:
            if error.reason != "Invalid":
                raise
            return True
        await deployments.delete("marker-deployment")
        raise CaseFailed("the marker was not denied")

    await eventually("the policy is in force", look, within_s=60)


@case(
    "[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should validate "
    "against a Deployment [Conformance]"
)
async def validate(stage: Stage) -> None:
    """The policy refuses what it is about, and nothing else."""
    validation = {
        "expression": "object.spec.replicas > 1",
        # A number cannot be added to a text: the server has to do without the message.
        "messageExpression": "'wants replicas > 1, got ' + object.spec.replicas",
    }
    policy = _policy(stage, validations=[validation])
    await _install(stage, "Validating", policy, _binding(stage, validationActions=["Deny"]))
    await _until_denied(stage)
    await _deployments(stage).create(workload("replicated", 2))
    sets = stage.of("apps/v1", "replicasets", "ReplicaSet")
    await sets.create(workload("non-replicated", 1))


@case(
    "[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should allow "
    "expressions to refer variables. [Conformance]"
)
async def variables(stage: Stage) -> None:
    """Variables are computed from the object and from each other."""
    policy = _policy(
        stage,
        variables=[
            {"name": "replicas", "expression": "object.spec.replicas"},
            {"name": "oddReplicas", "expression": "variables.replicas % 2 == 1"},
        ],
        validations=[
            {"expression": "variables.replicas > 1"},
            {"expression": "variables.oddReplicas"},
        ],
    )
    await _install(stage, "Validating", policy, _binding(stage, validationActions=["Deny"]))
    await _until_denied(stage)
    await refused("Invalid", _deployments(stage).create(workload("even", 2)))
    await _deployments(stage).create(workload("odd", 3))
    sets = stage.of("apps/v1", "replicasets", "ReplicaSet")
    await sets.create(workload("non-replicated", 1))


async def _until_annotated(stage: Stage) -> JsonObject:
    deployments = _deployments(stage)

    async def look() -> JsonObject:
        created = await deployments.create(workload("test-deployment", 2, {"app": "test"}))
        if annotation(created, "mutated-by") is None:
            await deployments.delete("test-deployment")
            raise CaseFailed("the Deployment was not mutated")
        return created

    return await eventually("the policy is in force", look, within_s=60)


@case(
    "[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should mutate a "
    "Deployment with annotations [Conformance]"
)
async def annotate(stage: Stage) -> None:
    """An apply configuration adds annotations."""
    policy = _policy(stage, mutations=[_applying(_ANNOTATE)], reinvocationPolicy="Never")
    await _install(stage, "Mutating", policy, _binding(stage))
    created = await _until_annotated(stage)
    same(annotation(created, "mutated-by"), "admission-policy", "the annotation")


@case(
    "[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should mutate a "
    "Deployment [Conformance]"
)
async def mutate(stage: Stage) -> None:
    """The spec is changed by expressions over the object and variables."""
    configuration = (
        'Object{metadata: Object.metadata{annotations: {"mutated-by": "admission-policy"}}, '
        "spec: Object.spec{replicas: variables.wanted}}"
    )
    policy = _policy(
        stage,
        variables=[{"name": "wanted", "expression": "object.spec.replicas + 1"}],
        mutations=[_applying(configuration)],
        reinvocationPolicy="Never",
    )
    await _install(stage, "Mutating", policy, _binding(stage))
    created = await _until_annotated(stage)
    same(created["spec"]["replicas"], 3, "replicas after the mutation")


def _failing(policy: JsonObject) -> Operations:
    """Return operations that change when a policy's failures count."""
    return setting(policy, ["failurePolicy"], "Ignore", "Fail")


@case(
    "[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should support "
    "ValidatingAdmissionPolicy API operations [Conformance]"
)
async def validating_operations(stage: Stage) -> None:
    """Policies have all verbs, and a status."""
    plural = "validatingadmissionpolicies"
    await check_discovery(stage, _GROUP, plural, f"{plural}/status")
    policies = stage.cluster(_GROUP, plural, "ValidatingAdmissionPolicy")
    spec = {
        "validations": [{"expression": "object.spec.replicas <= 100"}],
        "matchConstraints": {"resourceRules": _rules("CREATE")},
    }
    await check_status(stage, policies, {"spec": spec})
    await check_operations(stage, policies, _failing({"spec": spec}))


@case(
    "[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should support "
    "ValidatingAdmissionPolicyBinding API operations [Conformance]"
)
async def validating_binding_operations(stage: Stage) -> None:
    """So have their bindings, but a status."""
    plural = "validatingadmissionpolicybindings"
    await check_discovery(stage, _GROUP, plural)
    bindings = stage.cluster(_GROUP, plural, "ValidatingAdmissionPolicyBinding")
    spec: Any = {"policyName": "replicalimit-policy.example.com", "validationActions": ["Deny"]}
    await check_operations(
        stage, bindings, setting({"spec": spec}, ["validationActions"], ["Warn"], ["Deny"])
    )


@case(
    "[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should support "
    "MutatingAdmissionPolicy API operations [Conformance]"
)
async def mutating_operations(stage: Stage) -> None:
    """Mutating policies have all verbs."""
    plural = "mutatingadmissionpolicies"
    await check_discovery(stage, _GROUP, plural)
    spec = {
        "reinvocationPolicy": "Never",
        "mutations": [_applying(_ANNOTATE)],
        "matchConstraints": {"resourceRules": _rules("CREATE")},
    }
    policies = stage.cluster(_GROUP, plural, "MutatingAdmissionPolicy")
    await check_operations(stage, policies, _failing({"spec": spec}))


@case(
    "[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should support "
    "MutatingAdmissionPolicyBinding API operations [Conformance]"
)
async def mutating_binding_operations(stage: Stage) -> None:
    """So have their bindings."""
    plural = "mutatingadmissionpolicybindings"
    await check_discovery(stage, _GROUP, plural)
    bindings = stage.cluster(_GROUP, plural, "MutatingAdmissionPolicyBinding")
    template = {"spec": {"policyName": "replicalimit-policy.example.com"}}
    await check_operations(stage, bindings, annotating(template))
