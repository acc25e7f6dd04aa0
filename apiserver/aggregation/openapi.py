"""OpenAPI of this server's types and of those of extension API servers, as one.

v3 is a list of documents: theirs are in it under their own hashes, and are asked for where they
are. v2 is one document, into which the paths of each extension's version are put, with the
definitions and parameters that they need. Where there are no extensions, all answers are those of
`kube.openapi`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

import orjson

from apiserver.aggregation.asking import ask
from apiserver.aggregation.model import ApiService
from apiserver.aside import rendered
from apiserver.proxying.wire import Address, BackendFailed, Backends
from kube.json_types import JsonObject
from kube.openapi import OpenApi
from kube.openapi.sections import (
    JSON_FORM,
    PROTOBUF_FORM,
    Form,
    Section,
    encoded,
    joined,
)

_ROOT: Final = "/openapi/v3/"
_REFERENCE: Final = "#/definitions/"
_PARAMETER: Final = "#/parameters/"
_RENAMES_MAX: Final = 100
_JSON: Final = ((b"Accept", b"application/json"),)
_INDEX_BYTES_MAX: Final = 1 << 20
_log: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class _Known:
    """What an extension's version is known to have.

    Attributes:
        url: of its v3 document, "" for none.
        etag: of the v2 document that `spec` was taken from.
        spec: its paths and definitions; {}: none.
    """

    url: str = ""
    etag: bytes = b""
    spec: JsonObject | None = None


class RemoteOpenApi:
    """What extensions have, by the names of their APIServices."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends
        self._known: dict[str, _Known] = {}
        self._apis: dict[str, ApiService] = {}
        self.generation = 0

    def keep_only(self, apis: Iterable[ApiService]) -> None:
        """Forget all but these."""
        self._apis = {api.name: api for api in apis}
        gone = self._known.keys() - self._apis.keys()
        for name in gone:
            del self._known[name]
        self.generation += bool(gone)

    async def refresh(self, api: ApiService, address: Address) -> None:
        """Hear what an extension has now; one that has no such documents is no fault."""
        before = self._known.get(api.name, _Known())
        try:
            url = await self._document_url(api, address)
            etag, spec = await self._spec(api, address, before)
        except BackendFailed as error:
            _log.info("OpenAPI of %s: %s", api.name, error)
            return
        after = _Known(url, etag, spec)
        if after != before and api.name in self._apis:
            self._known[api.name] = after
            self.generation += 1

    def urls(self) -> dict[str, str]:
        """Return the v3 documents there are: where they are, by path below /openapi/v3/."""
        return {
            f"apis/{api.group}/{api.version}": known.url
            for name, known in self._known.items()
            if known.url and (api := self._apis.get(name)) is not None
        }

    def specs(self) -> list[JsonObject]:
        """Return what is to be put into v2, in a stable order."""
        return [known.spec for _, known in sorted(self._known.items()) if known.spec]

    async def _document_url(self, api: ApiService, address: Address) -> str:
        answer = await ask(self._backends, address, "/openapi/v3", _JSON, _INDEX_BYTES_MAX)
        if answer.code != 200:
            return ""
        try:
            paths = orjson.loads(answer.body)["paths"]
            url = paths[f"apis/{api.group}/{api.version}"]["serverRelativeURL"]
        except (ValueError, KeyError, TypeError):
            return ""
        return url if isinstance(url, str) and url.startswith(_ROOT) else ""

    async def _spec(
        self, api: ApiService, address: Address, before: _Known
    ) -> tuple[bytes, JsonObject]:
        headers = (*_JSON, *(((b"If-None-Match", before.etag),) if before.etag else ()))
        answer = await ask(self._backends, address, "/openapi/v2", headers)
        if answer.code == 304 and before.spec is not None:
            return before.etag, before.spec
        if answer.code != 200:
            return b"", {}
        prefix = f"/apis/{api.group}/{api.version}/"
        body = answer.body
        spec: JsonObject = orjson.loads(await rendered(lambda: _filtered(body, prefix)))
        return answer.head.value(b"etag"), spec


