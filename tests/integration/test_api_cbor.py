"""CBOR in every verb: the same as JSON says, in fewer bytes; what cannot be said is refused."""

from __future__ import annotations

import base64
from typing import Any

import cbor2
import pytest

from kube import codec_cbor
from tests.integration.api_calls import (
    Collection,
    check_status,
    collection,
    deployment,
    named,
    pod,
)
from tests.integration.cbor_calls import ACCEPT, CBOR, answered, expected, send
from tests.integration.cluster import Cluster


@pytest.fixture
def config_maps(cluster: Cluster, namespace: str) -> Collection:
    """The ConfigMaps of a new namespace."""
    return collection(cluster, namespace, "configmaps")


def test_an_object_is_created_replaced_read_and_deleted_in_cbor(config_maps: Collection) -> None:
    created = send(config_maps, "POST", "", named("a", data={"k": "é"}))
    assert created.code == 201
    assert created.body == expected(config_maps.get("a").json)
    obj = answered(created)
    obj["data"]["k"] = "w"
    replaced = send(config_maps, "PUT", "/a", obj)
    assert replaced.code == 200
    assert replaced.body == expected(config_maps.get("a").json)
    assert answered(replaced)["data"] == {"k": "w"}
    assert config_maps.get("a", headers=ACCEPT).body == replaced.body
    uid = answered(replaced)["metadata"]["uid"]
    wrong = send(config_maps, "DELETE", "/a", {"preconditions": {"uid": "other"}})
    assert (wrong.code, answered(wrong)["reason"]) == (409, "Conflict")
    options = {"kind": "DeleteOptions", "preconditions": {"uid": uid}}
    deleted = send(config_maps, "DELETE", "/a", options)
    assert answered(deleted)["status"] == "Success"
    missing = config_maps.get("a", headers=ACCEPT)
    assert (missing.code, answered(missing)["reason"]) == (404, "NotFound")


def test_text_and_byte_strings_are_taken_alike_with_or_without_the_prefix(
    config_maps: Collection,
) -> None:
    for number, body in enumerate(
        (
            cbor2.dumps(named("a0", data={"k": "v"})),
            codec_cbor.encode(named("a1", data={"k": "v"})),
            b"\xbf\x48metadata\xbf\x44name\x7f\x61a\x612\xff\xff\x44data\xa1\x41k\x5f\x41v\xff\xff",
        )
    ):
        assert send(config_maps, "POST", "", body).code == 201
        assert config_maps.get(f"a{number}").json["data"] == {"k": "v"}


def test_binary_data_is_bytes_in_cbor_and_base64_in_json(cluster: Cluster, namespace: str) -> None:
    secrets = collection(cluster, namespace, "secrets")
    raw = bytes(range(256))
    text = base64.b64encode(raw).decode()
    created = send(secrets, "POST", "", {"metadata": {"name": "a"}, "data": {"k": raw, "t": text}})
    assert created.code == 201
    assert secrets.get("a").json["data"] == {"k": text, "t": text}
    tagged = cbor2.CBORTag(22, raw)
    shown = cbor2.loads(created.body.removeprefix(codec_cbor.PREFIX))
    assert shown[b"data"] == {b"k": tagged, b"t": tagged}
    assert secrets.list(headers=ACCEPT).body == expected(secrets.list().json)


def test_a_dry_run_leaves_no_trace_in_later_reads(config_maps: Collection) -> None:
    made = config_maps.made(named("a", data={"k": "v"}))
    tried = send(config_maps, "PUT", "/a?dryRun=All", {**made, "data": {"k": "w"}})
    assert answered(tried)["data"] == {"k": "w"}
    assert config_maps.get("a", headers=ACCEPT).body == expected(made)
    send(config_maps, "POST", "?dryRun=All", named("b"))
    assert config_maps.get("b").code == 404


def test_a_removed_objects_last_answer_is_not_what_its_successor_shows(
    config_maps: Collection,
) -> None:
    made = config_maps.made({"metadata": {"name": "a", "finalizers": ["x.io/f"]}})
    config_maps.delete("a")
    held = answered(config_maps.get("a", headers=ACCEPT))
    del held["metadata"]["finalizers"]
    gone = send(config_maps, "PUT", "/a", held)
    assert answered(gone)["metadata"]["uid"] == made["metadata"]["uid"]
    again = config_maps.made(named("a"))
    assert config_maps.get("a", headers=ACCEPT).body == expected(again)


def test_subresources_speak_cbor(cluster: Cluster, namespace: str) -> None:
    deployments = collection(cluster, namespace, "deployments", "apps/v1")
    deployments.made(deployment("d"))
    scale = answered(deployments.get("d/scale", headers=ACCEPT))
    scale["spec"]["replicas"] = 7
    assert answered(send(deployments, "PUT", "/d/scale", scale))["spec"] == {"replicas": 7}
    assert deployments.get("d").json["spec"]["replicas"] == 7
    accounts = collection(cluster, namespace, "serviceaccounts")
    accounts.made(named("robot"))
    request = {"spec": {"audiences": ["x"], "expirationSeconds": 600}}
    token = send(accounts, "POST", "/robot/token", request)
    assert token.code == 201
    assert answered(token)["status"]["token"].count(".") == 2
    pods = collection(cluster, namespace, "pods")
    pods.made(pod("p"))
    target = {"kind": "Node", "name": "n"}
    bound = send(pods, "POST", "/p/binding", named("p", target=target))
    assert answered(bound)["status"] == "Success"
    assert pods.get("p").json["spec"]["nodeName"] == "n"
    assert answered(send(pods, "POST", "/p/eviction", named("p")))["status"] == "Success"


