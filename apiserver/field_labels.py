"""Which field labels a selector may name, by type and version, and which fields they stand for.

Types with fields of their own have their own list of labels upstream, which may leave out
`metadata.namespace`; all others take name and namespace.
"""

from __future__ import annotations

from typing import Final

from apiserver.resources import Resource
from kube import status as st
from kube.selectors import FieldSelector, FieldTerm

NAME: Final = "metadata.name"
NAMESPACE: Final = "metadata.namespace"
_WITHOUT_NAMESPACE: Final = frozenset(
    {
        "certificates.k8s.io/certificatesigningrequests",
        "certificates.k8s.io/clustertrustbundles",
        "certificates.k8s.io/podcertificaterequests",
        "namespaces",
        "nodes",
        "resource.k8s.io/resourceslices",
    }
)
_EVENTS: Final = "events.k8s.io/v1"
_OTHER_NAMES: Final = {
    # For the oldest clients.
    ("v1", "pods"): {"spec.host": "spec.nodeName"},
    (_EVENTS, "events"): {
        "reportingController": "reportingComponent",
        **{
            f"regarding.{name}": f"involvedObject.{name}"
            for name in (
                "kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"
            )
        },
    },
}  # fmt: skip
_NEVER_SET: Final = {("v1", "pods"): frozenset({"status.podIPs"})}
"""Labels that are known but which no object has, as upstream."""


def resolve(resource: Resource, selector: FieldSelector) -> FieldSelector:
    """Return `selector` in the names of the type's fields.

    Raises:
        StatusError: 400, a label is unknown to the type.
    """
    return FieldSelector(
        tuple(
            FieldTerm(_field_of(resource, term.field), term.value, term.negated)
            for term in selector.terms
        )
    )


def _field_of(resource: Resource, label: str) -> str:
    key = (resource.api_version, resource.plural)
    other_names = _OTHER_NAMES.get(key, {})
    if label in other_names:
        return other_names[label]
    if label == NAME or (label == NAMESPACE and _has_namespace(resource)):
        return label
    is_renamed = resource.api_version == _EVENTS and label in other_names.values()
    if (label in resource.hooks.fields and not is_renamed) or label in _NEVER_SET.get(key, ()):
        return label
    raise st.bad_request(_unknown(resource, label))


def _has_namespace(resource: Resource) -> bool:
    if resource.info.custom:
        return resource.namespaced
    return resource.storage not in _WITHOUT_NAMESPACE


def _unknown(resource: Resource, label: str) -> str:
    if resource.storage == "batch/jobs":
        return f'field label "{label}" not supported for batchv1.Job'
    if resource.storage == "resource.k8s.io/resourceslices":
        kind = f"{resource.api_version}, Kind={resource.kind}"
        return f"field label not supported for {kind}: {label}"
    if resource.hooks.fields or resource.info.custom:
        return f"field label not supported: {label}"
    return f'"{label}" is not a known field selector: only "{NAME}", "{NAMESPACE}"'
