"""Webhooks that do not answer: what counts then, and that nobody else waits for them."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.integration.api_calls import Json, collection
from tests.integration.cluster import HOST, Cluster, run_cluster
from tests.integration.webhook_calls import (
    GROUP,
    MUTATING,
    VALIDATING,
    asked,
    configured,
    hook_spec,
)
from tests.integration.webhook_server import Reply, WebhookServer, allow, deny, patch

BOTH = pytest.mark.parametrize("plural", [MUTATING, VALIDATING])


def _secret(name: str = "m") -> Json:
    return {"metadata": {"name": name}, "data": {"a": "Yg=="}}


def _unheard() -> Json:
    """Return a clientConfig for a port where nobody listens."""
    with socket.socket() as unused:
        unused.bind((HOST, 0))
        return {"url": f"https://{HOST}:{unused.getsockname()[1]}/x"}


@BOTH
def test_a_webhook_nobody_listens_for_fails_the_request(
    cluster: Cluster, namespace: str, webhooks: WebhookServer, plural: str
) -> None:
    spec = hook_spec(webhooks, "/away", namespace) | {"clientConfig": _unheard()}
    with configured(cluster, plural, spec):
        answer = collection(cluster, namespace, "secrets").create(_secret())
    url = spec["clientConfig"]["url"]
    address = url.split("/")[2]
    assert answer.code == 500
    message = (
        'failed calling webhook "away.example.com": failed to call webhook: '
        f'Post "{url}?timeout=10s": dial tcp {address}: connect: connection refused'
    )
    assert answer.json["message"] == f"Internal error occurred: {message}"
    assert answer.json["reason"] == "InternalError"
    assert answer.json["details"] == {"causes": [{"message": message}]}


@BOTH
def test_a_failure_is_ignored_where_the_policy_says_so(
    cluster: Cluster, namespace: str, webhooks: WebhookServer, plural: str
) -> None:
    spec = hook_spec(webhooks, "/ignored", namespace)
    spec |= {"clientConfig": _unheard(), "failurePolicy": "Ignore"}
    with configured(cluster, plural, spec):
        collection(cluster, namespace, "secrets").made(_secret())
    step = "admit" if plural == MUTATING else "validating"
    metrics = cluster.call("GET", "/metrics").body.decode()
    labels = f'{{name="ignored.example.com",type="{step}"}}'
    assert f"apiserver_admission_webhook_fail_open_count{labels} 1.0" in metrics
    labels = (
        '{code="503",name="ignored.example.com",operation="CREATE",rejected="false",'
        f'type="{step}"}}'
    )
    assert f"apiserver_admission_webhook_request_total{labels} 1.0" in metrics


def test_a_denial_is_none_of_the_failures_that_are_ignored(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    with asked(cluster, webhooks, VALIDATING, namespace, deny(), failurePolicy="Ignore"):
        assert collection(cluster, namespace, "secrets").create(_secret()).code == 400


@pytest.mark.parametrize(("policy", "code"), [("Fail", 500), ("Ignore", 201)])
def test_a_slow_webhook_is_waited_for_as_long_as_it_says(
    cluster: Cluster, namespace: str, webhooks: WebhookServer, policy: str, code: int
) -> None:
    more = {"timeoutSeconds": 1, "failurePolicy": policy}
    with asked(cluster, webhooks, VALIDATING, namespace, allow(), **more) as hook:
        hook.hold()
        began_s = time.monotonic()
        answer = collection(cluster, namespace, "secrets").create(_secret())
        took_s = time.monotonic() - began_s
        hook.release()
    assert answer.code == code
    assert 1.0 <= took_s < 10.0
    if code == 500:
        assert answer.json["message"].endswith('?timeout=1s": context deadline exceeded')


def test_while_a_webhook_is_slow_others_are_answered(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    secrets = collection(cluster, namespace, "secrets")
    with (
        asked(cluster, webhooks, VALIDATING, namespace, allow()) as hook,
        ThreadPoolExecutor(8) as pool,
    ):
        hook.hold()
        waiting = [pool.submit(secrets.create, _secret(f"slow-{n}")) for n in range(8)]
        assert hook.asked.wait(30)
        other = collection(cluster, "default", "secrets")
        for number in range(20):
            other.made(_secret(f"{namespace}-{number}"))
            assert other.delete(f"{namespace}-{number}").code == 200
        assert not any(future.done() for future in waiting)
        hook.release()
        assert [future.result().code for future in waiting] == [201] * 8


def test_validating_webhooks_are_asked_at_the_same_time(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    # Each answers only when all three have been asked: one after the other, none ever would.
    together = threading.Barrier(3, timeout=30)

    def respond(_request: Json) -> Json:
        together.wait()
        return {"allowed": True}

    specs = []
    for path in ("/together-a", "/together-b", "/together-c"):
        webhooks.hook(path, respond)
        specs.append(hook_spec(webhooks, path, namespace))
    with configured(cluster, VALIDATING, *specs):
        collection(cluster, namespace, "secrets").made(_secret())


def test_the_first_denial_in_order_is_told(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    specs = []
    for path in ("/one", "/two"):
        webhooks.hook(path, deny(message=path))
        specs.append(hook_spec(webhooks, path, namespace))
    with configured(cluster, VALIDATING, *specs):
        answer = collection(cluster, namespace, "secrets").create(_secret())
    assert answer.json["message"].endswith("denied the request: /one")


def test_a_webhook_may_ask_the_server_that_asks_it(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    secrets = collection(cluster, namespace, "secrets")
    seen: list[int] = []

    def respond(_request: Json) -> Json:
        seen.append(secrets.list().code)
        own = {"metadata": {"generateName": "own-"}}
        seen.append(collection(cluster, namespace, "configmaps").create(own).code)
        return {"allowed": True}

    with asked(cluster, webhooks, VALIDATING, namespace, respond), ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(secrets.create, _secret(f"s-{n}")) for n in range(8)]
        assert [future.result().code for future in futures] == [201] * 8
    assert set(seen) == {200, 201}


@BOTH
@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (Reply(200, b"<html>"), "couldn't get version/kind; json parse error"),
        (Reply(200, b'{"kind":"AdmissionReview"}'), "webhook response was absent"),
        (Reply(200, b" " * (17 << 20)), "the answer is longer than"),
        (Reply(302, headers={"Location": "https://127.0.0.1:1/"}), "status code 302"),
        (Reply(500, b"oops", {"Content-Type": "text/plain"}), 'an error on the server ("oops")'),
        (Reply(404), "the server could not find the requested resource"),
    ],
)
def test_what_is_no_answer_fails_the_request(
    cluster: Cluster,
    namespace: str,
    webhooks: WebhookServer,
    plural: str,
    reply: Reply,
    text: str,
) -> None:
    with asked(cluster, webhooks, plural, namespace, lambda _: reply):
        answer = collection(cluster, namespace, "secrets").create(_secret())
    assert answer.code == 500
    assert text in answer.json["message"]


def test_a_webhook_with_effects_is_no_part_of_a_dry_run(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    # Such ones are left from before validation: here an update of what was created is refused.
    with asked(cluster, webhooks, VALIDATING, namespace, allow(), sideEffects="None") as hook:
        secrets = collection(cluster, namespace, "secrets")
        assert secrets.create(_secret(), "?dryRun=All").code == 201
        assert hook.requests[0]["dryRun"] is True
    answer = collection(cluster, "", VALIDATING, GROUP).create(
        {
            "metadata": {"name": "effects"},
            "webhooks": [{**hook_spec(webhooks, "/e", namespace), "sideEffects": "Some"}],
        }
    )
    assert answer.code == 422
    assert 'Unsupported value: "Some"' in answer.json["message"]


def test_a_service_that_is_not_there_is_told_by_name(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    spec = hook_spec(webhooks, "/served", namespace)
    service = {"name": "judge", "namespace": namespace, "path": "/served"}
    spec["clientConfig"] = {"service": service, "caBundle": webhooks.ca_bundle}
    with configured(cluster, VALIDATING, spec):
        answer = collection(cluster, namespace, "secrets").create(_secret())
    url = f"https://judge.{namespace}.svc:443/served?timeout=10s"
    assert answer.code == 500
    assert answer.json["message"].endswith(f'Post "{url}": service "judge" not found')


@pytest.mark.slow
def test_a_configuration_counts_for_the_next_request_on_every_worker(
    tmp_path: Path, webhooks: WebhookServer
) -> None:
    with run_cluster(tmp_path, {"server": {"workers": 2}}) as cluster:
        space = collection(cluster, "", "namespaces")
        space.made({"metadata": {"name": "n"}})
        secrets = collection(cluster, "n", "secrets")
        add = {"op": "add", "path": "/data/added", "value": "eWVz"}
        for number in range(10):
            # Each request has a connection of its own: the kernel picks a worker for it.
            with asked(cluster, webhooks, MUTATING, "n", patch(add)):
                made: list[Any] = [secrets.made(_secret(f"a-{number}-{n}")) for n in range(4)]
                assert all(one["data"].get("added") for one in made)
            made = [secrets.made(_secret(f"b-{number}-{n}")) for n in range(4)]
            assert not any(one["data"].get("added") for one in made)


def test_rejections_are_counted_by_cause(
    cluster: Cluster, namespace: str, webhooks: WebhookServer
) -> None:
    with asked(cluster, webhooks, VALIDATING, namespace, deny(code=403)) as hook:
        collection(cluster, namespace, "secrets").create(_secret())
        name = hook.paths[0].split("?")[0].strip("/") + ".example.com"
    metrics = cluster.call("GET", "/metrics").body.decode()
    labels = (
        f'{{error_type="no_error",name="{name}",operation="CREATE",rejection_code="403",'
        'type="validating"}'
    )
    assert f"apiserver_admission_webhook_rejection_count{labels} 1.0" in metrics
    took = f'apiserver_admission_webhook_admission_duration_seconds_count{{name="{name}",'
    assert took in metrics
