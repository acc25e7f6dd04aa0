"""The OpenAPI documents of one registry, built when first asked for and then kept.

Invariants: an `OpenApi` describes one immutable registry and one set of custom schemas (when
either is replaced, make a new one); a document's hash is known without building it, and the same
hash means the same bytes. Methods may be called from several threads: building takes up to half a
second, which the event loop should not spend.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, Final

import orjson

from kube import disk_cache
from kube.builtin_kinds import KUBERNETES_VERSION, builtin_registry, source_files
from kube.json_types import JsonObject
from kube.kinds import Registry, ResourceInfo, join_group_version
from kube.openapi.custom import CustomKind, custom_definitions, patterns
from kube.openapi.definitions import load_definitions
from kube.openapi.operations import META, PathItem, document_path
from kube.openapi.rendering import openapi_v3
from kube.openapi.resource_paths import group_path, version_paths
from kube.openapi.sections import (
    JSON_FORM,
    PROTOBUF_FORM,
    Builtin,
    Form,
    Section,
    Sections,
    joined,
    nothing_made,
    unpacked,
)

_V3_ROOT: Final = "/openapi/v3"
_HASH_BYTES: Final = 32
_V2: Final = "v2"
_V2_PROTOBUF: Final = "v2.protobuf"
_INDEX: Final = "index"
_VERSION_TYPE: Final = "io.k8s.apimachinery.pkg.version.Info"
_ROOTS: Final = {
    "api": document_path(
        "/api/", "get available API versions", "getCoreAPIVersions", "core", f"{META}.APIVersions"
    ),
    "apis": document_path(
        "/apis/", "get available API versions", "getAPIVersions", "apis", f"{META}.APIGroupList"
    ),
    "version": document_path(
        "/version/",
        "get the version information for this server",
        "getCodeVersion",
        "version",
        _VERSION_TYPE,
    ),
}
# client-go asks for the first, but cannot parse it as the Content-Type of an answer.
V2_PROTOBUF_ACCEPTED: Final = frozenset(
    {
        "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
        "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
    }
)
V2_PROTOBUF_TYPE: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
Kind = tuple[str, str, str]


class OpenApi:
    """Every OpenAPI document of one registry."""

    def __init__(
        self,
        registry: Registry,
        *,
        custom: Mapping[Kind, CustomKind] | None = None,
        previous: OpenApi | None = None,
        builtin: Callable[[Form], Builtin] | None = None,
    ) -> None:
        """Describe `registry`.

        Args:
            registry: what is served.
            custom: schemas of custom kinds by group, version and kind.
            previous: the documents until now; those that would stay the same are taken over.
            builtin: what is made already of built-in types; None: what is on disk.
        """
        self._registry = registry
        self._custom = custom or {}
        self._lock = Lock()
        self._documents: dict[str, bytes] = {}
        self._etags: dict[int, str] = {}
        self._versions: dict[str, tuple[str, str]] = {}
        self._resources: dict[str, list[ResourceInfo]] = {}
        for info in registry.all():
            path = _version_path(info.group, info.version)
            self._versions[path] = (info.group, info.version)
            self._resources.setdefault(path, []).append(info)
        self._hashes = dict(self._hash_all())
        self._sections = {
            form: Sections(form, builtin or _kept) for form in (JSON_FORM, PROTOBUF_FORM)
        }
        if previous is not None:
            self._take_over(previous)

    def v2(self) -> bytes:
        """Return the whole API as Swagger 2.0, the answer to `/openapi/v2`."""
        return self._document(_V2, lambda: joined(self.sections(JSON_FORM), JSON_FORM))

    def v2_protobuf(self) -> bytes:
        """Return the same as `v2` in the binary form that client-go asks for."""
        form = PROTOBUF_FORM
        return self._document(_V2_PROTOBUF, lambda: joined(self.sections(form), form))

    def sections(self, form: Form) -> list[Section]:
        """Return what `v2` consists of, in one of its forms; those that are known already as is."""
        return list(self.keyed_sections(form).values())

    def keyed_sections(self, form: Form) -> dict[str, Section]:
        """Return the same by their keys: hashes over all that they are made from."""
        hashes = self._hashes.items()
        return {digest: self._section(path, digest, form) for path, digest in hashes}

    def v3_index(self) -> bytes:
        """Return the answer to `/openapi/v3`: where the documents are, with their hashes."""
        return self._document(_INDEX, self._build_index)

    def v3(self, path: str) -> bytes | None:
        """Return an OpenAPI 3.0 document, None if there is none.

        Args:
            path: below `/openapi/v3/`, as `api/v1`, `apis/apps`, `apis/apps/v1` or `version`.
        """
        if path not in self._hashes:
            return None
        return self._document(f"v3/{path}", lambda: self._build_v3(path))

    def v3_hash(self, path: str) -> str | None:
        """Return the hash under which the index names a document, None if there is none."""
        return self._hashes.get(path)

    def etag(self, document: bytes) -> str:
        """Return the quoted entity tag of a document: SHA-512 in upper-case hex."""
        # Our documents live as long as we do, so their identities stay theirs.
        tag = self._etags.get(id(document))
        if tag is None:
            tag = f'"{hashlib.sha512(document).hexdigest().upper()}"'
            if any(document is own for own in self._documents.values()):
                self._etags[id(document)] = tag
        return tag

    def _document(self, name: str, build: Callable[[], bytes]) -> bytes:
        document = self._documents.get(name)
        if document is None:
            document = build()
            with self._lock:
                # Two threads may have built it; all callers get the same bytes object.
                document = self._documents.setdefault(name, document)
        return document

    def _take_over(self, previous: OpenApi) -> None:
        with previous._lock:
            documents = dict(previous._documents)
        # What it still makes is the same for the same hash, and so may be made in common.
        self._sections = previous._sections
        for sections in self._sections.values():
            sections.keep_only(self._hashes.values())
        if self._hashes == previous._hashes:
            self._documents = documents
            return
        for path, digest in self._hashes.items():
            document = documents.get(f"v3/{path}")
            if document is not None and previous._hashes.get(path) == digest:
                self._documents[f"v3/{path}"] = document

    def _hash_all(self) -> Iterator[tuple[str, str]]:
        """Yield every v3 document's path and a hash over all that it is made from."""
        base = _base()
        groups = [f"apis/{group}" for group in self._registry.groups if group]
        for path in (*_ROOTS, *groups, *self._versions):
            digest = hashlib.blake2b(base, digest_size=_HASH_BYTES)
            digest.update(path.encode())
            for info in self._resources.get(path, ()):
                digest.update(repr(info).encode())
                custom = self._custom.get((info.group, info.version, info.kind))
                digest.update(custom.fingerprint.encode() if custom else b"-")
            yield path, digest.hexdigest().upper()

    def _build_index(self) -> bytes:
        paths = {
            path: {"serverRelativeURL": f"{_V3_ROOT}/{path}?hash={digest}"}
            for path, digest in self._hashes.items()
        }
        return orjson.dumps({"paths": paths}, option=orjson.OPT_SORT_KEYS)

    def _build_v3(self, path: str) -> bytes:
        definitions = load_definitions()
        infos = self._resources.get(path, ())
        definitions |= self._custom_definitions(infos, definitions, for_v2=False)
        return orjson.dumps(openapi_v3(self._path_items(path), definitions))

    def _section(self, path: str, digest: str, form: Form) -> Section:
        infos = [info for info in self._resources.get(path, ()) if info.custom]
        return self._sections[form].of(
            digest,
            lambda: self._path_items(path),
            lambda: self._custom_definitions(infos, patterns(), for_v2=True),
        )

    def _path_items(self, path: str) -> list[PathItem]:
        if path in _ROOTS:
            return [_ROOTS[path]]
        if path in self._versions:
            return list(version_paths(*self._versions[path], self._resources[path]))
        return [group_path(path.removeprefix("apis/"))]

    def _custom_definitions(
        self, infos: Iterable[ResourceInfo], builtin: Mapping[str, JsonObject], *, for_v2: bool
    ) -> dict[str, JsonObject]:
        found: dict[str, JsonObject] = {}
        for info in infos:
            if info.custom:
                custom = self._custom.get((info.group, info.version, info.kind))
                found |= custom_definitions(info, custom, builtin, for_v2=for_v2)
        return found


@cache
def _kept(form: Form) -> Builtin:
    """Return what is on disk of built-in types; it is made, and put there, if there is nothing."""
    name = f"swagger-{form.name}"
    return unpacked(disk_cache.load_or_build(name, _base(), lambda: _made_anew(form)))


def _made_anew(form: Form) -> Any:
    known = nothing_made()
    openapi = OpenApi(builtin_registry(), builtin=lambda _: known)
    sections = openapi.keyed_sections(form)
    return Builtin(known.references, known.definitions, sections).packed()


@cache
def _base() -> bytes:
    """Return a key over what documents are made from besides what is served."""
    own = sorted(Path(__file__).parent.glob("*.py"))
    return disk_cache.fingerprint([*source_files(), *own], KUBERNETES_VERSION)


def _version_path(group: str, version: str) -> str:
    return f"{'apis' if group else 'api'}/{join_group_version(group, version)}"
