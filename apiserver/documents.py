"""Request bodies: from bytes to a decoded, defaulted object of the wanted type, and its faults."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from apiserver.aside import aside
from apiserver.exchange import Exchange
from apiserver.resources import Resource
from kube import codec_cbor, codec_json, codec_protobuf, codec_yaml
from kube import field as fld
from kube import status as st
from kube.builtin_kinds import builtin_registry
from kube.json_types import JsonObject
from kube.kinds import SubresourceInfo, join_group_version, split_group_version
from kube.schema.decode import (
    Decoded,
    DecodeError,
    builtin_decoder,
    refusal,
    strict_refusal,
)
from kube.schema.duplicates import may_have_duplicates, strict_errors

JSON: Final = "application/json"
_SCHEME: Final = "pkg/api/legacyscheme/scheme.go:30"
"""Where upstream says that it looked for a kind."""
YAML: Final = "application/yaml"
CBOR: Final = "application/cbor"
PROTOBUF: Final = codec_protobuf.MEDIA_TYPE
ACCEPTED: Final = (JSON, YAML, PROTOBUF, CBOR)
"""What a refusal names, in the order of upstream with CBOR enabled."""
_OLD_EVICTION: Final = ("policy/v1beta1", "Eviction")
"""Taken for the newer version still: drains of old clients send it."""
_READABLE: Final = frozenset(ACCEPTED)
_COMMON: Final = {media.encode(): media for media in _READABLE} | {b"": JSON}
_SHOWN_BYTES_MAX: Final = 30
_NO_KIND: Final = "couldn't get version/kind; json parse error: "
_KIND_KEYS: Final = ("apiVersion", "kind")
Wanted: TypeAlias = Resource | SubresourceInfo
"""What has the kind, group and version that a body should be of."""


def media_type_of(header: bytes) -> str:
    """Return the media type of a Content-Type header; JSON when there is none.

    Raises:
        StatusError: 415, it cannot be read here.
    """
    if header in _COMMON:
        return _COMMON[header]
    text = header.split(b";", 1)[0].strip().lower().decode("latin-1")
    if not text:
        return JSON
    if text not in _READABLE:
        raise st.unsupported_media_type(ACCEPTED)
    return text


def check_readable(exchange: Exchange, resource: Resource) -> str:
    """Return the media type of a request's object of a type.

    Raises:
        StatusError: 415, it cannot be read here: a custom object has no form in protobuf.
    """
    media_type = media_type_of(exchange.content_type)
    if media_type == PROTOBUF and resource.info.custom:
        raise st.unsupported_media_type((JSON, YAML, CBOR))
    return media_type


def parse(body: bytes, media_type: str) -> Any:
    """Return a body as plain data.

    Raises:
        ValueError: it is not well formed; worded for the client.
    """
    if media_type == JSON:
        return codec_json.decode(body)
    if media_type == PROTOBUF:
        return codec_protobuf.decode(body)
    if media_type == YAML:
        return codec_yaml.decode(body)
    return codec_cbor.decode(body)


def read_object(
    resource: Resource, body: bytes, media_type: str, part: SubresourceInfo | None = None
) -> tuple[JsonObject, Decoded]:
    """Decode a body as an object of `resource`, in its served version; nothing is defaulted yet.

    Args:
        resource: the type wanted.
        body: the request's body.
        media_type: of the body.
        part: the subresource whose kind the body has to be of, where that is a kind of its own.

    Raises:
        StatusError: 400, worded as upstream's decoder.
    """
    return decode_object(resource, parse_for(part or resource, body, media_type), part)


def parse_for(wanted: Wanted, body: bytes, media_type: str) -> Any:
    """Return a body that should hold an object of a kind as plain data.

    Raises:
        StatusError: 400, it is not well formed.
    """
    try:
        found = parse(body, media_type)
        if media_type == CBOR and not isinstance(found, dict):
            what = codec_cbor.type_name(found)
            why = f"cbor: cannot unmarshal {what} into Go value of type v1.TypeMeta"
            raise codec_cbor.Malformed(why)
    except codec_cbor.Malformed as error:
        why = f"unable to determine group/version/kind: {error}"
        raise _unrecognized(wanted, body, why) from error
    except ValueError as error:
        # Of these the kind is read before the rest.
        if media_type == CBOR or (media_type == PROTOBUF and _has_prefix(body)):
            raise st.bad_request(refusal(wanted.kind, wanted.version, error)) from error
        why = f"{_NO_KIND}{error}" if media_type == JSON else str(error)
        raise _unrecognized(wanted, body, why) from error
    if media_type in (JSON, YAML):
        if found is None and not (isinstance(wanted, Resource) and wanted.info.custom):
            return {}  # as Go, which reads nothing from a null into a struct
        if why := _kind_fault(found):
            raise _unrecognized(wanted, body, f"{_NO_KIND}{why}")
    return found


def _has_prefix(body: bytes) -> bool:
    return len(body) > len(codec_protobuf.PREFIX) and body.startswith(codec_protobuf.PREFIX)


def _kind_fault(found: Any) -> str:
    """Return what Go says that can't read a version and a kind from parsed data, "" if it can."""
    if found.__class__ is not dict:
        what = _go_name(found)
        return (
            f"json: cannot unmarshal {what} into Go value of type struct {{ "
            'APIVersion string "json:\\"apiVersion,omitempty\\""; '
            'Kind string "json:\\"kind,omitempty\\"" }'
        )
    kind, version = found.get("kind"), found.get("apiVersion")
    if (kind is None or kind.__class__ is str) and (version is None or version.__class__ is str):
        return ""
    key = next(key for key in found if key in _KIND_KEYS and not isinstance(found[key], str | None))
    what = _go_name(found[key])
    return f"json: cannot unmarshal {what} into Go struct field .{key} of type string"


