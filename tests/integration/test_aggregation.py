"""Types of an extension API server: a real TLS server, named by an APIService."""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.api_calls import Collection, Watch, collection, named
from tests.integration.cluster import HOST, Cluster
from tests.integration.fake_backends import Backend, running_backend
from tests.integration.fake_extension import (
    AGGREGATED,
    DEFINITION,
    GADGET,
    GROUP,
    INDEX_URL,
    ROOT,
    VERSION,
    Extension,
)

_NAME = f"{VERSION}.{GROUP}"
_SERVICES = "apiregistration.k8s.io/v1"
_WAIT_S = 20.0
_GADGETS = f"{ROOT}/namespaces/default/gadgets"


@dataclass
class Registered:
    """An extension API server that an APIService names."""

    cluster: Cluster
    backend: Backend
    extension: Extension
    apis: Collection
    services: Collection

    def condition(self) -> tuple[str, str, str]:
        """Return the condition Available: status, reason, message."""
        shown = self.apis.get(_NAME).json.get("status") or {}
        for one in shown.get("conditions") or ():
            assert one["type"] == "Available"
            return one["status"], one["reason"], one["message"]
        return "", "", ""

    def wait_for(self, reason: str) -> str:
        """Wait until the condition has a reason; return its message."""
        _until(lambda: self.condition()[1] == reason, self.condition)
        return self.condition()[2]

    def entry(self) -> Any:
        """Return the version's entry of the aggregated document, {} if there is none."""
        document = self.cluster.call("GET", "/apis", headers={"Accept": AGGREGATED}).json
        for item in document["items"]:
            if item["metadata"]["name"] == GROUP:
                return item["versions"][0]
        return {}

    def bring_up(self) -> None:
        """Give the Service somebody who serves, and wait until that has been seen."""
        spec = {"type": "ExternalName", "externalName": "localhost"}
        self.services.made(named("api", spec=spec))
        self.wait_for("Passed")
        _until(lambda: self.entry().get("freshness") == "Current", self.entry)


