"""Lists over HTTP: label and field selectors, and which objects a collection is of."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.integration.api_calls import (
    Collection,
    check_status,
    collection,
    labelled,
    named,
    pod,
)
from tests.integration.cluster import Cluster

LABELS = {
    "a": {"tier": "front", "env": "prod", "size": "3"},
    "b": {"tier": "back", "env": "prod", "size": "10"},
    "c": {"tier": "back", "env": "test", "example.org/owner": "x"},
    "d": {"tier": "", "size": "big"},
    "e": {},
}


def selected(collected: Collection, *, label: str = "", field: str = "") -> str:
    """Return the names that selectors choose, in one word."""
    query = f"?labelSelector={quote(label)}&fieldSelector={quote(field)}"
    return "".join(collected.names(query))


@pytest.fixture
def labelled_secrets(cluster: Cluster, namespace: str) -> Collection:
    """Secrets a to e, differently labelled."""
    secrets = collection(cluster, namespace, "secrets")
    for name, labels in LABELS.items():
        secrets.made(labelled(name, labels))
    return secrets


def test_label_selectors_choose_as_upstreams_requirements(labelled_secrets: Collection) -> None:
    expected = {
        "": "abcde",
        "tier=front": "a",
        "tier==front": "a",
        "tier!=front": "bcde",
        "tier": "abcd",
        "!tier": "e",
        "tier=": "d",
        "tier!=": "abce",
        "tier in (front,back)": "abc",
        "tier in (front,)": "ad",
        "tier notin (front,back)": "de",
        "tier,tier notin (front)": "bcd",
        "size>3": "b",
        "size<10": "a",
        "env=prod,tier=back": "b",
        "env=prod,env=test": "",
        "example.org/owner": "c",
        " tier = back , env = test ": "c",
    }
    found = {text: selected(labelled_secrets, label=text) for text in expected}
    assert found == expected


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        (",", "found ',', expected: !, identifier, or 'end of string'"),
        ("a=b,", "found '', expected: identifier after ','"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        (
            "size>x",
            'unable to parse requirement: values[0]: Invalid value: "x": '
            "for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        (
            "-a=b",
            'unable to parse requirement: <nil>: Invalid value: "-a": name part must consist of '
            "alphanumeric characters, '-', '_' or '.', and must start and end with an "
            "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
            "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        ),
        (
            f"a={'v' * 64}",
            f'unable to parse requirement: values[0][a]: Invalid value: "{"v" * 64}": '
            "must be no more than 63 bytes",
        ),
    ],
)
def test_a_malformed_label_selector_is_a_bad_request_of_every_read(
    cluster: Cluster, namespace: str, selector: str, message: str
) -> None:
    secrets = collection(cluster, namespace, "secrets")
    query = f"?labelSelector={quote(selector)}"
    for answer in (
        secrets.list(query),
        secrets.list(query + "&watch=1"),
        secrets.delete(query=query),
    ):
        check_status(answer, 400, "BadRequest", message)


def test_field_selectors_of_pods_see_spec_and_status(cluster: Cluster, namespace: str) -> None:
    pods = collection(cluster, namespace, "pods")
    for name, node in (("a", "n1"), ("b", "n1"), ("c", "n2"), ("d", "")):
        pods.made(pod(name, node))
    pods.patch("b/status", {"status": {"phase": "Running", "podIP": "10.1.2.3"}})
    expected = {
        "metadata.name=a": "a",
        "metadata.name!=a": "bcd",
        "metadata.name=a,metadata.name=b": "",
        f"metadata.namespace={namespace}": "abcd",
        "metadata.namespace=elsewhere": "",
        f"metadata.namespace!={namespace}": "",
        "spec.nodeName=n1": "ab",
        "spec.nodeName==n1,metadata.name=b": "b",
        "spec.nodeName!=n1": "cd",
        "spec.nodeName=": "d",
        "spec.host=n2": "c",
        "status.phase=Running": "b",
        "status.phase!=Running": "acd",
        "status.phase=Pending,spec.nodeName=n1": "a",
        "status.podIP=10.1.2.3": "b",
        "status.podIPs=10.1.2.3": "",
        "spec.restartPolicy=Always": "abcd",
        "spec.schedulerName=default-scheduler": "abcd",
        "spec.serviceAccountName=default": "abcd",
        "spec.hostNetwork=false": "abcd",
        "status.nominatedNodeName=": "abcd",
    }
    assert {text: selected(pods, field=text) for text in expected} == expected
    for text, names in expected.items():
        assert "".join(pods.names(f"?limit=500&fieldSelector={quote(text)}")) == names


def test_selectors_of_both_kinds_must_all_hold(cluster: Cluster, namespace: str) -> None:
    pods = collection(cluster, namespace, "pods")
    pods.made(pod("a", "n1", app="web"))
    pods.made(pod("b", "n2", app="web"))
    pods.made(pod("c", "n1", app="db"))
    assert selected(pods, label="app=web", field="spec.nodeName=n1") == "a"
    assert selected(pods, label="app", field="metadata.name=c") == "c"
    assert selected(pods, label="app!=db", field="metadata.name=c") == ""


def test_other_types_have_field_labels_of_their_own(cluster: Cluster, namespace: str) -> None:
    secrets = collection(cluster, namespace, "secrets")
    secrets.made(named("a"))
    secrets.made(named("b", type="example.org/kind"))
    assert selected(secrets, field="type=Opaque") == "a"
    services = collection(cluster, namespace, "services")
    ports = [{"port": 80}]
    services.made(named("a", spec={"ports": ports}))
    services.made(named("b", spec={"ports": ports, "clusterIP": "None"}))
    assert selected(services, field="spec.clusterIP=None") == "b"
    assert selected(services, field="spec.type=ClusterIP") == "ab"
    namespaces = collection(cluster, "", "namespaces")
    assert selected(namespaces, field=f"metadata.name={namespace}") == namespace
    both = f"status.phase=Terminating,metadata.name={namespace}"
    assert selected(namespaces, field=both) == ""


def test_events_are_selected_by_the_labels_of_each_version(
    cluster: Cluster, namespace: str
) -> None:
    events = collection(cluster, namespace, "events")
    about = {"kind": "Pod", "name": "p", "namespace": namespace}
    more = {"reportingComponent": "test", "reportingInstance": "1", "source": {"component": "test"}}
    events.made(named("a", involvedObject=about, reason="Started", type="Normal", **more))
    other = {**about, "name": "q"}
    events.made(named("b", involvedObject=other, reason="Failed", type="Warning", **more))
    assert selected(events, field="involvedObject.name=p") == "a"
    assert selected(events, field="involvedObject.kind=Pod,reason=Failed,type=Warning") == "b"
    assert selected(events, field="reportingComponent=test,source=test") == "ab"
    newer = collection(cluster, namespace, "events", "events.k8s.io/v1")
    assert selected(newer, field="regarding.name=q,reportingController=test") == "b"
    refused = newer.list("?fieldSelector=involvedObject.name%3Dp")
    message = "field label not supported: involvedObject.name"
    check_status(refused, 400, "BadRequest", message)


def test_objects_of_the_cluster_are_in_the_empty_namespace(
    cluster: Cluster, namespace: str
) -> None:
    classes = collection(cluster, "", "priorityclasses", "scheduling.k8s.io/v1")
    classes.made(named(namespace, value=1))
    name = f"metadata.name={namespace}"
    assert selected(classes, field=f"{name},metadata.namespace=") == namespace
    assert selected(classes, field=f"{name},metadata.namespace!=x") == namespace
    assert selected(classes, field=f"{name},metadata.namespace=x") == ""
    assert selected(classes, field=f"{name},metadata.namespace!=") == ""


@pytest.mark.parametrize(
    ("path", "label", "message"),
    [
        ("/api/v1/pods", "spec.image", "field label not supported: spec.image"),
        ("/api/v1/nodes", "metadata.namespace", "field label not supported: metadata.namespace"),
        ("/api/v1/namespaces", "name", "field label not supported: name"),
        ("/api/v1/secrets", "data", "field label not supported: data"),
        ("/apis/batch/v1/jobs", "x", 'field label "x" not supported for batchv1.Job'),
        (
            "/api/v1/configmaps",
            "data",
            '"data" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
        (
            "/apis/apps/v1/replicasets",
            "status.replicas",
            '"status.replicas" is not a known field selector: '
            'only "metadata.name", "metadata.namespace"',
        ),
    ],
)
def test_a_field_label_unknown_to_the_type_is_a_bad_request(
    cluster: Cluster, path: str, label: str, message: str
) -> None:
    for query in (f"?fieldSelector={label}%3Dx", f"?fieldSelector={label}!%3Dx&watch=true"):
        check_status(cluster.call("GET", path + query), 400, "BadRequest", message)


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'"),
        ("metadata.name=a=b", "invalid field selector: unescaped character in value: 61"),
        ("metadata.name=a\\x", "invalid field selector: invalid escape sequence: \\x"),
    ],
)
def test_a_malformed_field_selector_is_a_bad_request(
    cluster: Cluster, namespace: str, selector: str, message: str
) -> None:
    secrets = collection(cluster, namespace, "secrets")
    answer = secrets.list(f"?fieldSelector={quote(selector)}")
    check_status(answer, 400, "BadRequest", message)


@pytest.mark.parametrize("field", ["metadata.name", "metadata.namespace", "spec.nodeName"])
def test_a_value_longer_than_any_name_selects_nothing(cluster: Cluster, field: str) -> None:
    answer = cluster.call("GET", f"/api/v1/pods?fieldSelector={field}%3D{'x' * 2000}")
    assert (answer.code, answer.json["items"]) == (200, [])


def test_a_number_that_is_none_is_a_bad_request(cluster: Cluster, namespace: str) -> None:
    secrets = collection(cluster, namespace, "secrets")
    for name in ("limit", "timeoutSeconds"):
        for text, why in (
            ("x", "invalid syntax"),
            ("", "invalid syntax"),
            ("1.5", "invalid syntax"),
        ):
            message = f'strconv.ParseInt: parsing "{text}": {why}'
            check_status(secrets.list(f"?{name}={text}"), 400, "BadRequest", message)
    text = "9223372036854775808"
    message = f'strconv.ParseInt: parsing "{text}": value out of range'
    check_status(secrets.list(f"?limit={text}"), 400, "BadRequest", message)


def test_a_list_of_all_namespaces_is_ordered_by_namespace_and_name(
    cluster: Cluster, namespace: str
) -> None:
    other = namespace + "-other"
    collection(cluster, "", "namespaces").made(named(other))
    for space, name in ((other, "a"), (namespace, "b"), (namespace, "a")):
        collection(cluster, space, "secrets").made(labelled(name, {"of": namespace}))
    everywhere = collection(cluster, "", "secrets")
    items = everywhere.list(f"?labelSelector=of%3D{namespace}").json["items"]
    found = [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in items]
    assert found == [(namespace, "a"), (namespace, "b"), (other, "a")]
    assert selected(everywhere, label=f"of={namespace}", field=f"metadata.namespace={other}") == "a"


def test_an_empty_list_has_items_and_a_revision(cluster: Cluster) -> None:
    absent = collection(cluster, "no-such-namespace", "deployments", "apps/v1")
    document = absent.list().json
    assert document.pop("metadata").keys() == {"resourceVersion"}
    assert document == {"kind": "DeploymentList", "apiVersion": "apps/v1", "items": []}


def test_items_carry_no_kind_but_single_objects_do(cluster: Cluster, namespace: str) -> None:
    secrets = collection(cluster, namespace, "secrets")
    secrets.made(named("a", data={"k": "dg=="}))
    document = secrets.list().json
    assert (document["kind"], document["apiVersion"]) == ("SecretList", "v1")
    single = secrets.get("a").json
    assert (single.pop("kind"), single.pop("apiVersion")) == ("Secret", "v1")
    assert document["items"] == [single]
