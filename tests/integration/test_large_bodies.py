"""Bodies of a million small objects are refused or taken while others go on."""

from __future__ import annotations

import threading
from typing import Any

import orjson
import pytest

from tests.integration.cluster import Answer, Cluster

COUNT = 400_000


def _body(**members: Any) -> bytes:
    return orjson.dumps({"metadata": {"name": "a"}, **members})


OWNERS = orjson.dumps({"metadata": {"name": "a", "ownerReferences": [{}] * COUNT}})
CONTAINERS = _body(spec={"containers": [{}] * COUNT})
MAP = _body(data={f"k{number}": "" for number in range(50_000)})


@pytest.mark.parametrize(
    ("resource", "body", "code"),
    [("secrets", OWNERS, 422), ("pods", CONTAINERS, 422), ("configmaps", MAP, 201)],
    ids=["owners", "containers", "map"],
)
def test_others_are_answered_while_a_large_body_is_looked_at(
    cluster: Cluster, namespace: str, resource: str, body: bytes, code: int
) -> None:
    path = f"/api/v1/namespaces/{namespace}"
    answers: list[Answer] = []

    def create() -> None:
        answers.append(cluster.call("POST", f"{path}/{resource}", body))

    creating = threading.Thread(target=create)
    creating.start()
    others = 0
    while creating.is_alive():
        assert cluster.call("GET", path).code == 200
        others += 1
    creating.join()
    assert answers[0].code == code
    # On the event loop, it would have been two at most: one before, one after.
    assert others > 4 or code == 201


def test_large_bodies_are_updated_and_patched_by_the_same_rules(
    cluster: Cluster, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    assert cluster.call("POST", path, {"metadata": {"name": "a"}}).code == 201
    data = orjson.loads(MAP)["data"]
    put = cluster.call("PUT", f"{path}/a", MAP)
    assert (put.code, put.json["data"]) == (200, data)
    merge = {"content_type": "application/merge-patch+json"}
    patched = cluster.call("PATCH", f"{path}/a", {"data": dict.fromkeys(data, "x")}, **merge)
    assert (patched.code, len(patched.json["data"])) == (200, len(data))
    unknown = _body(data=data, nothing=1)
    strict = cluster.call("PUT", f"{path}/a?fieldValidation=Strict", unknown)
    assert (strict.code, strict.json["reason"]) == (400, "BadRequest")
    refused = cluster.call("PUT", f"{path}/a", _body(data=data | {"bad key": ""}))
    assert (refused.code, refused.json["reason"]) == (422, "Invalid")
    again = cluster.call("POST", path, MAP)
    assert (again.code, again.json["reason"]) == (409, "AlreadyExists")
