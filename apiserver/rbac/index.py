"""Roles and bindings in memory, found by whom they are for.

A binding hangs below each of its subjects, by namespace, so that a decision looks only at what is
bound to the user or one of its groups, there. One changed object costs what that object holds,
however many others there are. Which role a binding names is looked up when it is asked: roles come
and go by themselves.

Invariant: an object is filed exactly as its last version was told; `check` proves it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from apiserver.authn import User
from apiserver.rbac.rules import Rule, compile_rules
from kube.field import quote
from kube.json_types import JsonObject

GROUP: Final = "rbac.authorization.k8s.io"
ROLES: Final = f"{GROUP}/roles"
CLUSTER_ROLES: Final = f"{GROUP}/clusterroles"
ROLE_BINDINGS: Final = f"{GROUP}/rolebindings"
CLUSTER_ROLE_BINDINGS: Final = f"{GROUP}/clusterrolebindings"
STORAGES: Final = (ROLES, CLUSTER_ROLES, ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS)
_CLUSTER_WIDE: Final = ""
RoleKey = tuple[str, str]
"""Namespace ("" for a ClusterRole) and name."""
_Place = tuple[str, str, int]
"""Of a subject: the namespace and name of its binding, and its number there."""


class Subject(NamedTuple):
    """Whom a binding is for, as decisions are explained."""

    kind: str
    name: str
    namespace: str

    def __str__(self) -> str:
        shown = self.name if self.kind != "ServiceAccount" else f"{self.name}/{self.namespace}"
        return f"{self.kind} {quote(shown)}"


class Bound(NamedTuple):
    """One subject's part in a binding."""

    namespace: str
    name: str
    role: RoleKey
    subject: Subject

    def __str__(self) -> str:
        kind = "ClusterRole" if not self.role[0] else "Role"
        if self.namespace:
            what = f"RoleBinding {quote(f'{self.name}/{self.namespace}')}"
        else:
            what = f"ClusterRoleBinding {quote(self.name)}"
        return f"{what} of {kind} {quote(self.role[1])} to {self.subject}"


class RbacIndex:
    """All roles and bindings."""

    def __init__(self) -> None:
        self._roles: dict[RoleKey, tuple[Rule, ...]] = {}
        self._bindings: dict[tuple[str, str], tuple[tuple[str, Bound], ...]] = {}
        self._by_subject: dict[str, dict[str, dict[_Place, Bound]]] = {}

    def __len__(self) -> int:
        return len(self._bindings)

    def put(self, storage: str, obj: JsonObject) -> None:
        """Take an object as it is now."""
        metadata = obj["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        if storage in (ROLES, CLUSTER_ROLES):
            self._roles[key] = compile_rules(obj.get("rules"))
        else:
            self.drop(storage, *key)
            self._file(key, obj)

    def drop(self, storage: str, namespace: str, name: str) -> None:
        """Forget an object; one that is not here is no fault."""
        key = (namespace, name)
        if storage in (ROLES, CLUSTER_ROLES):
            self._roles.pop(key, None)
            return
        for number, (subject, _) in enumerate(self._bindings.pop(key, ())):
            spaces = self._by_subject[subject]
            places = spaces[namespace]
            del places[*key, number]
            if not places:
                del spaces[namespace]
                if not spaces:
                    del self._by_subject[subject]

    def clear(self, storage: str) -> None:
        """Forget all objects of a type."""
        if storage in (ROLES, CLUSTER_ROLES):
            kept = storage == CLUSTER_ROLES
            self._roles = {key: rules for key, rules in self._roles.items() if bool(key[0]) is kept}
            return
        of_cluster = storage == CLUSTER_ROLE_BINDINGS
        for namespace, name in [key for key in self._bindings if (key[0] == "") is of_cluster]:
            self.drop(storage, namespace, name)

    def rules_of(self, role: RoleKey) -> tuple[Rule, ...] | None:
        """Return a role's rules, None if there is no such role."""
        return self._roles.get(role)

    def bound_to(self, user: User, namespace: str) -> Iterator[Bound]:
        """Yield what is bound to a user or its groups: everywhere first, then in `namespace`."""
        subjects = [f"u:{user.name}", *[f"g:{group}" for group in user.groups]]
        found = [known for known in map(self._by_subject.get, subjects) if known is not None]
        for space in (_CLUSTER_WIDE, namespace) if namespace else (_CLUSTER_WIDE,):
            for known in found:
                places = known.get(space)
                if places is not None:
                    yield from places.values()

    def check(self) -> None:
        """Prove that what is filed by subject is what the bindings say, and nothing else."""
        filed = {
            (subject, place): bound
            for subject, spaces in self._by_subject.items()
            for places in spaces.values()
            for place, bound in places.items()
        }
        wanted = {
            (subject, (*key, number)): bound
            for key, parts in self._bindings.items()
            for number, (subject, bound) in enumerate(parts)
        }
        assert filed == wanted, (filed, wanted)
        assert all(spaces and all(spaces.values()) for spaces in self._by_subject.values())

    def _file(self, key: tuple[str, str], obj: JsonObject) -> None:
        namespace, name = key
        role = role_key(obj.get("roleRef") or {}, namespace)
        parts: list[tuple[str, Bound]] = []
        for subject in obj.get("subjects") or ():
            filed_below = _subject_key(subject, namespace)
            if filed_below is not None:
                parts.append((filed_below[0], Bound(namespace, name, role, filed_below[1])))
        self._bindings[key] = tuple(parts)
        for number, (subject_key, bound) in enumerate(parts):
            spaces = self._by_subject.setdefault(subject_key, {})
            spaces.setdefault(namespace, {})[namespace, name, number] = bound


def role_key(reference: Mapping[str, str], namespace: str) -> RoleKey:
    """Return which role a roleRef of a binding in `namespace` names."""
    space = namespace if reference.get("kind") == "Role" else ""
    return space, reference.get("name", "")


def _subject_key(subject: Mapping[str, str], namespace: str) -> tuple[str, Subject] | None:
    kind, name = subject.get("kind", ""), subject.get("name", "")
    if kind == "ServiceAccount":
        # In a RoleBinding the account's namespace may be left out: it is the binding's then.
        space = subject.get("namespace") or namespace
        shown = Subject(kind, name, space)
        return (f"u:system:serviceaccount:{space}:{name}", shown) if space else None
    if kind in ("User", "Group"):
        return f"{kind[0].lower()}:{name}", Subject(kind, name, "")
    return None
