"""Decides by roles and bindings, as the replica has them at that very moment.

What was decided for a user is kept until a role or binding changes, and then all is forgotten: to
decide anew costs a look at what is bound to that user. What is kept does not hold object names, as
hardly any rule does, so a client that asks for many objects asks the same all the time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final, NamedTuple

from apiserver.authn import User
from apiserver.authz import ALLOWED, NO_OPINION, Attributes, Decision
from apiserver.following import Following
from apiserver.rbac.index import GROUP, STORAGES, Bound, RbacIndex, RoleKey
from apiserver.rbac.rules import Rule
from kube.field import quote
from storage.errors import StorageError
from storage.store_view import StoreView
from storage.watcher import Scope

_log: Final = logging.getLogger(__name__)
PUBLIC_PATHS: Final = frozenset({"/healthz", "/livez", "/readyz", "/version", "/version/"})
"""What everybody may ask while nothing is known yet, as system:public-info-viewer says later."""
_KEPT_MAX: Final = 50_000
_KEPT_LENGTH_MAX: Final = 512


class _Grant(NamedTuple):
    """What a user may do with objects of a type in a namespace: all, or those of some names."""

    all_names: Decision | None
    by_name: dict[str, Decision]
    refusal: Decision


class RbacAuthorizer:
    """The judge, and what it knows of who is bound to what."""

    def __init__(self, store: StoreView) -> None:
        self.index = RbacIndex()
        self._following = Following(store, [Scope(storage) for storage in STORAGES], self.index)
        self._settle = self._following.settle
        self._kept: dict[tuple[str, tuple[str, ...]], dict[tuple[str, ...], _Grant]] = {}
        self._kept_count = 0
        self._is_known = False

    def decide(self, user: User, asked: Attributes) -> Decision:
        """See Judge."""
        if not self.refresh():
            is_public = asked.verb == "get" and not asked.resource and asked.path in PUBLIC_PATHS
            return ALLOWED if is_public else NO_OPINION
        key: tuple[str, ...] = (
            asked[:2] + asked[3:6] if asked.resource else (asked.verb, asked.path)
        )
        kept = self._kept.get((user.name, user.groups))
        grant = None if kept is None else kept.get(key)
        if grant is None:
            grant = self._work_out(user, asked)
            self._keep(user, key, grant)
        if grant.all_names is not None:
            return grant.all_names
        if grant.by_name:
            return grant.by_name.get(asked.name, grant.refusal)
        return grant.refusal

    def refresh(self) -> bool:
        """Take in what has changed; False: nothing is known yet."""
        try:
            if self._settle():
                self._kept.clear()
                self._kept_count = 0
                self._is_known = True
        except StorageError as error:
            # What was known goes on to count, as reads of what is here do.
            _log.debug("roles and bindings cannot be read: %s", error)
        return self._is_known

    def rules_for(self, user: User, namespace: str) -> tuple[list[Rule], list[RoleKey]]:
        """Return all rules that hold for a user there, and the bound roles that are not there."""
        self.refresh()
        rules: list[Rule] = []
        missing: dict[RoleKey, None] = {}
        for bound in self.index.bound_to(user, namespace):
            found = self.index.rules_of(bound.role)
            if found is None:
                missing[bound.role] = None
            else:
                rules.extend(found)
        return rules, list(missing)

    def role(self, role: RoleKey) -> tuple[Rule, ...] | None:
        """Return a role's rules, None if there is no such role."""
        self.refresh()
        return self.index.rules_of(role)

    def _work_out(self, user: User, asked: Attributes) -> _Grant:
        by_name: dict[str, Decision] = {}
        missing: dict[RoleKey, None] = {}
        for bound, rule in self._rules(user, asked.namespace, missing):
            if not rule.covers(asked):
                continue
            decision = Decision(allowed=True, reason=f"RBAC: allowed by {bound}")
            if not rule.names or not asked.resource:
                return _Grant(decision, {}, NO_OPINION)
            for name in rule.names:
                by_name.setdefault(name, decision)
        return _Grant(None, by_name, _refusal([role_not_found(role) for role in missing]))

    def _rules(
        self, user: User, namespace: str, missing: dict[RoleKey, None]
    ) -> Iterator[tuple[Bound, Rule]]:
        index = self.index
        for bound in index.bound_to(user, namespace):
            rules = index.rules_of(bound.role)
            if rules is None:
                missing[bound.role] = None
                continue
            for rule in rules:
                yield bound, rule

    def _keep(self, user: User, key: tuple[str, ...], grant: _Grant) -> None:
        if sum(map(len, key)) > _KEPT_LENGTH_MAX:
            return  # whoever makes up long paths does so for each request
        if self._kept_count >= _KEPT_MAX:
            self._kept.clear()
            self._kept_count = 0
        self._kept_count += 1
        self._kept.setdefault((user.name, user.groups), {})[key] = grant


def role_not_found(role: RoleKey) -> str:
    """Say that a role which a binding names is not there."""
    kind = "role" if role[0] else "clusterrole"
    return f"{kind}.{GROUP} {quote(role[1])} not found"


def _refusal(faults: list[str]) -> Decision:
    if not faults:
        return NO_OPINION
    text = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"
    return Decision(allowed=False, reason=f"RBAC: {text}")
