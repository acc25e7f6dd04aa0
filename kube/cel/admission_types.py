"""The types of what admission gives expressions beside the object: request, namespace, patches."""

from __future__ import annotations

from typing import Final

from kube.cel.types import BOOL, DYN, INT, STRING, TIMESTAMP, CelType, TypeField, list_of, map_of

_TEXTS: Final = list_of(STRING)


def object_type(type_name: str, /, **fields: CelType) -> CelType:
    """Return the type of objects with these fields."""
    return CelType(
        "object", type_name, fields={key: TypeField(key, type_) for key, type_ in fields.items()}
    )


def _named(type_name: str, last: str) -> CelType:
    return object_type(type_name, group=STRING, version=STRING, **{last: STRING})


_KIND: Final = _named("kubernetes.GroupVersionKind", "kind")
_RESOURCE: Final = _named("kubernetes.GroupVersionResource", "resource")
USER_INFO: Final = object_type(
    "kubernetes.UserInfo",
    username=STRING,
    uid=STRING,
    groups=_TEXTS,
    extra=map_of(STRING, _TEXTS),
)
REQUEST: Final = object_type(
    "kubernetes.AdmissionRequest",
    kind=_KIND,
    resource=_RESOURCE,
    subResource=STRING,
    requestKind=_KIND,
    requestResource=_RESOURCE,
    requestSubResource=STRING,
    name=STRING,
    namespace=STRING,
    operation=STRING,
    userInfo=USER_INFO,
    dryRun=BOOL,
    options=DYN,
)
NAMESPACE: Final = object_type(
    "kubernetes.Namespace",
    metadata=object_type(
        "kubernetes.NamespaceMetadata",
        name=STRING,
        generateName=STRING,
        namespace=STRING,
        labels=map_of(STRING, STRING),
        annotations=map_of(STRING, STRING),
        UID=STRING,
        creationTimestamp=TIMESTAMP,
        deletionGracePeriodSeconds=INT,
        deletionTimestamp=TIMESTAMP,
        generation=INT,
        resourceVersion=STRING,
        finalizers=_TEXTS,
    ),
    spec=object_type("kubernetes.NamespaceSpec", finalizers=_TEXTS),
    status=object_type(
        "kubernetes.NamespaceStatus",
        conditions=list_of(
            object_type(
                "kubernetes.NamespaceCondition",
                status=STRING,
                type=STRING,
                lastTransitionTime=TIMESTAMP,
                message=STRING,
                reason=STRING,
            )
        ),
        phase=STRING,
    ),
)
OBJECT: Final = CelType("object", "Object", open_ended=True)
"""What `Object{...}` and `Object.spec{...}` make: an object with any fields."""
JSON_PATCH: Final = object_type("JSONPatch", op=STRING, path=STRING, **{"from": STRING}, value=DYN)
