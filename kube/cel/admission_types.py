"""The types of what admission gives expressions beside the object: request, namespace, patches."""

from __future__ import annotations

from typing import Final

from kube.cel.types import BOOL, DYN, INT, STRING, TIMESTAMP, CelType, TypeField, list_of, map_of

_TEXTS: Final = list_of(STRING)


def _object(type_name: str, /, **fields: CelType) -> CelType:
    return CelType(
        "object", type_name, fields={key: TypeField(key, type_) for key, type_ in fields.items()}
    )


def _named(type_name: str, last: str) -> CelType:
    return _object(type_name, group=STRING, version=STRING, **{last: STRING})


_KIND: Final = _named("kubernetes.GroupVersionKind", "kind")
_RESOURCE: Final = _named("kubernetes.GroupVersionResource", "resource")
USER_INFO: Final = _object(
    "kubernetes.UserInfo",
    username=STRING,
    uid=STRING,
    groups=_TEXTS,
    extra=map_of(STRING, _TEXTS),
)
REQUEST: Final = _object(
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
NAMESPACE: Final = _object(
    "kubernetes.Namespace",
    metadata=_object(
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
    spec=_object("kubernetes.NamespaceSpec", finalizers=_TEXTS),
    status=_object(
        "kubernetes.NamespaceStatus",
        conditions=list_of(
            _object(
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
JSON_PATCH: Final = _object("JSONPatch", op=STRING, path=STRING, **{"from": STRING}, value=DYN)
