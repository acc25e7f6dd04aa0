"""Puts requests on record: an audit.k8s.io/v1 Event for each stage that the policy wants.

A record begins when the user is known and ends with the answer. Where auditing is off, none of this
is made, and requests are plain Exchanges.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from apiserver.audit.exchange import AuditedExchange
from apiserver.audit.policy import (
    API_VERSION,
    COMPLETE,
    NAMES,
    RECEIVED,
    STARTED,
    Level,
    Policy,
    Treatment,
)
from apiserver.authn import ANONYMOUS, User
from apiserver.authz import Attributes, Authorizer
from apiserver.documents import media_type_of, parse
from apiserver.fairness.gate import LONG_RUNNING
from kube import status as st
from kube import times
from kube.json_types import JsonObject
from runtime.clock import Clock

_AUDIT_ID: Final = b"audit-id"
_AUDIT_ID_BYTES_MAX: Final = 64
_LOCAL: Final = "127.0.0.1"
_STRING_MAX: Final = 4096
_STATUS_KEYS: Final = ("metadata", "status", "message", "reason", "details", "code")


@dataclass(slots=True)
class Record:
    """One request's record."""

    treatment: Treatment
    base: JsonObject
    asked: Attributes
    is_allowed: bool = False


class Auditor:
    """Makes records and has them written."""

    def __init__(
        self, policy: Policy, put: Callable[[bytes], None], authorizer: Authorizer, clock: Clock
    ) -> None:
        self._policy = policy
        self._put = put
        self._authorizer = authorizer
        self._clock = clock

    def begin(self, exchange: AuditedExchange) -> None:
        """Begin a record, if the policy wants one: the request's user is known."""
        user, asked = exchange.user, exchange.asked
        assert asked is not None, "what is asked for is known before who asks"
        record = exchange.record = self._record(exchange, asked, exchange.asker or user)
        if record is None:
            return
        self._emit(record, RECEIVED)  # as whom it is made is found out after that
        if exchange.asker is not None:
            record.base["impersonatedUser"] = _shown_user(user)
            if constraint := exchange.impersonating.constraint:
                record.base["authenticationMetadata"] = {"impersonationConstraint": constraint}
        self._annotate(record, user)
        if asked.verb == "watch" or asked.subresource in LONG_RUNNING:
            exchange.when_started = lambda: self._emit(record, STARTED, _code(exchange.code))

    def end(self, exchange: AuditedExchange) -> None:
        """End a record: the answer has been given, or nobody is left for one."""
        code = exchange.code or exchange.answer_code
        record: Record | None = exchange.record
        if record is None:
            if exchange.user is None and exchange.asked is not None:
                self._tell_refused(exchange, exchange.asked, code)
            return
        if not record.is_allowed:
            self._annotate(record, exchange.user)  # somebody may have been asked meanwhile
        more: JsonObject = {}
        if exchange.annotations:
            record.base["annotations"] = record.base.get("annotations", {}) | exchange.annotations
        if exchange.request_body:
            self._add_request(exchange, record, more)
        more |= _status(exchange, code)
        if record.treatment.level >= Level.REQUEST_RESPONSE and exchange.response_body:
            shown = _decoded(exchange.response_body, b"")
            if shown is not None:
                more["responseObject"] = _without_fields(shown, record)
        self._emit(record, COMPLETE, more)

    def _tell_refused(self, exchange: AuditedExchange, asked: Attributes, code: int) -> None:
        """Record who is not known, or may not act as another: that is all there is to tell."""
        record = self._record(exchange, asked, exchange.asker or ANONYMOUS)
        if record is None:
            return
        if exchange.asker is None:
            self._emit(record, STARTED, _status(exchange, code))
            return
        self._emit(record, RECEIVED)
        self._emit(record, COMPLETE, _status(exchange, code))

    def _annotate(self, record: Record, user: User) -> None:
        decision = self._authorizer.decide(user, record.asked)
        record.is_allowed = decision.allowed
        record.base["annotations"] = {
            "authorization.k8s.io/decision": "allow" if decision.allowed else "forbid",
            "authorization.k8s.io/reason": decision.reason,
        }

    def _record(self, exchange: AuditedExchange, asked: Attributes, user: User) -> Record | None:
        treatment = self._policy.treat(user, asked)
        if treatment.level is Level.NONE:
            return None
        query = exchange.scope["query_string"]
        uri = exchange.scope.get("raw_path") or exchange.path.encode()
        audit_id, forwarded = _headers(exchange)
        base: JsonObject = {
            "kind": "Event",
            "apiVersion": API_VERSION,
            "level": NAMES[treatment.level],
            "auditID": audit_id,
            "stage": "",
            "requestURI": (uri + (b"?" + query if query else b"")).decode("latin-1"),
            "verb": asked.verb,
            "user": _shown_user(user),
            "sourceIPs": forwarded,
            "userAgent": exchange.user_agent.decode("latin-1")[:_STRING_MAX],
            "requestReceivedTimestamp": self._now(),
        }
        if asked.resource:
            base["objectRef"] = _object_reference(asked)
        exchange.headers.append((_AUDIT_ID, audit_id.encode()))
        return Record(treatment, base, asked)

    def _add_request(self, exchange: AuditedExchange, record: Record, more: JsonObject) -> None:
        asked = record.asked
        wants_object = record.treatment.level >= Level.REQUEST
        if not wants_object and (asked.name or not asked.resource):
            return
        assert exchange.request_body is not None
        obj = _decoded(exchange.request_body, exchange.content_type)
        if obj is None:
            return
        reference = record.base.get("objectRef")
        metadata = obj.get("metadata") if isinstance(obj, dict) else None
        if reference is not None and isinstance(metadata, dict):
            for key in ("name", "namespace", "uid", "resourceVersion"):
                if key not in reference and isinstance(metadata.get(key), str) and metadata[key]:
                    reference[key] = metadata[key]
        if wants_object:
            more["requestObject"] = _without_fields(obj, record)

    def _emit(self, record: Record, stage: str, more: JsonObject | None = None) -> None:
        if stage in record.treatment.omitted:
            return
        event = {**record.base, "stage": stage, "stageTimestamp": self._now(), **(more or {})}
        self._put(orjson.dumps(event) + b"\n")

    def _now(self) -> str:
        return times.format_micros(int(self._clock.now_s() * 1e6))


