"""Reviews: questions about identity and permission, answered and not stored."""

from __future__ import annotations

from typing import Final

from apiserver.authn import Authenticator, User
from apiserver.authz import Attributes, Authorizer
from apiserver.documents import read_request
from apiserver.exchange import Exchange
from apiserver.options import write_options
from apiserver.resources import Target
from apiserver.server import Server
from apiserver.verbs.answer import respond_document
from kube import field as fld
from kube import status as st
from kube import times
from kube.json_types import JsonObject

ALL: Final = ["*"]


class Reviews:
    """The create verb of each kind of review."""

    def __init__(self, authenticator: Authenticator, authorizer: Authorizer) -> None:
        self._authenticator = authenticator
        self._authorizer = authorizer

    async def create(self, server: Server, exchange: Exchange, target: Target) -> None:
        """Answer a review of any kind."""
        resource = target.resource
        options = write_options(exchange, "CreateOptions")
        review = await read_request(exchange, resource, options.field_validation)
        review["kind"], review["apiVersion"] = resource.kind, resource.api_version
        metadata = review["metadata"]
        if resource.namespaced:
            metadata["namespace"] = target.namespace
        match resource.kind:
            case "SelfSubjectReview":
                metadata["creationTimestamp"] = times.format_seconds(int(server.clock.now_s()))
                review["status"] = {"userInfo": _user_info(exchange.user)}
            case "TokenReview":
                review["status"] = self._review_token(review)
            case "SelfSubjectRulesReview":
                review["status"] = self._rules(exchange.user)
            case _:
                review["status"] = self._review_access(review, resource.kind, exchange.user, target)
        await respond_document(exchange, review, 201)

    def _review_token(self, review: JsonObject) -> JsonObject:
        token = review.get("spec", {}).get("token")
        if not token:
            raise st.bad_request("token is required for TokenReview in authentication")
        user = self._authenticator.check_token(token)
        if user is None:
            return {"user": {}, "error": "[invalid bearer token, unknown token]"}
        return {"authenticated": True, "user": _user_info(user)}

    def _rules(self, user: User) -> JsonObject:
        """Until roles are evaluated a user may do everything or nothing."""
        if not self._authorizer.allows(user, Attributes("*", resource="*")):
            return {"resourceRules": [], "nonResourceRules": [], "incomplete": False}
        return {
            "resourceRules": [{"verbs": ALL, "apiGroups": ALL, "resources": ALL}],
            "nonResourceRules": [{"verbs": ALL, "nonResourceURLs": ALL}],
            "incomplete": False,
        }

    def _review_access(
        self, review: JsonObject, kind: str, user: User, target: Target
    ) -> JsonObject:
        spec = review.get("spec", {})
        wanted, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
        faults = []
        if (wanted is None) == (path is None):
            shown = "resourceAttributes"
            text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            faults.append(fld.invalid(f"spec.{shown}", None, text))
        if kind != "SelfSubjectAccessReview":
            if not spec.get("user") and not spec.get("groups"):
                faults.append(
                    fld.invalid(
                        "spec.user",
                        spec.get("user", ""),
                        "at least one of user or group must be specified",
                    )
                )
            groups = tuple(spec.get("groups") or ())
            user = User(spec.get("user", ""), groups, spec.get("uid", ""))
        if faults:
            raise st.invalid(target.resource.group, kind, "", faults)
        allowed = self._authorizer.allows(user, _attributes(wanted, path))
        return {"allowed": allowed} if allowed else {"allowed": False, "reason": ""}


def _attributes(wanted: JsonObject | None, path: JsonObject | None) -> Attributes:
    if path is not None:
        return Attributes(path.get("verb", ""), path=path.get("path", ""))
    assert wanted is not None
    return Attributes(
        wanted.get("verb", ""),
        wanted.get("group", ""),
        wanted.get("version", ""),
        wanted.get("resource", "") or "*",
        wanted.get("subresource", ""),
        wanted.get("namespace", ""),
        wanted.get("name", ""),
    )


def _user_info(user: User) -> JsonObject:
    info: JsonObject = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    if user.extra:
        info["extra"] = user.extra
    return info