def _until(is_so: Callable[[], bool], shown: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + _WAIT_S
    while not is_so():
        assert time.monotonic() < deadline_s, shown()
        time.sleep(0.05)


@pytest.fixture
def registered(cluster: Cluster, namespace: str, tmp_path: Any) -> Iterator[Registered]:
    """An APIService whose Service is not there yet."""
    extension = Extension()
    names = [f"api.{namespace}.svc"]
    authority = cluster.directory / "pki" / "front-proxy-ca.crt"
    with running_backend(
        tmp_path / "extension", extension.handle, names=names, client_ca=authority
    ) as backend:
        apis = collection(cluster, "", "apiservices", _SERVICES)
        service = {"namespace": namespace, "name": "api", "port": backend.port}
        spec = {
            "group": GROUP,
            "version": VERSION,
            "groupPriorityMinimum": 1000,
            "versionPriority": 15,
            "service": service,
            "caBundle": base64.b64encode(backend.authority).decode(),
        }
        apis.made(named(_NAME, spec=spec))
        services = collection(cluster, namespace, "services")
        yield Registered(cluster, backend, extension, apis, services)
        apis.delete(_NAME)


def _local_services(cluster: Cluster) -> dict[str, Any]:
    items = collection(cluster, "", "apiservices", _SERVICES).list().json["items"]
    return {one["metadata"]["name"]: one for one in items if "service" not in one["spec"]}


def _served_groups(cluster: Cluster) -> set[str]:
    return {
        f"{version['version']}.{group['name']}"
        for group in cluster.call("GET", "/apis").json["groups"]
        for version in group["versions"]
        if group["name"] not in (GROUP, "apiregistration.k8s.io")
    } | {"v1."}


def test_every_group_of_our_own_has_a_local_apiservice(cluster: Cluster) -> None:
    """With the priorities by which discovery is sorted; but not that of APIServices themselves."""
    # Those of definitions that others have just deleted go a moment later.
    _until(
        lambda: _local_services(cluster).keys() == _served_groups(cluster),
        lambda: _local_services(cluster).keys() ^ _served_groups(cluster),
    )
    local = _local_services(cluster)
    groups = cluster.call("GET", "/apis").json["groups"]
    ranks = {
        one["spec"]["group"]: one["spec"]["groupPriorityMinimum"]
        for one in local.values()
        if "group" in one["spec"]
    }
    order = [group["name"] for group in groups if group["name"] in ranks]
    assert order == sorted(ranks, key=lambda name: (-ranks[name], name))
    apps = local["v1.apps"]
    assert apps["spec"] == {
        "group": "apps",
        "version": "v1",
        "groupPriorityMinimum": 17800,
        "versionPriority": 15,
    }
    assert apps["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "onstart"}
    condition = apps["status"]["conditions"][0]
    assert condition.pop("lastTransitionTime")
    assert condition == {
        "type": "Available",
        "status": "True",
        "reason": "Local",
        "message": "Local APIServices are always available",
    }


def test_extensions_are_told_whom_to_believe(cluster: Cluster) -> None:
    maps = collection(cluster, "kube-system", "configmaps")
    data = maps.get("extension-apiserver-authentication").json["data"]
    pki = cluster.directory / "pki"
    assert data["client-ca-file"] == (pki / "ca.crt").read_text()
    assert data["requestheader-client-ca-file"] == (pki / "front-proxy-ca.crt").read_text()
    lists = {key: json.loads(value) for key, value in data.items() if not key.endswith("ca-file")}
    assert lists == {
        "requestheader-allowed-names": ["front-proxy-client"],
        "requestheader-extra-headers-prefix": ["X-Remote-Extra-"],
        "requestheader-group-headers": ["X-Remote-Group"],
        "requestheader-uid-headers": ["X-Remote-Uid"],
        "requestheader-username-headers": ["X-Remote-User"],
    }


def test_an_extension_without_a_service_is_unavailable_and_stale(registered: Registered) -> None:
    namespace = registered.services.path.split("/")[-2]
    message = registered.wait_for("ServiceNotFound")
    assert message == f'service/api in "{namespace}" is not present'
    answer = registered.cluster.call("GET", _GADGETS)
    assert (answer.code, answer.body) == (503, b"service unavailable\n")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert registered.entry() == {"version": VERSION, "freshness": "Stale"}
    groups = registered.cluster.call("GET", "/apis").json["groups"]
    assert groups[-1]["name"] == GROUP


def test_conditions_say_what_a_service_lacks(registered: Registered) -> None:
    namespace = registered.services.path.split("/")[-2]
    port = registered.backend.port
    registered.services.made(named("api", spec={"ports": [{"port": 1}]}))
    where = f'service/api in "{namespace}"'
    message = registered.wait_for("ServicePortError")
    assert message == f"{where} is not listening on port {port}"
    patch = {"spec": {"ports": [{"name": "https", "port": port}]}}
    assert registered.services.patch("api", patch).code == 200
    message = registered.wait_for("EndpointsNotFound")
    assert message == f"cannot find endpointslices for {where}"
    cluster = registered.cluster
    slices = collection(cluster, namespace, "endpointslices", "discovery.k8s.io/v1")
    slices.made(
        {
            "metadata": {"name": "api", "labels": {"kubernetes.io/service-name": "api"}},
            "addressType": "IPv4",
            "ports": [{"name": "https", "port": port}],
            "endpoints": [{"addresses": ["203.0.113.1"], "conditions": {"ready": False}}],
        }
    )
    message = registered.wait_for("MissingEndpoints")
    assert message == f'endpointslices for {where} have no addresses with port name "https"'


def test_an_extension_that_comes_and_goes_is_seen(registered: Registered) -> None:
    registered.bring_up()
    assert registered.condition() == ("True", "Passed", "all checks passed")
    assert registered.cluster.call("GET", _GADGETS).json["items"] == [GADGET]
    registered.extension.is_well = False
    # What changes in it is looked at at once, not only when its turn has come.
    assert registered.apis.patch(_NAME, {"spec": {"versionPriority": 16}}).code == 200
    message = registered.wait_for("FailedDiscoveryCheck")
    assert message.endswith(f"{ROOT}: 500")
    _until(lambda: registered.cluster.call("GET", _GADGETS).code == 503, registered.condition)
    registered.extension.is_well = True
    registered.wait_for("Passed")
    _until(lambda: registered.cluster.call("GET", _GADGETS).code == 200, registered.condition)


@pytest.mark.parametrize("has_aggregated", [True, False], ids=["aggregated", "legacy"])
def test_kubectl_finds_the_types_of_an_extension(
    registered: Registered, *, has_aggregated: bool
) -> None:
    registered.extension.has_aggregated = has_aggregated
    registered.bring_up()
    table = registered.cluster.kubectl("api-resources", "--api-group", GROUP).stdout
    row = table.splitlines()[-1].split()
    assert row == ["gadgets", "gd", f"{GROUP}/{VERSION}", "true", "Gadget"]
    shown = registered.cluster.kubectl("-n", "default", "get", "gadgets", "-o", "name").stdout
    assert shown == f"gadget.{GROUP}/one\n"
    entry = registered.entry()["resources"][0]
    assert entry["responseKind"] == {"group": GROUP, "version": VERSION, "kind": "Gadget"}
    assert ("subresources" in entry) is not has_aggregated


def test_an_extension_hears_who_asks_from_the_front_proxy_alone(registered: Registered) -> None:
    registered.bring_up()
    spoofed = {
        "X-Remote-User": "evil",
        "X-Remote-Group": "system:masters",
        "X-Remote-Extra-Scopes": "all",
        "Impersonate-User": "jane",
        "Impersonate-Group": "system:masters",
        "Impersonate-Extra-example.test%2fscope": "a",
    }
    answer = registered.cluster.call("POST", f"{_GADGETS}?b=2&a=1", GADGET, headers=spoofed)
    assert (answer.code, answer.json) == (201, GADGET)
    asked = registered.backend.last
    assert asked.client == "front-proxy-client"
    assert asked.target == f"{_GADGETS}?a=1&b=2"
    assert asked.values("x-remote-user") == ["jane"]
    assert asked.values("x-remote-group") == ["system:masters", "system:authenticated"]
    assert asked.values("x-remote-extra-example.test%2fscope") == ["a"]
    for name in ("authorization", "impersonate-user", "x-remote-extra-scopes"):
        assert not asked.values(name), name


def test_a_user_needs_a_role_for_an_extensions_types(registered: Registered) -> None:
    registered.bring_up()
    headers = {"Impersonate-User": "jo"}
    answer = registered.cluster.call("GET", f"{_GADGETS}/one/status", headers=headers)
    assert answer.code == 403
    assert answer.json["message"] == (
        f'gadgets.{GROUP} "one" is forbidden: User "jo" cannot get resource "gadgets/status" in '
        f'API group "{GROUP}" in the namespace "default"'
    )
    before = len(registered.backend.requests)
    assert registered.cluster.call("GET", f"{_GADGETS}?watch=1", headers=headers).code == 403
    assert len(registered.backend.requests) == before


def test_a_watch_of_an_extension_streams_and_breaks_with_it(registered: Registered) -> None:
    registered.bring_up()
    connection = http.client.HTTPConnection(HOST, registered.cluster.plain_port, timeout=_WAIT_S)
    token = {"Authorization": f"Bearer {registered.cluster.token}"}
    connection.request("GET", f"{_GADGETS}?watch=true", headers=token)
    assert registered.backend.loop is not None
    event = {"type": "ADDED", "object": GADGET}
    line = json.dumps(event).encode() + b"\n"
    registered.backend.loop.call_soon_threadsafe(registered.extension.events.put_nowait, line)
    try:
        with connection.getresponse() as answer:
            watch = Watch(answer)
            assert watch.next() == event
            registered.backend.cut()
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                answer.read()
    finally:
        connection.close()


def test_openapi_has_what_an_extension_has(registered: Registered) -> None:
    registered.bring_up()
    cluster = registered.cluster
    path = ROOT.removeprefix("/")

    def index() -> Any:
        return cluster.call("GET", "/openapi/v3").json["paths"].get(path)

    _until(lambda: index() is not None, index)
    assert index() == {"serverRelativeURL": INDEX_URL}
    assert cluster.call("GET", INDEX_URL).json["info"]["title"] == "gadgets"
    swagger = cluster.call("GET", "/openapi/v2").json
    assert f"{ROOT}/namespaces/{{namespace}}/gadgets" in swagger["paths"]
    assert "/apis/elsewhere/v1/things" not in swagger["paths"]
    shared = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    # Another definition of a name that we have ourselves gets a name of its own.
    reference = swagger["definitions"][DEFINITION]["properties"]["metadata"]["$ref"]
    assert reference == f"#/definitions/{shared}_v2"
    assert swagger["definitions"][f"{shared}_v2"] == {"type": "object"}
    assert "unused" not in swagger["definitions"]


def test_a_certificate_that_the_bundle_does_not_cover_is_refused(registered: Registered) -> None:
    registered.bring_up()
    other = (registered.cluster.directory / "pki" / "ca.crt").read_bytes()
    patch = {"spec": {"caBundle": base64.b64encode(other).decode()}}
    assert registered.apis.patch(_NAME, patch).code == 200

    def answer() -> tuple[int, bytes]:
        found = registered.cluster.call("GET", _GADGETS)
        return found.code, found.body

    refused = b"error trying to reach service: tls: failed to verify certificate"
    _until(lambda: answer()[0] == 503 and answer()[1].startswith(refused), answer)
    insecure = {"spec": {"caBundle": None, "insecureSkipTLSVerify": True}}
    assert registered.apis.patch(_NAME, insecure).code == 200
    _until(lambda: answer()[0] == 200, answer)


def test_an_extension_that_is_gone_leaves_nothing(registered: Registered) -> None:
    registered.bring_up()
    assert registered.apis.delete(_NAME).code == 200
    cluster = registered.cluster

    def groups() -> list[str]:
        return [one["name"] for one in cluster.call("GET", "/apis").json["groups"]]

    _until(lambda: GROUP not in groups(), groups)
    assert registered.entry() == {}
    assert cluster.call("GET", _GADGETS).body == b"404 page not found\n"
    assert ROOT.removeprefix("/") not in cluster.call("GET", "/openapi/v3").json["paths"]
