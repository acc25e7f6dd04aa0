"""What the collector asks of the server: on which conditions it deletes, and how it patches."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controllers.discovery import Collection, Collections, Found
from controllers.garbage.nodes import Identity
from controllers.garbage.requests import Absent, Requests, UnknownKind
from kube.client import STRATEGIC_PATCH, Patch
from kube.status import StatusError

Json = dict[str, Any]
IDENTITY = Identity("Thing", "x.io/v1", "n", "a", "u")
PATH = "/apis/x.io/v1/namespaces/n/things/a"
OWNERS = [{"uid": "o1", "name": "x", "blockOwnerDeletion": True}, {"uid": "o2", "name": "y"}]


def _conflict() -> StatusError:
    return StatusError(409, "Conflict", "changed")


class _Client:
    """Answers by a queue for each method; takes down what it was sent."""

    def __init__(self, **answers: list[Any]) -> None:
        self.answers = answers
        self.sent: list[tuple[str, str, Any]] = []

    async def request(self, method: str, path: str, body: Any = None, **_more: Any) -> Json:
        self.sent.append((method, path, body))
        answer = self.answers[method].pop(0) if self.answers.get(method) else {}
        if isinstance(answer, Exception):
            raise answer
        return {"metadata": answer}


def _requests(client: Any) -> Requests:
    things = Collection("x.io", "v1", "things", "Thing", verbs=frozenset({"get"}))
    requests = Requests(client)
    requests.types = Collections((things,), (), 0.0, {("x.io/v1", "Thing"): things})
    return requests


def _metadata(revision: str, **more: Any) -> Json:
    return {"uid": "u", "resourceVersion": revision, "ownerReferences": OWNERS, **more}


def test_only_the_object_as_it_was_seen_is_deleted() -> None:
    client = _Client()
    asyncio.run(_requests(client).delete(IDENTITY, _metadata("7"), "Background"))
    method, path, options = client.sent[0]
    assert (method, path) == ("DELETE", PATH)
    assert options["preconditions"] == {"uid": "u", "resourceVersion": "7"}
    assert options["propagationPolicy"] == "Background"


def test_an_object_that_was_written_but_has_the_same_owners_is_deleted_all_the_same() -> None:
    client = _Client(DELETE=[_conflict(), {}], GET=[_metadata("8")])
    asyncio.run(_requests(client).delete(IDENTITY, _metadata("7"), "Background"))
    assert client.sent[-1][2]["preconditions"] == {"uid": "u"}


def test_an_object_that_got_other_owners_is_not_deleted() -> None:
    client = _Client(DELETE=[_conflict()], GET=[_metadata("8", ownerReferences=[])])
    with pytest.raises(StatusError):
        asyncio.run(_requests(client).delete(IDENTITY, _metadata("7"), "Background"))
    assert [method for method, *_ in client.sent] == ["DELETE", "GET"]


def test_another_object_of_the_name_is_absent() -> None:
    client = _Client(GET=[_metadata("8", uid="other")])
    with pytest.raises(Absent):
        asyncio.run(_requests(client).metadata(IDENTITY))


def test_references_are_removed_by_uid_on_condition_of_the_objects_own() -> None:
    client = _Client()
    asyncio.run(_requests(client).drop_owners(IDENTITY, {"o1"}))
    patch = client.sent[0][2]
    references = [{"$patch": "delete", "uid": "o1"}]
    assert patch == Patch(
        {"metadata": {"uid": "u", "ownerReferences": references}}, STRATEGIC_PATCH
    )


def test_a_type_without_strategic_patches_gets_the_whole_list() -> None:
    refused = StatusError(415, "UnsupportedMediaType", "no")
    client = _Client(PATCH=[refused, {}, refused, {}], GET=[_metadata("8"), _metadata("9")])
    requests = _requests(client)
    asyncio.run(requests.drop_owners(IDENTITY, {"o1"}))
    metadata = {"resourceVersion": "8", "ownerReferences": [OWNERS[1]]}
    assert client.sent[-1][2] == Patch({"metadata": metadata})
    asyncio.run(requests.unblock_owners(IDENTITY, ["o1"]))
    found = client.sent[-1][2].document["metadata"]["ownerReferences"]
    assert [one["blockOwnerDeletion"] for one in found] == [False, False]


def test_a_finalizer_is_removed_again_after_a_conflict() -> None:
    held = _metadata("8", finalizers=["orphan", "x"])
    client = _Client(GET=[held, {**held, "resourceVersion": "9"}], PATCH=[_conflict(), {}])
    asyncio.run(_requests(client).drop_finalizer(IDENTITY, "orphan"))
    metadata = {"resourceVersion": "9", "finalizers": ["x"]}
    assert client.sent[-1][2] == Patch({"metadata": metadata})


def test_a_finalizer_that_is_gone_needs_no_write() -> None:
    client = _Client(GET=[_metadata("8"), StatusError(404, "NotFound", "gone")])
    requests = _requests(client)
    for _ in range(2):
        asyncio.run(requests.drop_finalizer(IDENTITY, "orphan"))
    assert {method for method, *_ in client.sent} == {"GET"}


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "%2e"])
def test_a_name_that_no_object_can_have_is_not_asked_for(name: str) -> None:
    client = _Client()
    with pytest.raises(Absent):
        asyncio.run(_requests(client).metadata(IDENTITY._replace(name=name)))
    assert client.sent == []


def test_a_kind_of_no_type_is_no_absent_object() -> None:
    with pytest.raises(UnknownKind):
        asyncio.run(_requests(_Client()).metadata(IDENTITY._replace(kind="Other")))


def test_discovery_finds_each_type_once_and_every_kind_of_every_version() -> None:
    def entry(resource: str, kind: str, *verbs: str, scope: str = "Namespaced") -> Json:
        return {
            "resource": resource,
            "scope": scope,
            "verbs": list(verbs),
            "responseKind": {"kind": kind},
        }

    all_verbs = ("get", "list", "delete", "watch", "deletecollection")
    found = Found()
    found.read_groups(
        {
            "items": [
                {
                    "metadata": {"name": "x.io"},
                    "versions": [
                        {"version": "v2", "resources": [entry("things", "Thing", *all_verbs)]},
                        {
                            "version": "v1",
                            "freshness": "Stale",
                            "resources": [
                                entry("things", "Thing", *all_verbs),
                                entry("olds", "Old", "get", "list", scope="Cluster"),
                            ],
                        },
                    ],
                }
            ]
        }
    )
    result = found.result(1.0)
    assert [str(one) for one in result.known] == ["things.x.io", "olds.x.io"]
    assert [str(one) for one in result.emptied()] == ["things.x.io"]
    assert result.failing == ("x.io/v1",)
    assert result.by_kind["x.io/v2", "Thing"].path("n") == "/apis/x.io/v2/namespaces/n/things"
    assert result.by_kind["x.io/v1", "Thing"].version == "v1"
    assert result.by_kind["x.io/v1", "Old"].path("n") == "/apis/x.io/v1/olds"
