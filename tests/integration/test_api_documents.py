"""Documents about the server itself: discovery, OpenAPI, version, health, metrics; who may read."""

from __future__ import annotations

import hashlib
import json
import os
import re
import urllib.request
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.api_calls import check_status, collection, named
from tests.integration.cluster import ROOT, Answer, Cluster

REFERENCE: Final = Path(
    os.environ.get("ULTRAPLANE_REFERENCE", ROOT.parent / "shared" / "reference")
)
# What 1.37 changed in resources that the reference's 1.36 server also has.
CHANGED: Final = frozenset({("storage.k8s.io", "v1", "csinodes")})
AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
OLD_AGGREGATED: Final = AGGREGATED.replace("v=v2;", "v=v2beta1;")
PAGE_NOT_FOUND: Final = b"404 page not found\n"
NO_METHOD: Final = "the server does not allow this method on the requested resource"
NOTHING_THERE: Final = "the server could not find the requested resource"


def _get(cluster: Cluster, path: str, **headers: str) -> Answer:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return cluster.call("GET", path, headers=names)


def _anonymously(cluster: Cluster, path: str, method: str = "GET") -> Answer:
    """Ask without any credentials."""
    return cluster.call(method, path, headers={"Authorization": ""})


def test_api_names_the_version_and_the_server(cluster: Cluster) -> None:
    found = _get(cluster, "/api").json
    assert (found["kind"], found["versions"]) == ("APIVersions", ["v1"])
    (address,) = found["serverAddressByClientCIDRs"]
    assert address == {"clientCIDR": "0.0.0.0/0", "serverAddress": f"127.0.0.1:{cluster.port}"}


def test_every_group_and_version_has_its_document(cluster: Cluster) -> None:
    listed = _get(cluster, "/apis").json
    assert (listed["kind"], listed["apiVersion"]) == ("APIGroupList", "v1")
    assert listed["groups"][0]["name"] == "apiregistration.k8s.io"
    for group in listed["groups"]:
        alone = _get(cluster, f"/apis/{group['name']}").json
        assert alone == {"kind": "APIGroup", "apiVersion": "v1", **group}
        assert group["preferredVersion"] in group["versions"]
        for version in group["versions"]:
            found = _get(cluster, f"/apis/{version['groupVersion']}").json
            assert found["kind"] == "APIResourceList"
            assert found["groupVersion"] == version["groupVersion"]
            assert found["resources"]


@pytest.mark.parametrize("path", ["/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1"])
def test_discovery_takes_a_slash_behind_and_yaml(cluster: Cluster, path: str) -> None:
    plain = _get(cluster, path)
    assert plain.headers["content-type"] == "application/json"
    assert plain.headers["cache-control"] == "no-cache, private"
    assert _get(cluster, f"{path}/").json == plain.json
    as_yaml = _get(cluster, path, Accept="application/yaml")
    assert as_yaml.headers["content-type"].startswith("application/yaml")
    assert f"kind: {plain.json['kind']}\n".encode() in as_yaml.body
    refused = _get(cluster, path, Accept="text/html")
    assert (refused.code, refused.json["reason"]) == (406, "NotAcceptable")


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="there is no reference of a real server")
def test_the_core_resources_are_those_of_a_real_server(cluster: Cluster) -> None:
    theirs = json.loads((REFERENCE / "api__v1.json").read_bytes())
    assert _get(cluster, "/api/v1").json == theirs


def _by_name(aggregated: Any) -> dict[tuple[str, str, str], Any]:
    return {
        (item["metadata"]["name"], version["version"], resource["resource"]): resource
        for item in aggregated["items"]
        for version in item["versions"]
        for resource in version["resources"]
    }


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="there is no reference of a real server")
def test_the_named_groups_are_those_of_a_real_server(cluster: Cluster) -> None:
    document = json.loads((REFERENCE / "aggregated_v2.json").read_bytes())
    theirs = _by_name(document)
    ours = _by_name(_get(cluster, "/apis", Accept=AGGREGATED).json)
    both = (theirs.keys() & ours.keys()) - CHANGED
    assert len(both) > 60
    assert {key: ours[key] for key in both} == {key: theirs[key] for key in both}


