"""Compiled definitions: types, merge facts and upstream's facts by field."""

from __future__ import annotations

from pathlib import Path

import pytest

from kube.schema import compile as schema_compile
from kube.schema.compile import builtin_schemas
from kube.schema.model import ATOMIC, MAP, MERGE, RETAIN_KEYS, Field, Kind

SCHEMAS = builtin_schemas()
CORE = "io.k8s.api.core.v1"


def find(struct: str, name: str) -> Field:
    field = SCHEMAS.field(struct, name)
    assert field is not None
    return field


def test_list_and_merge_facts_are_kept() -> None:
    containers = find(f"{CORE}.PodSpec", "containers")
    assert (containers.type.kind, containers.type.list_type) == (Kind.LIST, MAP)
    assert containers.type.list_keys == ("name",)
    assert (containers.merge_key, containers.strategies) == ("name", (MERGE,))
    assert find(f"{CORE}.PodSpec", "volumes").strategies == (MERGE, RETAIN_KEYS)
    assert find(f"{CORE}.Container", "args").type.list_type == ATOMIC


def test_map_type_of_a_reference_beats_that_of_its_struct() -> None:
    assert SCHEMAS.struct(f"{CORE}.ObjectReference").map_type == ATOMIC
    assert find(f"{CORE}.PersistentVolumeSpec", "claimRef").type.map_type == "granular"
    assert find(f"{CORE}.Event", "involvedObject").type.map_type == ATOMIC


def test_go_types_are_those_of_upstreams_messages() -> None:
    assert find(f"{CORE}.PodSpec", "containers").type.go_type == "[]v1.Container"
    assert find(f"{CORE}.Container", "imagePullPolicy").type.go_type == "v1.PullPolicy"
    assert find(f"{CORE}.Secret", "data").type.go_type == "map[string][]uint8"
    assert find(f"{CORE}.ResourceRequirements", "limits").type.go_type == "v1.ResourceList"


def test_pointers_and_empty_values_follow_upstream() -> None:
    replicas = find("io.k8s.api.apps.v1.DeploymentSpec", "replicas")
    assert (replicas.pointer, replicas.omit_empty) == (True, True)
    paused = find("io.k8s.api.apps.v1.DeploymentSpec", "paused")
    assert (paused.pointer, paused.omit_empty) == (False, True)
    desired = find("io.k8s.api.apps.v1.DaemonSetStatus", "desiredNumberScheduled")
    assert (desired.pointer, desired.omit_empty) == (False, False)
    assert not find(f"{CORE}.Container", "resources").pointer
    assert find(f"{CORE}.Container", "securityContext").pointer


def test_every_definition_can_be_made() -> None:
    structs = [SCHEMAS.struct(name) for name in SCHEMAS]
    assert len(structs) > 800
    assert f"{CORE}.Pod" in SCHEMAS


def test_recursive_definitions_refer_to_themselves() -> None:
    name = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
    props = SCHEMAS.struct(name)
    assert props.fields["not"].type.struct is props
    assert props.fields["items"].type.kind is Kind.UNION


def test_every_exception_names_an_existing_field() -> None:
    for name, fields in schema_compile._read_exceptions().items():
        struct = SCHEMAS.struct(name)
        assert set(fields) <= set(struct.fields), name


def test_compiled_schemas_are_kept_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ULTRAPLANE_CACHE_DIR", str(tmp_path))
    first = schema_compile.builtin_schemas.__wrapped__()

    def refuse() -> None:
        raise AssertionError("compiled twice")

    monkeypatch.setattr(schema_compile, "compile_definitions", refuse)
    assert list(schema_compile.builtin_schemas.__wrapped__()) == list(first)


def test_unknown_definitions_and_fields_are_told_apart() -> None:
    with pytest.raises(KeyError):
        SCHEMAS.struct("io.k8s.api.core.v1.NoSuch")
    assert SCHEMAS.field(f"{CORE}.Pod", "noSuch") is None
