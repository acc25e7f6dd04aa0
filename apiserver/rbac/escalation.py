"""Nobody grants what they do not hold: upstream's checks of writes of roles and bindings.

Who has the verb `escalate` on a role may write any rules into it, and who has `bind` on a role may
bind it. All others need to hold every rule that the write would give away, in that namespace.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from apiserver.authn import MASTERS, User
from apiserver.authz import Attributes, Authorizer
from apiserver.guard import Guard, Writer
from apiserver.rbac.authorizer import RbacAuthorizer
from apiserver.rbac.coverage import describe, missing_parts, quoted
from apiserver.rbac.index import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    GROUP,
    ROLE_BINDINGS,
    ROLES,
    RoleKey,
    role_key,
)
from kube import status as st
from kube.field import quote
from kube.json_types import JsonObject

_EVERYTHING: Final[tuple[JsonObject, ...]] = (
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
)
_COLLECTOR_FIELDS: Final = frozenset(
    {"finalizers", "managedFields", "ownerReferences", "resourceVersion"}
)
"""What is written while an object goes away, which grants nothing."""


class _Holdings:
    """What users hold, and how they are told what they do not."""

    def __init__(self, rbac: RbacAuthorizer, authorizer: Authorizer) -> None:
        self.rbac = rbac
        self.authorizer = authorizer

    def fault(self, user: User, namespace: str, rules: Iterable[JsonObject]) -> str:
        """Return why a user may not grant rules, "" if they may."""
        held, unknown = self.rbac.rules_for(user, namespace)
        missing = missing_parts(held, rules)
        if not missing:
            return ""
        lines = "\n".join(describe(missing))
        groups = quoted(user.groups)
        text = (
            f"user {quote(user.name)} (groups={groups}) is attempting to grant RBAC permissions "
            f"not currently held:\n{lines}"
        )
        if unknown:
            text += f"; resolution errors: [{' '.join(_absent(role).message for role in unknown)}]"
        return text


class RoleGuard:
    """Checks writes of roles, of a namespace or the cluster."""

    def __init__(self, holdings: _Holdings, plural: str) -> None:
        self._holdings = holdings
        self._plural = plural

    def check(self, writer: Writer, new: JsonObject, old: JsonObject | None, _part: str) -> None:
        """See Guard."""
        user = writer.user
        if MASTERS in user.groups:
            return
        rules, aggregates = new.get("rules") or [], _aggregates(new)
        if old is not None:
            if _only_collected(new, old) or (
                rules == (old.get("rules") or []) and aggregates == _aggregates(old)
            ):
                return
            aggregates = aggregates or _aggregates(old)
        metadata = (old or new)["metadata"]
        namespace = metadata.get("namespace", "")
        name = metadata.get("name", "")
        asked = name if old is not None else ""
        escalate = Attributes("escalate", GROUP, "*", self._plural, "", namespace, asked)
        if writer.may(self._holdings.authorizer, escalate):
            return
        if why := self._holdings.fault(user, namespace, rules):
            raise st.forbidden(GROUP, self._plural, name, why)
        if aggregates and self._holdings.fault(user, namespace, _EVERYTHING):
            why = "must have cluster-admin privileges to use an aggregationRule"
            raise st.forbidden(GROUP, self._plural, name, why)


class BindingGuard:
    """Checks writes of bindings, of a namespace or the cluster."""

    def __init__(self, holdings: _Holdings, plural: str) -> None:
        self._holdings = holdings
        self._plural = plural

    def check(self, writer: Writer, new: JsonObject, old: JsonObject | None, _part: str) -> None:
        """See Guard.

        Raises:
            StatusError: 403; 404, the role is not there.
        """
        user = writer.user
        if MASTERS in user.groups or (old is not None and _only_collected(new, old)):
            return
        metadata = (old or new)["metadata"]
        namespace = metadata.get("namespace", "")
        reference = new.get("roleRef") or {}
        kind = reference.get("kind")
        if kind not in ("Role", "ClusterRole"):
            return  # it names no role at all: validation says so
        plural = f"{kind.lower()}s"
        group = reference.get("apiGroup", "")
        bind = Attributes("bind", group, "*", plural, "", namespace, reference.get("name", ""))
        if writer.may(self._holdings.authorizer, bind):
            return
        role = role_key(reference, namespace)
        rules = self._holdings.rbac.role(role)
        if rules is None:
            raise _absent(role)
        if why := self._holdings.fault(user, namespace, [rule.source for rule in rules]):
            raise st.forbidden(GROUP, self._plural, metadata.get("name", ""), why)


def make_guards(rbac: RbacAuthorizer, authorizer: Authorizer) -> dict[str, Guard]:
    """Return the guards by storage resource."""
    holdings = _Holdings(rbac, authorizer)
    guards: dict[str, Guard] = {
        storage: RoleGuard(holdings, storage.partition("/")[2])
        for storage in (ROLES, CLUSTER_ROLES)
    }
    for storage in (ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS):
        guards[storage] = BindingGuard(holdings, storage.partition("/")[2])
    return guards


def _absent(role: RoleKey) -> st.StatusError:
    return st.not_found(GROUP, "roles" if role[0] else "clusterroles", role[1])


def _aggregates(role: JsonObject) -> Sequence[JsonObject]:
    found: Sequence[JsonObject] = (role.get("aggregationRule") or {}).get(
        "clusterRoleSelectors"
    ) or ()
    return found


def _only_collected(new: JsonObject, old: JsonObject) -> bool:
    """Tell whether a write changes nothing but what the garbage collector writes."""
    rest_new, rest_old = (
        {
            **obj,
            "metadata": {
                key: value for key, value in obj["metadata"].items() if key not in _COLLECTOR_FIELDS
            },
        }
        for obj in (new, old)
    )
    return rest_new == rest_old