@pytest.mark.parametrize("path", ["/api", "/apis"])
def test_aggregated_discovery_says_the_same_as_the_single_documents(
    cluster: Cluster, path: str
) -> None:
    answer = _get(cluster, path, Accept=AGGREGATED)
    assert answer.headers["content-type"] == AGGREGATED
    found = answer.json
    assert found["kind"] == "APIGroupDiscoveryList"
    assert found["apiVersion"] == "apidiscovery.k8s.io/v2"
    for item in found["items"]:
        for version in item["versions"]:
            assert version["freshness"] == "Current"
            where = f"{path}/{item['metadata']['name']}" if path == "/apis" else path
            listed = _get(cluster, f"{where}/{version['version']}").json["resources"]
            plain = [one["name"] for one in listed if "/" not in one["name"]]
            assert sorted(one["resource"] for one in version["resources"]) == plain
            parts = sorted(
                f"{one['resource']}/{part['subresource']}"
                for one in version["resources"]
                for part in one.get("subresources", ())
            )
            assert parts == [one["name"] for one in listed if "/" in one["name"]]


@pytest.mark.parametrize("path", ["/api", "/apis"])
def test_aggregated_discovery_is_not_sent_again_unchanged(cluster: Cluster, path: str) -> None:
    answer = _get(cluster, path, Accept=AGGREGATED)
    tag = answer.headers["etag"]
    assert tag == f'"{hashlib.sha512(answer.body).hexdigest().upper()}"'
    assert (answer.headers["vary"], answer.headers["cache-control"]) == ("Accept", "public")
    again = _get(cluster, path, Accept=AGGREGATED, If_None_Match=tag)
    assert (again.code, again.body, again.headers["etag"]) == (304, b"", tag)
    assert _get(cluster, path, Accept=AGGREGATED, If_None_Match='"other"').code == 200


def test_clients_that_know_no_aggregated_discovery_get_groups(cluster: Cluster) -> None:
    """The beta version is no longer served; old clients name plain JSON after it."""
    for accept in ("application/json", f"{OLD_AGGREGATED},application/json", "*/*"):
        assert _get(cluster, "/apis", Accept=accept).json["kind"] == "APIGroupList"
    both = f"{AGGREGATED},{OLD_AGGREGATED},application/json"
    assert _get(cluster, "/apis", Accept=both).json["kind"] == "APIGroupDiscoveryList"
    assert _get(cluster, "/apis", Accept=OLD_AGGREGATED).code == 406


@pytest.mark.parametrize("path", ["/api/v9", "/apis/apps/v9", "/api/v1/nope", "/apis/apps/v1/nope"])
def test_what_is_not_there_below_a_known_group_is_a_status(cluster: Cluster, path: str) -> None:
    answer = _get(cluster, path)
    check_status(answer, 404, "NotFound", NOTHING_THERE)
    assert answer.json["details"] == {}


@pytest.mark.parametrize(
    "path", ["/nope", "/apis/example.com", "/apis/example.com/v1/x", "/livez/nope", "/openapi/nope"]
)
def test_an_unknown_path_is_a_page_not_found(cluster: Cluster, path: str) -> None:
    answer = _get(cluster, path)
    assert (answer.code, answer.body) == (404, PAGE_NOT_FOUND)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("path", ["/version", "/api", "/apis", "/api/v1", "/apis/apps/v1"])
def test_documents_are_only_read(cluster: Cluster, path: str) -> None:
    check_status(cluster.call("POST", path, {}), 405, "MethodNotAllowed", NO_METHOD)


def test_the_root_lists_paths(cluster: Cluster) -> None:
    paths = _get(cluster, "/").json["paths"]
    expected = {"/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/readyz"}
    assert expected | {"/openapi/v3", "/version"} <= set(paths)
    assert paths == sorted(paths)


def test_the_version_is_that_of_kubernetes(cluster: Cluster) -> None:
    answer = _get(cluster, "/version")
    found = answer.json
    assert (found["major"], found["minor"]) == ("1", "37")
    assert found["gitVersion"].startswith("v1.37.")
    keys = {"gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"}
    assert keys <= found.keys()
    assert answer.body.startswith(b'{\n  "major": "1",\n')


