"""Custom resources: what a definition says is what clients get, in every verb and shape."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration import definitions
from tests.integration.api_calls import Collection, collection, named
from tests.integration.cbor_calls import ACCEPT, answered, send
from tests.integration.cluster import Cluster
from tests.integration.definitions import definition, version

GROUP = "types.example.com"
NAME = f"widgets.{GROUP}"
TEXT = {"type": "string"}
NUMBER = {"type": "integer"}
SPEC = {
    "type": "object",
    "description": "What is wanted.",
    "properties": {
        "color": {**TEXT, "default": "grey", "description": "Of its outside."},
        "size": {**NUMBER, "minimum": 0},
        "replicas": NUMBER,
        "parts": {"type": "array", "items": {"type": "object", "properties": {"id": TEXT}}},
    },
}
STATUS = {"type": "object", "properties": {"replicas": NUMBER, "selector": TEXT}}
SCHEMA = {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
PARTIAL = {"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}
WIDGET = definition(
    GROUP,
    "Widget",
    version(
        schema=SCHEMA,
        subresources={
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        selectableFields=[{"jsonPath": ".spec.color"}],
        additionalPrinterColumns=[
            {"name": "Color", "type": "string", "jsonPath": ".spec.color"},
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "priority": 1},
            {"name": "Born", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
    ),
    names={"shortNames": ["wd"], "categories": ["all"]},
)


@pytest.fixture(scope="module")
def served(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with widgets."""
    definitions.install(cluster, WIDGET)
    yield cluster
    definitions.remove(cluster, NAME)


@pytest.fixture
def widgets(served: Cluster, namespace: str) -> Collection:
    """Widgets in a namespace of their own."""
    return collection(served, namespace, "widgets", f"{GROUP}/v1")


def widget(name: str, **spec: Any) -> dict[str, Any]:
    """Return a widget."""
    return {"apiVersion": f"{GROUP}/v1", "kind": "Widget", **named(name), "spec": spec}


def test_unknown_fields_are_pruned_and_defaults_filled_in(widgets: Collection) -> None:
    made = widgets.made(widget("a", size=1, depth=2))
    assert made["spec"] == {"size": 1, "color": "grey"}
    assert made["metadata"]["generation"] == 1


def test_field_validation_warns_of_or_refuses_unknown_and_repeated_fields(
    widgets: Collection,
) -> None:
    warned = widgets.create(widget("a", depth=2)).headers["warning"]
    assert warned == '299 - "unknown field \\"spec.depth\\""'
    refused = widgets.create(widget("b", depth=2), "?fieldValidation=Strict")
    assert refused.code == 400
    assert 'strict decoding error: unknown field "spec.depth"' in refused.json["message"]
    twice = b'{"metadata":{"name":"c"},"spec":{"size":1,"size":2}}'
    refused = widgets.create(twice, "?fieldValidation=Strict")  # type: ignore[arg-type]
    assert 'duplicate field "spec.size"' in refused.json["message"]
    assert "warning" not in widgets.create(widget("d", x=1), "?fieldValidation=Ignore").headers


def test_what_the_schema_forbids_is_refused_naming_the_field(widgets: Collection) -> None:
    refused = widgets.create(widget("a", size=-1))
    assert refused.code == 422
    assert [cause["field"] for cause in refused.json["details"]["causes"]] == ["spec.size"]


def test_metadata_that_cannot_be_decoded_is_refused(widgets: Collection) -> None:
    refused = widgets.create({**widget("a"), "metadata": {"name": "a", "labels": {"x": 1}}})
    assert refused.code == 400
    assert refused.json["message"].startswith('Widget in version "v1" cannot be handled')


