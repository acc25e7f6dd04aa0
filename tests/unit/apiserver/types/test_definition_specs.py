"""CustomResourceDefinitions: names, versions, subresources, columns, conversion."""

from __future__ import annotations

from typing import Any

import pytest
from definition_objects import definition, stored, texts, version

from apiserver.types.apiextensions import definitions
from kube.json_types import JsonObject

WEBHOOK = {"clientConfig": {"url": "https://a.example.com/x"}, "conversionReviewVersions": ["v1"]}
INTEGER = {"type": "integer"}


def converted(**webhook: Any) -> JsonObject:
    return definition(conversion={"strategy": "Webhook", "webhook": {**WEBHOOK, **webhook}})


def test_a_definition_gets_its_names_conversion_and_stored_version() -> None:
    made = stored(definition())
    names = {"plural": "cars", "singular": "car", "kind": "Car", "listKind": "CarList"}
    assert made["spec"]["names"] == names
    assert made["spec"]["conversion"] == {"strategy": "None"}
    assert made["status"] == {"storedVersions": ["v1"]}
    assert definitions.validate(made) == []


def test_a_conversion_service_gets_its_port() -> None:
    client = {"service": {"namespace": "n", "name": "s"}}
    made = stored(converted(clientConfig=client))
    service = made["spec"]["conversion"]["webhook"]["clientConfig"]["service"]
    assert service["port"] == 443


def test_a_new_storage_version_is_remembered_beside_the_old_one() -> None:
    old = stored(definition())
    new = stored(definition(version("v1", storage=False), version("v2")))
    new["status"] = dict(old["status"])
    definitions.prepare_update(new, old)
    assert new["status"]["storedVersions"] == ["v1", "v2"]


def test_the_name_is_made_of_plural_and_group() -> None:
    obj = definition()
    obj["metadata"]["name"] = "x"
    assert texts(obj) == [
        'metadata.name: Invalid value: "x": must be spec.names.plural+"."+spec.group'
    ]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"group": "example"},
            'spec.group: Invalid value: "example": should be a domain with at least one dot',
        ),
        ({"scope": ""}, "spec.scope: Required value"),
        (
            {"scope": "World"},
            'spec.scope: Unsupported value: "World": supported values: "Cluster", "Namespaced"',
        ),
        (
            {"names": {"plural": "cars", "kind": "Car", "listKind": "Car"}},
            'spec.names.listKind: Invalid value: "Car": kind and listKind may not be the same',
        ),
    ],
)
def test_group_scope_and_kinds_are_checked(spec: JsonObject, message: str) -> None:
    assert texts(definition(**spec)) == [message]


@pytest.mark.parametrize(
    ("names", "path"),
    [
        ({"singular": "Car"}, "singular"),
        ({"kind": "a_b", "singular": "car", "listKind": "List"}, "kind"),
        ({"listKind": "a b"}, "listKind"),
        ({"shortNames": ["c", "C"]}, "shortNames[1]"),
        ({"categories": ["all", ""]}, "categories[1]"),
    ],
)
def test_names_are_dns_labels(names: JsonObject, path: str) -> None:
    errors = definitions.validate(
        stored(definition(names={"plural": "cars", "kind": "Car", **names}))
    )
    assert [error.path for error in errors] == [f"spec.names.{path}"]
    assert "DNS-1035 label" in errors[0].detail


def test_missing_names_are_required() -> None:
    obj = definition(names={"plural": "cars"})
    assert texts(obj) == [
        "spec.names.singular: Required value",
        "spec.names.kind: Required value",
        "spec.names.listKind: Required value",
    ]


def test_one_version_is_stored_and_names_differ() -> None:
    errors = texts(definition(version("v1"), version("v1")))
    assert [error.rpartition(": ")[2] for error in errors] == [
        "must contain unique version names",
        "must have exactly one version marked as storage version",
    ]
    assert errors[0].startswith('spec.versions: Invalid value: [{"Name":"v1","Served":true,')


def test_no_version_at_all_is_refused() -> None:
    obj = definition()
    obj["spec"]["versions"] = []
    assert texts(obj) == [
        "spec.versions: Invalid value: []: must have exactly one version marked as storage version",
        "status.storedVersions: Invalid value: []: must have at least one stored version",
    ]


def test_a_bad_first_version_name_is_told_twice_as_upstream_does() -> None:
    errors = definitions.validate(stored(definition(version("1"))))
    assert [error.path for error in errors] == ["spec.versions[0].name", "spec.version"]


def test_each_version_needs_a_schema() -> None:
    other = version("v2", storage=False)
    del other["schema"]
    assert texts(definition(version(), other)) == [
        "spec.versions[1].schema.openAPIV3Schema: Required value"
    ]


