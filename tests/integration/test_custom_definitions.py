"""The life of definitions: who gets a name, what ends with them, and who is served when."""

from __future__ import annotations

from typing import Any

from tests.integration import definitions
from tests.integration.api_calls import MERGE, Collection, collection, named, watching
from tests.integration.cluster import Cluster
from tests.integration.definitions import (
    API,
    await_condition,
    await_gone,
    change,
    condition_of,
    definition,
    install,
    read,
    remove,
    version,
)

GROUP = "life.example.com"


def objects(cluster: Cluster, namespace: str, plural: str, version: str = "v1") -> Collection:
    """Return the objects of a type of this group."""
    return collection(cluster, namespace, plural, f"{GROUP}/{version}")


def field(kind: str = "string", **more: Any) -> dict[str, Any]:
    """Return a schema whose spec has one field."""
    spec = {"type": "object", "properties": {"field": {"type": kind, **more}}}
    return {"type": "object", "properties": {"spec": spec}}


def test_names_are_accepted_and_the_type_established_in_upstreams_words(cluster: Cluster) -> None:
    found = install(cluster, definition(GROUP, "Apple", names={"shortNames": ["ap"]}))
    status = found["status"]
    assert status["acceptedNames"] == {
        "plural": "apples",
        "singular": "apple",
        "shortNames": ["ap"],
        "kind": "Apple",
        "listKind": "AppleList",
    }
    shown = [(c["type"], c["status"], c["reason"], c["message"]) for c in status["conditions"]]
    assert shown == [
        ("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
        ("Established", "True", "InitialNamesAccepted", "the initial names have been accepted"),
    ]
    assert status["storedVersions"] == ["v1"]
    writers = {entry["manager"] for entry in found["metadata"]["managedFields"]}
    assert "kube-apiserver" in writers
    remove(cluster, f"apples.{GROUP}")


def test_whoever_sees_a_type_established_is_served_at_once(cluster: Cluster) -> None:
    for number in range(5):
        kind = f"Prompt{number}"
        install(cluster, definition(GROUP, kind, scope="Cluster"))
        assert objects(cluster, "", f"{kind.lower()}s").create(named("a")).code == 201
        remove(cluster, f"{kind.lower()}s.{GROUP}")


def test_a_name_in_use_is_refused_until_it_is_free(cluster: Cluster) -> None:
    install(cluster, definition(GROUP, "Owner", names={"shortNames": ["own"]}))
    late = definition(GROUP, "Late", names={"kind": "Owner", "shortNames": ["own", "lt"]})
    name = late["metadata"]["name"]
    assert cluster.call("POST", API, late).code == 201
    found = await_condition(cluster, name, "NamesAccepted", "False")
    refused = condition_of(found, "NamesAccepted")
    assert (refused["reason"], refused["message"]) == (
        "ListKindConflict",
        '"OwnerList" is already in use',
    )
    assert condition_of(found, "Established")["reason"] == "NotAccepted"
    assert found["status"]["acceptedNames"]["plural"] == "lates"
    assert objects(cluster, "", "lates").list().code == 404
    remove(cluster, f"owners.{GROUP}")
    found = await_condition(cluster, name, "Established", "True")
    assert found["status"]["acceptedNames"]["kind"] == "Owner"
    assert objects(cluster, "", "lates").list().code == 200
    remove(cluster, name)


def test_one_of_many_that_want_a_name_gets_it(cluster: Cluster) -> None:
    made = [definition(GROUP, f"Rival{n}", names={"kind": "Rival"}) for n in range(6)]
    for one in made:
        assert cluster.call("POST", API, one).code == 201
    names = [one["metadata"]["name"] for one in made]
    for name in names:
        await_condition(cluster, name, "NamesAccepted", "False" if name != names[0] else "True")
    for name in names[::-1]:
        remove(cluster, name)


def test_groups_of_the_community_need_an_approval(cluster: Cluster) -> None:
    for mark, status, reason in (
        ("https://github.com/kubernetes/kubernetes/pull/1", "True", "ApprovedAnnotation"),
        ("unapproved, a test", "False", "UnapprovedAnnotation"),
    ):
        marks = {"api-approved.kubernetes.io": mark}
        made = definition("life.x-k8s.io", "Pear", metadata={"annotations": marks})
        made["spec"]["group"] = "life.k8s.io"
        made["metadata"]["name"] = "pears.life.k8s.io"
        install(cluster, made)
        kind = "KubernetesAPIApprovalPolicyConformant"
        found = await_condition(cluster, "pears.life.k8s.io", kind, status)
        assert condition_of(found, kind)["reason"] == reason
        remove(cluster, "pears.life.k8s.io")


def test_a_deleted_definition_takes_its_objects_and_its_name_along(
    cluster: Cluster, namespace: str
) -> None:
    name = f"plums.{GROUP}"
    install(cluster, definition(GROUP, "Plum"))
    plums = objects(cluster, namespace, "plums")
    for number in range(30):
        plums.made(named(f"p-{number}"))
    with watching(plums) as watch:
        watch.take(30)
        answer = cluster.call("DELETE", f"{API}/{name}")
        assert answer.code == 200
        marked = answer.json
        assert "customresourcecleanup.apiextensions.k8s.io" in marked["metadata"]["finalizers"]
        assert condition_of(marked, "Terminating")["reason"] == "InstanceDeletionPending"
        events = watch.rest()
    assert [one["type"] for one in events] == ["DELETED"] * 30
    await_gone(cluster, name)
    assert plums.list().code == 404
    install(cluster, definition(GROUP, "Plum"))
    assert plums.names() == []
    remove(cluster, name)


def test_nothing_is_created_while_a_definition_ends(cluster: Cluster, namespace: str) -> None:
    name = f"grapes.{GROUP}"
    install(cluster, definition(GROUP, "Grape"))
    grapes = objects(cluster, namespace, "grapes")
    grapes.made({"metadata": {"name": "stays", "finalizers": ["life.example.com/wait"]}})
    assert cluster.call("DELETE", f"{API}/{name}").code == 200
    found = read(cluster, name).json
    assert condition_of(found, "Terminating")["status"] == "True"
    refused = grapes.create(named("late"))
    assert refused.code == 403
    assert refused.json["message"].endswith(
        "create not allowed while custom resource definition is terminating"
    )
    applied = grapes.patch(
        "late",
        {"apiVersion": f"{GROUP}/v1", "kind": "Grape", **named("late")},
        "?fieldManager=x",
        content_type="application/apply-patch+yaml",
    )
    assert applied.code == 403
    shown = cluster.call("GET", f"/apis/{GROUP}/v1").json["resources"]
    (verbs,) = [one["verbs"] for one in shown if one["name"] == "grapes"]
    assert verbs == ["delete", "deletecollection", "get", "list", "watch"]
    assert grapes.patch("stays", {"metadata": {"finalizers": None}}, content_type=MERGE).code == 200
    await_gone(cluster, name)


def test_a_definition_that_never_got_its_names_goes_at_once(cluster: Cluster) -> None:
    install(cluster, definition(GROUP, "First"))
    second = definition(GROUP, "Second", names={"kind": "First"})
    assert cluster.call("POST", API, second).code == 201
    await_condition(cluster, second["metadata"]["name"], "NamesAccepted", "False")
    remove(cluster, second["metadata"]["name"])
    assert objects(cluster, "", "firsts").list().code == 200
    remove(cluster, f"firsts.{GROUP}")


def test_a_changed_schema_holds_from_its_answer_on(cluster: Cluster, namespace: str) -> None:
    name = f"figs.{GROUP}"
    install(cluster, definition(GROUP, "Fig", version(schema=field())))
    figs = objects(cluster, namespace, "figs")
    figs.made({**named("old"), "spec": {"field": "x"}})
    for number in range(10):
        key = f"more{number}"
        schema = field()
        schema["properties"]["spec"]["properties"] |= {
            key: {"type": "string", "default": f"d{number}"}
        }
        change(cluster, name, {"spec": {"versions": [version(schema=schema)]}})
        made = figs.made({**named(f"new-{number}"), "spec": {key: "given"}})
        assert made["spec"] == {key: "given"}
        # What was stored before is completed when it is read, and loses what is known no more.
        assert figs.get("old").json["spec"] == {"field": "x", key: f"d{number}"}
        listed = {one["metadata"]["name"]: one["spec"] for one in figs.list().json["items"]}
        assert listed["old"] == {"field": "x", key: f"d{number}"}
    remove(cluster, name)


def test_a_field_that_becomes_selectable_finds_what_was_stored_before(
    cluster: Cluster, namespace: str
) -> None:
    name = f"nuts.{GROUP}"
    install(cluster, definition(GROUP, "Nut", version(schema=field())))
    nuts = objects(cluster, namespace, "nuts")
    for which in ("x", "y"):
        nuts.made({**named(f"old-{which}"), "spec": {"field": which}})
    selectable = version(schema=field(), selectableFields=[{"jsonPath": ".spec.field"}])
    change(cluster, name, {"spec": {"versions": [selectable]}})
    nuts.made({**named("new-x"), "spec": {"field": "x"}})
    query = "?fieldSelector=spec.field%3Dx"
    assert nuts.names(query) == ["new-x", "old-x"]
    with watching(nuts, f"&{query[1:]}&resourceVersion=0") as watch:
        assert watch.take(2) == [("ADDED", "new-x"), ("ADDED", "old-x")]
        nuts.patch("old-y", {"spec": {"field": "x"}})
        assert watch.take(1) == [("ADDED", "old-y")]
    remove(cluster, name)


def test_a_watch_ends_when_its_type_is_served_otherwise(cluster: Cluster, namespace: str) -> None:
    name = f"dates.{GROUP}"
    install(cluster, definition(GROUP, "Date", version(schema=field())))
    dates = objects(cluster, namespace, "dates")
    dates.made(named("a"))
    with watching(dates) as watch:
        watch.take(1)
        change(cluster, name, {"metadata": {"labels": {"a": "b"}}})
        dates.made(named("b"))
        assert watch.take(1) == [("ADDED", "b")]
        change(cluster, name, {"spec": {"versions": [version(schema=field("integer"))]}})
        assert watch.rest() == []
    remove(cluster, name)


def test_a_version_that_is_served_no_more_is_not_found(cluster: Cluster) -> None:
    name = f"limes.{GROUP}"
    install(cluster, definition(GROUP, "Lime", version("v1"), version("v2", storage=False)))
    assert objects(cluster, "", "limes", "v2").list().code == 200
    versions = [version("v1"), version("v2", storage=False, served=False)]
    change(cluster, name, {"spec": {"versions": versions}})
    assert objects(cluster, "", "limes", "v2").list().code == 404
    assert [v["version"] for v in cluster.call("GET", f"/apis/{GROUP}").json["versions"]] == ["v1"]
    remove(cluster, name)


def test_a_deprecated_version_warns(cluster: Cluster) -> None:
    made = definition(
        GROUP,
        "Kiwi",
        version("v1"),
        version("v1beta1", storage=False, deprecated=True),
        version("v1alpha1", storage=False, deprecated=True, deprecationWarning="too old"),
    )
    install(cluster, made)
    beta = objects(cluster, "", "kiwis", "v1beta1").list().headers["warning"]
    assert beta == f'299 - "{GROUP}/v1beta1 Kiwi is deprecated; use {GROUP}/v1 Kiwi"'
    assert "too old" in objects(cluster, "", "kiwis", "v1alpha1").list().headers["warning"]
    assert "warning" not in objects(cluster, "", "kiwis").list().headers
    remove(cluster, f"kiwis.{GROUP}")


def test_a_definition_cannot_take_the_place_of_built_in_types(cluster: Cluster) -> None:
    marks = {"api-approved.kubernetes.io": "unapproved, a test"}
    made = definition("networking.k8s.io", "Ingress", metadata={"annotations": marks})
    made["spec"]["names"] |= {"plural": "ingresses"}
    made["metadata"]["name"] = "ingresses.networking.k8s.io"
    answer = cluster.call("POST", API, made)
    assert answer.code == 201, answer.body
    path = "/apis/networking.k8s.io/v1/namespaces/default/ingresses"
    refused = cluster.call("POST", path, {**named("a"), "spec": {"anything": "goes"}})
    assert refused.code == 422
    remove(cluster, "ingresses.networking.k8s.io")
    assert cluster.call("GET", path).code == 200


def test_a_path_of_no_type_is_not_found(cluster: Cluster) -> None:
    answer = cluster.call("GET", "/apis/nobody.example.com/v1/things")
    assert (answer.code, answer.body) == (404, b"404 page not found\n")
    assert definitions.read(cluster, "things.nobody.example.com").code == 404
