"""The custom type LeaderWorkerSet: its definition, with what upstream's webhook checks as rules."""

from __future__ import annotations

from typing import Any, Final

from controllers.leader_workers.names import GROUP
from controllers.leader_workers.pod_schema import claim_schema, pod_template_schema
from kube.json_types import JsonObject

DEFINITION: Final = f"leaderworkersets.{GROUP}"
_PLURAL: Final = "leaderworkersets"
_INT32: Final = {"type": "integer", "format": "int32"}
_REPLICAS_MAX: Final = 1_000_000
_PODS_MAX: Final = 2**31 - 1
_PERCENT: Final = "^(100|[0-9]{1,2})%$"


def _choice(*values: str, default: str = "") -> JsonObject:
    made: JsonObject = {"type": "string", "enum": list(values)}
    return {**made, "default": default} if default else made


def _rule(rule: str, message: str, path: str = "") -> JsonObject:
    made = {"rule": rule, "message": message}
    return {**made, "fieldPath": path} if path else made


def _share(default: int) -> JsonObject:
    """Return the schema of a number, or a percentage, of groups."""
    return {
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "x-kubernetes-int-or-string": True,
        "default": default,
        "minimum": 0,
        "pattern": _PERCENT,
    }


def _rollout() -> JsonObject:
    rolling = {
        "type": "object",
        "default": {},
        "properties": {
            "partition": {**_INT32, "default": 0, "minimum": 0},
            "maxUnavailable": _share(1),
            "maxSurge": _share(0),
        },
    }
    return {
        "type": "object",
        "default": {"type": "RollingUpdate"},
        "required": ["type"],
        "properties": {
            "type": _choice("RollingUpdate", default="RollingUpdate"),
            "rollingUpdateConfiguration": rolling,
        },
    }


def _subgroups() -> JsonObject:
    return {
        "type": "object",
        "required": ["subGroupSize"],
        "properties": {
            "subGroupPolicyType": _choice("LeaderWorker", "LeaderExcluded", default="LeaderWorker"),
            "subGroupSize": {**_INT32, "minimum": 1},
        },
        "x-kubernetes-validations": [
            _rule(
                "self.subGroupSize == oldSelf.subGroupSize", "field is immutable", ".subGroupSize"
            )
        ],
    }


def _template() -> JsonObject:
    retention = {name: {"type": "string"} for name in ("whenDeleted", "whenScaled")}
    policies = ("Default", "RecreateGroupOnPodRestart", "RecreateGroupAfterStart", "None")
    claims = {"type": "array", "items": claim_schema()}
    subgroup = "self.subGroupPolicy.subGroupSize"
    return {
        "type": "object",
        "required": ["workerTemplate"],
        "properties": {
            "leaderTemplate": pod_template_schema(),
            "workerTemplate": pod_template_schema(),
            "size": {**_INT32, "default": 1, "minimum": 1},
            "restartPolicy": _choice(*policies, default="RecreateGroupOnPodRestart"),
            "subGroupPolicy": _subgroups(),
            "volumeClaimTemplates": claims,
            "persistentVolumeClaimRetentionPolicy": {"type": "object", "properties": retention},
        },
        "x-kubernetes-validations": [
            _rule(
                f"!has(self.subGroupPolicy) || self.size % {subgroup} == 0 || "
                f"(self.size - 1) % {subgroup} == 0",
                "size or size - 1 must be divisible by subGroupSize",
            ),
            _rule(
                f"!has(self.subGroupPolicy) || self.size >= {subgroup}",
                "subGroupSize cannot be larger than size",
            ),
            _rule(
                "!has(self.subGroupPolicy) || "
                "self.subGroupPolicy.subGroupPolicyType != 'LeaderExcluded' || "
                f"(self.size - 1) % {subgroup} == 0",
                "size-1 must be divisible by subGroupSize when using LeaderExcluded",
            ),
            _rule(
                "!has(self.subGroupPolicy) || has(oldSelf.subGroupPolicy)",
                "cannot enable subGroupSize after the lws is already created",
            ),
            _rule(
                "has(self.subGroupPolicy) || !has(oldSelf.subGroupPolicy)",
                "cannot remove subGroupSize after enabled",
            ),
        ],
    }