def _go_name(value: Any) -> str:
    """Return what Go calls a value of JSON."""
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
        case _:
            return "number"


def _unrecognized(wanted: Wanted, body: bytes, why: str) -> st.StatusError:
    """Return upstream's refusal of a body in which it cannot even look for a kind."""
    start = body[:_SHOWN_BYTES_MAX]
    shown = start.decode(errors="replace") if body[:1] == b"{" else start.hex() or "<empty>"
    more = " ..." if len(body) > _SHOWN_BYTES_MAX else ""
    return st.bad_request(
        f"the object provided is unrecognized (must be of type {wanted.kind}): "
        f"{why} ({shown}{more})"
    )


def decode_object(
    resource: Resource, obj: Any, part: SubresourceInfo | None = None
) -> tuple[JsonObject, Decoded]:
    """Decode parsed data as an object of `resource`, or of its subresource `part`.

    Raises:
        StatusError: 400, worded as upstream's decoder.
    """
    if obj.__class__ is not dict:
        raise st.bad_request(f"{_NO_KIND}{_kind_fault(obj)}")
    wanted = part or resource
    check_version_kind(wanted, obj)
    metadata = obj.get("metadata")
    if metadata.__class__ is dict and metadata.get("managedFields") == []:
        # An empty list asks for managedFields to be forgotten, as does an empty entry, which is
        # still there when it has been decoded.
        metadata["managedFields"] = [{}]
    try:
        if part is None:
            decoded = resource.decode(obj)
        else:
            decoded = builtin_decoder(part.schema_name).decode(obj)
    except DecodeError as error:
        raise st.bad_request(refusal(wanted.kind, wanted.version, error)) from error
    if not isinstance(obj.get("metadata"), dict):
        obj["metadata"] = {}
    return obj, decoded


def check_version_kind(wanted: Wanted, obj: JsonObject) -> None:
    """Check that an object says to be of the wanted kind and version; what it leaves out is set.

    Raises:
        StatusError: 400, worded as upstream.
    """
    api_version, kind = obj.get("apiVersion"), obj.get("kind")
    if api_version == wanted.api_version and kind == wanted.kind:
        return
    if not api_version:
        obj["apiVersion"] = api_version = wanted.api_version
    if not kind:
        obj["kind"] = kind = wanted.kind
    if not isinstance(api_version, str) or not isinstance(kind, str):
        raise st.bad_request(f"{_NO_KIND}{_kind_fault(obj)}")
    if (api_version, kind) == _OLD_EVICTION and kind == wanted.kind:
        obj["apiVersion"] = wanted.api_version
        return
    try:
        group, version = split_group_version(api_version)
    except ValueError as error:
        raise st.bad_request(str(error)) from error
    if kind != wanted.kind or (group, version) != (wanted.group, wanted.version):
        _refuse_kind(wanted, group, version, kind)
    if api_version != wanted.api_version:
        raise st.bad_request(
            f"the API version in the data ({api_version}) does not match the expected API version "
            f"({wanted.api_version})"
        )


