"""CBOR in tests: requests and answers, sequences, and what a JSON answer is in CBOR."""

from __future__ import annotations

import base64
import http.client
from io import BytesIO
from typing import Any

import cbor2

from kube import codec_cbor
from tests.integration.api_calls import Collection
from tests.integration.cluster import HOST, Answer

CBOR = "application/cbor"
ACCEPT = {"Accept": CBOR}


def send(
    made: Collection, method: str, where: str, obj: Any, headers: dict[str, str] | None = None
) -> Answer:
    """Send an object in CBOR (or bytes as they are), to be answered in CBOR."""
    body = obj if isinstance(obj, bytes) else codec_cbor.encode(obj)
    wanted = {**ACCEPT, **(headers or {})}
    return made.cluster.call(method, made.path + where, body, content_type=CBOR, headers=wanted)


def answered(answer: Answer) -> Any:
    """Return what a CBOR answer says."""
    assert answer.headers["content-type"] == CBOR
    assert answer.body.startswith(codec_cbor.PREFIX)
    return codec_cbor.decode(answer.body)


def items_of(sequence: bytes) -> list[bytes]:
    """Cut a sequence of CBOR items."""
    stream = BytesIO(sequence)
    found = []
    while (start := stream.tell()) < len(sequence):
        cbor2.CBORDecoder(stream).decode()
        found.append(sequence[start : stream.tell()])
    return found


def watched(made: Collection, query: str) -> tuple[str, list[bytes]]:
    """Watch for a second; return the content type and the events."""
    connection = http.client.HTTPConnection(HOST, made.cluster.plain_port, timeout=20)
    headers = {"Authorization": f"Bearer {made.cluster.token}", **ACCEPT}
    connection.request("GET", f"{made.path}?watch=1&timeoutSeconds=1{query}", headers=headers)
    with connection.getresponse() as answer:
        body = answer.read()
        content_type = answer.headers["Content-Type"]
    connection.close()
    return content_type, items_of(body)


def expected(document: Any) -> bytes:
    """Return the CBOR of a JSON answer; of Secrets and their lists with the bytes of their data."""
    for obj in document.get("items", [document]):
        is_secret = document["kind"] in ("Secret", "SecretList")
        for key, text in obj.get("data", {}).items() if is_secret else ():
            obj["data"][key] = base64.b64decode(text)
    return codec_cbor.encode(document)
