"""Who owns whom, and what has to be looked at when that changes.

What a change may make garbage is put on one of two queues: what may have to be deleted, and owners
whose dependents are to be released. The graph decides nothing more: whoever works on the queues
asks the server first. No change costs more than there are dependents of the object that changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from controllers.garbage.absent import AbsentOwners
from controllers.garbage.nodes import (
    Identity,
    Kind,
    Node,
    Reference,
    alternative,
    blocking_by_uid,
    partition,
    read_references,
)
from controllers.workqueue import WorkQueue
from kube.json_types import JsonObject

ORPHAN: Final = "orphan"
FOREGROUND: Final = "foregroundDeletion"

Report = Callable[[Node, Identity], None]
"""Told of an object whose owner is in another namespace, and of that owner as the object has it."""


class Graph:
    """See the module's head.

    Attributes:
        nodes: all objects, by uid.
        to_delete: what is to be looked at, as it may be garbage.
        to_orphan: owners that wait for their dependents to be released.
        absent: owners that are known not to be there.
    """

    def __init__(
        self,
        to_delete: WorkQueue[Node],
        to_orphan: WorkQueue[Node],
        absent: AbsentOwners,
        report: Report,
    ) -> None:
        self.nodes: dict[str, Node] = {}
        self.to_delete = to_delete
        self.to_orphan = to_orphan
        self.absent = absent
        self._report = report

    def put(self, kind: Kind, metadata: JsonObject, seen: int) -> None:
        """Take note of an object as it is now."""
        uid = metadata["uid"]
        node = self.nodes.get(uid)
        owners = read_references(metadata)
        if node is None:
            node = Node(uid, kind, metadata.get("namespace", ""), metadata["name"])
            self.nodes[uid] = node
            node.owners = self._shared(owners)
            self._adopt(node, owners)
        else:
            if node.virtual:
                self._observe(node, kind, metadata)
            node.kind = kind
            if node.owners != owners:
                self._change_owners(node, owners)
        node.seen = seen
        self._pass_through(node, metadata)

    def remove(self, uid: str) -> None:
        """Take note that an object is gone."""
        node = self.nodes.get(uid)
        if node is not None:
            self._let_go(node)

    def doubt(self, uid: str) -> None:
        """Take note that nobody watches an object any more; whether it is there is not known."""
        node = self.nodes.get(uid)
        if node is None:
            return
        if node.dependents:
            node.virtual = True
            self.to_delete.add(node)
        else:
            self._let_go(node)

    def remove_absent(self, identity: Identity) -> None:
        """Take note that the server has no object of that identity, though some node had it."""
        node = self.nodes.get(identity.uid)
        if node is None:
            return
        if not node.virtual:
            if node.identity == identity:
                self._let_go(node)
            else:
                self._release_matching(partition(node.dependents or (), identity)[0], identity)
            return
        matching, others = partition(node.dependents or (), identity)
        if not others:
            self._let_go(node)
            return
        # Some call it otherwise: it may be there under another name.
        self._release_matching(matching, identity)
        if node.identity == identity:
            replacement = alternative(others, identity)
            if replacement is not None:
                node.be(replacement)
                self.to_delete.retry(node)

    def _release_matching(self, dependents: list[Node], identity: Identity) -> None:
        if dependents:
            self.absent.add(identity)
            for node in dependents:
                self.to_delete.add(node)

    def _pass_through(self, node: Node, metadata: JsonObject) -> None:
        """Queue a node that begins to wait for its dependents."""
        if not metadata.get("deletionTimestamp"):
            node.orphaning = False
            return
        finalizers = metadata.get("finalizers") or ()
        was_waiting = node.being_deleted and node.deleting_dependents
        was_orphaning = node.orphaning
        node.being_deleted = True
        node.orphaning = ORPHAN in finalizers
        node.deleting_dependents = FOREGROUND in finalizers
        if node.orphaning and not was_orphaning:
            self.to_orphan.add(node)
        elif node.deleting_dependents and not was_waiting:
            for dependent in node.dependents or ():
                self.to_delete.add(dependent)
            self.to_delete.add(node)

    def _observe(self, node: Node, kind: Kind, metadata: JsonObject) -> None:
        """Let a virtual node be what a watch shows."""
        api_version, name_of_kind = kind
        namespace = metadata.get("namespace", "")
        observed = Identity(name_of_kind, api_version, namespace, metadata["name"], node.uid)
        if observed != node.identity:
            for dependent in partition(node.dependents or (), observed)[1]:
                if namespace and dependent.namespace != namespace:
                    named = (one for one in dependent.owners if one.uid == node.uid)
                    self._tell(dependent, next(named))
                self.to_delete.add(dependent)
            node.be(observed)
        node.virtual = False

    def _change_owners(self, node: Node, owners: tuple[Reference, ...]) -> None:
        before, after = blocking_by_uid(node.owners), blocking_by_uid(owners)
        for uid, blocked in before.items():
            owner = self.nodes.get(uid)
            if owner is None:
                continue
            blocks = after.get(uid)
            # Owners that wait for their dependents may have nothing to wait for any more.
            if blocked and not blocks:
                self.to_delete.add(owner)
            if blocks is None:
                owner.drop_dependent(node)
            else:
                owner.add_dependent(node, blocks=blocks)
        node.owners = self._shared(owners)
        self._adopt(node, [one for one in owners if one.uid not in before])

    def _shared(self, owners: tuple[Reference, ...]) -> tuple[Reference, ...]:
        """Return equal references, the same object for all that one owner has alone."""
        if len(owners) != 1:
            return owners
        owner = self.nodes.get(owners[0].uid)
        if owner is None:
            return owners
        if owner.shared != owners:
            owner.shared = owners
        return owner.shared

    def _adopt(self, node: Node, references: list[Reference] | tuple[Reference, ...]) -> None:
        """Make a node a dependent of those it names; look at it if they may not be right."""
        is_doubtful = False
        blocking = blocking_by_uid(references)
        for reference in references:
            blocks = blocking[reference.uid]
            owner = self.nodes.get(reference.uid)
            if owner is None:
                kind = (reference.api_version, reference.kind)
                owner = Node(reference.uid, kind, node.namespace, reference.name, virtual=True)
                self.nodes[reference.uid] = owner
                owner.add_dependent(node, blocks=blocks)
                self.to_delete.add(owner)
                continue
            owner.add_dependent(node, blocks=blocks)
            if owner.deleting_dependents:
                # It came late, and keeps its owner from going.
                self.to_delete.add(node)
            is_doubtful = is_doubtful or self._doubts(node, reference, owner)
        if is_doubtful:
            self.to_delete.add(node)

    def _doubts(self, node: Node, reference: Reference, owner: Node) -> bool:
        """Tell whether a reference may be wrong; report it if its namespace is."""
        if owner.namespace and owner.namespace != node.namespace:
            if not owner.virtual:
                self._tell(node, reference)
            return True
        if not owner.identity.is_meant_by(reference):
            return True
        # A virtual owner without namespace may be one of a namespaced type, named by an object
        # that is in no namespace.
        return owner.virtual and owner.namespace != node.namespace

    def _tell(self, node: Node, reference: Reference) -> None:
        api_version, kind, name, uid, _ = reference
        self._report(node, Identity(kind, api_version, node.namespace, name, uid))

    def _let_go(self, node: Node) -> None:
        del self.nodes[node.uid]
        self.to_delete.forget(node)
        self.to_orphan.forget(node)
        if node.dependents:
            self.absent.add(node.identity)
            for dependent in node.dependents:
                self.to_delete.add(dependent)
        for reference in node.owners:
            owner = self.nodes.get(reference.uid)
            if owner is None:
                continue
            owner.drop_dependent(node)
            # Looked at when nothing keeps it any more, not for each of thousands that go.
            if owner.deleting_dependents and not owner.blockers:
                self.to_delete.add(owner)