def _refuse_kind(wanted: Wanted, group: str, version: str, kind: str) -> None:
    """Refuse an object that is no kind of this server, or not the one wanted.

    Raises:
        StatusError: 400, naming Go's types as upstream does.
    """
    if builtin_registry().by_kind(group, version, kind) is None:
        shown = join_group_version(group, version)
        why = f'no kind "{kind}" is registered for version "{shown}" in scheme "{_SCHEME}"'
    elif kind != wanted.kind:
        package = wanted.group.partition(".")[0] or "core"
        why = f"converting ({version}.{kind}) to ({package}.{wanted.kind}): unknown conversion"
    else:
        return
    raise st.bad_request(
        f"{kind} in version {fld.quote(version)} cannot be handled as a {wanted.kind}: {why}"
    )


def apply_field_validation(
    exchange: Exchange,
    wanted: Wanted,
    directive: str,
    found: tuple[str, ...],
) -> None:
    """Refuse or warn of unknown and duplicate fields, as the request's fieldValidation says.

    Raises:
        StatusError: 400 under Strict.
    """
    if directive == "Strict":
        raise st.bad_request(strict_refusal(wanted.kind, wanted.version, found))
    for text in found:
        exchange.warn(text)


def strict_faults(
    resource: Resource,
    body: bytes,
    media_type: str,
    decoded: Decoded,
    part: SubresourceInfo | None = None,
) -> tuple[str, ...]:
    """Return upstream's strict decoding errors of a body."""
    if media_type == YAML:
        complaint = codec_yaml.decode_strict(body)[1]
        return (*decoded.unknown, complaint) if complaint else decoded.unknown
    if media_type == PROTOBUF:
        return ()  # fields have numbers there, and upstream skips those it does not know
    if media_type != JSON:
        return decoded.unknown
    if part is None and resource.info.custom:
        # No struct knows its fields: what is there twice is found first, what is unknown before.
        return (*strict_errors(body, None, Decoded((), -1)), *decoded.unknown)
    decoder = builtin_decoder(resource.info.schema_name if part is None else part.schema_name)
    return strict_errors(body, decoder.struct, decoded)


async def read_request(
    exchange: Exchange, resource: Resource, directive: str, part: SubresourceInfo | None = None
) -> JsonObject:
    """Read, decode and strictly check a request's object, of `part`'s kind if that is given.

    Raises:
        StatusError: 400, 413 or 415; 429, too many large ones are being looked at.
    """
    check_readable(exchange, resource)  # what can't be read here need not come
    body = await exchange.body()
    if exchange.is_large:
        return await aside(read_strictly, exchange, resource, body, directive, part)
    return read_strictly(exchange, resource, body, directive, part)


def read_strictly(
    exchange: Exchange,
    resource: Resource,
    body: bytes,
    directive: str,
    part: SubresourceInfo | None = None,
) -> JsonObject:
    """Decode and strictly check the object in a request's body, of `part`'s kind if given.

    Raises:
        StatusError: 400 or 415.
    """
    obj, decoded = read_object(resource, body, media_type_of(exchange.content_type), part)
    check_strictly(exchange, resource, body, (decoded, part), directive)
    return obj


def check_strictly(
    exchange: Exchange,
    resource: Resource,
    body: bytes,
    found: tuple[Decoded, SubresourceInfo | None],
    directive: str,
) -> None:
    """Refuse or warn of unknown and duplicate fields of a body, as fieldValidation says.

    Args:
        exchange: the request.
        resource: the type it is about.
        body: the request's body.
        found: what decoding the body found, and the subresource if it was of that one's kind.
        directive: Strict, Warn or Ignore.

    Raises:
        StatusError: 400 under Strict.
    """
    if directive == "Ignore":
        return
    media_type = media_type_of(exchange.content_type)
    decoded = found[0]
    if media_type == JSON and not (decoded.unknown or may_have_duplicates(body, decoded.key_count)):
        return
    texts = strict_faults(resource, body, media_type, *found)
    if texts:
        apply_field_validation(exchange, found[1] or resource, directive, texts)