class MergedOpenApi:
    """Every OpenAPI document but those that extensions give out themselves."""

    def __init__(self, local: OpenApi, remote: RemoteOpenApi) -> None:
        self.local = local
        self.remote = remote
        self._lock = Lock()
        self._made: dict[str, tuple[int, bytes]] = {}
        self._tag: tuple[bytes, str] = (b"", "")

    def v2(self) -> bytes:
        """Return the whole API as Swagger 2.0."""
        if not self.remote.specs():
            return self.local.v2()
        return self._cached("v2", JSON_FORM)

    def v2_protobuf(self) -> bytes:
        """Return the same as `v2` in the binary form; without extensions that it cannot show."""
        if not self.remote.specs():
            return self.local.v2_protobuf()
        return self._cached("v2.protobuf", PROTOBUF_FORM)

    def v3_index(self) -> bytes:
        """Return the answer to `/openapi/v3`."""
        local, urls = self.local.v3_index(), self.remote.urls()
        if not urls:
            return local
        document = orjson.loads(local)
        document["paths"] |= {path: {"serverRelativeURL": url} for path, url in urls.items()}
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)

    def v3(self, path: str) -> bytes | None:
        """Return a document of our own types, None if there is none."""
        return self.local.v3(path)

    def v3_hash(self, path: str) -> str | None:
        """Return its hash."""
        return self.local.v3_hash(path)

    def etag(self, document: bytes) -> str:
        """Return the quoted entity tag of a document."""
        if not any(document is made for _, made in self._made.values()):
            return self.local.etag(document)
        known, tag = self._tag
        if known is not document:
            tag = f'"{hashlib.sha512(document).hexdigest().upper()}"'
            self._tag = (document, tag)
        return tag

    def _cached(self, key: str, form: Form) -> bytes:
        generation = self.remote.generation
        with self._lock:
            made = self._made.get(key)
        if made is not None and made[0] == generation:
            return made[1]
        added = []
        for spec in renamed_apart(self.remote.specs(), self.local.sections(JSON_FORM)):
            try:
                added.append(encoded(spec, form))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                _log.warning("OpenAPI of an extension has no such form: %r", error)
        document = joined([*self.local.sections(form), *added], form)
        with self._lock:
            self._made[key] = (generation, document)
        return document


def _filtered(body: bytes, prefix: str) -> bytes:
    """Return the paths of a Swagger document below a prefix, and what they refer to, as JSON."""
    try:
        spec = orjson.loads(body)
    except ValueError:
        return b"{}"
    if not isinstance(spec, dict) or not isinstance(spec.get("paths"), dict):
        return b"{}"
    paths = {path: item for path, item in spec["paths"].items() if path.startswith(prefix)}
    if not paths:
        return b"{}"
    definitions = spec.get("definitions")
    known = definitions if isinstance(definitions, dict) else {}
    needed: dict[str, Any] = {}
    waiting = list(_references(paths))
    while waiting:
        name = waiting.pop()
        if name in known and name not in needed:
            needed[name] = known[name]
            waiting.extend(_references(known[name]))
    shared = spec.get("parameters")
    named = set(_references(paths, _PARAMETER))
    parameters = shared if isinstance(shared, dict) else {}
    return orjson.dumps(
        {
            "paths": paths,
            "definitions": needed,
            "parameters": {name: parameters[name] for name in sorted(named & parameters.keys())},
        }
    )


def renamed_apart(specs: Iterable[JsonObject], sections: Iterable[Section]) -> list[JsonObject]:
    """Return documents whose definitions may be put beside those of sections.

    A definition of a name that another has taken gets a number.
    """
    taken: dict[str, Any] = {}
    for section in sections:
        taken |= section.definitions
    found = []
    for spec in specs:
        own = spec["definitions"]
        for name in own.keys() & taken.keys():
            if isinstance(taken[name], bytes):
                taken[name] = _decoded(taken[name])
        renames = {
            name: _free_name(name, taken, own)
            for name, definition in own.items()
            if taken.get(name, definition) != definition
        }
        shown = _renamed(spec, renames) if renames else spec
        definitions = shown["definitions"]
        shown = {
            **shown,
            "definitions": {renames.get(name, name): each for name, each in definitions.items()},
        }
        taken = {**shown["definitions"], **taken}
        found.append(shown)
    return found


def _decoded(member: bytes) -> JsonObject:
    """Return the value of a definition that is encoded with its name."""
    (value,) = orjson.loads(b"{" + member + b"}").values()
    assert isinstance(value, dict)
    return value


def _free_name(name: str, taken: JsonObject, own: JsonObject) -> str:
    for number in range(2, _RENAMES_MAX):
        candidate = f"{name}_v{number}"
        known = taken.get(candidate, own[name])
        if isinstance(known, bytes):
            known = _decoded(known)
        if candidate not in own and known == own[name]:
            return candidate
    return f"{name}_v{_RENAMES_MAX}"


def _references(value: Any, prefix: str = _REFERENCE) -> Iterator[str]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            reference = one.get("$ref")
            if isinstance(reference, str) and reference.startswith(prefix):
                yield reference.removeprefix(prefix)
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _renamed(spec: JsonObject, renames: dict[str, str]) -> JsonObject:
    """Return a copy that refers to definitions by their new names."""
    copied: JsonObject = orjson.loads(orjson.dumps(spec))
    waiting: list[Any] = [copied]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            reference = one.get("$ref")
            if isinstance(reference, str) and reference.startswith(_REFERENCE):
                name = reference.removeprefix(_REFERENCE)
                one["$ref"] = _REFERENCE + renames.get(name, name)
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
    return copied
