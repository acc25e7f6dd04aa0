"""The audit log over HTTP: what the policy wants is on record, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.integration.api_calls import Json, named
from tests.integration.cluster import Cluster, run_cluster
from tests.integration.personas import made, persona
from tests.integration.policy_calls import policy, secret
from tests.integration.webhook_calls import MUTATING, VALIDATING, asked
from tests.integration.webhook_server import Reply, WebhookServer, allow, patch

PATIENCE_S = 30.0
POLICY: Json = {
    "kind": "Policy",
    "apiVersion": "audit.k8s.io/v1",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "nonResourceURLs": ["/livez*", "/readyz*"]},
        {"level": "None", "users": ["system:kube-controller-manager"]},
        {"level": "Metadata", "resources": [{"group": "", "resources": ["secrets"]}]},
        {
            "level": "RequestResponse",
            "omitManagedFields": True,
            "resources": [{"group": "", "resources": ["configmaps"]}],
        },
        {"level": "Metadata", "verbs": ["watch"], "omitStages": []},
        {"level": "Metadata", "nonResourceURLs": ["/version"]},
        {"level": "Metadata", "resources": [{"group": "", "resources": ["pods/*"]}]},
    ],
}
MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that audits."""
    directory = tmp_path_factory.mktemp("audited")
    (directory / "policy.json").write_bytes(orjson.dumps(POLICY))
    audit = {
        "policy_file": str(directory / "policy.json"),
        "log_path": str(directory / "audit.log"),
    }
    with run_cluster(directory, {"audit": audit}) as running:
        yield running


def _events(cluster: Cluster, audit_id: str, count: int = 1) -> list[Any]:
    """Return a request's events, as soon as there are so many."""
    path = Path(cluster.directory.parent) / "audit.log"
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        lines = path.read_bytes().splitlines() if path.exists() else []
        found = [event for event in map(orjson.loads, lines) if event["auditID"] == audit_id]
        if len(found) >= count:
            return found
        assert time.monotonic() < deadline_s, lines[-3:]


def _id(name: str) -> dict[str, str]:
    return {"Audit-ID": name}


def test_a_request_is_on_record_with_who_what_and_what_came_of_it(audited: Cluster) -> None:
    answer = audited.call("POST", MAPS, named("one", data={"a": "b"}), headers=_id("create-one"))
    assert answer.headers["audit-id"] == "create-one"
    (event,) = _events(audited, "create-one")
    assert event["kind"] == "Event"
    assert event["apiVersion"] == "audit.k8s.io/v1"
    assert (event["level"], event["stage"]) == ("RequestResponse", "ResponseComplete")
    assert (event["verb"], event["requestURI"]) == ("create", MAPS)
    assert event["user"]["username"] == "tester"
    assert event["sourceIPs"] == ["127.0.0.1"]
    assert event["objectRef"] == {
        "resource": "configmaps",
        "namespace": "default",
        "name": "one",
        "apiVersion": "v1",
    }
    assert event["responseStatus"] == {"metadata": {}, "code": 201}
    assert event["requestObject"]["data"] == {"a": "b"}
    assert event["responseObject"]["metadata"]["uid"] == answer.json["metadata"]["uid"]
    assert event["annotations"] == {
        "authorization.k8s.io/decision": "allow",
        "authorization.k8s.io/reason": "",
    }
    assert event["requestReceivedTimestamp"] <= event["stageTimestamp"]


def test_metadata_is_all_that_is_told_of_a_secret(audited: Cluster) -> None:
    secret = named("hidden", stringData={"password": "x"})
    path = "/api/v1/namespaces/default/secrets"
    audited.call("POST", path, secret, headers=_id("create-secret"))
    (event,) = _events(audited, "create-secret")
    assert event["level"] == "Metadata"
    assert event["objectRef"]["name"] == "hidden"
    assert not {"requestObject", "responseObject"} & event.keys()
    assert b"password" not in orjson.dumps(event)