def test_errors_in_schemas_that_differ_stand_at_their_version() -> None:
    obj = definition(version(), version("v2", {"type": "array", "items": INTEGER}, storage=False))
    assert texts(obj) == [
        'spec.versions[1].schema.openAPIV3Schema.type: Invalid value: "array": must be object at '
        "the root"
    ]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"deprecationWarning": "x"}, '"x": can only be set for deprecated versions'),
        ({"deprecated": True, "deprecationWarning": ""}, '"": must not be an empty string'),
        (
            {"deprecated": True, "deprecationWarning": "ä\n"},
            '"ä\\n": must only contain printable UTF-8 characters; non-printable character found '
            "at index 2",
        ),
    ],
)
def test_deprecation_warnings_are_checked(more: JsonObject, message: str) -> None:
    assert texts(definition(version(**more))) == [
        f"spec.versions[0].deprecationWarning: Invalid value: {message}"
    ]


@pytest.mark.parametrize(
    ("scale", "messages"),
    [
        ({"specReplicasPath": ".spec.r", "statusReplicasPath": ".status.r"}, []),
        (
            {"specReplicasPath": "spec.r", "statusReplicasPath": ".spec.r"},
            [
                'spec.subresources.scale.specReplicasPath: Invalid value: "spec.r": must be a '
                "simple "
                "json path starting with .",
                'spec.subresources.scale.statusReplicasPath: Invalid value: ".spec.r": should be a '
                "json path under .status",
            ],
        ),
        (
            {
                "specReplicasPath": ".status.r",
                "statusReplicasPath": "",
                "labelSelectorPath": ".metadata.x",
            },
            [
                'spec.subresources.scale.specReplicasPath: Invalid value: ".status.r": should be a '
                "json path under .spec",
                "spec.subresources.scale.statusReplicasPath: Required value",
                'spec.subresources.scale.labelSelectorPath: Invalid value: ".metadata.x": '
                "should be "
                "a json path under either .spec or .status",
            ],
        ),
    ],
)
def test_scale_paths_are_checked(scale: JsonObject, messages: list[str]) -> None:
    assert texts(definition(version(subresources={"scale": scale}))) == messages


def test_printer_columns_are_checked() -> None:
    columns = [
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        {"name": "", "type": "", "jsonPath": ""},
        {"name": "A", "type": "object", "format": "x", "jsonPath": "a"},
    ]
    known = "must be one of boolean,date,integer,number,string"
    formats = "must be one of byte,date,date-time,double,float,int32,int64,password"
    path = "spec.additionalPrinterColumns"
    assert texts(definition(version(additionalPrinterColumns=columns))) == [
        f"{path}[1].name: Required value",
        f"{path}[1].type: Required value: {known}",
        f"{path}[1].JSONPath: Required value",
        f'{path}[2].type: Invalid value: "object": {known}',
        f'{path}[2].format: Invalid value: "x": {formats}',
        f'{path}[2].JSONPath: Invalid value: "a": must be a simple json path starting with .',
    ]


def selectable(*paths: str) -> list[str]:
    fields = {f"f{index}": INTEGER for index in range(10)}
    spec = {"type": "object", "properties": {**fields, "o": {"type": "object"}}}
    schema = {
        "type": "object",
        "properties": {
            "spec": spec,
            "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
        },
    }
    chosen = [{"jsonPath": path} for path in paths]
    found = texts(definition(version(schema=schema, selectableFields=chosen)))
    return [text.removeprefix("spec.selectableFields") for text in found]


def test_selectable_fields_are_checked() -> None:
    assert selectable(".spec.f0", ".spec.f1") == []
    assert selectable("", ".spec.x", ".spec['f0']", ".metadata.name", ".spec.o", ".spec.f0") == [
        "[0].jsonPath: Required value",
        '[1].jsonPath: Invalid value: ".spec.x": is an invalid path: does not refer to a valid '
        "field",
        "[2].jsonPath: Invalid value: \".spec['f0']\": is an invalid path: array notation is not "
        "allowed",
        '[3].jsonPath: Invalid value: ".metadata.name": must not point to fields in metadata',
        '[4].jsonPath: Invalid value: ".spec.o": must point to a field of type string, boolean or '
        "integer. Enum string fields and strings with formats are allowed.",
    ]
    assert selectable(".spec.f0", ".spec.f0") == ['[1].jsonPath: Duplicate value: ".spec.f0"']


def test_no_more_than_eight_fields_are_selectable() -> None:
    assert selectable(*[f".spec.f{index}" for index in range(9)]) == [
        ": Too many: 9: must have at most 8 items"
    ]