def test_status_is_written_by_its_subresource_alone(widgets: Collection) -> None:
    made = widgets.made({**widget("a", size=1), "status": {"replicas": 9}})
    assert "status" not in made
    widgets.patch("a", {"status": {"replicas": 9}, "spec": {"size": 2}})
    shown = widgets.get("a").json
    assert "status" not in shown
    assert shown["metadata"]["generation"] == 2
    after = widgets.patch(
        "a/status",
        {"status": {"replicas": 3}, "spec": {"size": 7}, "metadata": {"labels": {"a": "b"}}},
    ).json
    assert after["status"] == {"replicas": 3}
    assert after["spec"]["size"] == 2
    assert "labels" not in after["metadata"]
    assert after["metadata"]["generation"] == 2


def test_scale_reads_and_writes_where_the_definition_says(widgets: Collection) -> None:
    widgets.made(widget("a", replicas=2))
    widgets.patch("a/status", {"status": {"replicas": 1, "selector": "x=y"}})
    scale = widgets.get("a/scale").json
    assert (scale["kind"], scale["spec"]) == ("Scale", {"replicas": 2})
    assert scale["status"] == {"replicas": 1, "selector": "x=y"}
    assert widgets.patch("a/scale", {"spec": {"replicas": 5}}).json["spec"] == {"replicas": 5}
    assert widgets.get("a").json["spec"]["replicas"] == 5
    widgets.made(widget("none"))
    refused = widgets.get("none/scale")
    assert 'the spec replicas field ".spec.replicas" does not exist' in refused.json["message"]


def test_an_update_needs_a_resource_version(widgets: Collection) -> None:
    made = widgets.made(widget("a", size=1))
    without = widget("a", size=2)
    refused = widgets.put("a", without)
    assert refused.code == 422
    assert "metadata.resourceVersion" in refused.json["message"]
    without["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"]
    assert widgets.put("a", without).json["spec"]["size"] == 2


def test_a_put_of_an_absent_object_creates_none(widgets: Collection) -> None:
    assert widgets.put("a", widget("a")).code == 404


def test_patches_merge_but_not_strategically(widgets: Collection) -> None:
    widgets.made(widget("a", parts=[{"id": "1"}]))
    after = widgets.patch("a", {"spec": {"parts": [{"id": "2"}], "color": None}}).json
    assert after["spec"] == {"parts": [{"id": "2"}], "color": "grey"}
    operation = [{"op": "add", "path": "/spec/size", "value": 4}]
    after = widgets.patch("a", operation, content_type="application/json-patch+json").json
    assert after["spec"]["size"] == 4
    strategic = "application/strategic-merge-patch+json"
    assert widgets.patch("a", {"spec": {}}, content_type=strategic).code == 415


def test_server_side_apply_creates_owns_and_conflicts(widgets: Collection) -> None:
    apply = "application/apply-patch+yaml"
    one = widgets.patch("a", widget("a", size=1), "?fieldManager=one", content_type=apply)
    assert one.code == 201
    (entry,) = one.json["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"]) == ("one", "Apply")
    assert entry["fieldsV1"] == {"f:spec": {"f:size": {}}}
    other = widgets.patch("a", widget("a", size=2), "?fieldManager=two", content_type=apply)
    assert other.code == 409
    assert other.json["details"]["causes"][0]["field"] == ".spec.size"
    forced = widgets.patch(
        "a", widget("a", size=2), "?fieldManager=two&force=true", content_type=apply
    )
    assert forced.json["spec"]["size"] == 2


def test_a_creator_manages_what_it_sent_and_what_was_filled_in(widgets: Collection) -> None:
    made = widgets.made(widget("a", parts=[{"id": "1"}]))
    (entry,) = made["metadata"]["managedFields"]
    assert entry["fieldsV1"] == {"f:spec": {".": {}, "f:color": {}, "f:parts": {}}}


def test_tables_have_the_declared_columns(widgets: Collection) -> None:
    widgets.made(widget("a", size=3))
    table = widgets.list(headers=TABLE).json
    columns = [(one["name"], one["type"], one["priority"]) for one in table["columnDefinitions"]]
    assert columns == [
        ("Name", "string", 0),
        ("Color", "string", 0),
        ("Size", "integer", 1),
        ("Born", "date", 0),
    ]
    (row,) = table["rows"]
    assert row["cells"][:3] == ["a", "grey", 3]