def test_a_refusal_is_on_record_with_its_reason(audited: Cluster) -> None:
    user = persona(audited)
    user.call("GET", f"{MAPS}/one", headers=_id("refused"))
    (event,) = _events(audited, "refused")
    assert event["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert event["user"]["username"] == "tester"
    assert event["impersonatedUser"]["username"] == user.name
    constraint = {"impersonationConstraint": "impersonate:user-info"}
    assert event["authenticationMetadata"] == constraint
    status = event["responseStatus"]
    assert (status["code"], status["reason"]) == (403, "Forbidden")
    assert f'User "{user.name}" cannot get' in status["message"]


def test_by_which_verb_somebody_acts_as_another_is_on_record(audited: Cluster) -> None:
    user = persona(audited)
    user.call("GET", f"{MAPS}/one", headers=_id("by-a-mode"))
    (event,) = _events(audited, "by-a-mode")
    told = {"impersonationConstraint": "impersonate:user-info"}
    assert event["authenticationMetadata"] == told
    # This group only the legacy verb gives.
    user.call("GET", MAPS, headers={"Impersonate-Group": "system:masters", **_id("by-legacy")})
    (event,) = _events(audited, "by-legacy")
    assert event["impersonatedUser"]["groups"] == ["system:masters", "system:authenticated"]
    assert "authenticationMetadata" not in event


def test_who_may_not_act_as_another_is_on_record(audited: Cluster) -> None:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    made(audited, accounts, named("actor"))
    token = made(audited, f"{accounts}/actor/token", {})["status"]["token"]
    headers = {"Authorization": f"Bearer {token}", "Impersonate-User": "jane", **_id("denied")}
    assert audited.call("GET", MAPS, headers=headers).code == 403
    (event,) = _events(audited, "denied")
    assert event["stage"] == "ResponseComplete"
    assert event["user"]["username"] == "system:serviceaccount:default:actor"
    assert not {"impersonatedUser", "authenticationMetadata", "annotations"} & event.keys()
    assert "cannot impersonate-on:user-info:list" in event["responseStatus"]["message"]


def test_who_is_not_let_in_is_on_record(audited: Cluster) -> None:
    headers = {"Authorization": "Bearer wrong", **_id("stranger")}
    assert audited.call("GET", MAPS, headers=headers).code == 401
    (event,) = _events(audited, "stranger")
    assert event["responseStatus"]["code"] == 401
    assert event["user"]["username"] == "system:anonymous"


def test_a_watch_is_on_record_when_it_begins_and_when_it_ends(audited: Cluster) -> None:
    path = "/api/v1/namespaces/default/services?watch=1&timeoutSeconds=1"
    assert audited.call("GET", path, headers=_id("watch")).code == 200
    stages = [event["stage"] for event in _events(audited, "watch", 2)]
    assert stages == ["ResponseStarted", "ResponseComplete"]


def test_a_path_is_on_record_and_what_no_rule_names_is_not(audited: Cluster) -> None:
    audited.call("GET", "/apis", headers=_id("unnamed"))
    audited.call("GET", "/readyz", headers=_id("probe"))
    made(audited, "/api/v1/namespaces", named("unrecorded"))
    audited.call("GET", "/version", headers=_id("version"))
    (event,) = _events(audited, "version")
    assert event["responseStatus"]["code"] == 200
    assert "objectRef" not in event
    text = (Path(audited.directory.parent) / "audit.log").read_text()
    assert not any(name in text for name in ("unnamed", "probe", "unrecorded"))


def test_an_object_that_cannot_be_read_is_left_out(audited: Cluster) -> None:
    audited.call("POST", MAPS, b'{"metadata":', headers=_id("broken"))
    (event,) = _events(audited, "broken")
    assert event["responseStatus"]["code"] == 400
    assert "requestObject" not in event


def test_what_webhooks_and_policies_say_is_on_record(
    audited: Cluster, webhooks: WebhookServer
) -> None:
    path = "/api/v1/namespaces/default/secrets"
    add = {"op": "add", "path": "/data/added", "value": "eWVz"}
    failures = {"failurePolicy": "Ignore"}
    annotation = {"key": "size", "valueExpression": "string(size(object.data)) + ' keys'"}
    spec = {
        "validations": [{"expression": "false", "message": "noted"}],
        "auditAnnotations": [annotation],
    }
    with (
        asked(audited, webhooks, MUTATING, "default", patch(add)) as changer,
        asked(
            audited, webhooks, VALIDATING, "default", allow(auditAnnotations={"k": "v", "!": "x"})
        ) as judge,
        asked(audited, webhooks, VALIDATING, "default", lambda _: Reply(500), **failures) as broken,
        policy(audited, "default", spec, validationActions=["Audit"]) as name,
    ):
        answer = audited.call("POST", path, secret("recorded"), headers=_id("admitted"))
        assert answer.code == 201, answer.body
        names = [hook.paths[0].split("?")[0][1:] for hook in (changer, judge, broken)]
    (event,) = _events(audited, "admitted")
    found = event["annotations"]
    mutation = orjson.loads(found["mutation.webhook.admission.k8s.io/round_0_index_0"])
    assert mutation["webhook"] == f"{names[0]}.example.com"
    assert mutation["mutated"] is True
    assert found[f"{names[1]}.example.com/k"] == "v"
    assert f"{names[1]}.example.com/!" not in found
    failed = found["failed-open.validating.webhook.admission.k8s.io/round_0_index_1"]
    assert failed == f"{names[2]}.example.com"
    assert found[f"{name}/size"] == "2 keys"
    (failure,) = orjson.loads(found["validation.policy.admission.k8s.io/validation_failure"])
    assert failure == {
        "message": "noted",
        "policy": name,
        "binding": f"{name}-binding",
        "expressionIndex": 0,
        "validationActions": ["Audit"],
    }
