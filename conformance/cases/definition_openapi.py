"""Schemas of custom resources in the published document, and in kubectl's explanations."""

from __future__ import annotations

import re
from typing import Final

import orjson

from conformance.checks import CaseFailed, check, eventually, same
from conformance.custom import Custom, custom_resource, definitions, version
from conformance.kubectl import kubectl
from conformance.published_schemas import FOO, NESTED, ROOT, WALDO
from conformance.registry import case
from conformance.resource import JSON_PATCH
from conformance.stage import Stage
from kube.json_types import JsonObject

_PUBLISHED_S: Final = 60.0
_ADDED: Final = ("metadata", "apiVersion", "kind")


async def _set_up(
    stage: Stage, kind: str, suffix: str, schema: JsonObject | None, *versions: str
) -> Custom:
    """Create a definition and wait until all its versions are published as they should be."""
    group = f"{stage.unique}-{suffix}.example.com"
    made = [version(name, schema) for name in versions]
    custom = await custom_resource(stage, group, kind, *made, scope="Namespaced")
    # Less is told of what preserves unknown fields: no fields at the root, no type below.
    expected = None if schema in (ROOT, NESTED) else schema or {"type": "object"}
    for name in versions:
        await _published(stage, custom, name, expected)
    return custom


def _definition_name(custom: Custom, name: str) -> str:
    reverse = ".".join(reversed(custom.group.split(".")))
    return f"{reverse}.{name}.{custom.kind}"


async def _document(stage: Stage) -> JsonObject:
    found: JsonObject = (await stage.api.get("/openapi/v2"))["definitions"]
    return found


async def _published(stage: Stage, custom: Custom, name: str, schema: JsonObject | None) -> None:
    wanted = _definition_name(custom, name)

    async def look() -> bool:
        found = (await _document(stage)).get(wanted)
        if found is None:
            raise CaseFailed(f"{wanted} is not in the document")
        if schema is not None:
            same(_own(found), schema, f"the schema of {wanted}")
        return True

    await eventually(f"{wanted} is published", look, within_s=_PUBLISHED_S)


async def _unpublished(stage: Stage, custom: Custom, name: str) -> None:
    wanted = _definition_name(custom, name)

    async def look() -> bool:
        return wanted not in await _document(stage)

    await eventually(f"{wanted} is published no more", look, within_s=_PUBLISHED_S)


def _own(schema: JsonObject) -> JsonObject:
    """Return a published schema without what the server adds to each."""
    left = {name: value for name, value in schema.items() if not name.startswith("x-kubernetes-g")}
    properties = {
        name: value
        for name, value in (left.pop("properties", None) or {}).items()
        if name not in _ADDED
    }
    return {**left, **({"properties": properties} if properties else {})}


async def _clean_up(stage: Stage, custom: Custom, *versions: str) -> None:
    await definitions(stage).delete(custom.name)
    for name in versions:
        await _unpublished(stage, custom, name)


async def _accepts(stage: Stage, custom: Custom, obj: JsonObject) -> None:
    """Demand that kubectl creates and applies an object, and deletes it each time."""
    typed = {"apiVersion": custom.resource.group_version, "kind": custom.kind, **obj}
    text = orjson.dumps(typed).decode()
    for command in ("create", "apply"):
        await kubectl(stage, command, "-f", "-", stdin=text)
        # Other cases have types of the same plural, in groups of their own.
        await kubectl(stage, "delete", custom.name, obj["metadata"]["name"])


async def _rejects(stage: Stage, custom: Custom, spec: JsonObject, said: str) -> None:
    """Demand that kubectl neither creates nor applies an object, and says why."""
    typed = {
        "apiVersion": custom.resource.group_version,
        "kind": custom.kind,
        "metadata": {"name": "test-foo"},
        "spec": spec,
    }
    text = orjson.dumps(typed).decode()
    for command in ("create", "apply"):
        ran = await kubectl(stage, command, "-f", "-", stdin=text, fails=True)
        check(re.search(said, ran.stderr), f"kubectl {command} says {said}: {ran.stderr}")


async def _explains(stage: Stage, path: str, pattern: str) -> None:
    ran = await kubectl(stage, "explain", path)
    check(re.search(pattern, ran.stdout, re.DOTALL), f"{pattern!r} in: {ran.stdout}")


@case(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD with "
    "validation schema [Conformance]"
)
async def with_schema(stage: Stage) -> None:
    """kubectl validates by the schema, and explains it."""
    foo = await _set_up(stage, "Foo", "foo", FOO, "v1")
    # With its group: other cases have types of this name, too.
    full = f"{foo.plural}.{foo.resource.group_version.partition('/')[0]}"
    await _accepts(
        stage, foo, {"metadata": {"name": "test-foo"}, "spec": {"bars": [{"name": "test-bar"}]}}
    )
    bad = {"bars": [{"name": "test-bar", "feeling": "NonExistentValue"}]}
    await _rejects(stage, foo, bad, 'Unsupported value: "NonExistentValue"')
    await _rejects(stage, foo, {"foo": True}, r'unknown field "(spec\.)?foo"')
    unnamed = r'missing required field "name"|spec\.bars\[0\]\.name: Required value'
    await _rejects(stage, foo, {"bars": [{"age": "10"}]}, unnamed)
    await _explains(
        stage,
        full,
        r"DESCRIPTION:.*Foo CRD for Testing.*FIELDS:.*apiVersion.*<string>.*"
        r"APIVersion defines.*spec.*<Object>.*Specification of Foo",
    )
    await _explains(
        stage,
        f"{full}.metadata",
        r"DESCRIPTION:.*Standard object's metadata.*FIELDS:.*creationTimestamp.*<string>.*"
        r"CreationTimestamp is a timestamp",
    )
    await _explains(
        stage,
        f"{full}.spec",
        r"DESCRIPTION:.*Specification of Foo.*FIELDS:.*bars.*<\[\]Object>.*"
        r"List of Bars and their specs",
    )
    await _explains(
        stage,
        f"{full}.spec.bars",
        r"(RESOURCE|FIELD):.*bars.*<\[\]Object>.*DESCRIPTION:.*List of Bars and their specs.*"
        r"FIELDS:.*bazs.*<\[\]string>.*List of Bazs.*name.*<string>.*Name of Bar",
    )
    ran = await kubectl(stage, "explain", f"{full}.spec.bars2", fails=True)
    check('field "bars2" does not exist' in ran.stderr, f"a field that is not: {ran.stderr}")
    await _clean_up(stage, foo, "v1")


