"""What a user may do. The seam for RBAC: until roles are evaluated, only system:masters may act.

Everybody, also who is not authenticated, may ask for health and the version, as upstream's
system:public-info-viewer allows, and everybody authenticated for discovery (system:discovery).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from apiserver.authn import MASTERS, User
from kube import status as st
from kube.field import quote

_ABOUT_ONESELF: Final = frozenset(
    {"selfsubjectaccessreviews", "selfsubjectreviews", "selfsubjectrulesreviews"}
)
"""Upstream's system:basic-user: everybody authenticated may ask what they are and may do."""
PUBLIC_PATHS: Final = frozenset({"/healthz", "/livez", "/readyz", "/version", "/version/"})
_DISCOVERY_PATHS: Final = frozenset({"/api", "/apis", "/openapi"})
_DISCOVERY_ROOTS: Final = ("/api/", "/apis/", "/openapi/")


class Attributes(NamedTuple):
    """What is to be done: on a resource, or on a path where `resource` is empty."""

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


class Authorizer:
    """Decides; a decision has to cost next to nothing, as it is made for each request."""

    def allows(self, user: User, attributes: Attributes) -> bool:
        """Tell whether `user` may do this."""
        if MASTERS in user.groups:
            return True
        if attributes.resource in _ABOUT_ONESELF and not user.is_anonymous:
            return attributes.verb == "create"
        path = attributes.path
        if attributes.resource or attributes.verb != "get":
            return False
        if path in PUBLIC_PATHS:
            return True
        return not user.is_anonymous and (
            path in _DISCOVERY_PATHS or path.startswith(_DISCOVERY_ROOTS)
        )


def refuse(user: User, attributes: Attributes) -> st.StatusError:
    """Return upstream's 403 for a request not allowed."""
    if not attributes.resource:
        why = f"User {quote(user.name)} cannot {attributes.verb} path {quote(attributes.path)}"
        return st.forbidden("", "", "", why)
    shown = attributes.resource
    if attributes.subresource:
        shown = f"{shown}/{attributes.subresource}"
    where = (
        f" in the namespace {quote(attributes.namespace)}"
        if attributes.namespace
        else " at the cluster scope"
    )
    why = (
        f"User {quote(user.name)} cannot {attributes.verb} resource {quote(shown)} in API group "
        f"{quote(attributes.group)}{where}"
    )
    return st.forbidden(attributes.group, attributes.resource, attributes.name, why)