def test_openapi_v2_is_one_document_with_a_tag(cluster: Cluster) -> None:
    answer = _get(cluster, "/openapi/v2")
    assert answer.headers["content-type"] == "application/json"
    document = answer.json
    assert document["swagger"] == "2.0"
    assert "/api/v1/namespaces/{namespace}/pods/{name}" in document["paths"]
    kinds = document["definitions"]["io.k8s.api.core.v1.Pod"]["x-kubernetes-group-version-kind"]
    assert kinds == [{"group": "", "kind": "Pod", "version": "v1"}]
    tag = answer.headers["etag"]
    again = _get(cluster, "/openapi/v2", If_None_Match=tag)
    assert (again.code, again.body) == (304, b"")
    name = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    binary = _get(cluster, "/openapi/v2", Accept=name)
    assert binary.code == 200
    assert binary.headers["content-type"].startswith("application/com.github.proto-openapi")
    assert binary.headers["etag"] != tag
    assert _get(cluster, "/openapi/v2", Accept="text/html").code == 406


def test_openapi_v3_names_documents_by_their_hashes(cluster: Cluster) -> None:
    paths = _get(cluster, "/openapi/v3").json["paths"]
    assert {"api", "apis", "api/v1", "apis/apps", "apis/apps/v1", "version"} <= paths.keys()
    url = paths["apis/apps/v1"]["serverRelativeURL"]
    where, _, wanted = url.partition("?hash=")
    assert where == "/openapi/v3/apis/apps/v1"
    answer = _get(cluster, url)
    assert answer.json["openapi"].startswith("3.0")
    assert "/apis/apps/v1/namespaces/{namespace}/deployments" in answer.json["paths"]
    assert answer.headers["etag"] == f'"{wanted}"'
    assert answer.headers["cache-control"] == "public, immutable"
    assert answer.headers["expires"].endswith(" GMT")
    assert _get(cluster, url, If_None_Match=f'"{wanted}"').code == 304
    bare = _get(cluster, where)
    assert bare.json == answer.json
    assert bare.headers["cache-control"] == "no-cache, private"
    assert _get(cluster, "/openapi/v3/apis/nope/v1").code == 404


class _Stay(urllib.request.HTTPRedirectHandler):
    """Shows a redirection in place of following it."""

    def redirect_request(self, *_arguments: Any) -> None:
        return None


