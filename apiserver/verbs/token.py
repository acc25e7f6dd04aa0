"""serviceaccounts/token: TokenRequest."""

from __future__ import annotations

from typing import Final

import orjson

from apiserver.documents import read_request
from apiserver.exchange import Exchange
from apiserver.options import write_options
from apiserver.resources import Target
from apiserver.server import Server
from apiserver.service_accounts import ServiceAccountTokens
from apiserver.verbs.answer import respond_document
from apiserver.verbs.put import check_name
from kube import field as fld
from kube import status as st
from kube import times
from kube.json_types import JsonObject
from kube.schema.decode import builtin_decoder

_SCHEMA: Final = "io.k8s.api.authentication.v1.TokenRequest"
_GROUP: Final = "authentication.k8s.io"
_LIFETIME_S: Final = 3600
_LIFETIME_S_MIN: Final = 600
_LIFETIME_S_MAX: Final = 1 << 32
_BOUND: Final = {"Pod": ("pod", "pods"), "Secret": ("secret", "secrets"), "Node": ("node", "nodes")}


class TokenRequests:
    """The verb, with the signer it needs."""

    def __init__(self, tokens: ServiceAccountTokens) -> None:
        self._tokens = tokens

    async def create(self, server: Server, exchange: Exchange, target: Target) -> None:
        """Answer with the request, completed by a token."""
        options = write_options(exchange, "CreateOptions")
        accounts = target.resource
        decoder = builtin_decoder(_SCHEMA)
        request = await read_request(exchange, accounts, options.field_validation, decoder)
        record = await server.read(accounts, target.namespace, target.name)
        account = orjson.loads(record.body)
        metadata = request["metadata"]
        if metadata.get("name") or metadata.get("namespace"):
            metadata.setdefault("name", target.name)
            check_name(request, target.namespace, target.name)
        spec = request.setdefault("spec", {})
        lifetime_s = spec.setdefault("expirationSeconds", _LIFETIME_S)
        _check(lifetime_s, target.name)
        audiences = spec.get("audiences") or [self._tokens.issuer]
        spec["audiences"] = audiences
        bound = await self._find_bound(server, spec.get("boundObjectRef"), target.namespace)
        token, expires_s = self._tokens.issue(account, audiences, lifetime_s, bound)
        if options.dry_run:
            token = ""
        answer = {
            "kind": "TokenRequest",
            "apiVersion": f"{_GROUP}/v1",
            "metadata": {
                "name": target.name,
                "namespace": target.namespace,
                "creationTimestamp": times.format_seconds(int(server.clock.now_s())),
            },
            "spec": spec,
            "status": {"token": token, "expirationTimestamp": times.format_seconds(expires_s)},
        }
        await respond_document(exchange, answer, 201)

    @staticmethod
    async def _find_bound(
        server: Server, reference: JsonObject | None, namespace: str
    ) -> tuple[str, JsonObject] | None:
        if not reference:
            return None
        kind = reference.get("kind", "")
        if kind not in _BOUND:
            raise st.bad_request(f"cannot bind token to object of type {kind}")
        claim, storage = _BOUND[kind]
        resource = server.catalog.by_storage[storage]
        space = namespace if resource.namespaced else ""
        record = await server.read(resource, space, reference.get("name", ""))
        obj: JsonObject = orjson.loads(record.body)
        uid = reference.get("uid")
        actual = obj["metadata"]["uid"]
        if uid and uid != actual:
            why = (
                f"the UID in the bound object reference ({uid}) does not match the UID in record. "
                "The object might have been deleted and then recreated"
            )
            raise st.conflict("", storage, reference.get("name", ""), why)
        return claim, obj


def _check(lifetime_s: int, name: str) -> None:
    path = "spec.expirationSeconds"
    faults = []
    if lifetime_s < _LIFETIME_S_MIN:
        faults.append(
            fld.invalid(path, lifetime_s, "may not specify a duration less than 10 minutes")
        )
    if lifetime_s > _LIFETIME_S_MAX:
        text = "may not specify a duration larger than 2^32 seconds"
        faults.append(fld.invalid(path, lifetime_s, text))
    if faults:
        raise st.invalid(_GROUP, "TokenRequest", name, faults)