def _spec() -> JsonObject:
    policy = _choice("Shared", "UniquePerReplica", default="Shared")

    def none(field: str) -> str:
        path = f"self.rolloutStrategy.rollingUpdateConfiguration.{field}"
        return f"{path} == 0 || {path} == '0%'"

    return {
        "type": "object",
        "required": ["leaderWorkerTemplate"],
        "properties": {
            "replicas": {**_INT32, "default": 1, "minimum": 0, "maximum": _REPLICAS_MAX},
            "leaderWorkerTemplate": _template(),
            "rolloutStrategy": _rollout(),
            "startupPolicy": _choice("LeaderCreated", "LeaderReady", default="LeaderCreated"),
            "networkConfig": {
                "type": "object",
                "default": {"subdomainPolicy": "Shared"},
                "required": ["subdomainPolicy"],
                "properties": {"subdomainPolicy": policy},
            },
        },
        "x-kubernetes-validations": [
            _rule(
                f"self.replicas * self.leaderWorkerTemplate.size <= {_PODS_MAX}",
                f"the product of replicas and worker replicas must not exceed {_PODS_MAX}",
            ),
            _rule(
                # A percentage that rounds to none is let through: one group may be missing then.
                f"self.replicas == 0 || !({none('maxUnavailable')}) || !({none('maxSurge')})",
                "must not be 0 when `maxSurge` is 0",
                ".rolloutStrategy.rollingUpdateConfiguration.maxUnavailable",
            ),
        ],
    }


def _status() -> JsonObject:
    text = {"type": "string"}
    condition: dict[str, Any] = {
        "type": "object",
        "required": ["lastTransitionTime", "message", "reason", "status", "type"],
        "properties": {
            "lastTransitionTime": {"type": "string", "format": "date-time"},
            "message": {"type": "string", "maxLength": 32768},
            "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
            "reason": {"type": "string", "minLength": 1, "maxLength": 1024},
            "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
            "type": {"type": "string", "maxLength": 316},
        },
    }
    return {
        "type": "object",
        "properties": {
            "conditions": {
                "type": "array",
                "items": condition,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
            },
            "readyReplicas": _INT32,
            "updatedReplicas": _INT32,
            "replicas": _INT32,
            "hpaPodSelector": text,
            "observedGeneration": {"type": "integer", "format": "int64"},
        },
    }


def _columns() -> list[JsonObject]:
    told = (
        ("Ready", "integer", ".status.readyReplicas", "Number of ready replicas"),
        ("Desired", "integer", ".spec.replicas", "Number of desired replicas"),
        ("Up-to-date", "integer", ".status.updatedReplicas", "Number of up-to-date replicas"),
        ("Age", "date", ".metadata.creationTimestamp", ""),
    )
    return [
        {"name": name, "type": kind, "jsonPath": path, **({"description": text} if text else {})}
        for name, kind, path, text in told
    ]


def definition() -> JsonObject:
    """Return the definition of the type."""
    schema = {
        "type": "object",
        "description": "LeaderWorkerSet is the Schema for the leaderworkersets API",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {
                "type": "object",
                # Services have its name.
                "properties": {
                    "name": {
                        "type": "string",
                        "maxLength": 63,
                        "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$",
                    }
                },
            },
            "spec": _spec(),
            "status": _status(),
        },
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "additionalPrinterColumns": _columns(),
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.hpaPodSelector",
            },
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": DEFINITION},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "plural": _PLURAL,
                "singular": "leaderworkerset",
                "kind": "LeaderWorkerSet",
                "listKind": "LeaderWorkerSetList",
                "shortNames": ["lws"],
            },
            "versions": [version],
        },
    }