@case(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD "
    "without validation schema [Conformance]"
)
async def without_schema(stage: Stage) -> None:
    """Without a schema any field is welcome, and nothing is explained."""
    empty = await _set_up(stage, "Empty", "empty", None, "v1")
    await _accepts(stage, empty, {"metadata": {"name": "test-cr"}, "a": {"b": [{"c": "d"}]}})
    await _explains(stage, empty.plural, r"DESCRIPTION:.*<empty>")
    await _clean_up(stage, empty, "v1")


@case(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD "
    "preserving unknown fields at the schema root [Conformance]"
)
async def preserving_root(stage: Stage) -> None:
    """A root that preserves unknown fields takes them."""
    custom = await _set_up(stage, "Unknown", "unknown-at-root", ROOT, "v1")
    await _accepts(stage, custom, {"metadata": {"name": "test-cr"}, "a": {"b": [{"c": "d"}]}})
    await _explains(stage, custom.name, rf"KIND:.*{custom.kind}")
    await _clean_up(stage, custom, "v1")


@case(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD "
    "preserving unknown fields in an embedded object [Conformance]"
)
async def preserving_nested(stage: Stage) -> None:
    """So does a field within."""
    custom = await _set_up(stage, "Nested", "unknown-in-nested", NESTED, "v1")
    spec = {"a": None, "b": [{"c": "d"}]}
    await _accepts(stage, custom, {"metadata": {"name": "test-cr"}, "spec": spec})
    pattern = r"DESCRIPTION:.*preserve-unknown-properties in nested field for Testing"
    await _explains(stage, custom.name, pattern)
    await _clean_up(stage, custom, "v1")


async def _check_beside(stage: Stage, foo_at: tuple[str, str], waldo_at: tuple[str, str]) -> None:
    """Demand that two kinds, each with its group's suffix and version, are published together."""
    foo = await _set_up(stage, "Foo", foo_at[0], FOO, foo_at[1])
    waldo = await _set_up(stage, "Waldo", waldo_at[0], WALDO, waldo_at[1])
    await _published(stage, foo, foo_at[1], FOO)
    await _clean_up(stage, foo, foo_at[1])
    await _clean_up(stage, waldo, waldo_at[1])


@case(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for multiple "
    "CRDs of different groups [Conformance]"
)
async def different_groups(stage: Stage) -> None:
    """Two groups are published beside each other."""
    await _check_beside(stage, ("foo", "v1"), ("waldo", "v1beta1"))


@case(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for multiple "
    "CRDs of same group but different versions [Conformance]"
)
async def different_versions(stage: Stage) -> None:
    """Versions of one definition, and of two in a group, are published beside each other."""
    several = await _set_up(stage, "Foo", "multi-ver", FOO, "v2", "v3")
    await _clean_up(stage, several, "v2", "v3")
    await _check_beside(stage, ("common-group", "v4"), ("common-group", "v5"))


@case(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for multiple "
    "CRDs of same group and version but different kinds [Conformance]"
)
async def different_kinds(stage: Stage) -> None:
    """Two kinds of one group and version are published beside each other."""
    await _check_beside(stage, ("common-group", "v6"), ("common-group", "v6"))


@case(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] updates the "
    "published spec when one version gets renamed [Conformance]"
)
async def renamed(stage: Stage) -> None:
    """The new name takes the old one's place; the other version stays."""
    custom = await _set_up(stage, "Foo", "multi-ver", FOO, "v2", "v3")
    path = "/spec/versions/1/name"
    patch = [
        {"op": "test", "path": path, "value": "v3"},
        {"op": "replace", "path": path, "value": "v4"},
    ]
    await definitions(stage).patch(custom.name, patch, JSON_PATCH)
    await _published(stage, custom, "v4", FOO)
    await _unpublished(stage, custom, "v3")
    await _published(stage, custom, "v2", FOO)
    await _clean_up(stage, custom, "v2", "v4")


@case(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] removes definition "
    "from spec when one version gets changed to not be served [Conformance]"
)
async def not_served(stage: Stage) -> None:
    """A version that is served no more is published no more."""
    custom = await _set_up(stage, "Foo", "multi-to-single-ver", FOO, "v5", "v6alpha1")

    def change(obj: JsonObject) -> None:
        obj["spec"]["versions"][1]["served"] = False

    await definitions(stage).update(custom.name, change)
    await _unpublished(stage, custom, "v6alpha1")
    await _published(stage, custom, "v5", FOO)
    await _clean_up(stage, custom, "v5")
