"""Mutated requests: whatever is sent, no 500, no hang, and the same process goes on.

Each test takes valid requests apart and damages them at random from a fixed seed, so that a
failure comes again. `FUZZ_ROUNDS` multiplies how many are sent.
"""

from __future__ import annotations

import os
import random
import select
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import cbor2
import orjson
import pytest
import yaml

from kube import codec_protobuf
from tests.integration.api_calls import deployment, pod
from tests.integration.bad_input_wire import Wire
from tests.integration.cluster import Cluster

WAITS_S: Final = 0.3
ROUNDS: Final = 150 * int(os.environ.get("FUZZ_ROUNDS", "1"))
SERVICE: Final = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "s", "labels": {"a": "b"}, "annotations": {"c": "d"}},
    "spec": {
        "type": "NodePort",
        "selector": {"app": "a"},
        "ports": [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}],
        "sessionAffinity": "ClientIP",
        "ipFamilies": ["IPv4"],
    },
}
SUBJECTS: Final[list[tuple[str, dict[str, Any]]]] = [
    ("/api/v1/namespaces/{}/services", SERVICE),
    (
        "/api/v1/namespaces/{}/pods",
        {"apiVersion": "v1", "kind": "Pod", **pod("p", "node", app="a")},
    ),
    (
        "/apis/apps/v1/namespaces/{}/deployments",
        {"apiVersion": "apps/v1", "kind": "Deployment", **deployment("d")},
    ),
]
ODD_VALUES: Final[list[Any]] = [
    None, True, 0, -1, 2**63, -(2**63), 1.5, 1e300, "", "\0", "a" * 300, "é\U0001f600", "1Gi",
    "2020-01-01T00:00:00Z", [], {}, [None], [[]], {"": None}, {"a": {"b": [1]}}, "127.0.0.1", "-",
]  # fmt: skip
ENCODERS: Final[dict[str, Callable[[Any], bytes]]] = {
    "application/json": orjson.dumps,
    "application/yaml": lambda obj: yaml.safe_dump(obj).encode(),
    "application/cbor": cbor2.dumps,
    codec_protobuf.MEDIA_TYPE: codec_protobuf.encode,
}
QUERIES: Final = [
    b"limit=1", b"continue=abc", b"resourceVersion=0", b"resourceVersionMatch=Exact",
    b"labelSelector=a%20in%20(b,c),!d", b"fieldSelector=metadata.name%3Da", b"watch=true",
    b"timeoutSeconds=1", b"timeout=1s", b"pretty=true", b"dryRun=All", b"fieldValidation=Strict",
    b"fieldManager=x", b"gracePeriodSeconds=0", b"propagationPolicy=Orphan", b"force=true",
    b"sendInitialEvents=true", b"allowWatchBookmarks=1", b"includeObject=None",
]  # fmt: skip
METHODS: Final = [b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE"]
PATHS: Final = [
    b"/api/v1/namespaces/{}/configmaps", b"/api/v1/namespaces/{}/pods/a/status",
    b"/apis/apps/v1/namespaces/{}/deployments/a/scale", b"/api/v1/watch/namespaces/{}/pods",
    b"/apis", b"/apis/apps", b"/openapi/v3/api/v1", b"/openapi/v2", b"/version", b"/readyz",
    b"/api/v1/namespaces/{}/pods/a/eviction", b"/api/v1/namespaces/{}/finalize",
    b"/api/v1/namespaces/{}/serviceaccounts/default/token", b"/api/v1/nodes/a/status",
    b"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", b"/api/v1/namespaces/{}/pods/a/log",
]  # fmt: skip
HEADERS: Final = [
    b"Accept: application/json;as=Table;g=meta.k8s.io;v=v1,application/json",
    b"Accept: application/yaml, */*;q=0.1", b"Accept: application/vnd.kubernetes.protobuf",
    b"Content-Type: application/strategic-merge-patch+json", b"Impersonate-User: a",
    b"Impersonate-Group: b", b"Impersonate-Extra-a%zz: c", b"Accept-Encoding: gzip",
    b"User-Agent: x/y", b"Expect: 100-continue", b"Connection: keep-alive, upgrade",
    b"Upgrade: SPDY/3.1", b"Transfer-Encoding: chunked", b"Content-Length: 5",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _goes_on(cluster: Cluster) -> Iterator[None]:
    """Whatever was sent, the same process answers afterwards and has seen no bug."""
    before = cluster.pid_of("apiserver")
    log = cluster.directory / "logs" / "apiserver.log"
    start = log.stat().st_size
    yield
    assert cluster.call("GET", "/readyz").code == 200
    assert cluster.pid_of("apiserver") == before
    assert "Traceback" not in _tail(log, start)


def _tail(log: Path, start: int) -> str:
    with log.open("rb") as lines:
        lines.seek(start)
        return lines.read().decode(errors="replace")


def _damage_bytes(chance: random.Random, data: bytes) -> bytes:
    """Change, drop, repeat or insert some bytes."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(5):
            case 0:
                changed[at:at] = chance.randbytes(chance.randint(1, 4))
            case 1:
                del changed[at : at + chance.randint(1, 8)]
            case 2:
                changed[at : at + 1] = bytes([chance.randrange(256)])
            case 3:
                changed[at:at] = changed[at : at + chance.randint(1, 40)]
            case _:
                changed[at:at] = chance.choice(
                    [b"\0", b"\xff", b"%00", b"%", b"..", b"/", b"{", b"[", b'"', b"\\ud800", b"&"]
                )
    return bytes(changed)


def _damage_object(chance: random.Random, obj: Any) -> Any:
    """Put an odd value, or a value from elsewhere, in some place."""
    changed: Any = orjson.loads(orjson.dumps(obj))
    for _ in range(chance.randint(1, 3)):
        places = list(_places(changed))
        holder, key = chance.choice(places)
        match chance.randrange(4):
            case 0:
                del holder[key]
            case 1:
                other, there = chance.choice(places)
                if isinstance(other, list) or there in other:
                    _put(holder, key, orjson.loads(orjson.dumps(_take(other, there))))
            case _:
                _put(holder, key, chance.choice(ODD_VALUES))
        if not list(_places(changed)):
            break
    return changed


def _take(holder: Any, key: Any) -> Any:
    return holder[key] if not isinstance(holder, list) or key < len(holder) else None


def _put(holder: Any, key: Any, value: Any) -> None:
    if isinstance(holder, list) and key >= len(holder):
        holder.append(value)
    else:
        holder[key] = value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    if not isinstance(value, dict | list):
        return
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, key
        yield from _places(item)


def _send(cluster: Cluster, message: bytes, *, is_whole: bool = True) -> int:
    """Send a request and return its answer's code; 0 if there is none.

    Args:
        cluster: where.
        message: head and body.
        is_whole: the server must find its end, and answer; otherwise it may wait for more.
    """
    with Wire(cluster) as wire:
        wire.send(message)
        if is_whole:
            reply = wire.reply()
            return reply.code if reply is not None else 0
        if not select.select([wire.socket], [], [], WAITS_S)[0]:
            return 0
        # The rest may be a watch without end.
        line = wire.line()
        return int(line.split()[1]) if line else 0


def _message(cluster: Cluster, line: bytes, headers: list[bytes], body: bytes) -> bytes:
    own = [b"Host: x", b"Authorization: Bearer " + cluster.token.encode(), b"Connection: close"]
    return b"\r\n".join([line + b" HTTP/1.1", *own, *headers, b"", b""]) + body


@pytest.mark.parametrize("media_type", ENCODERS)
@pytest.mark.parametrize("where", ["object", "bytes"])
def test_a_damaged_body_is_taken_or_refused(
    cluster: Cluster, namespace: str, media_type: str, where: str
) -> None:
    chance = random.Random(f"{media_type} {where}")
    for number in range(ROUNDS):
        path, obj = chance.choice(SUBJECTS)
        body = _encoded(chance, obj, media_type, where)
        method = chance.choice(["POST", "POST", "PUT", "DELETE"])
        name = "" if method == "POST" else "/x"
        line = f"{method} {path.format(namespace)}{name}?dryRun=All".encode()
        headers = [b"Content-Type: " + media_type.encode(), b"Content-Length: %d" % len(body)]
        code = _send(cluster, _message(cluster, line, headers, body))
        assert code in {200, 201, 400, 404, 409, 413, 422}, (number, code, line, body)


def _encoded(chance: random.Random, obj: Any, media_type: str, where: str) -> bytes:
    encode = ENCODERS[media_type]
    if where == "bytes":
        return _damage_bytes(chance, encode(obj))
    try:
        return encode(_damage_object(chance, obj))
    except (ValueError, TypeError, AttributeError, KeyError):
        return encode(obj)  # protobuf has no place for such a value


@pytest.mark.parametrize("media_type", ["merge-patch", "strategic-merge-patch", "json-patch"])
def test_a_damaged_patch_is_taken_or_refused(
    cluster: Cluster, namespace: str, media_type: str
) -> None:
    chance = random.Random(media_type)
    path, obj = SUBJECTS[2]
    created = cluster.call("POST", path.format(namespace), obj)
    assert created.code == 201, created.body
    line = f"PATCH {path.format(namespace)}/d?dryRun=All".encode()
    operations = [
        {"op": "replace", "path": "/spec/replicas", "value": 2},
        {"op": "move", "from": "/spec/template/spec/containers/0", "path": "/metadata/labels"},
        {"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "x"}},
        {"op": "test", "path": "/metadata/name", "value": "d"},
    ]
    merging = {**obj, "$patch": "merge", "spec": {**obj["spec"], "$retainKeys": ["replicas"]}}
    for number in range(ROUNDS):
        patch = _damage_object(chance, operations if media_type == "json-patch" else merging)
        body = orjson.dumps(patch)
        if not number % 3:
            body = _damage_bytes(chance, body)
        headers = [
            f"Content-Type: application/{media_type}+json".encode(),
            b"Content-Length: %d" % len(body),
        ]
        code = _send(cluster, _message(cluster, line, headers, body))
        assert code in {200, 400, 404, 409, 413, 415, 422}, (number, code, body)


def test_a_damaged_head_is_answered_or_the_connection_closed(
    cluster: Cluster, namespace: str
) -> None:
    chance = random.Random("head")
    for number in range(ROUNDS * 4):
        path = chance.choice(PATHS).replace(b"{}", namespace.encode())
        queries = chance.sample(QUERIES, chance.randrange(5))
        line = chance.choice(METHODS) + b" " + path
        if queries:
            line += b"?" + b"&".join([*queries, b"timeoutSeconds=1", b"dryRun=All"])
        headers = chance.sample(HEADERS, chance.randrange(4))
        part = chance.randrange(3)
        if part == 0:
            line = _damage_bytes(chance, line)
        elif part == 1 and headers:
            headers[0] = _damage_bytes(chance, headers[0])
        message = _message(cluster, line, headers, b"0\r\n\r\n")
        code = _send(cluster, message, is_whole=False)
        assert code < 500 or code in (501, 505), (number, code, message)
