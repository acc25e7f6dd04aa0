"""Reviews: questions about identity and permission, answered and not stored."""

from __future__ import annotations

from typing import Final

from apiserver.authn import Authenticator, User
from apiserver.authz import Authorizer
from apiserver.documents import read_request
from apiserver.exchange import Exchange
from apiserver.node_access.judge import UNRESOLVED, is_node
from apiserver.options import write_options
from apiserver.rbac.authorizer import RbacAuthorizer, role_not_found
from apiserver.resources import Target
from apiserver.server import Server
from apiserver.verbs.access_reviews import review_access
from apiserver.verbs.admitting import admit
from apiserver.verbs.answer import respond_negotiated
from apiserver.verbs.negotiation import media_without_tables
from kube import status as st
from kube import times
from kube.json_types import JsonObject

_UNRESOLVED_AFAR: Final = "webhook authorizer does not support user rule resolution"


class Reviews:
    """The create verb of each kind of review."""

    def __init__(
        self, authenticator: Authenticator, authorizer: Authorizer, rbac: RbacAuthorizer
    ) -> None:
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._rbac = rbac

    async def create(self, server: Server, exchange: Exchange, target: Target) -> None:
        """Answer a review of any kind."""
        resource = target.resource
        media = media_without_tables(exchange)
        options = write_options(exchange, "CreateOptions")
        review = await read_request(exchange, resource, options.field_validation)
        review["kind"], review["apiVersion"] = resource.kind, resource.api_version
        metadata = review["metadata"]
        if resource.namespaced:
            metadata["namespace"] = target.namespace
        review = await admit(server, exchange, target, review, options)
        match resource.kind:
            case "SelfSubjectReview":
                metadata["creationTimestamp"] = times.format_seconds(int(server.clock.now_s()))
                review["status"] = {"userInfo": _user_info(exchange.user)}
            case "TokenReview":
                review["status"] = await self._review_token(review)
            case "SelfSubjectRulesReview":
                review["status"] = self._rules(review, exchange.user)
            case _:
                review["status"] = await review_access(
                    self._authorizer, review, target, exchange.user
                )
        await respond_negotiated(exchange, media, review, 201)

    async def _review_token(self, review: JsonObject) -> JsonObject:
        spec = review.get("spec") or {}
        token = spec.get("token")
        if not token:
            raise st.bad_request("token is required for TokenReview in authentication")
        found = await self._authenticator.check_token(token, spec.get("audiences") or ())
        if isinstance(found, str):
            return {"user": {}, **({"error": found} if found else {})}
        return {
            "authenticated": True,
            "user": _user_info(found.user),
            "audiences": list(found.audiences),
        }

    def _rules(self, review: JsonObject, user: User) -> JsonObject:
        namespace = (review.get("spec") or {}).get("namespace")
        if not namespace:
            raise st.bad_request("no namespace on request")
        rules, missing = self._rbac.rules_for(user, namespace)
        status: JsonObject = {
            "resourceRules": [_shown(rule.source) for rule in rules if rule.resources],
            "nonResourceRules": [
                {
                    "verbs": rule.source["verbs"],
                    "nonResourceURLs": rule.source["nonResourceURLs"],
                }
                for rule in rules
                if rule.urls
            ],
            "incomplete": is_node(user) or self._authorizer.is_remote,
        }
        faults = [UNRESOLVED] if is_node(user) else []
        faults += [role_not_found(role) for role in missing]
        if self._authorizer.is_remote:
            faults.append(_UNRESOLVED_AFAR)
        if faults:
            status["evaluationError"] = ", ".join(faults)
        return status


def _shown(rule: JsonObject) -> JsonObject:
    keys = ("verbs", "apiGroups", "resources", "resourceNames")
    return {key: rule[key] for key in keys if rule.get(key)}


def _user_info(user: User) -> JsonObject:
    info: JsonObject = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    if user.extra:
        info["extra"] = user.extra
    return info
