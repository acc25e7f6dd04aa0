"""Changed CustomResourceDefinitions: what is fixed, what is forgiven."""

from __future__ import annotations

import copy
from typing import Any

from definition_objects import definition, established, stored, update_texts, version

from apiserver.types.apiextensions import definitions
from kube.json_types import JsonObject

STRING = {"type": "string"}
FIXED = "field is immutable"


def of_field(schema: Any) -> JsonObject:
    """Return a stored definition with one field, whatever rules it may break."""
    return stored(
        definition(
            version(schema={"type": "object", "properties": {"a": schema}}),
            preserveUnknownFields=False,
        )
    )


def changed(old: JsonObject, **spec: Any) -> JsonObject:
    new = copy.deepcopy(old)
    new["spec"].update(spec)
    return new


def keeps_and_tightens(bad: Any) -> None:
    """A schema that was stored once is let through; a new definition is not."""
    old = of_field(bad)
    assert definitions.validate(old) != []
    assert (
        update_texts(changed(old, names={**old["spec"]["names"], "shortNames": ["c"]}), old) == []
    )
    assert update_texts(old, of_field(STRING)) != []


def test_group_and_plural_never_change() -> None:
    old = stored(definition())
    names = {**old["spec"]["names"], "plural": "boats"}
    assert update_texts(changed(old, group="b.example.com", names=names), old) == [
        f'spec.group: Invalid value: "b.example.com": {FIXED}',
        f'spec.names.plural: Invalid value: "boats": {FIXED}',
    ]


def test_scope_and_kind_change_only_before_the_type_is_served() -> None:
    old = stored(definition())
    names = {**old["spec"]["names"], "kind": "Boat"}
    assert update_texts(changed(old, scope="Cluster", names=names), old) == []
    served = established(definition())
    assert update_texts(changed(served, scope="Cluster", names=names), served) == [
        f'spec.scope: Invalid value: "Cluster": {FIXED}',
        f'spec.names.kind: Invalid value: "Boat": {FIXED}',
    ]


def test_a_version_that_was_stored_may_not_go() -> None:
    old = stored(definition())
    new = changed(old, versions=[version("v2")])
    assert update_texts(new, old) == [
        'status.storedVersions[0]: Invalid value: "v1": missing from spec.versions; v1 was '
        "previously a storage version, and must remain in spec.versions until a storage migration "
        "ensures no data remains persisted in v1 and removes v1 from status.storedVersions"
    ]


def test_a_status_write_may_take_back_a_stored_version_but_no_bad_name() -> None:
    old = stored(definition(version("v1", storage=False), version("v2")))
    new = copy.deepcopy(old)
    new["status"] = {"storedVersions": ["v2"], "acceptedNames": {"plural": "A b"}}
    errors = definitions.validate_status(new, old)
    assert [error.path for error in errors] == ["status.acceptedNames.plural"]


def test_unknown_fields_stay_preserved_where_they_were() -> None:
    old = stored(definition())
    old["spec"]["preserveUnknownFields"] = True
    assert update_texts(changed(old), old) == []
    assert update_texts(old, stored(definition())) != []


def test_a_schema_that_was_not_structural_may_stay_so_as_long_as_fields_are_preserved() -> None:
    old = of_field({"anyOf": [STRING]})
    old["spec"]["preserveUnknownFields"] = True
    assert update_texts(changed(old), old) == []
    assert update_texts(changed(old, preserveUnknownFields=False), old) != []


def test_sets_of_structs_may_stay() -> None:
    keeps_and_tightens(
        {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "set"}
    )


def test_optional_list_keys_may_stay() -> None:
    keeps_and_tightens(
        {
            "type": "array",
            "items": {"type": "object", "properties": {"k": STRING}},
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k"],
        }
    )


def test_defaults_with_unknown_fields_may_stay() -> None:
    keeps_and_tightens({"type": "object", "properties": {"b": STRING}, "default": {"c": 1}})


def test_types_that_openapi_does_not_know_may_stay() -> None:
    keeps_and_tightens({"type": "text"})


def test_unrecognized_review_versions_may_stay() -> None:
    client = {"url": "https://a.example.com"}
    webhook = {"clientConfig": client, "conversionReviewVersions": ["v9"]}
    old = stored(definition(conversion={"strategy": "Webhook", "webhook": webhook}))
    assert update_texts(changed(old), old) == []
    assert update_texts(old, stored(definition())) != []


def test_a_ca_bundle_must_be_readable_once_the_type_is_served_unless_it_was_not() -> None:
    def with_bundle(bundle: str) -> JsonObject:
        client = {"url": "https://a.example.com", "caBundle": bundle}
        webhook = {"clientConfig": client, "conversionReviewVersions": ["v1"]}
        return established(definition(conversion={"strategy": "Webhook", "webhook": webhook}))

    bad, other = with_bundle("YQ=="), with_bundle("Yg==")
    assert update_texts(other, bad) == []
    assert update_texts(bad, stored(definition())) == []
    assert update_texts(bad, established(definition())) == [
        'spec.conversion.webhookClientConfig.caBundle: Invalid value: "YQ==": unable to load root '
        "certificates: unable to parse bytes as PEM block"
    ]


def test_more_selectable_fields_than_are_allowed_may_stay_as_they_are() -> None:
    fields = {f"f{index}": STRING for index in range(10)}
    chosen = [{"jsonPath": f".f{index}"} for index in range(9)]
    schema = {"type": "object", "properties": fields}
    old = stored(definition(version(schema=schema, selectableFields=chosen)))
    assert update_texts(changed(old), old) == []
    more = version(schema=schema, selectableFields=[*chosen, {"jsonPath": ".f9"}])
    assert update_texts(changed(old, versions=[more]), old) != []


def test_approval_is_asked_when_its_state_changes() -> None:
    group = "a.k8s.io"
    old = stored(definition(group=group))
    assert update_texts(changed(old), old) == []
    approved = stored(
        definition(group=group, annotations={"api-approved.kubernetes.io": "https://a.b/c"})
    )
    assert update_texts(old, approved) != []
