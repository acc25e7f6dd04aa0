"""A webhook is asked what roles do not allow, and only that; what it says is remembered."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest
import yaml

from tests.integration.api_calls import check_status
from tests.integration.cluster import HOST, Cluster, run_cluster
from tests.integration.personas import grant, persona, rule

ACCESS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


class Webhook:
    """What was asked; it allows what users called "friend…" ask for."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.is_broken = False

    def answer(self, review: Any) -> Any:
        """Return a review with its status."""
        spec = review["spec"]
        self.asked.append(spec)
        friend = spec["user"].startswith("friend")
        status = {"allowed": friend, "reason": "a friend" if friend else "no friend"}
        return {**review, "status": status}


@contextmanager
def _running(webhook: Webhook) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = orjson.dumps(webhook.answer(orjson.loads(body)))
            self.send_response(500 if webhook.is_broken else 200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}/authorize"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)


@pytest.fixture(scope="module")
def webhook() -> Webhook:
    """What answers."""
    return Webhook()


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory, webhook: Webhook) -> Iterator[Cluster]:
    """A cluster that asks it."""
    directory = tmp_path_factory.mktemp("asking")
    with _running(webhook) as url:
        config = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "w", "user": "u"}}],
            "clusters": [{"name": "w", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {}}],
        }
        (directory / "webhook.yaml").write_text(yaml.safe_dump(config))
        auth = {"authorization_webhook_config_file": str(directory / "webhook.yaml")}
        with run_cluster(directory, {"auth": auth}) as running:
            yield running


def test_who_no_role_allows_is_allowed_by_the_webhook_and_asked_for_once(
    asking: Cluster, webhook: Webhook
) -> None:
    friend = persona(asking, "friend-1")
    path = "/api/v1/namespaces/default/pods?labelSelector=a%3Db"
    for _ in range(3):
        assert friend.call("GET", path).code == 200
    asked = [spec for spec in webhook.asked if spec["user"] == "friend-1"]
    assert asked == [
        {
            "user": "friend-1",
            "groups": ["system:authenticated"],
            "resourceAttributes": {
                "verb": "list",
                "version": "v1",
                "resource": "pods",
                "namespace": "default",
                "labelSelector": {"rawSelector": "a=b"},
            },
        }
    ]
    assert friend.call("GET", "/metrics").code == 200
    assert webhook.asked[-1]["nonResourceAttributes"] == {"verb": "get", "path": "/metrics"}


def test_a_refusal_has_the_webhooks_reason(asking: Cluster) -> None:
    user = persona(asking)
    message = (
        f'pods is forbidden: User "{user.name}" cannot list resource "pods" in API group "" at '
        "the cluster scope: no friend"
    )
    for _ in range(2):
        check_status(user.call("GET", "/api/v1/pods"), 403, "Forbidden", message)


def test_what_a_role_allows_is_not_asked(asking: Cluster, webhook: Webhook) -> None:
    user = persona(asking)
    grant(user, "", rule("list", "pods"))
    assert user.call("GET", "/api/v1/pods").code == 200
    assert all(spec["user"] != user.name for spec in webhook.asked)


def test_reviews_ask_the_webhook_too(asking: Cluster) -> None:
    wanted = {"verb": "get", "resource": "nodes"}
    spec = {"user": "friend-2", "resourceAttributes": wanted}
    status = asking.call("POST", ACCESS, {"spec": spec}).json["status"]
    assert status == {"allowed": True, "reason": "a friend"}


def test_while_the_webhook_does_not_answer_nobody_else_is_let_in(
    asking: Cluster, webhook: Webhook
) -> None:
    webhook.is_broken = True
    assert persona(asking, "friend-3").call("GET", "/api/v1/pods").code == 403
    webhook.is_broken = False
    assert persona(asking, "friend-3").call("GET", "/api/v1/pods").code == 200
