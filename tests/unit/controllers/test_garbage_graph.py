"""The graph: what a change of an object puts on the queues, by upstream's graph builder."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from controllers.garbage.absent import AbsentOwners
from controllers.garbage.graph import FOREGROUND, ORPHAN, Graph
from controllers.garbage.nodes import Identity, Node, alternative, partition
from controllers.workqueue import WorkQueue

Json = dict[str, Any]
CONFIG_MAP = ("v1", "ConfigMap")
NODE = ("v1", "Node")
NOW = "2026-01-01T00:00:00Z"


class _Watched:
    """A graph, and what it has put on its queues."""

    def __init__(self) -> None:
        self.reported: list[tuple[str, str]] = []
        self.absent = AbsentOwners()
        self.graph = Graph(WorkQueue(), WorkQueue(), self.absent, self._report)

    def _report(self, node: Node, owner: Identity) -> None:
        self.reported.append((node.name, str(owner)))

    def put(
        self, name: str, *owners: Json, kind: tuple[str, str] = CONFIG_MAP, **more: Any
    ) -> None:
        metadata = {"uid": name, "name": name, "namespace": "n", "ownerReferences": list(owners)}
        self.graph.put(kind, {**metadata, **more}, 1)

    def deleted(self) -> list[str]:
        """Return, once, the names of what is to be looked at."""
        return _drain(self.graph.to_delete)

    def orphaned(self) -> list[str]:
        """Return, once, the names of the owners whose dependents are to be released."""
        return _drain(self.graph.to_orphan)

    def check(self) -> None:
        """Assert that the nodes agree about who owns whom."""
        nodes = self.graph.nodes
        for node in nodes.values():
            for dependent in node.dependents or ():
                assert nodes[dependent.uid] is dependent
                assert node.uid in {one.uid for one in dependent.owners}
            for one in node.owners:
                assert node in (nodes[one.uid].dependents or ())
            assert node.blockers == len(node.blocking())
            wanted = [
                dependent
                for dependent in node.dependents or ()
                if any(one.blocks and one.uid == node.uid for one in dependent.owners)
            ]
            assert node.blocking() == wanted


def _drain(queue: WorkQueue[Node]) -> list[str]:
    async def run() -> list[str]:
        found = []
        while len(queue):
            node = await queue.get()
            queue.done(node)
            found.append(node.name)
        return sorted(found)

    return asyncio.run(run())


def _by(uid: str, *, blocks: bool = False, **more: Any) -> Json:
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": uid, "uid": uid}
    return {**reference, "blockOwnerDeletion": blocks, **more}


def test_dependents_of_what_is_gone_are_looked_at_and_it_is_known_to_be_absent() -> None:
    watched = _Watched()
    watched.put("owner")
    watched.put("a", _by("owner"))
    watched.put("b", _by("owner"))
    assert watched.deleted() == []
    watched.graph.remove("owner")
    assert watched.deleted() == ["a", "b"]
    assert Identity("ConfigMap", "v1", "n", "owner", "owner") in watched.absent
    # Whoever still names it makes it a node again, to be looked for.
    assert watched.graph.nodes.keys() == {"a", "b"}


def test_an_owner_that_no_watch_has_shown_is_looked_for() -> None:
    watched = _Watched()
    watched.put("a", _by("owner"))
    assert watched.graph.nodes["owner"].virtual
    assert watched.deleted() == ["owner"]
    watched.put("owner")
    assert not watched.graph.nodes["owner"].virtual
    assert watched.deleted() == []
    watched.check()


def test_an_owner_that_begins_to_wait_has_its_dependents_looked_at_once() -> None:
    watched = _Watched()
    watched.put("owner")
    watched.put("a", _by("owner", blocks=True))
    for _ in range(2):
        watched.put("owner", deletionTimestamp=NOW, finalizers=[FOREGROUND])
    assert watched.deleted() == ["a", "owner"]
    watched.put("owner", deletionTimestamp=NOW, finalizers=[FOREGROUND, "other"])
    assert watched.deleted() == []


def test_an_owner_that_waits_is_looked_at_when_nothing_blocks_it_any_more() -> None:
    watched = _Watched()
    watched.put("owner", deletionTimestamp=NOW, finalizers=[FOREGROUND])
    for name in "abc":
        watched.put(name, _by("owner", blocks=name != "c"))
    # What came late is looked at, too: it would keep its owner.
    assert watched.deleted() == ["a", "b", "c", "owner"]
    watched.graph.remove("a")
    assert watched.deleted() == []
    watched.graph.remove("b")
    assert watched.deleted() == ["owner"]
    watched.check()


def test_a_reference_that_blocks_no_more_has_its_owner_looked_at() -> None:
    watched = _Watched()
    watched.put("owner")
    watched.put("a", _by("owner", blocks=True))
    watched.put("b", _by("owner", blocks=True))
    watched.put("a", _by("owner"))
    assert watched.deleted() == ["owner"]
    watched.put("b")
    assert watched.deleted() == ["owner"]
    assert watched.graph.nodes["owner"].blocking() == []
    watched.check()


def test_an_owner_that_orphans_is_put_on_the_other_queue() -> None:
    watched = _Watched()
    watched.put("a", _by("owner"))
    watched.deleted()
    watched.put("owner", deletionTimestamp=NOW, finalizers=[ORPHAN])
    assert watched.orphaned() == ["owner"]
    watched.put("owner", deletionTimestamp=NOW, finalizers=[ORPHAN])
    assert watched.orphaned() == []
    assert watched.deleted() == []


def test_an_owner_in_another_namespace_is_reported_and_its_dependent_looked_at() -> None:
    watched = _Watched()
    watched.put("owner", namespace="other")
    watched.put("a", _by("owner"))
    told = ("a", "[v1/ConfigMap, namespace: n, name: owner, uid: owner]")
    assert watched.reported == [told]
    assert watched.deleted() == ["a"]


def test_an_owner_shown_in_another_namespace_later_is_reported_then() -> None:
    watched = _Watched()
    watched.put("a", _by("owner"))
    assert watched.deleted() == ["owner"]
    watched.put("owner", namespace="other")
    assert [name for name, _ in watched.reported] == ["a"]
    assert watched.deleted() == ["a"]


def test_an_owner_of_the_cluster_may_be_named_from_any_namespace() -> None:
    watched = _Watched()
    watched.put("owner", kind=NODE, namespace="")
    watched.put("a", _by("owner", kind="Node"))
    assert watched.reported == []
    assert watched.deleted() == []


def test_a_reference_that_names_an_owner_wrongly_has_its_object_looked_at() -> None:
    watched = _Watched()
    watched.put("owner")
    watched.put("a", _by("owner", name="somebody"))
    assert watched.reported == []
    assert watched.deleted() == ["a"]


def test_a_virtual_owner_that_is_absent_goes_with_all_who_agree_about_it() -> None:
    watched = _Watched()
    watched.put("a", _by("owner"))
    watched.put("b", _by("owner"))
    watched.deleted()
    watched.graph.remove_absent(watched.graph.nodes["owner"].identity)
    assert "owner" not in watched.graph.nodes
    assert watched.deleted() == ["a", "b"]


def test_a_virtual_owner_is_looked_for_by_all_the_names_it_is_given() -> None:
    watched = _Watched()
    watched.put("a", _by("owner"))
    watched.put("b", _by("owner", kind="Secret"))
    watched.deleted()
    owner = watched.graph.nodes["owner"]

    async def run() -> None:
        watched.graph.remove_absent(owner.identity)

    asyncio.run(run())
    # Who gave the wrong name is looked at; the other name is tried next.
    assert watched.deleted() == ["a"]
    assert owner.kind == ("v1", "Secret")
    assert watched.graph.nodes["owner"] is owner


def test_a_real_owner_is_not_removed_for_being_absent_elsewhere() -> None:
    watched = _Watched()
    watched.put("owner")
    watched.put("a", _by("owner", kind="Secret"))
    watched.deleted()
    watched.graph.remove_absent(Identity("Secret", "v1", "n", "owner", "owner"))
    assert "owner" in watched.graph.nodes
    assert watched.deleted() == ["a"]


def test_objects_of_a_type_that_is_not_watched_any_more_are_looked_for_not_given_up() -> None:
    watched = _Watched()
    watched.put("owner")
    watched.put("a", _by("owner"))
    watched.graph.doubt("owner")
    watched.graph.doubt("a")
    assert Identity("ConfigMap", "v1", "n", "owner", "owner") not in watched.absent
    # Nobody names `a` an owner; without it nobody names `owner`.
    assert watched.graph.nodes.keys() == {"owner"}
    assert watched.deleted() == ["owner"]


def test_nodes_agree_about_who_owns_whom_after_any_changes() -> None:
    chance = random.Random(7)
    watched = _Watched()
    names = [f"o{number}" for number in range(8)]
    for _ in range(3000):
        name = chance.choice(names)
        if chance.random() < 0.2:
            watched.graph.remove(name)
        elif chance.random() < 0.1 and name in watched.graph.nodes:
            watched.graph.remove_absent(watched.graph.nodes[name].identity)
        else:
            owners = chance.sample([one for one in names if one != name], chance.randint(0, 3))
            blocks = chance.random() < 0.5
            more: Json = {"deletionTimestamp": NOW} if chance.random() < 0.2 else {}
            more["finalizers"] = chance.sample([FOREGROUND, ORPHAN, "x"], chance.randint(0, 2))
            watched.put(name, *(_by(one, blocks=blocks) for one in owners), **more)
        _check_but_for_gone_owners(watched)


def _check_but_for_gone_owners(watched: _Watched) -> None:
    nodes = watched.graph.nodes
    for node in nodes.values():
        for dependent in node.dependents or ():
            assert nodes.get(dependent.uid) is dependent
        assert node.blockers == len(node.blocking())


def test_a_dependent_with_two_references_may_agree_and_disagree() -> None:
    watched = _Watched()
    watched.put("a", _by("owner"), _by("owner", name="x"))
    node = watched.graph.nodes["a"]
    identity = Identity("ConfigMap", "v1", "n", "owner", "owner")
    assert partition([node], identity) == ([node], [node])
    assert alternative([node], identity) == identity._replace(name="x")


def test_the_absent_that_are_not_asked_for_are_forgotten_first() -> None:
    absent = AbsentOwners(kept_max=2)
    one, two, three = (Identity("K", "v1", "", name, name) for name in "abc")
    absent.add(one)
    absent.add(two)
    assert one in absent
    absent.add(three)
    assert [item in absent for item in (one, two, three)] == [True, False, True]
