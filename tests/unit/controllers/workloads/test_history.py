"""ControllerRevisions, rollbacks and statuses: what is written, and what is not."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from controllers.workloads import history, rollback
from controllers.workloads.claims import Kind
from controllers.workloads.history import History
from controllers.workloads.revisions import ROLLBACK
from controllers.workloads.status_writes import write_status
from kube.client import Patch
from kube.informers.store import Store
from kube.status import StatusError
from tests.unit.controllers.workloads.workload_objects import deployment, replica_set, template

SET = Kind("apps/v1", "StatefulSet", "statefulsets")


def refusal(code: int, reason: str) -> StatusError:
    """Return what a server refuses with."""
    return StatusError(code, reason, reason)


class Server:
    """Answers requests from a script, in order, and keeps what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self._answers = list(answers)

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        """Answer as the script says."""
        self.asked.append((method, path, body.document if isinstance(body, Patch) else body))
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def revisions_of(server: Server) -> History:
    """Return the revisions of StatefulSets."""
    store = Store({"owner": lambda _one: (), "orphans": lambda _one: ()})
    client: Any = server
    return History(client, SET, "controller.kubernetes.io/hash", store)


def owner(image: str = "web:1", name: str = "web") -> dict[str, Any]:
    """Return a set."""
    metadata = {"name": name, "namespace": "n", "uid": "s", "annotations": {"a": "b"}}
    return {"metadata": metadata, "spec": {"template": template(image)}}


def test_a_revision_brings_its_template_back_and_is_known_by_it() -> None:
    made = revisions_of(Server()).new(owner(), 3, 0)
    assert made["data"] == {"spec": {"template": {**template("web:1"), "$patch": "replace"}}}
    assert history.template_of(made) == template("web:1")
    assert history.remembers(made, template("web:1"))
    assert not history.remembers(made, template("web:2"))
    digest = made["metadata"]["labels"]["controller.kubernetes.io/hash"]
    assert made["metadata"]["name"] == f"web-{digest}"
    assert made["metadata"]["labels"]["app"] == "web"
    assert made["metadata"]["annotations"] == {"a": "b"}
    assert made["revision"] == 3


def test_a_revision_is_written_as_go_writes_it_since_clients_compare_bytes() -> None:
    # Match in pkg/controller/daemon/update.go: the whole patch is compared, byte by byte.
    container = {"name": "c", "image": "i", "ports": [{"protocol": "TCP", "containerPort": 1}]}
    kept = {"spec": {"containers": [container]}, "metadata": {"labels": {"b": "1", "a": "2"}}}
    assert orjson.dumps(history.patch_of(kept)) == (
        b'{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"a":"2","b":"1"}},'
        b'"spec":{"containers":[{"image":"i","name":"c",'
        b'"ports":[{"containerPort":1,"protocol":"TCP"}]}]}}}}'
    )


def test_a_time_of_creation_that_is_null_makes_no_template_another() -> None:
    older = revisions_of(Server()).new(owner(), 1, 0)
    older["data"]["spec"]["template"]["metadata"] = {
        "creationTimestamp": None,
        "labels": {"app": "web"},
    }
    assert history.remembers(older, template("web:1"))


def test_a_collision_changes_the_name_and_a_long_name_is_cut() -> None:
    made = revisions_of(Server())
    first, second = (made.new(owner(), 1, count)["metadata"]["name"] for count in (0, 1))
    assert first != second
    assert len(made.new(owner(name="w" * 250), 1, 0)["metadata"]["name"]) <= 253


def test_a_name_that_is_taken_is_ours_if_the_template_is() -> None:
    made = revisions_of(Server()).new(owner(), 1, 0)
    taken = refusal(409, "AlreadyExists")
    for image, is_found in (("web:1", True), ("web:2", False)):
        there = revisions_of(Server()).new(owner(image), 1, 0)
        found = asyncio.run(revisions_of(Server(taken, there)).create(made))
        assert (found is not None) == is_found
    with pytest.raises(StatusError):
        asyncio.run(revisions_of(Server(refusal(403, "Forbidden"))).create(made))