def test_an_old_hash_of_openapi_v3_leads_to_the_new_one(cluster: Cluster) -> None:
    url = _get(cluster, "/openapi/v3").json["paths"]["apis/batch/v1"]["serverRelativeURL"]
    old = f"{url.partition('?')[0]}?hash=OLD"
    request = urllib.request.Request(
        cluster.plain_url + old, headers={"Authorization": f"Bearer {cluster.token}"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay)
    with pytest.raises(urllib.request.HTTPError) as moved:
        opener.open(request, timeout=20)
    with moved.value as error:
        assert (error.code, error.headers["location"]) == (301, url)
    assert _get(cluster, old).json["openapi"].startswith("3.0")


@pytest.mark.parametrize("endpoint", ["livez", "readyz", "healthz"])
def test_health_is_ok_or_a_list_of_checks(cluster: Cluster, endpoint: str) -> None:
    answer = _get(cluster, f"/{endpoint}")
    assert (answer.code, answer.body) == (200, b"ok")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    lines = _get(cluster, f"/{endpoint}?verbose").body.decode().splitlines()
    assert lines[0] == "[+]ping ok"
    assert lines[-1] == f"{endpoint} check passed"
    checks = [line.removeprefix("[+]").removesuffix(" ok") for line in lines[:-1]]
    for name in checks:
        assert _get(cluster, f"/{endpoint}/{name}").body == b"ok"


def test_readiness_has_more_checks_than_life(cluster: Cluster) -> None:
    live, ready = (
        set(_get(cluster, f"/{endpoint}?verbose").body.decode().splitlines()[:-1])
        for endpoint in ("livez", "readyz")
    )
    assert live < ready


def test_checks_are_left_out_if_asked(cluster: Cluster) -> None:
    told = _get(cluster, "/readyz?verbose=1&exclude=ping&exclude=b&exclude=a").body.decode()
    lines = told.splitlines()
    assert lines[0] == "[+]ping excluded: ok"
    assert lines[-2:] == [
        'warn: some health checks cannot be excluded: no matches for "a","b"',
        "readyz check passed",
    ]


def test_metrics_have_the_names_of_upstream(cluster: Cluster, namespace: str) -> None:
    maps = collection(cluster, namespace, "configmaps")
    maps.made(named("a"))
    maps.put("a", named("a"))
    answer = _get(cluster, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.body.decode().splitlines()
    types = dict(line.split()[2:4] for line in lines if line.startswith("# TYPE "))
    assert types["apiserver_request_total"] == "counter"
    assert types["apiserver_request_duration_seconds"] == "histogram"
    assert types["apiserver_current_inflight_requests"] == "gauge"
    assert types["apiserver_longrunning_requests"] == "gauge"
    assert types["apiserver_storage_objects"] == "gauge"
    assert types["process_resident_memory_bytes"] == "gauge"
    ours = [line for line in lines if line.startswith("apiserver_request_total{")]
    for verb, code in (("POST", 201), ("PUT", 200)):
        labels = ('resource="configmaps"', f'verb="{verb}"', f'code="{code}"')
        assert any(all(label in line for label in labels) for line in ours), verb


def test_metrics_tell_creates_to_be_about_one_object(cluster: Cluster, namespace: str) -> None:
    """CleanScope of upstream's endpoint metrics: a create's scope is "resource", a list's not."""
    maps = collection(cluster, namespace, "configmaps")
    maps.made(named("a"))
    maps.list()
    lines = _get(cluster, "/metrics").body.decode().splitlines()
    ours = [line for line in lines if line.startswith("apiserver_request_total{")]
    scopes = {
        verb: {
            found[1]
            for line in ours
            if f'verb="{verb}"' in line
            and 'resource="configmaps"' in line
            and (found := re.search('scope="([a-z]*)"', line))
        }
        for verb in ("POST", "LIST")
    }
    assert scopes["POST"] == {"resource"}
    assert scopes["LIST"] <= {"namespace", "cluster"}
    assert "namespace" in scopes["LIST"]


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/version", "/version/"])
def test_everybody_may_ask_for_health_and_version(cluster: Cluster, path: str) -> None:
    """system:public-info-viewer, which has the verb get alone."""
    assert _anonymously(cluster, path).code == 200
    refused = _anonymously(cluster, path, "POST")
    message = f'forbidden: User "system:anonymous" cannot post path "{path}"'
    check_status(refused, 403, "Forbidden", message)


@pytest.mark.parametrize("path", ["/", "/api", "/apis", "/openapi/v2", "/metrics", "/livez/ping"])
def test_other_documents_are_forbidden_to_strangers(cluster: Cluster, path: str) -> None:
    answer = _anonymously(cluster, path)
    message = f'forbidden: User "system:anonymous" cannot get path "{path}"'
    check_status(answer, 403, "Forbidden", message)
    assert answer.json["details"] == {}


def test_resources_are_forbidden_to_strangers(cluster: Cluster) -> None:
    answer = _anonymously(cluster, "/api/v1/namespaces/default/pods/a")
    message = (
        'pods "a" is forbidden: User "system:anonymous" cannot get resource "pods" in API group '
        '"" in the namespace "default"'
    )
    details = check_status(answer, 403, "Forbidden", message)
    assert details == {"name": "a", "kind": "pods"}


def test_wrong_credentials_are_not_anonymous(cluster: Cluster) -> None:
    for path in ("/healthz", "/api", "/api/v1/pods"):
        answer = cluster.call("GET", path, headers={"Authorization": "Bearer wrong"})
        check_status(answer, 401, "Unauthorized", "Unauthorized")


@pytest.mark.parametrize("header", ["Basic Zm9vOmJhcg==", "Bearer", "Bearer "])
def test_credentials_of_an_unknown_kind_are_none(cluster: Cluster, header: str) -> None:
    """Authenticators pass over what is not theirs; in the end stands the anonymous one."""
    headers = {"Authorization": header}
    assert cluster.call("GET", "/healthz", headers=headers).code == 200
    refused = cluster.call("GET", "/api/v1/pods", headers=headers)
    assert (refused.code, refused.json["reason"]) == (403, "Forbidden")


@pytest.mark.parametrize("path", ["/api", "/apis/apps/v1", "/openapi/v3", "/livez", "/version"])
def test_everybody_authenticated_may_discover(cluster: Cluster, path: str) -> None:
    """system:discovery."""
    headers = {"Impersonate-User": "jane"}
    assert cluster.call("GET", path, headers=headers).code == 200
    assert cluster.call("GET", "/metrics", headers=headers).code == 403
