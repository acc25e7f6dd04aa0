"""Objects as the garbage collector knows them: a few words each, as there may be millions.

A *virtual* node stands for an owner that some object names and no watch has shown yet; where it is,
is only what that object says, and may be wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kube.json_types import JsonObject

Kind = tuple[str, str]
"""apiVersion and kind; one tuple for all nodes of a type."""


class Reference(NamedTuple):
    """One of an object's ownerReferences."""

    api_version: str
    kind: str
    name: str
    uid: str
    blocks: bool


class Identity(NamedTuple):
    """What an object is called, and which of all that were ever called so it is."""

    kind: str
    api_version: str
    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return (
            f"[{self.api_version}/{self.kind}, namespace: {self.namespace}, name: {self.name}, "
            f"uid: {self.uid}]"
        )

    def is_meant_by(self, reference: Reference) -> bool:
        """Tell whether a reference names just this, its namespace aside."""
        return (
            reference.uid == self.uid
            and reference.name == self.name
            and reference.kind == self.kind
            and reference.api_version == self.api_version
        )


class Node:
    """One object.

    Attributes:
        uid, namespace, name: of the object.
        kind: of the object.
        owners: who it says owns it.
        dependents: who says it owns them, and whether it has to wait for them; None for nobody.
        blockers: how many of them it has to wait for.
        virtual: see the module's head.
        being_deleted: it has a deletionTimestamp.
        deleting_dependents: and waits for its dependents to go.
        orphaning: and waits for its dependents to be released.
        seen: in which pass over its type it was told last.
        shared: what many nodes have as `owners` that name this node alone, equal and so kept once.
    """

    __slots__ = (
        "being_deleted",
        "blockers",
        "deleting_dependents",
        "dependents",
        "kind",
        "name",
        "namespace",
        "orphaning",
        "owners",
        "seen",
        "shared",
        "uid",
        "virtual",
    )

    def __init__(
        self, uid: str, kind: Kind, namespace: str, name: str, *, virtual: bool = False
    ) -> None:
        self.uid = uid
        self.kind = kind
        self.namespace = namespace
        self.name = name
        self.owners: tuple[Reference, ...] = ()
        self.dependents: dict[Node, bool] | None = None
        self.blockers = 0
        self.virtual = virtual
        self.being_deleted = False
        self.deleting_dependents = False
        self.orphaning = False
        self.seen = 0
        self.shared: tuple[Reference, ...] = ()

    def __str__(self) -> str:
        return str(self.identity)

    @property
    def identity(self) -> Identity:
        """What the object is called, as far as is known."""
        api_version, kind = self.kind
        return Identity(kind, api_version, self.namespace, self.name, self.uid)

    def be(self, identity: Identity) -> None:
        """Be called otherwise from now on."""
        self.kind = (identity.api_version, identity.kind)
        self.namespace, self.name = identity.namespace, identity.name

    def add_dependent(self, node: Node, *, blocks: bool) -> None:
        """Take down that `node` names this as an owner, and whether this has to wait for it."""
        if self.dependents is None:
            self.dependents = {}
        self.blockers += blocks - self.dependents.get(node, False)
        self.dependents[node] = blocks

    def drop_dependent(self, node: Node) -> None:
        """Take down that `node` does so no more."""
        if self.dependents is not None:
            self.blockers -= self.dependents.pop(node, False)
            if not self.dependents:
                self.dependents = None

    def blocking(self) -> list[Node]:
        """Return the dependents that have to go before this may."""
        return [node for node, blocks in (self.dependents or {}).items() if blocks]


def read_references(metadata: JsonObject) -> tuple[Reference, ...]:
    """Return an object's owner references."""
    return tuple(
        Reference(
            one.get("apiVersion", ""),
            one.get("kind", ""),
            one.get("name", ""),
            one.get("uid", ""),
            bool(one.get("blockOwnerDeletion")),
        )
        for one in metadata.get("ownerReferences") or ()
    )


def blocking_by_uid(references: Iterable[Reference]) -> dict[str, bool]:
    """Return who is named, and whether they have to wait; several may name one."""
    found: dict[str, bool] = {}
    for one in references:
        found[one.uid] = one.blocks or found.get(one.uid, False)
    return found


def partition(dependents: Iterable[Node], owner: Identity) -> tuple[list[Node], list[Node]]:
    """Return who names an owner by just that identity, and who by its uid but otherwise.

    One with several references may be among both.
    """
    matching: list[Node] = []
    others: list[Node] = []
    for node in dependents:
        if owner.namespace and owner.namespace != node.namespace:
            others.append(node)
            continue
        meant = [owner.is_meant_by(one) for one in node.owners if one.uid == owner.uid]
        if any(meant):
            matching.append(node)
        if not all(meant):
            others.append(node)
    return matching, others


def alternative(dependents: Iterable[Node], absent: Identity) -> Identity | None:
    """Return another identity by which dependents name an owner that is not there.

    The next after `absent` in order, so that all have their turn; None if there is no other.
    """
    found: set[Identity] = set()
    for node in dependents:
        for one in node.owners:
            if one.uid != absent.uid:
                continue
            namespace = node.namespace
            if not absent.namespace and (one.kind, one.api_version) == absent[:2]:
                # Of a type that has no namespaces, as is known by now.
                namespace = ""
            found.add(Identity(one.kind, one.api_version, namespace, one.name, one.uid))
    found.discard(absent)
    following = [one for one in found if one > absent]
    return min(following or found, default=None)