def test_selectors_find_by_label_and_by_declared_field_alone(widgets: Collection) -> None:
    widgets.made({**widget("a", color="red"), "metadata": {"name": "a", "labels": {"x": "y"}}})
    widgets.made(widget("b"))
    assert widgets.names("?labelSelector=x%3Dy") == ["a"]
    assert widgets.names("?fieldSelector=spec.color%3Dgrey") == ["b"]
    refused = widgets.list("?fieldSelector=spec.size%3D1")
    assert refused.code == 400
    assert refused.json["message"] == "field label not supported: spec.size"


def test_lists_come_in_pages_as_metadata_and_in_cbor(widgets: Collection) -> None:
    for name in ("a", "b", "c"):
        widgets.made(widget(name))
    page = widgets.list("?limit=2").json
    assert [item["metadata"]["name"] for item in page["items"]] == ["a", "b"]
    rest = widgets.list(f"?limit=2&continue={page['metadata']['continue']}").json
    assert [item["metadata"]["name"] for item in rest["items"]] == ["c"]
    partial = widgets.list(headers=PARTIAL).json
    assert partial["kind"] == "PartialObjectMetadataList"
    assert "spec" not in partial["items"][0]
    listed = answered(widgets.list(headers=ACCEPT))
    assert (listed["kind"], len(listed["items"])) == ("WidgetList", 3)
    assert "kind: WidgetList" in widgets.list(headers={"Accept": "application/yaml"}).body.decode()


def test_objects_are_taken_in_cbor_and_yaml_but_not_in_protobuf(widgets: Collection) -> None:
    made = answered(send(widgets, "POST", "", widget("a", size=1)))
    assert made["spec"] == {"size": 1, "color": "grey"}
    text = b"metadata: {name: b}\nspec: {size: 2}"
    made_of_yaml = widgets.create(text, content_type="application/yaml")  # type: ignore[arg-type]
    assert made_of_yaml.code == 201
    refused = widgets.create(
        b"k8s\0",  # type: ignore[arg-type]
        content_type="application/vnd.kubernetes.protobuf",
    )
    assert refused.code == 415
    only = {"Accept": "application/vnd.kubernetes.protobuf"}
    assert widgets.get("a", headers=only).code == 406


def test_a_dry_run_shows_what_would_be_and_keeps_nothing(widgets: Collection) -> None:
    shown = widgets.create(widget("a", size=1), "?dryRun=All")
    assert (shown.code, shown.json["spec"]) == (201, {"size": 1, "color": "grey"})
    assert widgets.names() == []


def test_a_delete_answers_with_a_status_and_a_collection_goes_at_once(widgets: Collection) -> None:
    for name in ("a", "b", "c"):
        widgets.made(widget(name))
    assert widgets.delete("a").json["kind"] == "Status"
    assert widgets.delete().json["kind"] == "WidgetList"
    assert widgets.names() == []


def test_finalizers_that_others_might_choose_are_warned_of(widgets: Collection) -> None:
    answer = widgets.create({**widget("a"), "metadata": {"name": "a", "finalizers": ["mine.x"]}})
    assert "prefer a domain-qualified finalizer name including a path" in answer.headers["warning"]
    widgets.patch("a", {"metadata": {"finalizers": None}})