def test_metadata_only_is_to_be_had_in_cbor_but_a_table_is_not(config_maps: Collection) -> None:
    made = config_maps.made(named("a"))
    shape = f"{CBOR};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    partial = answered(config_maps.get("a", headers={"Accept": shape}))
    assert (partial["kind"], partial["metadata"]) == ("PartialObjectMetadata", made["metadata"])
    table = f"{CBOR};as=Table;g=meta.k8s.io;v=v1"
    refused = config_maps.list(headers={"Accept": table})
    accepted = "application/json, application/yaml, application/cbor"
    message = f"only the following media types are accepted: {accepted}"
    check_status(refused, 406, "NotAcceptable", message)


NOT_WELL_FORMED: list[tuple[bytes, str]] = [
    (b"", "EOF (<empty>)"),
    (b"\xd9\xd9\xf7", "unexpected EOF (d9d9f7)"),
    (b"\xa1\x41a", "unexpected EOF (a14161)"),
    (b"\xa0\xa0", "cbor: 1 bytes of extraneous data starting at index 1 (a0a0)"),
    (b"\x80", "cbor: cannot unmarshal array into Go value of type v1.TypeMeta (80)"),
    (b"\x20", "cbor: cannot unmarshal negative integer into Go value of type v1.TypeMeta (20)"),
    (b"\x81" * 40, f"unexpected EOF ({'81' * 30} ...)"),
]


@pytest.mark.parametrize(("body", "words"), NOT_WELL_FORMED)
def test_what_is_no_map_is_unrecognized(config_maps: Collection, body: bytes, words: str) -> None:
    answer = config_maps.cluster.call("POST", config_maps.path, body, content_type=CBOR)
    message = (
        "the object provided is unrecognized (must be of type ConfigMap): "
        f"unable to determine group/version/kind: {words}"
    )
    check_status(answer, 400, "BadRequest", message)


MEANINGLESS: list[tuple[bytes, str]] = [
    (b"\xa1\x44data\xa2\x41k\x41v\x61k\x41w", 'found duplicate map key "k"'),
    (b"\xa1\x44data\xa1\x41k\x41\xff", "invalid UTF-8 string"),
    (
        b"\xa1\x44data\x1b" + b"\xff" * 8,
        "cannot unmarshal positive integer into Go value of type int64 "
        "(18446744073709551615 overflows Go's int64)",
    ),
    (
        b"\xa1\x44data\xf9\x7e\x00",
        "data item of cbor type primitives is not accepted by protocol: floating-point NaN",
    ),
    (
        b"\xa1\x44data\xc2\x41\x01",
        "data item of cbor type tag is not accepted by protocol: bignum",
    ),
]


@pytest.mark.parametrize(("body", "words"), MEANINGLESS)
@pytest.mark.parametrize("validation", ["Ignore", "Warn", "Strict"])
def test_what_json_cannot_say_is_refused_however_strict(
    config_maps: Collection, validation: str, body: bytes, words: str
) -> None:
    answer = config_maps.cluster.call(
        "POST", f"{config_maps.path}?fieldValidation={validation}", body, content_type=CBOR
    )
    message = f'ConfigMap in version "v1" cannot be handled as a ConfigMap: cbor: {words}'
    check_status(answer, 400, "BadRequest", message)


def test_unknown_fields_follow_field_validation(config_maps: Collection) -> None:
    strict = send(config_maps, "POST", "?fieldValidation=Strict", named("a", sp0t=1))
    assert (strict.code, answered(strict)["reason"]) == (400, "BadRequest")
    assert answered(strict)["message"].endswith('strict decoding error: unknown field "sp0t"')
    warned = send(config_maps, "POST", "", named("a", sp0t=1))
    assert (warned.code, warned.headers["warning"]) == (201, '299 - "unknown field \\"sp0t\\""')
    assert "sp0t" not in answered(warned)


@pytest.mark.parametrize("value", [7.0, 1.5, "7", True])
def test_only_integers_are_integers(cluster: Cluster, namespace: str, value: Any) -> None:
    deployments = collection(cluster, namespace, "deployments", "apps/v1")
    obj = deployment("d")
    obj["spec"]["replicas"] = value
    refused = send(deployments, "POST", "", obj)
    assert (refused.code, answered(refused)["reason"]) == (400, "BadRequest")


def test_what_only_json_could_say_is_shown_in_cbor_all_the_same(
    cluster: Cluster, namespace: str
) -> None:
    revisions = collection(cluster, namespace, "controllerrevisions", "apps/v1")
    revisions.made(named("a", revision=1, data={"n": 2**64 - 1, "t": "\0\ufffd\U0001f600"}))
    data = answered(revisions.get("a", headers=ACCEPT))["data"]
    assert data == {"n": float(2**64 - 1), "t": "\0\ufffd\U0001f600"}
    assert answered(revisions.list(headers=ACCEPT))["items"][0]["data"] == data


@pytest.mark.parametrize("kind", ["strategic-merge-patch", "merge-patch"])
def test_only_apply_is_a_patch_in_cbor(config_maps: Collection, kind: str) -> None:
    config_maps.made(named("a"))
    refused = config_maps.patch("a", codec_cbor.encode({}), content_type=f"application/{kind}+cbor")
    unknown = config_maps.patch("a", b"{}", content_type="application/what")
    assert refused.code == unknown.code == 415
    assert refused.json == unknown.json
