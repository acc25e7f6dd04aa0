"""Server-side apply: merging, conflicts, ownership, removal, creation, parts of objects."""

from __future__ import annotations

from typing import Any

import pytest

from kube import codec_cbor
from tests.integration.api_calls import Collection, collection, deployment, named, pod
from tests.integration.cluster import Answer, Cluster

YAML = "application/apply-patch+yaml"
CBOR = "application/apply-patch+cbor"
Json = dict[str, Any]


@pytest.fixture
def config_maps(cluster: Cluster, namespace: str) -> Collection:
    """ConfigMaps of a new namespace."""
    return collection(cluster, namespace, "configmaps")


@pytest.fixture
def deployments(cluster: Cluster, namespace: str) -> Collection:
    """Deployments of a new namespace."""
    return collection(cluster, namespace, "deployments", "apps/v1")


def config_map(data: Json, name: str = "a", **metadata: Any) -> Json:
    """Return a ConfigMap to be applied."""
    meta = {"name": name, **metadata}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def workload(name: str = "a", **spec: Any) -> Json:
    """Return a Deployment to be applied."""
    made = deployment(name)
    made["spec"].update(spec)
    return {"apiVersion": "apps/v1", "kind": "Deployment", **made}


def apply(objects: Collection, obj: Json, manager: str, query: str = "", part: str = "") -> Answer:
    """Apply an object, or a part of it."""
    name = obj["metadata"]["name"] + part
    return objects.patch(name, obj, f"?fieldManager={manager}{query}", content_type=YAML)


def applied(objects: Collection, obj: Json, manager: str, query: str = "", part: str = "") -> Json:
    """Apply an object, which must be taken, and return what it became."""
    answer = apply(objects, obj, manager, query, part)
    assert answer.code in (200, 201), answer.body
    found: Json = answer.json
    return found


def owners(obj: Json) -> dict[tuple[str, str, str], Any]:
    """Return fields by manager, operation and subresource."""
    return {
        (entry["manager"], entry["operation"], entry.get("subresource", "")): entry["fieldsV1"]
        for entry in obj["metadata"].get("managedFields", ())
    }


def test_apply_creates_what_is_not_there(config_maps: Collection) -> None:
    answer = apply(config_maps, config_map({"k": "v"}), "one")
    assert answer.code == 201
    entry = answer.json["metadata"]["managedFields"]
    stamp = answer.json["metadata"]["creationTimestamp"]
    assert entry == [
        {
            "manager": "one",
            "operation": "Apply",
            "apiVersion": "v1",
            "time": stamp,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {"f:k": {}}},
        }
    ]


def test_applying_again_changes_nothing(config_maps: Collection) -> None:
    first = applied(config_maps, config_map({"k": "v"}), "one")
    again = apply(config_maps, config_map({"k": "v"}), "one")
    assert (again.code, again.json) == (200, first)


def test_appliers_of_different_keys_share_an_object(config_maps: Collection) -> None:
    applied(config_maps, config_map({"k": "v"}), "one")
    both = applied(config_maps, config_map({"l": "w"}), "two")
    assert both["data"] == {"k": "v", "l": "w"}
    assert owners(both) == {
        ("one", "Apply", ""): {"f:data": {"f:k": {}}},
        ("two", "Apply", ""): {"f:data": {"f:l": {}}},
    }


def test_changing_what_another_applied_is_a_conflict(config_maps: Collection) -> None:
    applied(config_maps, config_map({"k": "v"}), "one")
    refused = apply(config_maps, config_map({"k": "w"}), "two")
    assert refused.code == 409
    assert refused.json["reason"] == "Conflict"
    assert refused.json["message"] == 'Apply failed with 1 conflict: conflict with "one": .data.k'
    assert refused.json["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.k"}
    ]


def test_several_conflicts_are_told_by_manager(cluster: Cluster, namespace: str) -> None:
    objects = collection(cluster, namespace, "configmaps")
    applied(objects, config_map({"k": "v"}), "one")
    objects.patch("a", {"data": {"l": "w", "m": "x"}}, "?fieldManager=two")
    refused = apply(objects, config_map({"k": "2", "l": "2", "m": "2"}), "three")
    assert refused.json["message"] == (
        'Apply failed with 3 conflicts: conflicts with "one":\n- .data.k\n'
        'conflicts with "two" using v1:\n- .data.l\n- .data.m'
    )


