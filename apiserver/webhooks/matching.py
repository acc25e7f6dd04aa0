"""What a webhook or policy asks of an object: its labels, its namespace's, and how it is shown.

A fault is told only to those whose rules match: nobody hears of others' configurations.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from apiserver.admission.attributes import CREATE, UPDATE, Attributes
from apiserver.authn import AUTHENTICATED, User
from apiserver.authz import Attributes as Asked
from apiserver.custom.resource import CustomResource
from apiserver.resources import Resource
from apiserver.server import Server
from apiserver.webhooks.configuration import Selectors
from kube import status as st
from kube.cel.conditions import Activation
from kube.json_types import JsonObject
from kube.selectors import LabelSelector

_NAMESPACES: Final = "namespaces"
ShownAs = tuple[str, str, str]


class View:
    """One operation, as those see it who are asked about it.

    Attributes:
        attributes: the operation.
        pending: a custom object that has been changed in another version than the request's, and
            that version; see `webhooks.mutating.settle`.
    """

    def __init__(self, server: Server, attributes: Attributes) -> None:
        self.pending: tuple[CustomResource, JsonObject] | None = None
        self.attributes = attributes
        self._server = server
        self._namespace: JsonObject | None = None
        # With what it was made of, so that no other object gets its id meanwhile.
        self._shown: dict[tuple[ShownAs, int], tuple[JsonObject, JsonObject | None]] = {}

    async def selects(self, selectors: Selectors) -> bool:
        """Tell whether selectors select the operation's objects and their namespace.

        Raises:
            StatusError: 404, there is no such namespace; 500, the selectors cannot be read.
        """
        if selectors.fault:
            raise st.internal_error(selectors.fault)
        if not self._selects_object(selectors.objects):
            return False
        return selectors.namespaces.is_empty or await self._selects_namespace(selectors.namespaces)

    async def bring(self, shown_as: ShownAs) -> None:
        """Have the objects at hand in a version: those of a custom type may have to be converted.

        Raises:
            StatusError: 500, that cannot be done.
        """
        wanted = self.other_version(shown_as)
        if wanted is None:
            return
        asked = self.attributes.resource
        assert isinstance(asked, CustomResource), "versions of one type are of one kind"
        for obj in (self.attributes.obj, self.attributes.old):
            key = shown_as, id(obj)
            if obj is not None and key not in self._shown:
                self._shown[key] = obj, await asked.in_version(obj, wanted)

    def other_version(self, shown_as: ShownAs) -> CustomResource | None:
        """Return a custom type in a version; None: objects are at hand in it anyway."""
        asked = self.attributes.resource
        if not asked.info.custom or self.attributes.part is not None:
            return None
        wanted = self.resource_as(shown_as)
        return wanted if wanted is not asked and isinstance(wanted, CustomResource) else None

    def object_as(self, shown_as: ShownAs) -> JsonObject | None:
        """Return what is to be, in a version."""
        return self._object_as(shown_as, self.attributes.obj)

    def old_as(self, shown_as: ShownAs) -> JsonObject | None:
        """Return what is, in a version."""
        return self._object_as(shown_as, self.attributes.old)

    def resource_as(self, shown_as: ShownAs) -> Resource:
        """Return the type in a version.

        Raises:
            StatusError: 500, it is served no longer.
        """
        group, version, plural = shown_as
        asked = self.attributes.resource
        if shown_as == (asked.group, asked.version, asked.plural):
            return asked
        found = self._server.catalog.in_version(group, version).get(plural)
        if found is None:
            where = f"{group}/{version}, Resource={plural}"
            raise st.internal_error(f"unable to convert to {where}: unknown kind")
        return found

    def kind_as(self, shown_as: ShownAs) -> tuple[str, str, str]:
        """Return group, version and kind of the object in a version.

        Raises:
            StatusError: 500, it is served no longer.
        """
        if self.attributes.part is not None:
            return self.attributes.kind
        return shown_as[0], shown_as[1], self.resource_as(shown_as).kind

    async def namespace(self) -> JsonObject | None:
        """Return the namespace that the operation is in; None for what is in none.

        Raises:
            StatusError: 404, it is gone.
        """
        name = self.attributes.namespace
        if not name or self.attributes.resource.storage == _NAMESPACES:
            return None
        return await self._find_namespace(name)

    def activation(self, shown_as: ShownAs) -> Activation:
        """Return the values of the variables that expressions may name, but for params."""
        return Activation(
            object=self.object_as(shown_as),
            old_object=self.old_as(shown_as),
            request=self.request(shown_as),
            authorize=self._authorize,
        )

    def request(self, shown_as: ShownAs) -> JsonObject:
        """Return the request within an AdmissionReview, but for uid and objects."""
        attributes = self.attributes
        group, version, kind = self.kind_as(shown_as)
        asked_group, asked_version, asked_kind = attributes.kind
        resource = attributes.resource
        request: JsonObject = {
            "kind": {"group": group, "version": version, "kind": kind},
            "resource": {
                "group": shown_as[0],
                "version": shown_as[1],
                "resource": shown_as[2],
            },
            "subResource": attributes.subresource,
            "requestKind": {"group": asked_group, "version": asked_version, "kind": asked_kind},
            "requestResource": {
                "group": resource.group,
                "version": resource.version,
                "resource": resource.plural,
            },
            "requestSubResource": attributes.subresource,
            "name": attributes.name,
            "namespace": attributes.namespace,
            "operation": attributes.operation,
            "userInfo": _user_info(attributes.user),
            "dryRun": attributes.dry_run,
            "options": attributes.options_object(),
        }
        for key in ("subResource", "requestSubResource", "name", "namespace"):
            if not request[key]:
                del request[key]
        return request

    def _object_as(self, shown_as: ShownAs, obj: JsonObject | None) -> JsonObject | None:
        if obj is None:
            return None
        key = shown_as, id(obj)
        if key not in self._shown:
            resource = None if self.attributes.part is not None else self.resource_as(shown_as)
            self._shown[key] = obj, self.attributes.shown(obj, resource)
        return self._shown[key][1]

    def _selects_object(self, selector: LabelSelector) -> bool:
        if selector.is_empty:
            return True
        return any(
            obj is not None and selector.matches(_labels(obj))
            for obj in (self.attributes.obj, self.attributes.old)
        )

    async def _selects_namespace(self, selector: LabelSelector) -> bool:
        attributes = self.attributes
        if attributes.resource.storage == _NAMESPACES:
            if not attributes.subresource and attributes.operation in (CREATE, UPDATE):
                return selector.matches(_labels(attributes.obj or {}))
        elif not attributes.namespace:
            return True
        name = attributes.namespace or attributes.name
        return selector.matches(_labels(await self._find_namespace(name)))

    async def _find_namespace(self, name: str) -> JsonObject:
        if self._namespace is None:
            record = self._server.store.get(_NAMESPACES, "", name)
            if record is None:
                # Another server may have just created it.
                namespaces = self._server.catalog.by_storage[_NAMESPACES]
                record = await self._server.read(namespaces, "", name)
            self._namespace = orjson.loads(record.body)
        return self._namespace

    def _authorize(self, asked: dict[str, Any]) -> tuple[bool, str, str]:
        account = asked.get("service_account")
        user = self.attributes.user if account is None else _account(*account)
        decision = self._server.authorizer.decide(user, asked_of(asked))
        return decision.allowed, decision.reason, ""


def asked_of(asked: dict[str, Any]) -> Asked:
    """Return what `authorizer…check(verb)` asks, as the authorizer is asked."""
    known = {key: asked[key] for key in Asked._fields if key in asked}
    selectors = asked.get("field_selector", ""), asked.get("label_selector", "")
    return Asked(**known)._replace(selectors=selectors)


def _account(namespace: str, name: str) -> User:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    return User(f"system:serviceaccount:{namespace}:{name}", (*groups, AUTHENTICATED))


def _labels(obj: JsonObject) -> dict[str, str]:
    return (obj.get("metadata") or {}).get("labels") or {}


def _user_info(user: User) -> JsonObject:
    info: JsonObject = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    if user.extra:
        info["extra"] = user.extra
    return info
