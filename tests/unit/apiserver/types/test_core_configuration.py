"""ConfigMap, Secret, Namespace, ServiceAccount and Event."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from apiserver.types.core import config_maps, events, namespaces, secrets, service_accounts
from kube.field import FieldError


def texts(errors: list[FieldError]) -> list[str]:
    return [str(error) for error in errors]


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_config_map_key_stands_in_one_map_only() -> None:
    obj = {"data": {"a": "1"}, "binaryData": {"a": "MQ=="}}
    assert texts(config_maps.validate(obj)) == [
        'data[a]: Invalid value: "a": duplicate of key present in binaryData'
    ]


def test_config_map_is_at_most_one_mebibyte() -> None:
    assert config_maps.validate({"data": {"a": "x" * 1024 * 1024}}) == []
    assert texts(config_maps.validate({"data": {"a": "x" * 1024 * 1024, "b": "y"}})) == [
        ": Too long: may not be more than 1048576 bytes"
    ]
    assert config_maps.validate({"binaryData": {"a": b64("x" * 1024 * 1024)}}) == []


def test_immutable_config_map_keeps_its_data_and_switch() -> None:
    old = {"data": {"a": "1"}, "immutable": True}
    assert config_maps.validate_update(dict(old), old) == []
    text = "Forbidden: field is immutable when `immutable` is set"
    assert texts(config_maps.validate_update({"data": {"a": "2"}}, old)) == [
        f"immutable: {text}",
        f"data: {text}",
    ]


def test_string_data_is_folded_into_data() -> None:
    obj = {"data": {"a": b64("old"), "b": b64("b")}, "stringData": {"a": "new", "c": ""}}
    secrets.default(obj)
    assert obj == {"data": {"a": b64("new"), "b": b64("b"), "c": ""}, "type": "Opaque"}


@pytest.mark.parametrize(
    ("kind", "data", "errors"),
    [
        ("Opaque", {}, []),
        ("kubernetes.io/tls", {"tls.crt": ""}, ["data[tls.key]: Required value"]),
        ("kubernetes.io/tls", {"tls.crt": "", "tls.key": ""}, []),
        (
            "kubernetes.io/basic-auth",
            {},
            ["data[username]: Required value", "data[password]: Required value"],
        ),
        ("kubernetes.io/basic-auth", {"password": ""}, []),
        ("kubernetes.io/ssh-auth", {}, ["data[ssh-privatekey]: Required value"]),
        ("kubernetes.io/dockerconfigjson", {}, ["data[.dockerconfigjson]: Required value"]),
        ("kubernetes.io/dockerconfigjson", {".dockerconfigjson": b64('{"auths":{}}')}, []),
        (
            "kubernetes.io/dockercfg",
            {".dockercfg": b64("")},
            [
                'data[.dockercfg]: Invalid value: "<secret contents redacted>": '
                "unexpected end of JSON input"
            ],
        ),
        (
            "kubernetes.io/dockercfg",
            {".dockercfg": b64("[]")},
            [
                'data[.dockercfg]: Invalid value: "<secret contents redacted>": json: cannot '
                "unmarshal array into Go value of type map[string]interface {}"
            ],
        ),
        (
            "kubernetes.io/service-account-token",
            {},
            ["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
        ),
    ],
)
def test_secret_type_requires_its_keys(kind: str, data: dict[str, str], errors: list[str]) -> None:
    assert texts(secrets.validate({"type": kind, "data": data})) == errors


def test_secret_type_is_immutable() -> None:
    assert texts(secrets.validate_update({"type": "a"}, {"type": "b"})) == [
        'type: Invalid value: "a": field is immutable'
    ]


def test_new_namespace_is_active_labelled_and_held_by_its_finalizer() -> None:
    obj: dict[str, Any] = {"metadata": {"name": "team"}, "status": {"phase": "Terminating"}}
    namespaces.default(obj)
    namespaces.prepare_create(obj)
    assert obj == {
        "metadata": {"name": "team", "labels": {"kubernetes.io/metadata.name": "team"}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def test_generated_namespace_name_becomes_its_label() -> None:
    obj: dict[str, Any] = {"metadata": {"generateName": "t-"}}
    namespaces.default(obj)
    obj["metadata"]["name"] = "t-x"
    assert namespaces.validate_create(obj) == []
    assert obj["metadata"]["labels"] == {"kubernetes.io/metadata.name": "t-x"}


def test_namespace_finalizers_change_by_finalize_only() -> None:
    old = {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Terminating"}}
    new: dict[str, Any] = {"spec": {"finalizers": []}}
    namespaces.prepare_update(new, old)
    assert new["spec"]["finalizers"] == ["kubernetes"]
    final: dict[str, Any] = {"spec": {}}
    namespaces.prepare_finalize(final, old)
    assert final == {"spec": {}, "status": {"phase": "Terminating"}}
    assert texts(namespaces.validate_finalize({"spec": {"finalizers": ["mine"]}}, old)) == [
        'spec.finalizers[0]: Invalid value: "mine": '
        "name is neither a standard finalizer name nor is it fully qualified"
    ]


def test_namespace_phase_follows_its_deletion() -> None:
    going = {"metadata": {"deletionTimestamp": "t"}, "status": {"phase": "Active"}}
    assert texts(namespaces.validate_status(going, {})) == [
        'status.Phase: Invalid value: "Active": '
        "may only be 'Terminating' if `deletionTimestamp` is not empty"
    ]
    staying = {"metadata": {}, "status": {"phase": "Terminating"}}
    assert texts(namespaces.validate_status(staying, {})) == [
        'status.Phase: Invalid value: "Terminating": '
        "may only be 'Active' if `deletionTimestamp` is empty"
    ]


def test_service_account_keeps_only_names_of_secrets() -> None:
    obj = {"secrets": [{"name": "a", "namespace": "b", "kind": "Secret"}]}
    service_accounts.prepare_create(obj)
    assert obj == {"secrets": [{"name": "a"}]}


def event(**more: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "e.1", "namespace": "default"},
        "involvedObject": {"namespace": "default"},
        "type": "Normal",
        **more,
    }


def test_legacy_event_needs_only_an_agreeing_namespace() -> None:
    assert events.validate(event()) == []
    assert texts(events.validate(event(involvedObject={"namespace": "other"}))) == [
        'involvedObject.namespace: Invalid value: "other": does not match event.namespace'
    ]


def test_dated_event_names_its_reporter() -> None:
    assert "reportingController: Required value" in texts(
        events.validate(event(eventTime="2026-01-01T00:00:00.000000Z"))
    )


def test_strict_event_has_no_deprecated_fields() -> None:
    dated = event(eventTime="2026-01-01T00:00:00.000000Z", count=2, type="Odd")
    assert texts(events.validate_create_strict(dated)) == [
        'type: Invalid value: "": has invalid value: Odd',
        'count: Invalid value: "": needs to be unset',
    ]


def test_strict_event_is_immutable_but_for_its_series() -> None:
    old, new = event(reason="A"), event(reason="B", series={"count": 1})
    assert texts(events.validate_update_strict(new, old)) == [
        'series.count: Invalid value: "": should be at least 2',
        "series.lastObservedTime: Required value",
        'reason: Invalid value: "B": field is immutable',
    ]


def test_events_live_an_hour_and_are_found_by_their_source() -> None:
    hooks = events.HOOKS["events"]
    assert hooks.ttl_s == 3600
    assert hooks.fields["source"](event(reportingComponent="kubelet")) == "kubelet"
    assert hooks.fields["involvedObject.namespace"](event()) == "default"