def test_force_takes_fields_from_others(config_maps: Collection) -> None:
    applied(config_maps, config_map({"k": "v", "l": "w"}), "one")
    taken = applied(config_maps, config_map({"k": "x"}), "two", "&force=true")
    assert taken["data"] == {"k": "x", "l": "w"}
    assert owners(taken) == {
        ("one", "Apply", ""): {"f:data": {"f:l": {}}},
        ("two", "Apply", ""): {"f:data": {"f:k": {}}},
    }


def test_what_is_no_longer_applied_is_removed(config_maps: Collection) -> None:
    applied(config_maps, config_map({"k": "v", "l": "w"}), "one")
    assert applied(config_maps, config_map({"k": "v"}), "one")["data"] == {"k": "v"}


def test_what_another_owns_too_is_not_removed(config_maps: Collection) -> None:
    applied(config_maps, config_map({"k": "v", "l": "w"}), "one")
    applied(config_maps, config_map({"l": "w"}), "two")
    left = applied(config_maps, config_map({"k": "v"}), "one")
    assert left["data"] == {"k": "v", "l": "w"}


def test_an_update_takes_what_it_changes(config_maps: Collection) -> None:
    applied(config_maps, config_map({"k": "v", "l": "w"}), "one")
    patched = config_maps.patch("a", {"data": {"k": "x"}}, "?fieldManager=two").json
    assert owners(patched) == {
        ("one", "Apply", ""): {"f:data": {"f:l": {}}},
        ("two", "Update", ""): {"f:data": {"f:k": {}}},
    }


def test_defaults_are_not_owned_by_whoever_applies(deployments: Collection) -> None:
    obj = applied(deployments, workload(), "one")
    assert obj["spec"]["strategy"]["type"] == "RollingUpdate"
    fields = owners(obj)["one", "Apply", ""]
    assert set(fields["f:spec"]) == {"f:replicas", "f:selector", "f:template"}


def test_ports_are_told_apart_by_the_default_protocol(cluster: Cluster, namespace: str) -> None:
    services = collection(cluster, namespace, "services")
    spec = {"ports": [{"port": 80}], "selector": {"a": "b"}}
    obj = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": spec}
    first = applied(services, obj, "one")
    spec["ports"] = [{"port": 80, "protocol": "TCP", "targetPort": 81}]
    second = applied(services, obj, "one")
    assert len(second["spec"]["ports"]) == 1
    assert second["spec"]["ports"][0]["targetPort"] == 81
    assert first["spec"]["clusterIP"] == second["spec"]["clusterIP"]
    ports = owners(second)["one", "Apply", ""]["f:spec"]["f:ports"]
    assert list(ports) == ['k:{"port":80,"protocol":"TCP"}']


def test_containers_merge_by_name(deployments: Collection) -> None:
    applied(deployments, workload(), "one")
    sidecar = {"containers": [{"name": "sidecar", "image": "example.com/s:1"}]}
    spec = {"template": {"spec": sidecar}}
    config = {"apiVersion": "apps/v1", "kind": "Deployment", **named("a", spec=spec)}
    merged = applied(deployments, config, "two")
    names = [one["name"] for one in merged["spec"]["template"]["spec"]["containers"]]
    assert names == ["main", "sidecar"]


def test_status_is_applied_on_its_own(deployments: Collection) -> None:
    applied(deployments, workload(), "one")
    config = {"apiVersion": "apps/v1", "kind": "Deployment", **named("a")}
    config["status"] = {"observedGeneration": 1}
    obj = applied(deployments, config, "two", part="/status")
    assert obj["status"]["observedGeneration"] == 1
    assert owners(obj)["two", "Apply", "status"] == {"f:status": {"f:observedGeneration": {}}}


def test_status_in_an_apply_of_the_object_is_dropped_and_not_owned(
    deployments: Collection,
) -> None:
    obj = applied(deployments, {**workload(), "status": {"replicas": 7}}, "one")
    assert obj["status"].get("replicas") != 7
    assert "f:status" not in owners(obj)["one", "Apply", ""]


def test_scale_takes_the_replicas_of_whoever_applied_them(deployments: Collection) -> None:
    applied(deployments, workload(replicas=1), "one")
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", **named("a", spec={"replicas": 2})}
    refused = apply(deployments, scale, "two", part="/scale")
    assert refused.code == 409
    assert refused.json["message"].endswith('conflict with "one": .spec.replicas')
    applied(deployments, scale, "two", "&force=true", part="/scale")
    found = owners(deployments.get("a").json)
    assert found["two", "Apply", "scale"] == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in found["one", "Apply", ""]["f:spec"]


