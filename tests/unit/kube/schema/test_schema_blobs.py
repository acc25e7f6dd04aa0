"""Binary fields: where they are, and that only what reads back the same becomes bytes."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from kube.schema.blobs import EACH, blob_paths, unpack_blobs
from kube.schema.compile import builtin_schemas

CORE = "io.k8s.api.core.v1"


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        (f"{CORE}.Secret", (("data", EACH),)),
        (f"{CORE}.ConfigMap", (("binaryData", EACH),)),
        (f"{CORE}.Pod", ()),
        (
            "io.k8s.api.certificates.v1.CertificateSigningRequest",
            (("spec", "request"), ("status", "certificate")),
        ),
        (
            "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration",
            (("webhooks", EACH, "clientConfig", "caBundle"),),
        ),
    ],
)
def test_the_schema_tells_where_bytes_are(name: str, paths: tuple[tuple[str, ...], ...]) -> None:
    assert blob_paths(builtin_schemas().struct(name)) == paths


def test_bytes_are_found_in_maps_lists_and_fields() -> None:
    obj: dict[str, Any] = {"l": [{"c": "YQ=="}, {}, {"c": None}], "m": {"x": "", "y": "Yg=="}}
    unpack_blobs(obj, ("l", EACH, "c"))
    unpack_blobs(obj, ("m", EACH))
    unpack_blobs(obj, ("absent", EACH, "c"))
    assert obj == {"l": [{"c": b"a"}, {}, {"c": None}], "m": {"x": b"", "y": b"b"}}


@pytest.mark.parametrize("text", ["YQ", "YR==", "YQ==\n", "?", "YQ==YQ==", "é", 1, None, ["YQ=="]])
def test_what_would_not_read_back_the_same_stays_as_it_is(text: Any) -> None:
    assert unpack_blobs({"k": text}, ("k",)) == {"k": text}


def test_everything_else_reads_back_the_same() -> None:
    for length in range(64):
        text = base64.b64encode(bytes(range(length))).decode()
        assert unpack_blobs({"k": text}, ("k",)) == {"k": bytes(range(length))}
