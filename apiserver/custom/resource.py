"""One version of a custom type, as the verbs see it.

Invariant: a record of a custom type is *shown* as soon as it is read, brought to this version and
its schema; what verbs, encoders and hooks see is always in the version of the request, and is
brought to the version that is stored when it is encoded. Where a webhook converts, both take time,
so they happen where a verb can wait: `brought` and `kept` before, `show` and `encode` then find
nothing left to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from apiserver.custom.definition import Version
from apiserver.custom.hooks import hooks_of
from apiserver.custom.scale import CustomScale
from apiserver.custom.tracker import CustomTracker
from apiserver.custom.types import MARK, CustomType
from apiserver.resources import Resource
from kube.json_types import JsonObject
from kube.kinds import ResourceInfo, SubresourceInfo
from kube.schema.decode import Decoded, builtin_decoder
from kube.schema.normalize import count_keys
from kube.schema.report import STRICT_ERRORS_MAX
from kube.selectors import MetaMatch, build_meta
from kube.table.custom import custom_printer
from kube.table.layout import Printer
from storage.event import Event
from storage.record import Record, field_needle

VERBS: Final = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
"""In the order in which upstream's discovery has them."""
ENDING_VERBS: Final = ("delete", "deletecollection", "get", "list", "watch")
"""What discovery has of a type whose definition is being deleted."""
_PART_VERBS: Final = ("get", "patch", "update")
_SCALE: Final = SubresourceInfo(
    "scale", "autoscaling", "v1", "Scale", _PART_VERBS, "io.k8s.api.autoscaling.v1.Scale"
)
_METADATA: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_UNKNOWN: Final = 'unknown field "'


def info_of(type_: CustomType, version: Version, verbs: tuple[str, ...] = VERBS) -> ResourceInfo:
    """Return the entry of a version in the table of kinds."""
    definition, names = type_.definition, type_.definition.names
    parts: dict[str, SubresourceInfo] = {}
    if version.has_status:
        parts["status"] = SubresourceInfo(
            "status", definition.group, version.name, names.kind, _PART_VERBS, names.kind
        )
    if version.scale is not None:
        parts["scale"] = _SCALE
    return ResourceInfo(
        group=definition.group,
        version=version.name,
        kind=names.kind,
        plural=names.plural,
        singular=names.singular,
        short_names=names.short_names,
        categories=names.categories,
        namespaced=definition.namespaced,
        verbs=verbs,
        list_kind=names.list_kind,
        subresources=parts,
        storage_resource=definition.storage,
        storage_version=type_.storage_version,
        schema_name="",
        custom=True,
    )