def test_an_update_of_the_scale_is_told_in_the_objects_version(deployments: Collection) -> None:
    applied(deployments, workload(replicas=1), "one")
    scaled = deployments.patch("a/scale", {"spec": {"replicas": 2}}, "?fieldManager=two")
    assert scaled.json["spec"] == {"replicas": 2}
    entries = deployments.get("a").json["metadata"]["managedFields"]
    mine = [entry for entry in entries if entry["manager"] == "two"]
    assert mine == [
        {
            "manager": "two",
            "operation": "Update",
            "apiVersion": "apps/v1",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:replicas": {}}},
            "subresource": "scale",
        }
    ]


def test_apply_needs_a_field_manager(config_maps: Collection) -> None:
    refused = config_maps.patch("a", config_map({}), content_type=YAML)
    assert refused.code == 422
    assert "fieldManager: Required value: is required for apply patch" in refused.json["message"]


def test_force_is_for_apply_only(config_maps: Collection) -> None:
    config_maps.made(named("a"))
    refused = config_maps.patch("a", {}, "?force=true")
    assert refused.code == 422
    assert "force: Forbidden: may not be specified for non-apply patch" in refused.json["message"]


@pytest.mark.parametrize("entries", [[], [{}]])
def test_managed_fields_cannot_be_applied(config_maps: Collection, entries: list[Json]) -> None:
    refused = apply(config_maps, config_map({}, managedFields=entries), "one")
    assert (refused.code, refused.json["message"]) == (400, "metadata.managedFields must be nil")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"apiVersion": "v2"}, "invalid object type: /v2, Kind=ConfigMap"),
        ({"kind": "Secret"}, "invalid object type: /v1, Kind=Secret"),
        (
            {"dato": {}},
            "failed to create typed patch object (/a; /v1, Kind=ConfigMap): "
            ".dato: field not declared in schema",
        ),
        (
            {"data": []},
            "failed to create typed patch object (/a; /v1, Kind=ConfigMap): "
            ".data: expected map, got &{[]}",
        ),
        (
            {"data": {"k": 1}},
            "failed to create typed patch object (/a; /v1, Kind=ConfigMap): "
            ".data.k: expected string, got &value.valueUnstructured{Value:1}",
        ),
    ],
)
def test_configurations_that_fit_no_schema_are_refused(
    config_maps: Collection, change: Json, message: str
) -> None:
    refused = apply(config_maps, {**config_map({}), **change}, "one")
    assert (refused.code, refused.json["message"]) == (400, message)


def test_an_item_that_is_there_twice_is_refused(deployments: Collection) -> None:
    config = workload()
    containers = config["spec"]["template"]["spec"]["containers"]
    containers.append(containers[0])
    refused = apply(deployments, config, "one")
    assert refused.code == 400
    assert refused.json["message"].endswith(
        '.spec.template.spec.containers: duplicate entries for key [name="main"]'
    )


def test_keys_that_are_there_twice_are_refused_where_that_is_asked_for(
    config_maps: Collection,
) -> None:
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  k: v\n  k: w\n"
    query = "?fieldManager=one&fieldValidation=Strict"
    refused = config_maps.patch("a", body, query, content_type=YAML)
    assert refused.code == 400
    assert refused.json["message"] == (
        "error strict decoding patch: error converting YAML to JSON: yaml: unmarshal errors:\n"
        '  line 6: key "k" already set in map'
    )
    taken = config_maps.patch("a", body, "?fieldManager=one", content_type=YAML)
    assert taken.code == 201
    assert taken.headers["warning"] == '299 - "line 6: key \\"k\\" already set in map"'


def test_apply_in_cbor_is_the_same(config_maps: Collection) -> None:
    body = codec_cbor.encode(config_map({"k": "v"}))
    answer = config_maps.patch("a", body, "?fieldManager=one", content_type=CBOR)
    assert (answer.code, answer.json["data"]) == (201, {"k": "v"})
    again = config_maps.patch("a", config_map({"k": "v"}), "?fieldManager=one", content_type=YAML)
    assert again.json == answer.json


def test_a_dry_run_tells_and_changes_nothing(config_maps: Collection) -> None:
    made = applied(config_maps, config_map({"k": "v"}), "one")
    tried = applied(config_maps, config_map({"k": "w"}), "one", "&dryRun=All")
    assert tried["data"] == {"k": "w"}
    assert config_maps.get("a").json == made
    assert apply(config_maps, config_map({}, "b"), "one", "&dryRun=All").code == 201
    assert config_maps.get("b").code == 404


