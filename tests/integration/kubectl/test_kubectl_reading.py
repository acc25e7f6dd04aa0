"""`kubectl get` in its shapes, with its selectors, and `describe`."""

from __future__ import annotations

import orjson
import pytest
import yaml

from tests.integration.kubectl.kubectl_runner import Kubectl, rows

pytestmark = pytest.mark.kubectl


@pytest.fixture
def secrets(kubectl: Kubectl) -> Kubectl:
    """Three Secrets a, b, c, which no controller adds to; b and c have the label side=right."""
    for name in "cab":
        kubectl("create", "secret", "generic", name, f"--from-literal=key={name}")
    kubectl("label", "secret", "b", "c", "side=right")
    return kubectl


def test_yaml_and_json_show_the_same_object(secrets: Kubectl) -> None:
    shown = secrets.json("get", "secret", "a")
    assert yaml.safe_load(secrets("get", "secret", "a", "-o", "yaml")) == shown
    assert shown["data"] == {"key": "YQ=="}


def test_name_jsonpath_template_and_columns_show_parts(secrets: Kubectl) -> None:
    assert secrets("get", "secret", "-o", "name") == "secret/a\nsecret/b\nsecret/c\n"
    assert secrets("get", "secret", "-o", "jsonpath={.items[*].data.key}") == "YQ== Yg== Yw=="
    template = "go-template={{.data.key | base64decode}}"
    assert secrets("get", "secret", "a", "-o", template) == "a"
    columns = secrets("get", "secret", "-o", "custom-columns=K:.data.key")
    assert columns.split() == ["K", "YQ==", "Yg==", "Yw=="]


def test_wide_shows_more_columns_of_a_pod(kubectl: Kubectl) -> None:
    kubectl("run", "p", "--image=web")
    narrow, wide = rows(kubectl("get", "pod")), kubectl("get", "pod", "-o", "wide")
    assert narrow[0] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert narrow[1][:4] == ["p", "0/1", "Pending", "0"]
    assert wide.splitlines()[0].endswith("IP       NODE     NOMINATED NODE   READINESS GATES")


def test_labels_are_shown_as_columns(secrets: Kubectl) -> None:
    head, _, second, _ = rows(secrets("get", "secret", "-L", "side", "--show-labels"))
    assert head == ["NAME", "TYPE", "DATA", "AGE", "SIDE", "LABELS"]
    assert second[4:] == ["right", "side=right"]


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        (["-l", "side=right"], "b c"),
        (["-l", "side!=right"], "a"),
        (["-l", "side in (left, right)"], "b c"),
        (["-l", "!side"], "a"),
        (["--field-selector", "metadata.name=b"], "b"),
        (["--field-selector", "metadata.name!=b"], "a c"),
        (["-l", "side", "--field-selector", "metadata.name!=b"], "c"),
    ],
)
def test_selectors_choose(secrets: Kubectl, selector: list[str], names: str) -> None:
    assert secrets("get", "secret", *selector, "-o", "jsonpath={.items[*].metadata.name}") == names


def test_a_faulty_selector_is_refused_in_words_of_upstream(kubectl: Kubectl) -> None:
    said = kubectl.refused("get", "pods", "-l", "a in (b")
    assert said == (
        'Error from server (BadRequest): Unable to find "/v1, Resource=pods" that match label '
        'selector "a in (b", field selector "": unable to parse requirement: found \'\', '
        "expected: ',' or ')'\n"
    )
    said = kubectl.refused("get", "pods", "--field-selector", "spec.nope=x")
    assert said.endswith("field label not supported: spec.nope\n")


def test_chunks_and_sorting_leave_nothing_out(secrets: Kubectl) -> None:
    names = "jsonpath={.items[*].metadata.name}"
    assert [row[0] for row in rows(secrets("get", "secret", "--chunk-size=1"))[1:]] == [
        "a",
        "b",
        "c",
    ]
    table = secrets("get", "secret", "--chunk-size=2", "--sort-by=.metadata.creationTimestamp")
    assert {row[0] for row in rows(table)[1:]} == {"a", "b", "c"}
    assert secrets("get", "secret", "--sort-by=.data.key", "-o", names) == "a b c"