def _headers(exchange: AuditedExchange) -> tuple[str, list[str]]:
    """Return the request's audit id, the client's if it names one, and where it comes from."""
    audit_id, addresses = "", []
    for name, value in exchange.scope["headers"]:
        if name == _AUDIT_ID and not audit_id and len(value) <= _AUDIT_ID_BYTES_MAX:
            text = value.decode("latin-1")
            audit_id = text if text.isascii() and text.isprintable() else ""
        elif name == b"x-forwarded-for":
            parts = value.decode("latin-1")[:_STRING_MAX].split(",")
            addresses += [part.strip() for part in parts if part.strip()]
    client = exchange.scope.get("client")
    # Who has come by a socket is on this machine.
    addresses.append(client[0] if client else _LOCAL)
    return audit_id or str(uuid.uuid4()), addresses


def _object_reference(asked: Attributes) -> JsonObject:
    named = {
        "resource": asked.resource,
        "namespace": asked.namespace,
        "name": asked.name,
        "apiGroup": asked.group,
        "apiVersion": asked.version,
        "subresource": asked.subresource,
    }
    return {key: value for key, value in named.items() if value}


def _shown_user(user: User) -> JsonObject:
    shown: JsonObject = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        shown["uid"] = user.uid
    if user.extra:
        shown["extra"] = user.extra
    return shown


def _code(code: int) -> JsonObject:
    return {"responseStatus": {"metadata": {}, "code": code}}


def _status(exchange: AuditedExchange, code: int) -> JsonObject:
    """Return what is told of the answer; of a refusal, why."""
    if code >= 400 and exchange.response_body:
        found = _decoded(exchange.response_body, b"")
        if isinstance(found, dict) and found.get("kind") == "Status":
            told = {key: found[key] for key in _STATUS_KEYS if key in found}
            return {"responseStatus": told}
    return _code(code)


def _decoded(body: bytes, content_type: bytes) -> Any:
    """Return a body as plain data, None if it cannot be read."""
    kind = content_type.split(b";", 1)[0].strip().lower()
    try:
        if not kind or kind.endswith(b"json"):
            return orjson.loads(body)
        return parse(body, media_type_of(content_type))
    except (ValueError, RecursionError, st.StatusError):
        return None


def _without_fields(obj: Any, record: Record) -> Any:
    """Leave out what the policy omits; `obj` is ours."""
    if record.treatment.omits_managed_fields and isinstance(obj, dict):
        for one in (obj, *(obj.get("items") or ())):
            if isinstance(one, dict) and isinstance(one.get("metadata"), dict):
                one["metadata"].pop("managedFields", None)
    return obj
