"""Tables made by the server: columns, cells, includeObject, versions, and what gets a 406."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.integration.api_calls import (
    Collection,
    Json,
    check_status,
    collection,
    deployment,
    named,
    pod,
    watching,
)
from tests.integration.cluster import Answer, Cluster

TABLE: Final = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
KUBECTL: Final = {
    "Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,"
    "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
}
PARTIAL: Final = {"Accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}
PARTIAL_LIST: Final = {"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}

# Columns as upstream's printers name them; those after "|" have a priority above zero.
COLUMNS: Final = {
    ("v1", "pods"): "Name,Ready,Status,Restarts,Age|IP,Node,Nominated Node,Readiness Gates",
    ("v1", "nodes"): (
        "Name,Status,Roles,Age,Version|"
        "Internal-IP,External-IP,OS-Image,Kernel-Version,Container-Runtime"
    ),
    ("v1", "namespaces"): "Name,Status,Age",
    ("v1", "services"): "Name,Type,Cluster-IP,External-IP,Port(s),Age|Selector",
    ("v1", "endpoints"): "Name,Endpoints,Age",
    ("v1", "configmaps"): "Name,Data,Age",
    ("v1", "secrets"): "Name,Type,Data,Age",
    ("v1", "serviceaccounts"): "Name,Secrets,Age",
    ("v1", "events"): (
        "Last Seen,Type,Reason,Object,Message|Subobject,Source,First Seen,Count,Name"
    ),
    ("v1", "persistentvolumes"): (
        "Name,Capacity,Access Modes,Reclaim Policy,Status,Claim,StorageClass,"
        "VolumeAttributesClass,Reason,Age|VolumeMode"
    ),
    ("v1", "persistentvolumeclaims"): (
        "Name,Status,Volume,Capacity,Access Modes,StorageClass,VolumeAttributesClass,Age|VolumeMode"
    ),
    ("v1", "replicationcontrollers"): ("Name,Desired,Current,Ready,Age|Containers,Images,Selector"),
    ("v1", "resourcequotas"): "Name,Request,Limit,Age",
    ("v1", "limitranges"): "Name,Created At",
    ("v1", "podtemplates"): "Name,Containers,Images,Pod Labels",
    ("apps/v1", "deployments"): ("Name,Ready,Up-to-date,Available,Age|Containers,Images,Selector"),
    ("apps/v1", "replicasets"): "Name,Desired,Current,Ready,Age|Containers,Images,Selector",
    ("apps/v1", "statefulsets"): "Name,Ready,Age|Containers,Images",
    ("apps/v1", "daemonsets"): (
        "Name,Desired,Current,Ready,Up-to-date,Available,Node Selector,Age|"
        "Containers,Images,Selector"
    ),
    ("apps/v1", "controllerrevisions"): "Name,Controller,Revision,Age",
    ("batch/v1", "jobs"): ("Name,Status,Completions,Duration,Age|Containers,Images,Selector"),
    ("batch/v1", "cronjobs"): (
        "Name,Schedule,Timezone,Suspend,Active,Last Schedule,Age|Containers,Images,Selector"
    ),
    ("autoscaling/v2", "horizontalpodautoscalers"): (
        "Name,Reference,Targets,MinPods,MaxPods,Replicas,Age"
    ),
    ("policy/v1", "poddisruptionbudgets"): (
        "Name,Min Available,Max Unavailable,Allowed Disruptions,Age"
    ),
    ("networking.k8s.io/v1", "ingresses"): "Name,Class,Hosts,Address,Ports,Age",
    ("networking.k8s.io/v1", "ingressclasses"): "Name,Controller,Parameters,Age",
    ("networking.k8s.io/v1", "networkpolicies"): "Name,Pod-Selector,Age",
    ("discovery.k8s.io/v1", "endpointslices"): "Name,AddressType,Ports,Endpoints,Age",
    ("rbac.authorization.k8s.io/v1", "roles"): "Name,Created At",
    ("rbac.authorization.k8s.io/v1", "clusterroles"): "Name,Created At",
    ("rbac.authorization.k8s.io/v1", "rolebindings"): (
        "Name,Role,Age|Users,Groups,ServiceAccounts"
    ),
    ("rbac.authorization.k8s.io/v1", "clusterrolebindings"): (
        "Name,Role,Age|Users,Groups,ServiceAccounts"
    ),
    ("storage.k8s.io/v1", "storageclasses"): (
        "Name,Provisioner,ReclaimPolicy,VolumeBindingMode,AllowVolumeExpansion,Age"
    ),
    ("storage.k8s.io/v1", "volumeattachments"): "Name,Attacher,PV,Node,Attached,Age",
    ("storage.k8s.io/v1", "csinodes"): "Name,Drivers,Age",
    ("scheduling.k8s.io/v1", "priorityclasses"): ("Name,Value,Global-Default,Age,PreemptionPolicy"),
    ("coordination.k8s.io/v1", "leases"): "Name,Holder,Age",
    ("certificates.k8s.io/v1", "certificatesigningrequests"): (
        "Name,Age,SignerName,Requestor,RequestedDuration,Condition"
    ),
    ("admissionregistration.k8s.io/v1", "validatingwebhookconfigurations"): "Name,Webhooks,Age",
    ("admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations"): "Name,Webhooks,Age",
    ("flowcontrol.apiserver.k8s.io/v1", "flowschemas"): (
        "Name,PriorityLevel,MatchingPrecedence,DistinguisherMethod,Age,MissingPL"
    ),
    ("flowcontrol.apiserver.k8s.io/v1", "prioritylevelconfigurations"): (
        "Name,Type,NominalConcurrencyShares,Queues,HandSize,QueueLengthLimit,Age"
    ),
    ("node.k8s.io/v1", "runtimeclasses"): "Name,Handler,Age",
    ("apiregistration.k8s.io/v1", "apiservices"): "Name,Service,Available,Age",
    ("apiextensions.k8s.io/v1", "customresourcedefinitions"): "Name,Created At",
}


def _table(answer: Answer) -> Any:
    assert answer.code == 200, answer.body
    table = answer.json
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    return table


def _cells(table: Any) -> list[list[Any]]:
    return [row["cells"] for row in table["rows"]]


@pytest.fixture
def secrets(cluster: Cluster, namespace: str) -> Collection:
    """Secrets of a new namespace."""
    return collection(cluster, namespace, "secrets")


@pytest.mark.parametrize(("version", "plural"), COLUMNS)
def test_columns_are_those_of_upstream(cluster: Cluster, version: str, plural: str) -> None:
    table = _table(collection(cluster, "", plural, version).list("?limit=1", headers=TABLE))
    plain, wide = [
        ",".join(one["name"] for one in table["columnDefinitions"] if bool(one["priority"]) is far)
        for far in (False, True)
    ]
    expected = COLUMNS[version, plural]
    assert (f"{plain}|{wide}" if wide else plain) == expected
    names = [name for part in expected.split("|") for name in part.split(",")]
    for column in table["columnDefinitions"]:
        assert set(column) == {"name", "type", "format", "description", "priority"}
    if plural != "events":
        first = table["columnDefinitions"][0]
        assert (first["name"], first["type"], first["format"]) == ("Name", "string", "name")
    for row in table["rows"]:
        assert len(row["cells"]) == len(names)


def test_a_table_of_nothing_has_columns_and_no_rows(secrets: Collection) -> None:
    table = _table(secrets.list(headers=TABLE))
    assert table["rows"] == []
    assert [one["name"] for one in table["columnDefinitions"]] == ["Name", "Type", "Data", "Age"]
    assert list(table["metadata"]) == ["resourceVersion"]


def test_rows_hold_cells_and_metadata(secrets: Collection) -> None:
    """includeObject is Metadata where it is not given."""
    made = secrets.made(named("a", data={"k": "dg==", "l": "dw=="}))
    for query in ("", "?includeObject=Metadata"):
        (row,) = _table(secrets.list(query, headers=TABLE))["rows"]
        assert row["cells"][:3] == ["a", "Opaque", 2]
        assert row["object"] == {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": made["metadata"],
        }


def test_rows_hold_objects_or_nothing_if_asked_to(secrets: Collection) -> None:
    made = secrets.made(named("a", data={"k": "dg=="}))
    (row,) = _table(secrets.list("?includeObject=Object", headers=TABLE))["rows"]
    assert row["object"] == made
    (row,) = _table(secrets.list("?includeObject=None", headers=TABLE))["rows"]
    assert row["object"] is None


def test_an_unknown_include_object_is_a_bad_request(secrets: Collection) -> None:
    secrets.made(named("a"))
    message = (
        'Unable to convert to Table as requested: includeObject: Invalid value: "x": '
        "must be 'Metadata', 'Object', 'None', or empty"
    )
    for where in ("", "/a"):
        answer = secrets.cluster.call(
            "GET", f"{secrets.path}{where}?includeObject=x", headers=TABLE
        )
        check_status(answer, 400, "BadRequest", message)


def test_one_object_is_a_table_of_one_row(secrets: Collection) -> None:
    made = secrets.made(named("a", data={"k": "dg=="}))
    table = _table(secrets.get("a", headers=TABLE))
    assert [cells[:3] for cells in _cells(table)] == [["a", "Opaque", 1]]
    assert table["metadata"] == {"resourceVersion": made["metadata"]["resourceVersion"]}


def test_writes_are_answered_with_tables_too(secrets: Collection) -> None:
    made = secrets.create(named("a"), headers=TABLE)
    assert made.code == 201
    assert [cells[:3] for cells in _cells(made.json)] == [["a", "Opaque", 0]]
    updated = secrets.put("a", named("a", data={"k": "dg=="}), headers=TABLE)
    assert [cells[:3] for cells in _cells(_table(updated))] == [["a", "Opaque", 1]]


def test_a_table_goes_on_page_by_page(secrets: Collection) -> None:
    for name in "abc":
        secrets.made(named(name))
    table = _table(secrets.list("?limit=2", headers=TABLE))
    assert [cells[0] for cells in _cells(table)] == ["a", "b"]
    assert table["metadata"]["remainingItemCount"] == 1
    token = table["metadata"]["continue"]
    rest = _table(secrets.list(f"?limit=2&continue={token}", headers=TABLE))
    assert [cells[0] for cells in _cells(rest)] == ["c"]
    assert "continue" not in rest["metadata"]


def test_selectors_choose_rows(secrets: Collection) -> None:
    for name in "abc":
        secrets.made(named(name))
    table = _table(secrets.list("?fieldSelector=metadata.name!=b", headers=TABLE))
    assert [cells[0] for cells in _cells(table)] == ["a", "c"]


def test_the_older_version_of_tables_is_served(secrets: Collection) -> None:
    secrets.made(named("a"))
    accept = {"Accept": "application/json;as=Table;v=v1beta1;g=meta.k8s.io"}
    table = secrets.list(headers=accept).json
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1beta1")
    assert table["rows"][0]["object"]["apiVersion"] == "meta.k8s.io/v1beta1"


def test_the_header_of_kubectl_gives_a_table(secrets: Collection) -> None:
    assert _table(secrets.list(headers=KUBECTL))["rows"] == []


@pytest.mark.parametrize(
    "accept",
    [
        "application/json;as=Table;v=v2;g=meta.k8s.io",
        "application/json;as=Table;v=v1;g=example.com",
        "application/json;as=Nothing;v=v1;g=meta.k8s.io",
        "application/json;as=Table",
        "text/html",
    ],
)
def test_what_no_answer_can_be_is_not_acceptable(secrets: Collection, accept: str) -> None:
    for answer in (
        secrets.list(headers={"Accept": accept}),
        secrets.create(named("a"), headers={"Accept": accept}),
    ):
        assert (answer.code, answer.json["reason"]) == (406, "NotAcceptable")
        assert answer.json["message"].startswith("only the following media types are accepted: ")
    assert secrets.names() == []


def test_a_shape_that_is_not_served_gives_way_to_the_next(secrets: Collection) -> None:
    accept = {"Accept": "application/json;as=Table;v=v2;g=meta.k8s.io, application/json"}
    assert secrets.list(headers=accept).json["kind"] == "SecretList"


def test_a_list_is_no_metadata_of_one_object(secrets: Collection) -> None:
    secrets.made(named("a"))
    message = (
        "you requested PartialObjectMetadata, but the requested object is a list (*core.SecretList)"
    )
    check_status(secrets.list(headers=PARTIAL), 406, "NotAcceptable", message)
    message = (
        "you requested PartialObjectMetadataList, but the requested object is not a list "
        "(*core.Secret)"
    )
    check_status(secrets.get("a", headers=PARTIAL_LIST), 406, "NotAcceptable", message)


def test_metadata_alone_is_served_for_lists_and_objects(secrets: Collection) -> None:
    made = secrets.made(named("a", data={"k": "dg=="}))
    shown = {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": made["metadata"],
    }
    assert secrets.get("a", headers=PARTIAL).json == shown
    listed = secrets.list(headers=PARTIAL_LIST).json
    assert (listed["kind"], listed["items"]) == ("PartialObjectMetadataList", [shown])


def test_a_scale_has_a_table(cluster: Cluster, namespace: str) -> None:
    deployments = collection(cluster, namespace, "deployments", "apps/v1")
    deployments.made(deployment("a", replicas=3))
    table = _table(deployments.get("a/scale", headers=TABLE))
    columns = [one["name"] for one in table["columnDefinitions"]]
    assert columns == ["Name", "Desired", "Available", "Age"]
    assert [cells[:3] for cells in _cells(table)] == [["a", 3, 0]]


def test_a_status_is_no_table(secrets: Collection) -> None:
    message = 'secrets "a" not found'
    check_status(secrets.get("a", headers=TABLE), 404, "NotFound", message)


def test_rows_of_pods_that_are_over_say_so(cluster: Cluster, namespace: str) -> None:
    pods = collection(cluster, namespace, "pods")
    for name, phase in (("a", "Running"), ("b", "Succeeded"), ("c", "Failed")):
        pods.made(pod(name))
        pods.patch(f"{name}/status", {"status": {"phase": phase}})
    rows = _table(pods.list(headers=TABLE))["rows"]
    assert [row["cells"][2] for row in rows] == ["Running", "Succeeded", "Failed"]
    reasons = [[one["reason"] for one in row.get("conditions", ())] for row in rows]
    assert reasons == [[], ["Succeeded"], ["Failed"]]


def test_a_watch_sends_columns_with_its_first_row_only(secrets: Collection) -> None:
    start = secrets.list().json["metadata"]["resourceVersion"]
    for name in "ab":
        secrets.made(named(name))
    secrets.delete("a")
    query = f"&resourceVersion={start}&includeObject=Object"
    with watching(secrets, query, TABLE["Accept"]) as watch:
        events: list[Json] = [watch.next() for _ in range(3)]
    assert [event["type"] for event in events] == ["ADDED", "ADDED", "DELETED"]
    tables = [event["object"] for event in events]
    assert [_cells(table)[0][0] for table in tables] == ["a", "b", "a"]
    columns = [table["columnDefinitions"] for table in tables]
    assert [one["name"] for one in columns[0]] == ["Name", "Type", "Data", "Age"]
    assert columns[1:] == [None, None]
    assert tables[0]["rows"][0]["object"]["kind"] == "Secret"