def test_all_namespaces_have_a_column(secrets: Kubectl) -> None:
    table = rows(secrets("get", "secret", "-A", "--field-selector=metadata.name=b"))
    assert table[0] == ["NAMESPACE", "NAME", "TYPE", "DATA", "AGE"]
    assert [secrets.namespace, "b"] in [row[:2] for row in table[1:]]


def test_what_is_not_there_is_said_so(kubectl: Kubectl) -> None:
    empty = kubectl.run("get", "pods")
    assert (empty.returncode, empty.stdout) == (0, "")
    assert empty.stderr == f"No resources found in {kubectl.namespace} namespace.\n"
    assert kubectl.run("get", "csinodes").stderr == "No resources found\n"
    said = kubectl.refused("get", "pod", "nope")
    assert said == 'Error from server (NotFound): pods "nope" not found\n'
    said = kubectl.refused("get", "nope")
    assert said == 'error: the server doesn\'t have a resource type "nope"\n'


def test_deprecated_types_are_listed_with_upstreams_warning(kubectl: Kubectl) -> None:
    found = kubectl.run("get", "endpoints")
    assert found.stderr.splitlines()[0] == (
        "Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
    )
    found = kubectl.run("get", "componentstatuses")
    assert found.stderr == (
        "Warning: v1 ComponentStatus is deprecated in v1.19+\nNo resources found\n"
    )


def test_a_type_without_its_optional_lists_is_printed(kubectl: Kubectl) -> None:
    for manifest in (
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "bare"},
            "addressType": "IPv4",
            "endpoints": [],
        },
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "bare"},
            "spec": {
                "maxReplicas": 3,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
            },
        },
    ):
        kubectl("create", "-f", "-", stdin=orjson.dumps(manifest).decode())
    (slice_,) = rows(kubectl("get", "endpointslices", "--no-headers"))
    assert slice_[:4] == ["bare", "IPv4", "<unset>", "<unset>"]
    scaler = kubectl("get", "hpa", "--no-headers")
    assert rows(scaler)[0][:4] == ["bare", "Deployment/d", "cpu:", "<unknown>/80%"]


def test_events_are_listed_and_described(kubectl: Kubectl) -> None:
    kubectl("run", "p", "--image=web")
    uid = kubectl("get", "pod", "p", "-o", "jsonpath={.metadata.uid}")
    about = {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "p",
        "namespace": kubectl.namespace,
        "uid": uid,
    }
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "p.1"},
        "involvedObject": about,
        "reason": "Waiting",
        "message": "for a node",
        "type": "Normal",
        "source": {"component": "tests"},
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 1,
    }
    kubectl("create", "-f", "-", stdin=orjson.dumps(event).decode())
    (row,) = rows(kubectl("get", "events", "--no-headers"))
    assert row[1:] == ["Normal", "Waiting", "pod/p", "for", "a", "node"]
    assert "for a node" in kubectl("events", "--for=pod/p")
    described = kubectl("describe", "pod", "p")
    assert rows(described)[-1][0:2] == ["Normal", "Waiting"]


@pytest.mark.parametrize(
    ("kind", "make", "wanted"),
    [
        ("pod", "run x --image=web", ("Status:Pending", "QoSClass:BestEffort")),
        (
            "service",
            "create service clusterip x --tcp=80:80",
            ("Type:ClusterIP", "Port:80-8080/TCP"),
        ),
        ("deployment", "create deployment x --image=web", ("StrategyType:RollingUpdate",)),
        ("job", "create job x --image=web", ("Completions:1", "BackoffLimit:6")),
        ("secret", "create secret generic x --from-literal=a=bcd", ("Type:Opaque", "a:3bytes")),
        ("quota", "create quota x --hard=pods=3", ("ResourceUsedHard",)),
        ("role", "create role x --verb=get --resource=pods", ("pods[][][get]",)),
    ],
)
def test_describe_tells_of_each_kind(
    kubectl: Kubectl, kind: str, make: str, wanted: tuple[str, ...]
) -> None:
    kubectl(*make.split())
    lines = {"".join(row) for row in rows(kubectl("describe", kind, "x"))}
    assert {"Name:x", f"Namespace:{kubectl.namespace}"} & lines
    assert lines.issuperset(wanted)
