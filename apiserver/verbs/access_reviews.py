"""What access reviews ask, checked and turned into what the authorizer is asked."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from apiserver.authn import User
from apiserver.authz import Attributes, Authorizer
from apiserver.resources import Target
from kube import field as fld
from kube import status as st
from kube.field import FieldError
from kube.json_types import JsonObject
from kube.selector_parser import SelectorError, make_requirement
from kube.selectors import Operator

SELF: Final = "SelfSubjectAccessReview"
LOCAL: Final = "LocalSubjectAccessReview"
_PATH: Final = "spec.nonResourceAttributes"
_RESOURCE: Final = "spec.resourceAttributes"
_FIELD_OPERATORS: Final = {"In": "=", "NotIn": "!="}
_LABEL_OPERATORS: Final = {
    "In": Operator.IN,
    "NotIn": Operator.NOT_IN,
    "Exists": Operator.EXISTS,
    "DoesNotExist": Operator.NOT_EXISTS,
}


async def review_access(
    authorizer: Authorizer, review: JsonObject, target: Target, asking: User
) -> JsonObject:
    """Return the status of an access review of any kind.

    Raises:
        StatusError: 422, it does not say whose access to what it is about.
    """
    kind, spec = target.resource.kind, review.get("spec") or {}
    faults = _faults(kind, spec, target.namespace)
    if faults:
        raise st.invalid(target.resource.group, kind, "", faults)
    user = asking if kind == SELF else _user_of(spec)
    decision = await authorizer.decide_at_last(user, _attributes(spec))
    status: JsonObject = {"allowed": decision.allowed}
    if decision.denied:
        status["denied"] = True
    if decision.reason:
        status["reason"] = decision.reason
    return status


def _faults(kind: str, spec: JsonObject, namespace: str) -> list[FieldError]:
    wanted, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    faults = []
    if wanted is not None and path is not None:
        text = "cannot be specified in combination with resourceAttributes"
        faults.append(fld.invalid(_PATH, path, text))
    if wanted is None and path is None:
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        faults.append(fld.invalid(_RESOURCE, None, text))
    if kind != SELF and not spec.get("user") and not spec.get("groups"):
        text = "at least one of user or group must be specified"
        faults.append(fld.invalid("spec.user", spec.get("user", ""), text))
    for name in ("fieldSelector", "labelSelector"):
        if wanted is not None and wanted.get(name) is not None:
            faults += _selector_faults(wanted[name], f"{_RESOURCE}.{name}")
    if kind == LOCAL:
        faults += _local_faults(wanted, path, namespace)
    return faults


def _local_faults(
    wanted: JsonObject | None, path: JsonObject | None, namespace: str
) -> list[FieldError]:
    faults = []
    if wanted is not None and wanted.get("namespace", "") != namespace:
        where = f"{_RESOURCE}.namespace"
        faults.append(
            fld.invalid(where, wanted.get("namespace", ""), "must match metadata.namespace")
        )
    if path is not None:
        faults.append(fld.invalid(_PATH, path, "disallowed on this kind of request"))
    return faults


def _selector_faults(selector: JsonObject, where: str) -> list[FieldError]:
    raw, requirements = selector.get("rawSelector"), selector.get("requirements")
    if raw and requirements:
        text = "may not specified at the same time as requirements"
        return [fld.invalid(f"{where}.rawSelector", raw, text)]
    if not raw and not requirements:
        text = f"when {where} is specified, requirements or rawSelector is required"
        return [fld.required(f"{where}.requirements", text)]
    return []


def _user_of(spec: JsonObject) -> User:
    return User(
        spec.get("user", ""),
        tuple(spec.get("groups") or ()),
        spec.get("uid", ""),
        spec.get("extra") or {},
    )


def _attributes(spec: JsonObject) -> Attributes:
    path = spec.get("nonResourceAttributes")
    if path is not None:
        return Attributes(path.get("verb", ""), path=path.get("path", ""))
    wanted = spec["resourceAttributes"]
    return Attributes(
        wanted.get("verb", ""),
        wanted.get("group", ""),
        wanted.get("version", ""),
        # Nothing is called so: only a rule for all resources allows it, as upstream.
        wanted.get("resource", "") or _NO_RESOURCE,
        wanted.get("subresource", ""),
        wanted.get("namespace", ""),
        wanted.get("name", ""),
        selectors=(
            _field_text(wanted.get("fieldSelector")),
            _label_text(wanted.get("labelSelector")),
        ),
    )


_NO_RESOURCE: Final = "\0"


def _field_text(selector: JsonObject | None) -> str:
    """Return a review's selector as a request would write it.

    What can't be written restricts nothing.
    """
    if not selector:
        return ""
    if raw := selector.get("rawSelector"):
        return str(raw)
    terms = []
    for requirement in selector.get("requirements") or ():
        values = list(requirement.get("values") or [])
        sign = _FIELD_OPERATORS.get(requirement.get("operator", ""))
        if sign is not None and len(values) == 1:
            terms.append(f"{requirement.get('key', '')}{sign}{values[0]}")
    return ",".join(terms)


def _label_text(selector: JsonObject | None) -> str:
    """Return the same of labels, which have more operators."""
    if not selector:
        return ""
    if raw := selector.get("rawSelector"):
        return str(raw)
    terms = []
    for requirement in selector.get("requirements") or ():
        operator = _LABEL_OPERATORS.get(requirement.get("operator", ""))
        if operator is not None:
            values = tuple(requirement.get("values") or ())
            with suppress(SelectorError):
                terms.append(str(make_requirement(requirement.get("key", ""), operator, values)))
    return ",".join(terms)