class CustomResource(Resource):
    """See the module's head.

    Attributes:
        type: what its versions share.
        needs_calls: whether objects may have to be converted by a webhook.
    """

    __slots__ = (
        "_is_alike",
        "_is_stored",
        "_mark",
        "_name",
        "_served_splice_at",
        "_shown_mark",
        "type",
    )

    def __init__(self, type_: CustomType, version: Version) -> None:
        super().__init__(info_of(type_, version), hooks_of(type_, version))
        self.type = type_
        self._name = version.name
        self._is_stored = version.name == type_.stored.name
        self._is_alike = type_.webhook is None and type_.shape_of(version.name) == type_.shape_of(
            type_.stored.name
        )
        self._mark = field_needle(MARK) + type_.mark + b"\x01"
        # What a webhook makes of an object may be selected otherwise than what is stored.
        is_foreign = type_.webhook is not None and not self._is_stored
        self._shown_mark = type_.mark + (f"/{version.name}".encode() if is_foreign else b"")
        self._served_splice_at = len(self.served_prefix)
        self.needs_calls = type_.webhook is not None
        self.item_strip = len(self.served_prefix) - len(b'"metadata":{"resourceVersion":"')
        self.deprecation = version.warning
        self.tracker = CustomTracker(self.info, type_)
        self.own_printer = _printer(version)
        if version.scale is not None:
            self.scaling = CustomScale(version.scale)

    # What comes in.

    def decode(self, obj: JsonObject) -> Decoded:
        """Decode metadata and prune the rest of an object of this version, in place.

        Raises:
            DecodeError: its metadata, or that of an embedded object, is none.
        """
        keys = count_keys(obj)
        unknown: list[str] = []
        metadata = obj.get("metadata")
        if metadata is not None:
            found = builtin_decoder(_METADATA).decode(metadata).unknown
            unknown += [text.removeprefix(_UNKNOWN)[:-1] for text in found]
            unknown = [f"metadata.{path}" for path in unknown]
        unknown += self.type.schema(self._name).prune(obj)
        texts = tuple(f'{_UNKNOWN}{path}"' for path in unknown[:STRICT_ERRORS_MAX])
        return Decoded(texts, keys)

    async def make_ready(self) -> None:
        """Have made what writes need, before the first."""
        await self.type.make_ready(self._name)

    # What is stored.

    def lenient(self, match: MetaMatch) -> MetaMatch:
        """Return a filter of search blobs that also lets pass what was stored otherwise.

        Such a blob may lack fields that can be selected by now, and that of an object which a
        webhook has to convert says nothing of the other version: both are looked at when shown.
        """
        mark = field_needle(MARK) + self._shown_mark + b"\x01"
        return lambda meta: match(meta) if mark in meta else True

    def shown_matching(self, records: Sequence[Record], match: MetaMatch | None) -> list[Record]:
        """Return those of records that a `lenient` filter has let pass rightly, shown."""
        shown = [self.show(record) for record in records]
        if match is None:
            return shown
        return [
            new
            for old, new in zip(records, shown, strict=True)
            if new.meta is old.meta or match(new.meta)
        ]

    def is_current(self, record: Record) -> bool:
        """Tell whether a record, as it is stored, is as it would be stored now."""
        return self._mark in record.meta

    def encode(self, obj: JsonObject, managed: object = None) -> tuple[bytes, bytes]:
        """See Resource: the object is brought to the version that is stored first."""
        if obj.get("apiVersion") != self.storage_api_version:
            copied: JsonObject = orjson.loads(orjson.dumps(obj))
            self.type.rename(copied, self.storage_api_version)
            self.type.complete(copied)
            obj["metadata"].pop("resourceVersion", None)
            obj = copied
        return super().encode(obj, managed)

    def encode_shown(self, obj: JsonObject, managed: object) -> bytes:
        """Return an object as `encode` would, in this version."""
        if managed is not None:
            obj = {**obj, "metadata": {**obj["metadata"], "managedFields": managed}}
        return self._laid_out({**obj, "apiVersion": self.api_version})

    def meta_of(self, obj: JsonObject) -> bytes:
        """Return the search blob of an object as it is stored: labels, selectable fields, mark."""
        return self._blob(obj, self.type.mark)

    async def kept(self, obj: JsonObject, managed: object = None) -> JsonObject:
        """Return an object in the version that is stored, converted by the webhook if need be.

        Raises:
            StatusError: 500, the webhook failed.
        """
        webhook = self.type.webhook
        version = self.storage_api_version
        if webhook is None or obj.get("apiVersion") == version:
            return obj
        sent = {**obj, "apiVersion": self.api_version}
        if managed is not None:
            sent["metadata"] = {**obj["metadata"], "managedFields": managed}
        plain: JsonObject = orjson.loads(orjson.dumps(sent))
        (converted,) = await webhook.convert([plain], version)
        self.type.rename(converted, version)
        self.type.complete(converted)
        if managed is not None:
            converted["metadata"].pop("managedFields", None)
        return converted

    async def in_version(self, obj: JsonObject, wanted: CustomResource) -> JsonObject:
        """Return an object of this version in another version of the type; `obj` stays as it is.

        Raises:
            StatusError: 500, the webhook failed.
        """
        copied: JsonObject = orjson.loads(orjson.dumps({**obj, "apiVersion": self.api_version}))
        if self.type.webhook is not None:
            (copied,) = await self.type.webhook.convert([copied], wanted.api_version)
        self.type.rename(copied, wanted.api_version)
        return copied

    # What is shown.

    def show(self, record: Record) -> Record:
        """Return a record as this version shows it."""
        if self._mark in record.meta:
            if self._is_stored:
                return record
            if self._is_alike:
                body = self.served_prefix + record.body[self.splice_at :]
                return record._replace(body=body, splice_at=self._served_splice_at)
        return self._with(record, self._shown(orjson.loads(record.body)))

    def show_event(self, event: Event) -> Event:
        """Return an event with its records as this version shows them; kept on the event."""
        found: Event | None = event.cache.get(self)
        if found is not None:
            return found
        previous = event.previous
        record = self.show(event.record)
        before = None if previous is None else self.show(previous)
        if record is event.record and before is previous:
            return event
        found = event.cache[self] = Event(event.kind, record, before, event.revision)
        return found

    def is_at_hand(self, events: Sequence[Event]) -> bool:
        """Tell whether events can be shown without asking the webhook."""
        return not self.needs_calls or all(
            self in event.cache
            or not any(self._is_foreign(one) for one in (event.record, event.previous))
            for event in events
        )

    async def bring_events(self, events: Sequence[Event]) -> None:
        """Have events converted, so that they can be shown.

        Raises:
            StatusError: 500, the webhook failed.
        """
        if not self.needs_calls:
            return
        missing = [event for event in events if not self.is_at_hand((event,))]
        records = [
            record
            for event in missing
            for record in (event.record, event.previous)
            if record is not None
        ]
        shown = iter(await self.brought(records))
        for event in missing:
            record = next(shown)
            previous = None if event.previous is None else next(shown)
            event.cache[self] = Event(event.kind, record, previous, event.revision)

    async def brought(self, records: Sequence[Record]) -> list[Record]:
        """Return records as this version shows them, converted by the webhook if need be.

        Raises:
            StatusError: 500, the webhook failed.
        """
        webhook = self.type.webhook
        if webhook is None:
            return [self.show(record) for record in records]
        self.type.loop = asyncio.get_running_loop()
        foreign: list[tuple[int, JsonObject]] = []
        found: list[Record] = []
        for index, record in enumerate(records):
            if self._is_foreign(record):
                obj = orjson.loads(record.body)
                self.type.complete(obj)
                foreign.append((index, obj))
                found.append(record)
            else:
                found.append(self.show(record))
        converted = await webhook.convert([obj for _, obj in foreign], self.api_version)
        for (index, _), obj in zip(foreign, converted, strict=True):
            self.type.rename(obj, self.api_version)
            found[index] = self._with(records[index], obj)
        return found

    async def brought_matching(
        self, records: Sequence[Record], match: MetaMatch | None
    ) -> list[Record]:
        """Return those of records that a `lenient` filter has let pass rightly, as `brought`.

        Raises:
            StatusError: 500, the webhook failed.
        """
        brought = await self.brought(records)
        return brought if match is None else [one for one in brought if match(one.meta)]

    async def answered(self, body: bytes) -> bytes:
        """Return what is to be answered with, as it was stored or is shown, in this version.

        Raises:
            StatusError: 500, the webhook failed.
        """
        if self.type.webhook is None or body.startswith(self.served_prefix):
            return self.serve(body)
        obj = orjson.loads(body)
        if obj["apiVersion"] != self.api_version:
            self.type.complete(obj)
            (obj,) = await self.type.webhook.convert([obj], self.api_version)
            self.type.rename(obj, self.api_version)
        return self._laid_out(obj)

    def serve(self, body: bytes) -> bytes:
        """Return a body that was just stored, or is shown already, as this version shows it."""
        if body.startswith(self.served_prefix):
            return body
        return self._laid_out(self._shown(orjson.loads(body)))

    def decode_stored(self, body: bytes) -> JsonObject:
        """Return what `serve` returns, decoded."""
        obj: JsonObject = orjson.loads(body)
        return obj if body.startswith(self.served_prefix) else self._shown(obj)

    def to_storage(self, obj: JsonObject) -> JsonObject:
        """Return `obj` itself: it is worked on in the version of the request."""
        return obj

    def when_over(self, end: Callable[[], None]) -> Callable[[], None]:
        """See CustomType."""
        return self.type.when_over(end)

    def _is_foreign(self, record: Record | None) -> bool:
        """Tell whether a webhook has to convert a record."""
        return record is not None and not record.body.startswith(self.served_prefix)

    def _shown(self, obj: JsonObject) -> JsonObject:
        type_ = self.type
        type_.complete(obj)
        if obj["apiVersion"] != self.api_version:
            assert type_.webhook is None, "a webhook's conversions are made before"
            type_.rename(obj, self.api_version)
        return obj

    def _with(self, record: Record, obj: JsonObject) -> Record:
        """Return a record with another body, and the search blob that goes with that."""
        meta = self._blob(obj, self._shown_mark)
        return record._replace(
            body=self._laid_out(obj), meta=meta, splice_at=self._served_splice_at
        )

    def _blob(self, obj: JsonObject, mark: bytes) -> bytes:
        fields = {name: value(obj) for name, value in self.type.fields.items()}
        fields[MARK] = mark.decode()
        return build_meta(obj["metadata"].get("labels"), fields)

    def _laid_out(self, obj: JsonObject) -> bytes:
        """Return an object as stored bodies are laid out, so that all that cuts them may."""
        metadata = obj["metadata"]
        shown = {"resourceVersion": metadata.get("resourceVersion", ""), **metadata}
        head = {"kind": self.kind, "apiVersion": self.api_version, "metadata": shown}
        rest = {key: value for key, value in obj.items() if key not in head}
        return orjson.dumps({**head, **rest})


def _printer(version: Version) -> Printer:
    columns: list[Any] = list(version.columns)
    try:
        return custom_printer(columns)
    except ValueError:
        # Those before the first that cannot be read, as upstream.
        for end in range(len(columns) - 1, 0, -1):
            try:
                return custom_printer(columns[:end])
            except ValueError:
                continue
        return custom_printer([])