def test_discovery_names_the_type_its_subresources_and_its_rank(served: Cluster) -> None:
    group = served.call("GET", f"/apis/{GROUP}").json
    assert group["preferredVersion"]["groupVersion"] == f"{GROUP}/v1"
    resources = served.call("GET", f"/apis/{GROUP}/v1").json["resources"]
    found = {one["name"]: one for one in resources}
    assert found.keys() == {"widgets", "widgets/status", "widgets/scale"}
    assert found["widgets"]["shortNames"] == ["wd"]
    assert found["widgets"]["categories"] == ["all"]
    assert found["widgets/scale"]["group"] == "autoscaling"
    wanted = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    items = served.call("GET", "/apis", headers=wanted).json["items"]
    (own,) = [item for item in items if item["metadata"]["name"] == GROUP]
    (shown,) = own["versions"][0]["resources"]
    assert shown["responseKind"] == {"group": GROUP, "version": "v1", "kind": "Widget"}
    assert shown["scope"] == "Namespaced"


def test_openapi_describes_the_type_in_both_versions(served: Cluster) -> None:
    name = "com.example.types.v1.Widget"
    index = served.call("GET", "/openapi/v3").json["paths"]
    document = served.call("GET", index[f"apis/{GROUP}/v1"]["serverRelativeURL"]).json
    color = document["components"]["schemas"][name]["properties"]["spec"]["properties"]["color"]
    assert color["description"] == "Of its outside."
    swagger = served.call("GET", "/openapi/v2").json
    assert swagger["definitions"][name]["properties"]["spec"]["type"] == "object"
    assert f"/apis/{GROUP}/v1/namespaces/{{namespace}}/widgets/{{name}}/scale" in swagger["paths"]


def test_kubectl_explains_applies_and_gets_it(served: Cluster, namespace: str) -> None:
    assert "Of its outside." in served.kubectl("explain", "widget.spec.color").stdout
    text = f"apiVersion: {GROUP}/v1\nkind: Widget\nmetadata: {{name: a}}\nspec: {{size: 4}}\n"
    served.kubectl("apply", "-n", namespace, "-f", "-", stdin=text)
    served.kubectl("apply", "-n", namespace, "--server-side", "-f", "-", stdin=text)
    shown = served.kubectl("get", "wd", "-n", namespace, "-o", "wide").stdout.split()
    assert shown[:4] == ["NAME", "COLOR", "SIZE", "BORN"]
    assert shown[4:7] == ["a", "grey", "4"]
    assert "widgets" in served.kubectl("api-resources", f"--api-group={GROUP}").stdout
    served.kubectl("scale", "-n", namespace, "--replicas=3", "widget/a", check=False)
    served.kubectl("delete", "-n", namespace, "widget", "a")


def test_roles_decide_who_may_read_it(served: Cluster, namespace: str) -> None:
    role = {
        "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [GROUP], "resources": ["widgets"], "verbs": ["list"]}],
    }
    binding = {
        "metadata": {"name": "reader"},
        "subjects": [{"kind": "User", "name": "ann", "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Role",
            "name": "reader",
        },
    }
    rules = "rbac.authorization.k8s.io/v1"
    collection(served, namespace, "roles", rules).made(role)
    collection(served, namespace, "rolebindings", rules).made(binding)
    path = f"/apis/{GROUP}/v1/namespaces/{namespace}/widgets"
    ann = {"Impersonate-User": "ann"}
    assert served.call("GET", path, headers=ann).code == 200
    refused = served.call("GET", f"{path}/a", headers=ann)
    assert refused.code == 403
    assert (
        'cannot get resource "widgets" in API group "types.example.com"' in refused.json["message"]
    )


def test_the_end_of_a_namespace_takes_them_along(served: Cluster) -> None:
    served.call("POST", "/api/v1/namespaces", named("doomed-widgets"))
    doomed = collection(served, "doomed-widgets", "widgets", f"{GROUP}/v1")
    doomed.made(widget("a"))
    served.call("DELETE", "/api/v1/namespaces/doomed-widgets")
    deadline_s = time.monotonic() + definitions.WAIT_S_MAX
    while served.call("GET", "/api/v1/namespaces/doomed-widgets").code != 404:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    everywhere = collection(served, "", "widgets", f"{GROUP}/v1").list().json["items"]
    assert [one for one in everywhere if one["metadata"]["namespace"] == "doomed-widgets"] == []
