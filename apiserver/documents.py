"""Request bodies: from bytes to a decoded, defaulted object of the wanted type, and its faults."""

from __future__ import annotations

from typing import Any, Final

from apiserver.exchange import Exchange
from apiserver.resources import Resource
from kube import codec_cbor, codec_json, codec_protobuf, codec_yaml
from kube import field as fld
from kube import status as st
from kube.builtin_kinds import builtin_registry
from kube.json_types import JsonObject
from kube.kinds import join_group_version, split_group_version
from kube.schema.decode import (
    Decoded,
    DecodeError,
    Decoder,
    builtin_decoder,
    refusal,
    strict_refusal,
)
from kube.schema.duplicates import strict_errors

JSON: Final = "application/json"
_SCHEME: Final = "pkg/api/legacyscheme/scheme.go:30"
"""Where upstream says that it looked for a kind."""
YAML: Final = "application/yaml"
CBOR: Final = "application/cbor"
PROTOBUF: Final = codec_protobuf.MEDIA_TYPE
# What upstream names in its refusal; CBOR is read too, but stands behind a gate there.
ACCEPTED: Final = (JSON, YAML, PROTOBUF)
_READABLE: Final = frozenset({*ACCEPTED, CBOR})
_COMMON: Final = {media.encode(): media for media in _READABLE} | {b"": JSON}


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
    resource: Resource, body: bytes, media_type: str, decoder: Decoder | None = None
) -> tuple[JsonObject, Decoded]:
    """Decode a body as an object of `resource`, in its served version; nothing is defaulted yet.

    Args:
        resource: the type wanted.
        body: the request's body.
        media_type: of the body.
        decoder: of a subresource's kind, when the body is not of the resource's own.

    Raises:
        StatusError: 400, worded as upstream's decoder.
    """
    return decode_object(resource, parse_for(resource, body, media_type), decoder)


def parse_for(resource: Resource, body: bytes, media_type: str) -> Any:
    """Return a body that should hold an object of `resource` as plain data.

    Raises:
        StatusError: 400, it is not well formed.
    """
    try:
        return parse(body, media_type)
    except ValueError as error:
        raise st.bad_request(refusal(resource.kind, resource.version, error)) from error


def decode_object(
    resource: Resource, obj: Any, decoder: Decoder | None = None
) -> tuple[JsonObject, Decoded]:
    """Decode parsed data as an object of `resource`.

    Raises:
        StatusError: 400, worded as upstream's decoder.
    """
    if obj.__class__ is not dict:
        shown = "array" if isinstance(obj, list) else "string" if isinstance(obj, str) else "value"
        text = (
            f"couldn't get version/kind; json parse error: json: cannot unmarshal {shown} into Go "
            'value of type struct { APIVersion string "json:\\"apiVersion,omitempty\\""; '
            'Kind string "json:\\"kind,omitempty\\"" }'
        )
        raise st.bad_request(text)
    if decoder is None:
        check_version_kind(resource, obj)
        decoder = builtin_decoder(resource.info.schema_name)
    try:
        decoded = decoder.decode(obj)
    except DecodeError as error:
        raise st.bad_request(refusal(resource.kind, resource.version, error)) from error
    if not isinstance(obj.get("metadata"), dict):
        obj["metadata"] = {}
    return obj, decoded


def check_version_kind(resource: Resource, obj: JsonObject) -> None:
    """Check that an object says to be of `resource`'s kind and version; what it leaves out is set.

    Raises:
        StatusError: 400, worded as upstream.
    """
    api_version, kind = obj.get("apiVersion"), obj.get("kind")
    if api_version == resource.api_version and kind == resource.kind:
        return
    if not api_version:
        obj["apiVersion"] = api_version = resource.api_version
    if not kind:
        obj["kind"] = kind = resource.kind
    if not isinstance(api_version, str) or not isinstance(kind, str):
        raise st.bad_request(
            "couldn't get version/kind; json parse error: apiVersion and kind must be strings"
        )
    try:
        group, version = split_group_version(api_version)
    except ValueError as error:
        raise st.bad_request(str(error)) from error
    if kind != resource.kind or (group, version) != (resource.group, resource.version):
        _refuse_kind(resource, group, version, kind)
    if api_version != resource.api_version:
        raise st.bad_request(
            f"the API version in the data ({api_version}) does not match the expected API version "
            f"({resource.api_version})"
        )


def _refuse_kind(resource: Resource, group: str, version: str, kind: str) -> None:
    """Refuse an object that is no kind of this server, or not the one wanted.

    Raises:
        StatusError: 400, naming Go's types as upstream does.
    """
    if builtin_registry().by_kind(group, version, kind) is None:
        shown = join_group_version(group, version)
        why = f'no kind "{kind}" is registered for version "{shown}" in scheme "{_SCHEME}"'
    elif kind != resource.kind:
        package = resource.group.partition(".")[0] or "core"
        why = f"converting ({version}.{kind}) to ({package}.{resource.kind}): unknown conversion"
    else:
        return
    raise st.bad_request(
        f"{kind} in version {fld.quote(version)} cannot be handled as a {resource.kind}: {why}"
    )


def apply_field_validation(
    exchange: Exchange,
    resource: Resource,
    directive: str,
    found: tuple[str, ...],
) -> None:
    """Refuse or warn of unknown and duplicate fields, as the request's fieldValidation says.

    Raises:
        StatusError: 400 under Strict.
    """
    if directive == "Strict":
        raise st.bad_request(strict_refusal(resource.kind, resource.version, found))
    for text in found:
        exchange.warn(text)


def strict_faults(
    resource: Resource,
    body: bytes,
    media_type: str,
    decoded: Decoded,
    decoder: Decoder | None = None,
) -> tuple[str, ...]:
    """Return upstream's strict decoding errors of a body."""
    if media_type == YAML:
        complaint = codec_yaml.decode_strict(body)[1]
        return (*decoded.unknown, complaint) if complaint else decoded.unknown
    if media_type == PROTOBUF:
        return ()  # fields have numbers there, and upstream skips those it does not know
    if media_type != JSON:
        return decoded.unknown
    if decoder is None:
        decoder = builtin_decoder(resource.info.schema_name)
    return strict_errors(body, decoder.struct, decoded)


async def read_request(
    exchange: Exchange, resource: Resource, directive: str, decoder: Decoder | None = None
) -> JsonObject:
    """Read, decode and strictly check a request's object.

    Raises:
        StatusError: 400, 413 or 415.
    """
    media_type = media_type_of(exchange.content_type)
    body = await exchange.body()
    obj, decoded = read_object(resource, body, media_type, decoder)
    check_strictly(exchange, resource, body, (decoded, decoder), directive)
    return obj


def check_strictly(
    exchange: Exchange,
    resource: Resource,
    body: bytes,
    found: tuple[Decoded, Decoder | None],
    directive: str,
) -> None:
    """Refuse or warn of unknown and duplicate fields of a body, as fieldValidation says.

    Args:
        exchange: the request.
        resource: the type it is about.
        body: the request's body.
        found: what decoding the body found, and the decoder if it was not the resource's own.
        directive: Strict, Warn or Ignore.

    Raises:
        StatusError: 400 under Strict.
    """
    if directive == "Ignore":
        return
    media_type = media_type_of(exchange.content_type)
    texts = strict_faults(resource, body, media_type, *found)
    if texts:
        apply_field_validation(exchange, resource, directive, texts)
