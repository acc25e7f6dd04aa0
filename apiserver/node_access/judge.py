"""The node authorizer: what a kubelet may do, by what is on its node.

What a node writes of its own objects is looked at by admission (NodeRestriction): a name or an
object's content is not known here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from apiserver.authn import User
from apiserver.authz import ALLOWED, NO_OPINION, Attributes, Decision
from apiserver.node_access.graph import NodeGraph
from apiserver.node_access.references import Reference
from apiserver.rbac.policy import node_rules
from apiserver.rbac.rules import compile_rules
from kube.field import quote
from kube.selector_parser import SelectorError, parse_field_selector
from storage.errors import StorageError
from storage.store_view import StoreView

NODES_GROUP: Final = "system:nodes"
PREFIX: Final = "system:node:"
LEASES_NAMESPACE: Final = "kube-node-lease"
_READ: Final = ("get", "list", "watch")
_OWN_VERBS: Final = ("get", "create", "update", "patch", "delete")
_WRITES: Final = ("update", "patch")
_SLICE_VERBS: Final = "get, watch, list, create, update, patch, delete, deletecollection"
_UNSELECTED_SLICES: Final = (
    "can only list/watch/deletecollection resourceslices with nodeName field selector"
)
UNRESOLVED: Final = "node authorizer does not support user rule resolution"
_KEPT_MAX: Final = 1000
_Rule = Callable[[str, Attributes], Decision]


class NodeAuthorizer:
    """The judge of requests by nodes."""

    def __init__(self, store: StoreView) -> None:
        self._graph = NodeGraph(store)
        self._rules = compile_rules(node_rules())
        self._kept: dict[tuple[str, ...], bool] = {}
        self._special: dict[tuple[str, str], _Rule] = {
            ("", "secrets"): self._readable,
            ("", "configmaps"): self._readable,
            ("", "persistentvolumeclaims"): self._claim,
            ("", "persistentvolumes"): self._gettable,
            ("", "serviceaccounts"): self._service_account,
            ("", "nodes"): _node,
            ("", "pods"): self._pod,
            ("coordination.k8s.io", "leases"): _lease,
            ("resource.k8s.io", "resourceclaims"): self._gettable,
            ("resource.k8s.io", "resourceslices"): self._slice,
            ("storage.k8s.io", "csinodes"): _csi_node,
            ("storage.k8s.io", "volumeattachments"): self._gettable,
        }

    def decide(self, user: User, asked: Attributes) -> Decision:
        """See Judge."""
        if not is_node(user):
            return NO_OPINION
        node = user.name[len(PREFIX) :]
        if not node:
            return _no(f"unknown node for user {quote(user.name)}")
        special = self._special.get((asked.group, asked.resource))
        if special is not None:
            return special(node, asked)
        key = (asked.verb, asked.group, asked.resource, asked.subresource)
        allowed = self._kept.get(key)
        if allowed is None:
            # None of these rules has names or paths.
            allowed = bool(asked.resource) and any(rule.covers(asked) for rule in self._rules)
            if len(self._kept) < _KEPT_MAX:
                self._kept[key] = allowed
        return ALLOWED if allowed else NO_OPINION

    def _related(self, node: str, asked: Attributes) -> Decision:
        if not asked.name:
            return _no("No Object name found")
        storage = f"{asked.group}/{asked.resource}" if asked.group else asked.resource
        try:
            if self._graph.leads_to(node, Reference(storage, asked.namespace, asked.name)):
                return ALLOWED
        except StorageError:
            pass  # what cannot be looked at is not known to be related
        return _no(f"no relationship found between node '{node}' and this object")

    def _readable(self, node: str, asked: Attributes) -> Decision:
        if asked.verb not in _READ:
            return _no("can only read resources of this type")
        if asked.subresource:
            return _no("cannot read subresource")
        if not asked.namespace:
            return _no("can only read namespaced object of this type")
        return self._related(node, asked)

    def _gettable(self, node: str, asked: Attributes) -> Decision:
        if asked.verb != "get":
            return _no("can only get individual resources of this type")
        if asked.subresource:
            return _no("cannot get subresource")
        return self._related(node, asked)

    def _claim(self, node: str, asked: Attributes) -> Decision:
        if asked.subresource != "status":
            return self._gettable(node, asked)
        if asked.verb not in _WRITES:
            return _no("can only get/update/patch this type")
        return self._related(node, asked)

    def _service_account(self, node: str, asked: Attributes) -> Decision:
        if asked.verb == "get":
            return self._gettable(node, asked)
        if asked.verb != "create" or not asked.name:
            return _no("can only create tokens for individual service accounts")
        if asked.subresource != "token":
            return _no("can only create token subresource of serviceaccount")
        return self._related(node, asked)

    def _pod(self, node: str, asked: Attributes) -> Decision:
        what = (asked.subresource, asked.verb)
        if what == ("", "get"):
            return self._gettable(node, asked)
        if what in (("", "list"), ("", "watch")):
            if _selects_node(asked, node):
                return ALLOWED
            return _no("can only list/watch pods with spec.nodeName field selector")
        allowed = what in (
            ("", "create"),
            ("", "delete"),
            ("status", "update"),
            ("status", "patch"),
            ("eviction", "create"),
        )
        return ALLOWED if allowed else NO_OPINION

    def _slice(self, node: str, asked: Attributes) -> Decision:
        if asked.subresource:
            return _no("cannot authorize ResourceSlice subresources")
        if asked.verb == "create":
            return ALLOWED
        if asked.verb in _OWN_VERBS:
            return self._related(node, asked)
        if asked.verb not in ("list", "watch", "deletecollection"):
            return _no(f"only the following verbs are allowed for a ResourceSlice: {_SLICE_VERBS}")
        if _selects_node(asked, node):
            return ALLOWED
        return _no(_UNSELECTED_SLICES)


def is_node(user: User) -> bool:
    """Tell whether a user is a node, known by name or not."""
    return NODES_GROUP in user.groups and user.name.startswith(PREFIX)


def _node(node: str, asked: Attributes) -> Decision:
    if asked.subresource:
        own = asked.subresource == "status" and asked.verb in _WRITES
        return ALLOWED if own else NO_OPINION
    if asked.verb in ("create", *_WRITES):
        return ALLOWED
    if asked.verb not in _READ:
        return NO_OPINION
    if asked.name == node:
        return ALLOWED
    what = f"'{asked.name}'" if asked.name else "all nodes"
    return _no(f"node '{node}' cannot read {what}, only its own Node object")


def _lease(node: str, asked: Attributes) -> Decision:
    if asked.verb not in _OWN_VERBS:
        return _no("can only get, create, update, patch, or delete a node lease")
    if asked.namespace != LEASES_NAMESPACE:
        return _no(f"can only access leases in the {quote(LEASES_NAMESPACE)} system namespace")
    if asked.verb != "create" and asked.name != node:
        return _no("can only access node lease with the same name as the requesting node")
    return ALLOWED


def _csi_node(node: str, asked: Attributes) -> Decision:
    if asked.verb not in _OWN_VERBS:
        return _no("can only get, create, update, patch, or delete a CSINode")
    if asked.subresource:
        return _no("cannot authorize CSINode subresources")
    if asked.verb != "create" and asked.name != node:
        return _no("can only access CSINode with the same name as the requesting node")
    return ALLOWED


def _selects_node(asked: Attributes, node: str) -> bool:
    try:
        selector = parse_field_selector(asked.selectors[0])
    except SelectorError:
        return False
    return selector.exact_value("spec.nodeName") == node


def _no(reason: str) -> Decision:
    return Decision(allowed=False, reason=reason)