@pytest.mark.parametrize(
    ("conversion", "messages"),
    [
        ({"strategy": "Webhook", "webhook": WEBHOOK}, []),
        (
            {"strategy": "Magic"},
            ['strategy: Unsupported value: "Magic": supported values: "None", "Webhook"'],
        ),
        (
            {"strategy": "None", "webhook": WEBHOOK},
            [
                "webhookClientConfig: Forbidden: should not be set when strategy is not set to "
                "Webhook",
                "conversionReviewVersions: Forbidden: should not be set when strategy is not "
                "set to "
                "Webhook",
            ],
        ),
        (
            {"strategy": "Webhook"},
            [
                "webhookClientConfig: Required value: required when strategy is set to Webhook",
                "conversionReviewVersions: Required value",
            ],
        ),
        (
            {"strategy": "Webhook", "webhook": {**WEBHOOK, "clientConfig": {}}},
            ["webhookClientConfig: Required value: exactly one of url or service is required"],
        ),
        (
            {
                "strategy": "Webhook",
                "webhook": {**WEBHOOK, "conversionReviewVersions": ["v2", "v2"]},
            },
            [
                'conversionReviewVersions[1]: Invalid value: "v2": duplicate version',
                'conversionReviewVersions: Invalid value: ["v2","v2"]: must include at least '
                "one of "
                "v1, v1beta1",
            ],
        ),
        (
            {
                "strategy": "Webhook",
                "webhook": {**WEBHOOK, "clientConfig": {"url": "http://u:p@/x?a=b#c"}},
            },
            [
                "webhookClientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL "
                "scheme; desired format: https://host[/path]",
                'webhookClientConfig.url: Invalid value: "": host must be specified; desired '
                "format: "
                "https://host[/path]",
                'webhookClientConfig.url: Invalid value: "u:p": user information is not '
                "permitted in "
                "the URL",
                'webhookClientConfig.url: Invalid value: "c": fragments are not permitted in '
                "the URL",
                'webhookClientConfig.url: Invalid value: "a=b": query parameters are not permitted '
                "in the URL",
            ],
        ),
        (
            {
                "strategy": "Webhook",
                "webhook": {
                    **WEBHOOK,
                    "clientConfig": {
                        "service": {"name": "", "namespace": "n", "port": 70000, "path": "/a//B"}
                    },
                },
            },
            [
                # Upstream mixes up the two.
                "webhookClientConfig.service.namespace: Required value",
                "webhookClientConfig.service.port: Invalid value: 70000: port is not valid: "
                "must be "
                "between 1 and 65535, inclusive",
                'webhookClientConfig.service.path: Invalid value: "/a//B": segment[1] may not be '
                "empty",
            ],
        ),
    ],
)
def test_conversion_is_checked(conversion: JsonObject, messages: list[str]) -> None:
    found = [
        text.removeprefix("spec.conversion.") for text in texts(definition(conversion=conversion))
    ]
    assert found[: len(messages)] == messages
    assert len(found) == len(messages) or "segment[2]" in found[-1]


def test_unknown_fields_may_not_be_preserved_as_a_whole() -> None:
    assert texts(definition(preserveUnknownFields=True)) == [
        "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set "
        "x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
    ]


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ("https://github.com/kubernetes/enhancements/pull/1111", None),
        ("unapproved, experimental", None),
        (
            "",
            "Required value: protected groups must have approval annotation "
            '"api-approved.kubernetes.io", see '
            "https://github.com/kubernetes/enhancements/pull/1111",
        ),
        (
            "yes",
            'Invalid value: "yes": protected groups must have approval annotation '
            '"api-approved.kubernetes.io" with either a URL or a reason starting with '
            '"unapproved", '
            "see https://github.com/kubernetes/enhancements/pull/1111",
        ),
    ],
)
@pytest.mark.parametrize("group", ["k8s.io", "a.k8s.io", "x.kubernetes.io"])
def test_groups_of_kubernetes_need_approval(
    group: str, annotation: str, message: str | None
) -> None:
    obj = definition(group=group, annotations={"api-approved.kubernetes.io": annotation})
    path = "metadata.annotations[api-approved.kubernetes.io]"
    assert texts(obj) == ([] if message is None else [f"{path}: {message}"])


def test_groups_that_only_look_like_those_need_none() -> None:
    assert texts(definition(group="ak8s.io")) == []


def test_warnings_are_of_formats_nobody_checks_and_sets_apply_cannot_merge() -> None:
    atomic = {"type": "object", "x-kubernetes-map-type": "atomic"}
    fields = {
        "a": {"type": "string", "format": "nonsense"},
        "b": {"type": "string", "format": "date-time"},
        "c": {"type": "array", "x-kubernetes-list-type": "set", "items": atomic},
    }
    made = stored(definition(version(schema={"type": "object", "properties": fields})))
    warned = definitions.HOOKS["apiextensions.k8s.io/customresourcedefinitions"].warnings
    assert warned(made, None) == [
        'unrecognized format "nonsense"',
        'x-kubernetes-list-type: set for items of type "object" is not supported by server-side '
        "apply or CEL validation rules",
    ]
    assert warned(made, made) == []
