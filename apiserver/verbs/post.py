"""create: POST of an object, the quick way for one whose like was created before."""

from __future__ import annotations

from typing import Any

from apiserver.admission.twin_profiles import (
    Profile,
    TwinProfiles,
    account_of,
    note_enforced,
    was_noted,
)
from apiserver.aside import aside
from apiserver.documents import (
    JSON,
    check_readable,
    check_strictly,
    check_version_kind,
    decode_object,
    parse_for,
    read_strictly,
)
from apiserver.exchange import Exchange
from apiserver.options import WriteOptions, write_options
from apiserver.resources import Target
from apiserver.server import Server
from apiserver.twins import Twin, Twins
from apiserver.verbs.answer import respond_created
from apiserver.verbs.create import create_object
from kube import status as st
from kube.json_types import JsonObject
from kube.schema.decode import Decoded, DecodeError, refusal


async def post(server: Server, exchange: Exchange, target: Target) -> None:
    """Create an object from the request's body."""
    resource = target.resource
    options = write_options(exchange, "CreateOptions")
    media_type = check_readable(exchange, resource)
    body = exchange.body_at_hand()
    if body is None:
        body = await exchange.body()
    twins = server.twins.get(resource.storage) if media_type == JSON else None
    if twins is None or exchange.is_large:
        if exchange.is_large:
            obj = await aside(read_strictly, exchange, resource, body, options.field_validation)
        else:
            obj = read_strictly(exchange, resource, body, options.field_validation)
        stored = await create_object(server, exchange, resource, target.namespace, obj, options)
    else:
        stored = await _create_like(server, exchange, target, twins, (body, options))
    await respond_created(server, exchange, resource, stored, dry_run=options.dry_run)


async def _create_like(
    server: Server,
    exchange: Exchange,
    target: Target,
    twins: Twins,
    request: tuple[bytes, WriteOptions],
) -> bytes:
    """Create an object of a type made from templates; return its stored body."""
    resource, namespace = target.resource, target.namespace
    body, options = request
    profiles = server.twin_profiles
    found = twins.stencils.find(body)
    if found is not None and profiles is not None:
        alike, name = found
        profile = profiles.of(exchange.user, namespace, alike.account)
        stencil = None if profile is None else alike.by_profile.get(profile.number)
        if profile is not None and stencil is not None:
            obj = stencil.fill(name)
            stored = await create_object(
                server, exchange, stencil.resource, namespace, obj, options
            )
            note_enforced(exchange, profile)
            return stored
    parsed: Any = parse_for(resource, body, JSON)
    seen = _Profiled(exchange, namespace, profiles)
    key = twins.key_of(parsed, seen.profile_of)
    twin = twins.find(key)
    if twin is not None:
        obj, decoded, resource = parsed, _complete(twin, parsed), twin.resource
    else:
        obj, decoded = decode_object(resource, parsed)
    name = obj["metadata"].get("name", "")
    check_strictly(exchange, resource, body, (decoded, None), options.field_validation)
    stored = await create_object(server, exchange, resource, namespace, obj, options)
    if key is not None and not (decoded.unknown or options.dry_run):
        if twin is None:
            if seen.still_holds() and not was_noted(exchange):
                twins.remember(key, obj, stored)
        else:
            twins.learn(twin, body, name, seen.account)
    if twin is not None and seen.profile is not None:
        note_enforced(exchange, seen.profile)
    return stored


class _Profiled:
    """A request whose object's profile is found out on the way.

    Attributes:
        account: the service account that it names, "" for none.
        profile: None before that is known, or if there is none.
    """

    def __init__(self, exchange: Exchange, namespace: str, profiles: TwinProfiles | None) -> None:
        self._exchange, self._namespace, self._profiles = exchange, namespace, profiles
        self.account = ""
        self.profile: Profile | None = None

    def profile_of(self, spec: JsonObject) -> int | None:
        """Return the number of the profile for a spec, None if there is none."""
        account = account_of(spec)
        if account is None or self._profiles is None:
            return None
        self.account = account
        self.profile = self._profiles.of(self._exchange.user, self._namespace, account)
        return None if self.profile is None else self.profile.number

    def still_holds(self) -> bool:
        """Tell whether nothing has changed meanwhile that plugins have looked at."""
        profiles = self._profiles
        if profiles is None:
            return False
        return profiles.of(self._exchange.user, self._namespace, self.account) == self.profile


def _complete(twin: Twin, obj: Any) -> Decoded:
    """Make a twin of what was remembered, in place.

    Raises:
        StatusError: 400, the metadata does not fit.
    """
    resource = twin.resource
    check_version_kind(resource, obj)
    try:
        return twin.complete(obj)
    except DecodeError as error:
        raise st.bad_request(refusal(resource.kind, resource.version, error)) from error
