"""A server that is asked by SubjectAccessReviews, and what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import yaml

from tests.integration.cluster import HOST


class Webhook:
    """What was asked; it allows what users called "friend…" ask for, and denies "foe…" all."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.is_broken = False

    def answer(self, review: Any) -> Any:
        """Return a review with its status."""
        spec = review["spec"]
        self.asked.append(spec)
        friend = spec["user"].startswith("friend")
        status = {"allowed": friend, "reason": "a friend" if friend else "no friend"}
        if spec["user"].startswith("foe"):
            status = {"allowed": False, "denied": True, "reason": "a foe"}
        return {**review, "status": status}


@contextmanager
def run_webhook(webhook: Webhook) -> Iterator[str]:
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


def write_kubeconfig(path: Path, url: str) -> None:
    """Write where such a server is."""
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "w", "user": "u"}}],
        "clusters": [{"name": "w", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {}}],
    }
    path.write_text(yaml.safe_dump(config))
