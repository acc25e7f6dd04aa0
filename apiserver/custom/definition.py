"""What a CustomResourceDefinition says, read once each time it changes.

A `Definition` holds what the server goes by: names as they were accepted, versions, conditions. Two
of equal `shape` serve alike, whatever else differs between them (status, labels, revisions).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from kube.json_types import JsonObject
from kube.kinds import version_sort_key

DEFINITIONS: Final = "apiextensions.k8s.io/customresourcedefinitions"
"""What storage calls the definitions themselves."""
CLEANUP: Final = "customresourcecleanup.apiextensions.k8s.io"
"""The finalizer that keeps a definition until its objects are gone."""
NAMES_ACCEPTED: Final = "NamesAccepted"
ESTABLISHED: Final = "Established"
TERMINATING: Final = "Terminating"
NON_STRUCTURAL: Final = "NonStructuralSchema"
APPROVED: Final = "KubernetesAPIApprovalPolicyConformant"
APPROVAL_ANNOTATION: Final = "api-approved.kubernetes.io"
WEBHOOK: Final = "Webhook"


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a type."""

    plural: str = ""
    singular: str = ""
    short_names: tuple[str, ...] = ()
    kind: str = ""
    list_kind: str = ""
    categories: tuple[str, ...] = ()

    @classmethod
    def parse(cls, names: JsonObject) -> Names:
        """Read the names in a spec or a status."""
        return cls(
            names.get("plural") or "",
            names.get("singular") or "",
            tuple(names.get("shortNames") or ()),
            names.get("kind") or "",
            names.get("listKind") or "",
            tuple(names.get("categories") or ()),
        )

    @property
    def resources(self) -> Iterable[str]:
        """The names by which clients may mean the resource."""
        return (self.plural, self.singular, *self.short_names)

    @property
    def is_complete(self) -> bool:
        """Whether a type can be served by them."""
        return bool(self.plural and self.singular and self.kind and self.list_kind)

    def to_json(self) -> JsonObject:
        """Return them as a definition's status has them."""
        found: JsonObject = {"plural": self.plural}
        if self.singular:
            found["singular"] = self.singular
        if self.short_names:
            found["shortNames"] = list(self.short_names)
        found["kind"] = self.kind
        if self.list_kind:
            found["listKind"] = self.list_kind
        if self.categories:
            found["categories"] = list(self.categories)
        return found


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a type.

    Attributes:
        schema: its openAPIV3Schema, None if it has none.
        has_status: whether its status is a subresource.
        scale: `subresources.scale`, None if there is none.
        columns: `additionalPrinterColumns`.
        selectable: paths of `selectableFields`, without the dot they begin with.
        warning: what requests for it are answered with as a warning, "" for nothing.
    """

    name: str
    served: bool
    storage: bool
    schema: JsonObject | None
    has_status: bool
    scale: JsonObject | None
    columns: tuple[JsonObject, ...]
    selectable: tuple[str, ...]
    warning: str


@dataclass(frozen=True, slots=True)
class Definition:
    """One CustomResourceDefinition.

    Attributes:
        revision: at which it is so.
        wanted: names as its spec asks for them.
        names: as they were accepted.
        conversion: `spec.conversion`.
        conditions: status by type of condition.
        is_deleted: whether its deletion has begun.
        has_cleanup: whether it waits for its objects to be gone.
        shape: tells definitions that serve differently.
    """

    name: str
    uid: str
    revision: int
    generation: int
    group: str
    namespaced: bool
    wanted: Names
    names: Names
    versions: tuple[Version, ...]
    conversion: JsonObject
    preserve_unknown: bool
    conditions: dict[str, JsonObject]
    annotations: JsonObject
    is_deleted: bool
    has_cleanup: bool
    shape: bytes

    def holds(self, condition: str) -> bool:
        """Whether a condition is True."""
        return bool(self.conditions.get(condition, {}).get("status") == "True")

    @property
    def is_served(self) -> bool:
        """Whether requests for its objects are answered."""
        has_names = self.holds(NAMES_ACCEPTED) or self.holds(ESTABLISHED)
        return has_names and self.names.is_complete and self.stored is not None

    @property
    def is_ending(self) -> bool:
        """Whether nothing may be created any more."""
        return self.is_deleted or self.holds(TERMINATING)

    @property
    def stored(self) -> Version | None:
        """The version in which objects are stored."""
        return next((version for version in self.versions if version.storage), None)

    @property
    def storage(self) -> str:
        """What storage calls its objects."""
        return f"{self.group}/{self.names.plural}"

    @property
    def is_converted_by_webhook(self) -> bool:
        """Whether others convert between its versions."""
        return bool(self.conversion.get("strategy") == WEBHOOK)


def parse_definition(obj: JsonObject) -> Definition:
    """Read a stored CustomResourceDefinition."""
    metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    accepted = status.get("acceptedNames") or {}
    wanted = spec.get("names") or {}
    group = spec.get("group") or ""
    conditions = {one.get("type", ""): one for one in status.get("conditions") or ()}
    return Definition(
        name=metadata["name"],
        uid=metadata["uid"],
        revision=int(metadata["resourceVersion"]),
        generation=metadata.get("generation", 0),
        group=group,
        namespaced=spec.get("scope") == "Namespaced",
        wanted=Names.parse(wanted),
        names=Names.parse(accepted),
        versions=_versions(group, wanted.get("kind") or "", spec.get("versions") or ()),
        conversion=spec.get("conversion") or {},
        preserve_unknown=bool(spec.get("preserveUnknownFields")),
        conditions=conditions,
        annotations=metadata.get("annotations") or {},
        is_deleted=bool(metadata.get("deletionTimestamp")),
        has_cleanup=CLEANUP in (metadata.get("finalizers") or ()),
        shape=digest([metadata["uid"], spec, accepted]),
    )


def digest(value: Any) -> bytes:
    """Return 16 hexadecimal digits that tell one JSON value from another."""
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=8).hexdigest().encode()


def _versions(group: str, kind: str, given: Sequence[JsonObject]) -> tuple[Version, ...]:
    return tuple(_version(group, kind, one, given) for one in given)


def _version(group: str, kind: str, given: JsonObject, all_: Sequence[JsonObject]) -> Version:
    subresources = given.get("subresources") or {}
    warning = ""
    if given.get("deprecated"):
        own = given.get("deprecationWarning")
        warning = _deprecation(group, kind, given["name"], all_) if own is None else own
    return Version(
        name=given.get("name") or "",
        served=bool(given.get("served")),
        storage=bool(given.get("storage")),
        schema=(given.get("schema") or {}).get("openAPIV3Schema"),
        has_status=subresources.get("status") is not None,
        scale=subresources.get("scale"),
        columns=tuple(given.get("additionalPrinterColumns") or ()),
        selectable=tuple(
            (field.get("jsonPath") or "").removeprefix(".")
            for field in given.get("selectableFields") or ()
        ),
        warning=warning,
    )


def _deprecation(group: str, kind: str, name: str, all_: Sequence[JsonObject]) -> str:
    """Return upstream's words for a deprecated version whose author has none: who is newer."""
    text = f"{group}/{name} {kind} is deprecated"
    own = version_sort_key(name)
    better = sorted(
        (*version_sort_key(other["name"]), other["name"])
        for other in all_
        if other.get("served")
        and not other.get("deprecated")
        and version_sort_key(other["name"]) < own
    )
    return f"{text}; use {group}/{better[0][-1]} {kind}" if better else text