def test_a_uid_in_an_apply_that_would_create_is_a_conflict(config_maps: Collection) -> None:
    refused = apply(config_maps, config_map({}, uid="u"), "one")
    assert refused.code == 409
    assert "uid mismatch: the provided object specified uid u" in refused.json["message"]


def test_a_stale_revision_in_an_apply_is_a_conflict(config_maps: Collection) -> None:
    first = applied(config_maps, config_map({"k": "v"}), "one")
    applied(config_maps, config_map({"k": "w"}), "one")
    version = first["metadata"]["resourceVersion"]
    refused = apply(config_maps, config_map({"k": "x"}, resourceVersion=version), "one")
    assert (refused.code, refused.json["reason"]) == (409, "Conflict")


def test_a_status_of_what_is_not_there_cannot_be_applied(deployments: Collection) -> None:
    config = {"apiVersion": "apps/v1", "kind": "Deployment", **named("a"), "status": {}}
    assert apply(deployments, config, "one", part="/status").code == 404


def test_a_name_other_than_that_of_the_path_is_refused(config_maps: Collection) -> None:
    query = "?fieldManager=one"
    refused = config_maps.patch("b", config_map({}), query, content_type=YAML)
    assert refused.code == 400
    assert "does not match the name on the URL (b)" in refused.json["message"]


def test_what_was_there_before_tracking_belongs_to_before_first_apply(
    config_maps: Collection,
) -> None:
    config_maps.made(named("a", data={"k": "v"}))
    forgotten = config_maps.patch("a", {"metadata": {"managedFields": [{}]}}).json
    assert "managedFields" not in forgotten["metadata"]
    untracked = config_maps.patch("a", {"data": {"l": "w"}}).json
    assert "managedFields" not in untracked["metadata"]
    obj = applied(config_maps, config_map({"m": "x"}), "one")
    assert owners(obj) == {
        ("before-first-apply", "Update", ""): {"f:data": {".": {}, "f:k": {}, "f:l": {}}},
        ("one", "Apply", ""): {"f:data": {"f:m": {}}},
    }


def test_autoscalers_are_owned_in_the_version_they_were_written_in(
    cluster: Cluster, namespace: str
) -> None:
    old = collection(cluster, namespace, "horizontalpodautoscalers", "autoscaling/v1")
    new = collection(cluster, namespace, "horizontalpodautoscalers", "autoscaling/v2")
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    spec = {"scaleTargetRef": target, "maxReplicas": 5, "targetCPUUtilizationPercentage": 70}
    head = {"kind": "HorizontalPodAutoscaler", **named("a", spec=spec)}
    made = applied(old, {"apiVersion": "autoscaling/v1", **head}, "one")
    assert made["metadata"]["managedFields"][0]["apiVersion"] == "autoscaling/v1"
    fields = owners(made)["one", "Apply", ""]["f:spec"]
    assert "f:targetCPUUtilizationPercentage" in fields
    resource = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}
    change = {"metrics": [{"type": "Resource", "resource": resource}]}
    config = {"apiVersion": "autoscaling/v2", "kind": head["kind"], **named("a", spec=change)}
    refused = apply(new, config, "two")
    assert refused.code == 409
    assert refused.json["message"].endswith(
        'conflict with "one": .spec.targetCPUUtilizationPercentage'
    )
    taken = applied(new, config, "two", "&force=true")
    assert "f:metrics" in owners(taken)["two", "Apply", ""]["f:spec"]
    kept = owners(taken)["one", "Apply", ""]["f:spec"]
    assert set(kept) == {"f:maxReplicas", "f:scaleTargetRef"}


def test_ephemeral_containers_are_applied_and_owned(cluster: Cluster, namespace: str) -> None:
    pods = collection(cluster, namespace, "pods")
    collection(cluster, namespace, "serviceaccounts").create(named("default"))
    pods.made(pod("a"))
    spec = {"ephemeralContainers": [{"name": "debug", "image": "example.com/d:1"}]}
    config = {"apiVersion": "v1", "kind": "Pod", **named("a", spec=spec)}
    obj = applied(pods, config, "one", part="/ephemeralcontainers")
    assert [one["name"] for one in obj["spec"]["ephemeralContainers"]] == ["debug"]
    fields = owners(obj)["one", "Apply", "ephemeralcontainers"]
    assert list(fields["f:spec"]) == ["f:ephemeralContainers"]
