"""Calls of webhooks: what is sent, what is taken for an answer, and how failures are told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from apiserver.webhooks.client import CallFailed, WebhookClient
from apiserver.webhooks.target import BadTarget, Target, target_of
from journal.memory import MemoryEngine
from storage.store import Store, StoreOptions
from storage.txn import ANY, Put
from tests.integration.webhook_server import HOST, Reply, WebhookServer, allow, run_webhooks

NAME = "judge.system.svc"
REVIEW = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {"uid": "7"}}
_HEAD = b'{"metadata":{"resourceVersion":"'
Json = dict[str, Any]


@pytest.fixture(scope="module")
def webhooks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebhookServer]:
    """A server of webhooks."""
    with run_webhooks(tmp_path_factory.mktemp("webhooks"), [NAME]) as server:
        yield server


@asynccontextmanager
async def _client(directory: Path) -> AsyncIterator[tuple[WebhookClient, Store]]:
    options = StoreOptions(directory / "memory", directory / "data")
    async with Store(MemoryEngine(), options) as store:
        client = WebhookClient(store)
        try:
            yield client, store
        finally:
            await client.close()


def _call(directory: Path, target: Target, **options: Any) -> Json:
    async def run() -> Json:
        async with _client(directory) as (client, _):
            return await client.call(target, orjson.dumps(REVIEW), **{"timeout_s": 10.0, **options})

    return asyncio.run(run())


def _fails(directory: Path, target: Target, **options: Any) -> str:
    with pytest.raises(CallFailed) as failed:
        _call(directory, target, **options)
    return str(failed.value)


async def _put(store: Store, resource: str, name: str, obj: Json, labels: Json) -> None:
    metadata = {"resourceVersion": "", "name": name, "namespace": "system", "labels": labels}
    body = orjson.dumps({"metadata": metadata, **obj})
    head = "".join(f"{key}={value}\0" for key, value in labels.items())
    meta = f"\0{head}\x01".encode()
    await store.commit((Put(resource, "system", name, meta, body, len(_HEAD), ANY),), 5)


async def _serve_at(store: Store, port: int, *, ready: bool = True) -> None:
    ports = [{"name": "https", "port": 443, "targetPort": "tls"}]
    await _put(store, "services", "judge", {"spec": {"type": "ClusterIP", "ports": ports}}, {})
    endpoint = {"addresses": [HOST], "conditions": {"ready": ready}}
    found = {
        "addressType": "IPv4",
        "ports": [{"name": "https", "port": port}],
        "endpoints": [endpoint],
    }
    labels = {"kubernetes.io/service-name": "judge"}
    await _put(store, "discovery.k8s.io/endpointslices", "judge-x", found, labels)


def test_the_answer_is_what_the_webhook_says_and_it_knows_its_time(
    tmp_path: Path, webhooks: WebhookServer
) -> None:
    hook = webhooks.hook("/ok", allow())
    answer = _call(tmp_path, target_of(webhooks.config("/ok/")), timeout_s=9.5)
    assert answer["response"] == {"uid": "7", "allowed": True}
    assert hook.reviews == [REVIEW]
    assert hook.paths == ["/ok?timeout=10s"]


def test_a_connection_is_used_again(tmp_path: Path, webhooks: WebhookServer) -> None:
    async def run() -> None:
        async with _client(tmp_path) as (client, _):
            for _ in range(5):
                target = target_of(webhooks.config("/again"))
                await client.call(target, orjson.dumps(REVIEW), timeout_s=10)

    webhooks.hook("/again", allow())
    before = webhooks.connections
    asyncio.run(run())
    assert webhooks.connections == before + 1


def test_a_service_is_reached_at_a_ready_endpoint_under_its_own_name(
    tmp_path: Path, webhooks: WebhookServer
) -> None:
    service = {"name": "judge", "namespace": "system", "path": "/service"}

    async def run() -> Json:
        async with _client(tmp_path) as (client, store):
            await _serve_at(store, webhooks.port)
            target = target_of({"service": service, "caBundle": webhooks.ca_bundle})
            return await client.call(target, orjson.dumps(REVIEW), timeout_s=10)

    hook = webhooks.hook("/service", allow())
    assert asyncio.run(run())["response"]["allowed"] is True
    assert len(hook.reviews) == 1


@pytest.mark.parametrize(
    ("name", "port", "reason"),
    [
        ("nobody", 443, 'service "nobody" not found'),
        ("judge", 8443, 'no service port 8443 found for service "judge"'),
        ("judge", 443, 'no endpoints available for service "judge"'),
    ],
)
def test_a_service_without_an_address_is_told_as_upstream_does(
    tmp_path: Path, webhooks: WebhookServer, name: str, port: int, reason: str
) -> None:
    service = {"name": name, "namespace": "system", "port": port}

    async def run() -> None:
        async with _client(tmp_path) as (client, store):
            await _serve_at(store, webhooks.port, ready=False)
            target = target_of({"service": service, "caBundle": webhooks.ca_bundle})
            await client.call(target, b"{}", timeout_s=10)

    with pytest.raises(CallFailed) as failed:
        asyncio.run(run())
    assert str(failed.value) == f'Post "https://{name}.system.svc:{port}/?timeout=10s": {reason}'


def test_a_webhook_that_does_not_answer_in_time_is_a_deadline_exceeded(
    tmp_path: Path, webhooks: WebhookServer
) -> None:
    hook = webhooks.hook("/slow", allow())
    hook.hold()
    text = _fails(tmp_path, target_of(webhooks.config("/slow")), timeout_s=0.2)
    hook.release()
    url = f"https://{HOST}:{webhooks.port}/slow?timeout=1s"
    assert text == f'Post "{url}": context deadline exceeded'


def test_a_port_nobody_listens_at_is_a_connection_refused(
    tmp_path: Path, webhooks: WebhookServer
) -> None:
    with socket.socket() as unused:
        unused.bind((HOST, 0))
        port = unused.getsockname()[1]
        config = {"url": f"https://{HOST}:{port}/x", "caBundle": webhooks.ca_bundle}
        text = _fails(tmp_path, target_of(config))
    assert text.endswith(f"dial tcp {HOST}:{port}: connect: connection refused")


def test_a_certificate_of_an_unknown_authority_is_refused(
    tmp_path: Path, webhooks: WebhookServer
) -> None:
    config = webhooks.config("/ok")
    del config["caBundle"]
    text = _fails(tmp_path, target_of(config))
    assert text.endswith("x509: certificate signed by unknown authority")


def test_a_certificate_for_another_name_is_refused(tmp_path: Path, webhooks: WebhookServer) -> None:
    config = webhooks.config("/ok")
    config["url"] = config["url"].replace(HOST, "localhost")
    text = _fails(tmp_path, target_of(config))
    assert "tls: failed to verify certificate: x509: Hostname mismatch" in text


def test_plain_http_is_not_spoken(tmp_path: Path, webhooks: WebhookServer) -> None:
    with run_webhooks(tmp_path, with_tls=False) as plain:
        config = {**plain.config("/ok"), "caBundle": webhooks.ca_bundle}
        text = _fails(tmp_path, target_of(config))
    assert text.endswith("http: server gave HTTP response to HTTPS client")


def test_a_redirect_is_not_followed(tmp_path: Path, webhooks: WebhookServer) -> None:
    hook = webhooks.hook("/target", allow())
    webhooks.hook("/there", lambda _: Reply(307, headers={"Location": "/target"}))
    text = _fails(tmp_path, target_of(webhooks.config("/there")))
    assert text == (
        "the server responded with the status code 307 but did not return more information"
    )
    assert not hook.reviews


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (Reply(404), "the server could not find the requested resource"),
        (
            Reply(500, b"oh no", {"Content-Type": "text/plain"}),
            'an error on the server ("oh no") has prevented the request from succeeding',
        ),
        (
            Reply(403, b'{"kind":"Status","status":"Failure","message":"not you","code":403}'),
            "not you",
        ),
        (Reply(503), "the server is currently unable to handle the request"),
        (Reply(200), "0-length response with status code: 200 and content type: application/json"),
    ],
)
def test_a_refusal_is_told_as_client_go_tells_it(
    tmp_path: Path, webhooks: WebhookServer, reply: Reply, text: str
) -> None:
    webhooks.hook("/refuses", lambda _: reply)
    assert _fails(tmp_path, target_of(webhooks.config("/refuses"))) == text


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'"x"', b"{", b"\xff\xfe", b"[" * 5000])
def test_an_answer_that_is_no_json_object_is_a_failure(
    tmp_path: Path, webhooks: WebhookServer, body: bytes
) -> None:
    webhooks.hook("/garbage", lambda _: Reply(200, body))
    text = _fails(tmp_path, target_of(webhooks.config("/garbage")))
    assert text.startswith("couldn't get version/kind; json parse error: ")


def test_an_answer_without_a_kind_is_a_failure(tmp_path: Path, webhooks: WebhookServer) -> None:
    webhooks.hook("/kindless", lambda _: Reply(200, b'{"response":{}}'))
    text = _fails(tmp_path, target_of(webhooks.config("/kindless")))
    assert text == "Object 'Kind' is missing in '{\"response\":{}}'"


def test_an_answer_over_the_limit_is_read_no_further(
    tmp_path: Path, webhooks: WebhookServer
) -> None:
    webhooks.hook("/huge", lambda _: Reply(200, b" " * 70_000))
    target = target_of(webhooks.config("/huge"))
    assert _fails(tmp_path, target, answer_bytes_max=65_536).endswith(
        "the answer is longer than 65536 bytes"
    )


def test_who_asks_to_be_tried_again_is_tried_again(tmp_path: Path, webhooks: WebhookServer) -> None:
    replies = [Reply(429, headers={"Retry-After": "0"}), Reply(503, headers={"Retry-After": "0"})]
    webhooks.hook("/later", lambda _: replies.pop() if replies else {"allowed": True})
    answer = _call(tmp_path, target_of(webhooks.config("/later")))
    assert answer["response"]["allowed"] is True


def test_authorities_that_are_none_are_told_before_anything_is_sent(tmp_path: Path) -> None:
    target = target_of({"url": "https://127.0.0.1:1", "caBundle": "Zm9v"})
    with pytest.raises(BadTarget, match="unable to parse bytes as PEM block"):
        _call(tmp_path, target)
