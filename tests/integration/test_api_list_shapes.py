"""Reads in other shapes: Tables, metadata only, YAML, CBOR, indented JSON; HEAD."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kube import codec_cbor, codec_yaml
from tests.integration.api_calls import Collection, check_status, collection, labelled, named
from tests.integration.bad_input_wire import ask
from tests.integration.cluster import Cluster

TABLE = {"Accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}


def partial(kind: str, version: str = "v1") -> dict[str, str]:
    """Return the header that asks for metadata only."""
    return {"Accept": f"application/json;as={kind};g=meta.k8s.io;v={version}"}


@pytest.fixture
def secrets(cluster: Cluster, namespace: str) -> Collection:
    """Secrets a, b and c; a and c labelled x=y."""
    made = collection(cluster, namespace, "secrets")
    made.made(labelled("a", {"x": "y"}, data={"k": "dg=="}))
    made.made(named("b"))
    made.made(labelled("c", {"x": "y"}))
    return made


def table_names(table: Any) -> list[str]:
    """Return the first cells of all rows."""
    return [row["cells"][0] for row in table["rows"]]


def test_a_table_of_a_list_has_the_lists_metadata_and_selection(secrets: Collection) -> None:
    plain = secrets.list("?labelSelector=x").json
    table = secrets.list("?labelSelector=x", headers=TABLE).json
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert table["metadata"] == plain["metadata"]
    assert [column["name"] for column in table["columnDefinitions"]] == [
        "Name",
        "Type",
        "Data",
        "Age",
    ]
    assert table_names(table) == ["a", "c"]
    row = table["rows"][0]
    assert row["cells"][:3] == ["a", "Opaque", 1]
    expected = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    assert row["object"] == {**expected, "metadata": plain["items"][0]["metadata"]}


def test_a_table_shows_the_version_that_was_asked_for(cluster: Cluster, namespace: str) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "maxReplicas": 3, "targetCPUUtilizationPercentage": 60}
    older = collection(cluster, namespace, "horizontalpodautoscalers", "autoscaling/v1")
    newer = collection(cluster, namespace, "horizontalpodautoscalers", "autoscaling/v2")
    older.made(named("a", spec=spec))
    for where in ("", "/a"):
        path = where + "?includeObject=Object"
        old = cluster.call("GET", older.path + path, headers=TABLE).json
        new = cluster.call("GET", newer.path + path, headers=TABLE).json
        assert old["rows"][0]["cells"] == new["rows"][0]["cells"]
        assert "cpu: <unknown>/60%" in old["rows"][0]["cells"]
        assert old["rows"][0]["object"] == older.get("a").json
        assert new["rows"][0]["object"] == newer.get("a").json


def test_include_object_decides_what_rows_carry(secrets: Collection) -> None:
    whole = secrets.list("?includeObject=Object", headers=TABLE).json["rows"][0]["object"]
    assert (whole["kind"], whole["data"]) == ("Secret", {"k": "dg=="})
    assert secrets.list("?includeObject=None", headers=TABLE).json["rows"][0]["object"] is None
    refused = secrets.list("?includeObject=All", headers=TABLE)
    message = (
        'Unable to convert to Table as requested: includeObject: Invalid value: "All": '
        "must be 'Metadata', 'Object', 'None', or empty"
    )
    check_status(refused, 400, "BadRequest", message)


def test_pages_of_tables_and_of_metadata_go_on_like_those_of_lists(secrets: Collection) -> None:
    for headers, items in ((TABLE, "rows"), (partial("PartialObjectMetadataList"), "items")):
        page = secrets.list("?limit=2", headers=headers).json
        assert (len(page[items]), page["metadata"]["remainingItemCount"]) == (2, 1)
        rest = secrets.list(
            f"?limit=2&continue={page['metadata']['continue']}", headers=headers
        ).json
        assert len(rest[items]) == 1
        assert rest["metadata"] == {"resourceVersion": page["metadata"]["resourceVersion"]}


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_metadata_only_lists_name_the_kind_of_their_items(
    secrets: Collection, version: str
) -> None:
    document = secrets.list(headers=partial("PartialObjectMetadataList", version)).json
    api_version = f"meta.k8s.io/{version}"
    assert (document["kind"], document["apiVersion"]) == ("PartialObjectMetadataList", api_version)
    first = document["items"][0]
    assert first.keys() == {"kind", "apiVersion", "metadata"}
    assert (first["kind"], first["apiVersion"]) == ("PartialObjectMetadata", api_version)
    assert first["metadata"] == secrets.get("a").json["metadata"]
    single = secrets.get("a", headers=partial("PartialObjectMetadata", version)).json
    assert single == first


def test_a_shape_of_lists_is_refused_for_an_object_and_the_other_way_round(
    cluster: Cluster, secrets: Collection
) -> None:
    refused = secrets.list(headers=partial("PartialObjectMetadata"))
    message = "you requested PartialObjectMetadata, but the requested object is a list "
    check_status(refused, 406, "NotAcceptable", message + "(*core.SecretList)")
    refused = secrets.get("a", headers=partial("PartialObjectMetadataList"))
    message = "you requested PartialObjectMetadataList, but the requested object is not a list "
    check_status(refused, 406, "NotAcceptable", message + "(*core.Secret)")
    roles = collection(cluster, "", "clusterroles", "rbac.authorization.k8s.io/v1")
    refused = roles.list(headers=partial("PartialObjectMetadata"))
    message = "you requested PartialObjectMetadata, but the requested object is a list "
    check_status(refused, 406, "NotAcceptable", message + "(*rbac.ClusterRoleList)")


def test_a_bad_accept_header_is_found_before_bad_options(secrets: Collection) -> None:
    refused = secrets.list("?limit=x", headers={"Accept": "text/csv"})
    assert (refused.code, refused.json["reason"]) == (406, "NotAcceptable")


def test_a_refusal_comes_in_the_encoding_that_is_accepted(secrets: Collection) -> None:
    plain = secrets.get("absent").json
    decoders = {
        "application/json": orjson.loads,
        "application/yaml": codec_yaml.decode,
        "application/cbor": codec_cbor.decode,
    }
    for media, decode in decoders.items():
        answer = secrets.get("absent", headers={"Accept": media})
        assert (answer.code, answer.headers["content-type"]) == (404, media)
        assert decode(answer.body) == plain
    for accept in (TABLE["Accept"], "text/csv"):
        answer = secrets.get("absent", headers={"Accept": accept})
        assert answer.headers["content-type"] == "application/json"
        assert answer.json["status"] == "Failure"
    indented = secrets.get("absent", "?pretty=true").body
    assert indented == orjson.dumps(plain, option=orjson.OPT_INDENT_2)
    # What is no boolean is no wish.
    assert secrets.get("absent", "?pretty=%ff").body == orjson.dumps(plain) + b"\n"


def test_yaml_and_cbor_say_the_same_as_json(secrets: Collection) -> None:
    plain = secrets.list().json
    as_yaml = secrets.list(headers={"Accept": "application/yaml"})
    assert as_yaml.headers["content-type"] == "application/yaml"
    assert codec_yaml.decode(as_yaml.body) == plain
    as_cbor = secrets.list(headers={"Accept": "application/cbor"})
    assert as_cbor.headers["content-type"] == "application/cbor"
    assert as_cbor.body.startswith(b"\xd9\xd9\xf7")
    assert codec_cbor.decode(as_cbor.body) == plain


@pytest.mark.parametrize(
    ("query", "agent", "indented"),
    [
        ("", "test/1", False),
        ("?pretty=true", "test/1", True),
        ("?pretty=1", "test/1", True),
        ("?pretty=false", "curl/8.5.0", False),
        ("?pretty=yes", "curl/8.5.0", False),
        ("?pretty=", "test/1", False),
        ("", "curl/8.5.0", True),
        ("", "Wget/1.21", True),
        ("", "Mozilla/5.0 (X11)", True),
    ],
)
def test_json_is_indented_for_people(
    secrets: Collection, query: str, agent: str, *, indented: bool
) -> None:
    for answer in (
        secrets.list(query, headers={"User-Agent": agent}),
        secrets.get("a", query, headers={"User-Agent": agent}),
        secrets.list(query, headers={"User-Agent": agent, **TABLE}),
    ):
        whole = orjson.dumps(answer.json, option=orjson.OPT_INDENT_2)
        assert (answer.body == whole) is indented
        assert answer.body.startswith(b'{\n  "kind": "') is indented


def test_indentation_is_asked_for_by_the_media_type_too(secrets: Collection) -> None:
    answer = secrets.list(headers={"Accept": "application/json;pretty=1"})
    # Compared with itself: by the next list the revision may have moved on.
    assert answer.body == orjson.dumps(answer.json, option=orjson.OPT_INDENT_2)


def test_head_is_not_allowed_on_resources(cluster: Cluster, secrets: Collection) -> None:
    for path in (secrets.path, f"{secrets.path}/a", f"{secrets.path}/absent", "/api/v1/nodes"):
        reply = ask(cluster, f"HEAD {path}")
        assert reply is not None
        assert (reply.code, reply.body) == (405, b"")
