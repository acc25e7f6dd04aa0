"""What admission looks at: one operation of a request, or one of the attempts of a change.

Objects are decoded, in the storage version; custom ones in that of the request. Plugins of the
mutating phase change `obj` in place or put another one there; those of the validating phase change
nothing, and nobody changes `old`.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from apiserver.authn import User
from apiserver.exchange import Caller
from apiserver.options import META_GROUP, DeleteOptions, WriteOptions
from apiserver.resources import Resource
from kube import status as st
from kube.json_types import JsonObject
from kube.kinds import SubresourceInfo

CREATE: Final = "CREATE"
UPDATE: Final = "UPDATE"
DELETE: Final = "DELETE"
CONNECT: Final = "CONNECT"
_OPTION_KINDS: Final = {CREATE: "CreateOptions", UPDATE: "UpdateOptions", DELETE: "DeleteOptions"}
Options = WriteOptions | DeleteOptions | None


class Reinvocation:
    """What the mutating plugins of one operation tell each other, and themselves the second time.

    Attributes:
        is_second: whether this is the second round.
        wanted: set by a plugin: the others shall look again at what it has changed.
        notes: what plugins keep from the first round for the second, by their names.
    """

    __slots__ = ("is_second", "notes", "wanted")

    def __init__(self) -> None:
        self.is_second = self.wanted = False
        self.notes: dict[str, Any] = {}


class Attributes:
    """One operation.

    Attributes:
        caller: on whose behalf, and who takes warnings.
        operation: CREATE, UPDATE, DELETE or CONNECT.
        resource: the type, in the request's version.
        subresource: its name, "" for the object itself.
        part: of a subresource: whose kind `obj` is, where it is not that of the resource.
        namespace, name: of the request; a name still to be generated is "", and a namespace is in
            itself, as upstream has it.
        obj: what is to be, None for a DELETE; of a CONNECT the options.
        old: what is, None for a CREATE or CONNECT.
        options: of the request, None for a CONNECT.
        dry_run: nothing will be stored.
        reinvocation: see there.
    """

    __slots__ = (
        "_reinvocation",
        "caller",
        "dry_run",
        "name",
        "namespace",
        "obj",
        "old",
        "operation",
        "options",
        "part",
        "resource",
        "subresource",
    )

    def __init__(
        self,
        caller: Caller,
        operation: str,
        resource: Resource,
        key: tuple[str, str],
        objects: tuple[JsonObject | None, JsonObject | None],
        options: Options,
    ) -> None:
        self.caller, self.operation, self.resource = caller, operation, resource
        self.namespace, self.name = key
        if resource.storage == "namespaces":
            self.namespace = self.name
        self.obj, self.old = objects
        self.options = options
        self.dry_run = options is not None and options.dry_run
        self.subresource = ""
        self.part: SubresourceInfo | None = None
        self._reinvocation: Reinvocation | None = None

    @property
    def user(self) -> User:
        """Who asks."""
        user: User = self.caller.user
        return user

    @property
    def reinvocation(self) -> Reinvocation:
        """What the rounds of the mutating phase share."""
        if self._reinvocation is None:
            self._reinvocation = Reinvocation()
        return self._reinvocation

    @property
    def asks_again(self) -> bool:
        """Whether a plugin wants another round."""
        return self._reinvocation is not None and self._reinvocation.wanted

    @property
    def kind(self) -> tuple[str, str, str]:
        """Group, version and kind of `obj`, as the request has them."""
        known = self.part or self.resource
        return known.group, known.version, known.kind

    def warn(self, text: str) -> None:
        """Give the client a warning."""
        self.caller.warn(text)

    def annotate(self, key: str, value: str) -> None:
        """Add an annotation to the request's audit events."""
        self.caller.annotate(key, value)

    def shown(self, obj: JsonObject | None, resource: Resource | None = None) -> JsonObject | None:
        """Return `obj` or `old` as a version of the type shows it, with apiVersion and kind.

        Args:
            obj: one of this operation's.
            resource: the type in that version; None: the request's.
        """
        if obj is None:
            return None
        if self.part is not None:
            return {"kind": self.part.kind, "apiVersion": self.part.api_version, **obj}
        wanted = resource or self.resource
        if wanted.info.custom:
            # It is worked on in the request's version; see View.bring for others.
            head: JsonObject = {"kind": wanted.kind, "apiVersion": wanted.api_version}
            shown: JsonObject = orjson.loads(orjson.dumps({**obj, **head}))
            return shown
        whole = {**obj, "kind": wanted.kind, "apiVersion": wanted.storage_api_version}
        return wanted.from_storage(whole)

    def options_object(self) -> JsonObject | None:
        """Return the operation's options as an object of their kind; None for a CONNECT."""
        options = self.options
        if options is None:
            return None
        shown: JsonObject = {
            "kind": _OPTION_KINDS[self.operation],
            "apiVersion": f"{META_GROUP}/v1",
        }
        if options.dry_run:
            shown["dryRun"] = ["All"]
        if isinstance(options, DeleteOptions):
            return shown | options.to_json()
        if options.field_manager:
            shown["fieldManager"] = options.field_manager
        if options.field_validation != "Warn":
            shown["fieldValidation"] = options.field_validation
        return shown

    def forbidden(self, why: str) -> st.StatusError:
        """Return the refusal of this operation: 403, worded as upstream's NewForbidden."""
        resource = self.resource
        return st.forbidden(resource.group, resource.plural, self.shown_name, why)

    @property
    def shown_name(self) -> str:
        """The object's name in errors, or what it will begin with."""
        if self.name:
            return self.name
        metadata = (self.obj or {}).get("metadata") or {}
        return metadata.get("name") or metadata.get("generateName") or "Unknown"
