"""serviceaccounts/token: TokenRequest."""

from __future__ import annotations

from typing import Final

import orjson

from apiserver.documents import read_request
from apiserver.exchange import Exchange
from apiserver.metadata import ensure_namespace
from apiserver.options import write_options
from apiserver.resources import Target
from apiserver.server import Server
from apiserver.service_accounts import ServiceAccountTokens
from apiserver.verbs.admitting import admit
from apiserver.verbs.answer import respond_document
from kube import field as fld
from kube import status as st
from kube import times
from kube.json_types import JsonObject
from kube.kinds import split_group_version

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
        part = target.subresource_info
        request = await read_request(exchange, accounts, options.field_validation, part)
        ensure_namespace(accounts, target.namespace, request["metadata"])
        if (given := request["metadata"].get("name", "")) not in ("", target.name):
            text = "must match the service account name if specified"
            faults = [fld.invalid("metadata.name", given, text)]
            raise st.invalid(_GROUP, "TokenRequest", target.name, faults)
        record = await server.read(accounts, target.namespace, target.name)
        account = orjson.loads(record.body)
        request.setdefault("spec", {}).setdefault("expirationSeconds", _LIFETIME_S)
        request = await admit(server, exchange, target, request, options)
        spec = request["spec"]
        lifetime_s = spec["expirationSeconds"]
        _check(lifetime_s)
        audiences = spec.get("audiences") or [self._tokens.issuer]
        spec["audiences"] = audiences
        bound = await self._find_bound(server, spec.get("boundObjectRef"), target)
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
        server: Server, reference: JsonObject | None, target: Target
    ) -> list[tuple[str, JsonObject]]:
        if not reference:
            return []
        kind = reference.get("kind", "")
        group, version = _group_version(reference.get("apiVersion", ""))
        if group or kind not in _BOUND:
            shown = f"{group}/{version}, Kind={kind}"
            raise st.bad_request(f"cannot bind token to object of type {shown}")
        claim, storage = _BOUND[kind]
        resource = server.catalog.by_storage[storage]
        space = target.namespace if resource.namespaced else ""
        record = await server.read(resource, space, reference.get("name", ""))
        obj: JsonObject = orjson.loads(record.body)
        if kind == "Pod" and obj["spec"].get("serviceAccountName") != target.name:
            raise st.bad_request(
                f"cannot bind token for serviceaccount {fld.quote(target.name)} to pod running "
                "with different serviceaccount name."
            )
        uid = reference.get("uid")
        actual = obj["metadata"]["uid"]
        if uid and uid != actual:
            why = (
                f"the UID in the bound object reference ({uid}) does not match the UID in record. "
                "The object might have been deleted and then recreated"
            )
            raise st.conflict("", kind, reference.get("name", ""), why)
        bound = [(claim, obj)]
        if kind == "Pod" and (node := obj["spec"].get("nodeName")):
            # A pod's token tells where the pod is, as far as that is known.
            nodes = server.catalog.by_storage["nodes"]
            there = server.peek(nodes, "", node)
            known = {"metadata": {"name": node}} if there is None else orjson.loads(there.body)
            bound.append(("node", known))
        return bound


def _group_version(api_version: str) -> tuple[str, str]:
    try:
        return split_group_version(api_version)
    except ValueError:
        return "", ""  # upstream takes what it cannot read for nothing


def _check(lifetime_s: int) -> None:
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
        raise st.invalid(_GROUP, "TokenRequest", "", faults)