def test_a_number_is_given_though_another_wrote_meanwhile() -> None:
    made = revisions_of(Server()).new(owner(), 1, 0)
    server = Server(refusal(409, "Conflict"), {**made, "x": "fresh"}, {**made, "revision": 4})
    assert asyncio.run(revisions_of(server).renumber(made, 4))["revision"] == 4
    assert [method for method, _, _ in server.asked] == ["PUT", "GET", "PUT"]
    assert server.asked[2][2] == {**made, "x": "fresh", "revision": 4}
    conflicts = [refusal(409, "Conflict"), made] * 5
    with pytest.raises(StatusError):
        asyncio.run(revisions_of(Server(*conflicts)).renumber(made, 4))


def test_revisions_are_ordered_by_number_then_age_then_name() -> None:
    def one(name: str, number: int, created: str = "1") -> dict[str, Any]:
        return {"metadata": {"name": name, "creationTimestamp": created}, "revision": number}

    found = [one("d", 2), one("c", 1, "2"), one("b", 1), one("a", 1)]
    assert "".join(history.name_of(each) for each in history.in_order(found)) == "abcd"


def test_a_status_is_written_when_it_differs_and_never_to_a_namesake() -> None:
    set_one = {**owner(), "status": {"a": 1}}
    namesake = {"metadata": {"uid": "other"}, "status": {}}

    def write(server: Server, status: Any) -> list[str]:
        client: Any = server
        asyncio.run(write_status(client, SET, set_one, lambda _known: status))
        return [method for method, _, _ in server.asked]

    assert write(Server(), {"a": 1}) == []
    assert write(Server({}), {"a": 2}) == ["PUT"]
    conflict = refusal(409, "Conflict")
    assert write(Server(conflict, {**set_one, "status": {"a": 2}}), {"a": 2}) == ["PUT", "GET"]
    assert write(Server(conflict, {**set_one}, {}), {"a": 2}) == ["PUT", "GET", "PUT"]
    assert write(Server(conflict, namesake), {"a": 2}) == ["PUT", "GET"]
    assert write(Server(refusal(404, "NotFound")), {"a": 2}) == ["PUT"]
    with pytest.raises(StatusError):
        write(Server(conflict, set_one, conflict), {"a": 2})


REVISION = "deployment.kubernetes.io/revision"


def asking(revision: str, **spec: Any) -> dict[str, Any]:
    """Return a Deployment that asks for an earlier revision."""
    made = deployment(**spec)
    made["metadata"]["annotations"] = {ROLLBACK: revision, REVISION: "2", "now": "x"}
    return made


def sets_of_two() -> list[dict[str, Any]]:
    """Return the ReplicaSets of two revisions."""
    return [
        replica_set("web-1", 0, image="web:0", **{REVISION: "1", "then": "y"}),
        replica_set("web-2", 3, image="web:1", **{REVISION: "2"}),
    ]


@pytest.mark.parametrize("text", ["1", "0"])
def test_a_rollback_takes_the_template_and_the_annotations_of_then(text: str) -> None:
    made = asking(text)
    revision = rollback.wanted_revision(made)
    assert revision == int(text)
    found = rollback.find(made, sets_of_two(), revision)
    assert (found.is_done, found.reason) == (True, "DeploymentRollback")
    assert found.text == 'Rolled back deployment "web" to revision 1'
    assert found.deployment["spec"]["template"] == template("web:0")
    assert found.deployment["metadata"]["annotations"] == {REVISION: "2", "then": "y"}


@pytest.mark.parametrize(
    ("text", "count", "reason"),
    [
        ("7", 2, "DeploymentRollbackRevisionNotFound"),
        ("0", 1, "DeploymentRollbackRevisionNotFound"),
        ("2", 2, "DeploymentRollbackTemplateUnchanged"),
    ],
)
def test_a_rollback_that_cannot_be_is_given_up(text: str, count: int, reason: str) -> None:
    made = asking(text)
    found = rollback.find(made, sets_of_two()[-count:], int(text))
    assert (found.is_done, found.reason) == (False, reason)
    assert found.deployment["spec"] == made["spec"]
    assert found.deployment["metadata"]["annotations"] == {REVISION: "2", "now": "x"}


def test_an_annotation_that_is_no_number_asks_for_nothing() -> None:
    assert rollback.wanted_revision(asking("latest")) is None
    assert rollback.wanted_revision(deployment()) is None
