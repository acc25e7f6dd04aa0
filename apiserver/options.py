"""Query options of the verbs, parsed and checked as upstream's ParameterCodec and validation do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from apiserver.exchange import Exchange
from apiserver.query import Query
from kube import field as fld
from kube import status as st
from kube.field import FieldError
from kube.json_types import JsonObject

META_GROUP: Final = "meta.k8s.io"
EXACT: Final = "Exact"
NOT_OLDER_THAN: Final = "NotOlderThan"
_FIELD_VALIDATIONS: Final = ("", "Ignore", "Strict", "Warn")
_FIELD_MANAGER_MAX: Final = 128


def parse_bool(values: Sequence[str] | None) -> bool | None:
    """Return a boolean parameter: only "0" and "false" are false, as upstream converts it."""
    if not values:
        return None
    return values[0].lower() not in ("0", "false")


def parse_int(query: Query, name: str) -> int | None:
    """Return an integer parameter, None if it is not given.

    Raises:
        StatusError: 400, worded as Go's strconv.
    """
    values = query.get(name)
    if not values:
        return None
    text = values[0]
    digits = text[1:] if text[:1] in "+-" else text
    if not (digits.isascii() and digits.isdigit()):
        raise st.bad_request(f"strconv.ParseInt: parsing {fld.quote(text)}: invalid syntax")
    number = int(text)
    if not -(2**63) <= number < 2**63:
        raise st.bad_request(f"strconv.ParseInt: parsing {fld.quote(text)}: value out of range")
    return number


def check_dry_run(values: Sequence[str]) -> list[FieldError]:
    """Only "All" is a dry-run directive."""
    if all(value == "All" for value in values):
        return []
    return [fld.not_supported("dryRun", list(values), ["All"])]


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Options of create, update and patch.

    Attributes:
        applies: it is a server-side apply, which says itself who manages what.
    """

    dry_run: bool = False
    field_manager: str = ""
    field_validation: str = "Warn"
    force: bool | None = None
    applies: bool = False


PLAIN_WRITE: Final = WriteOptions()


def write_options(exchange: Exchange, kind: str, *, apply: bool = False) -> WriteOptions:
    """Parse and check the options of a write; `kind` names them in errors ("CreateOptions").

    Raises:
        StatusError: 422 as upstream's ValidateCreateOptions and its like.
    """
    query = exchange.query if exchange.scope["query_string"] else None
    if not query:
        if apply:
            faults = [fld.required("fieldManager", "is required for apply patch")]
            raise st.invalid(META_GROUP, kind, "", faults)
        return PLAIN_WRITE
    dry_run = query.get("dryRun", ())
    manager = exchange.parameter("fieldManager")
    validation = exchange.parameter("fieldValidation")
    force = parse_bool(query.get("force"))
    faults = []
    if apply and not manager:
        faults.append(fld.required("fieldManager", "is required for apply patch"))
    if not apply and force is not None and kind == "PatchOptions":
        faults.append(fld.forbidden("force", "may not be specified for non-apply patch"))
    faults += _check_manager(manager)
    faults += check_dry_run(dry_run)
    if validation not in _FIELD_VALIDATIONS:
        faults.append(fld.not_supported("fieldValidation", validation, _FIELD_VALIDATIONS))
    if faults:
        raise st.invalid(META_GROUP, kind, "", faults)
    return WriteOptions(bool(dry_run), manager, validation or "Warn", force, apply)


def _check_manager(manager: str) -> list[FieldError]:
    if len(manager) > _FIELD_MANAGER_MAX:
        return [fld.too_long("fieldManager", _FIELD_MANAGER_MAX)]
    for index, char in enumerate(manager):
        if not char.isprintable():
            detail = f"invalid character {char!a} (at position {index})"
            return [
                fld.invalid(
                    "fieldManager", manager, f"should only contain printable characters; {detail}"
                )
            ]
    return []


@dataclass(frozen=True, slots=True)
class ListOptions:
    """Options of list, watch and deletecollection."""

    label_selector: str = ""
    field_selector: str = ""
    watch: bool = False
    allow_bookmarks: bool = False
    resource_version: str = ""
    match: str = ""
    timeout_s: int | None = None
    limit: int = 0
    continue_token: str = ""
    send_initial_events: bool | None = None


PLAIN_LIST: Final = ListOptions()


def list_options(exchange: Exchange) -> ListOptions:
    """Parse, complete and check list and watch options.

    They are those of a watch if they say so; a watch by its path alone ("/watch/pods") goes by the
    rules of a list, as upstream.

    Raises:
        StatusError: 422 of kind ListOptions, or 400 for what is no number.
    """
    query = exchange.query
    if not query:
        return PLAIN_LIST
    watch = bool(parse_bool(query.get("watch")))
    version = exchange.parameter("resourceVersion")
    match = exchange.parameter("resourceVersionMatch")
    initial = parse_bool(query.get("sendInitialEvents"))
    if watch and initial is None and not match and version in ("", "0"):
        # The old way to ask for the current state first.
        initial, match = True, NOT_OLDER_THAN
    options = ListOptions(
        label_selector=exchange.parameter("labelSelector"),
        field_selector=exchange.parameter("fieldSelector"),
        watch=watch,
        allow_bookmarks=bool(parse_bool(query.get("allowWatchBookmarks"))),
        resource_version=version,
        match=match,
        timeout_s=parse_int(query, "timeoutSeconds"),
        limit=parse_int(query, "limit") or 0,
        continue_token=exchange.parameter("continue"),
        send_initial_events=initial,
    )
    faults = _check_watch(options) if watch else _check_list(options)
    if faults:
        raise st.invalid(META_GROUP, "ListOptions", "", faults)
    return options


def _check_list(options: ListOptions) -> list[FieldError]:
    faults = []
    path = "resourceVersionMatch"
    if options.match:
        if not options.resource_version:
            faults.append(
                fld.forbidden(path, f"{path} is forbidden unless resourceVersion is provided")
            )
        if options.continue_token:
            faults.append(fld.forbidden(path, f"{path} is forbidden when continue is provided"))
        if options.match not in (EXACT, NOT_OLDER_THAN):
            faults.append(fld.not_supported(path, options.match, (EXACT, NOT_OLDER_THAN, "")))
        if options.match == EXACT and options.resource_version == "0":
            detail = f'{path} "exact" is forbidden for resourceVersion "0"'
            faults.append(fld.forbidden(path, detail))
    if options.send_initial_events is not None:
        detail = "sendInitialEvents is forbidden for list"
        faults.append(fld.forbidden("sendInitialEvents", detail))
    return faults


def _check_watch(options: ListOptions) -> list[FieldError]:
    faults = []
    path = "resourceVersionMatch"
    if options.send_initial_events is not None and options.match != NOT_OLDER_THAN:
        detail = f"sendInitialEvents requires setting resourceVersionMatch to {NOT_OLDER_THAN}"
        faults.append(fld.forbidden(path, detail))
    if options.match:
        if options.send_initial_events is None:
            detail = f"{path} is forbidden for watch unless sendInitialEvents is provided"
            faults.append(fld.forbidden(path, detail))
        if options.match != NOT_OLDER_THAN:
            faults.append(fld.not_supported(path, options.match, (NOT_OLDER_THAN,)))
        if options.continue_token:
            faults.append(fld.forbidden(path, f"{path} is forbidden when continue is provided"))
    return faults


@dataclass(slots=True)
class DeleteOptions:
    """Options of delete; mutable, as a type's grace period is filled in on the way."""

    dry_run: bool = False
    grace_period_s: int | None = None
    orphan_dependents: bool | None = None
    propagation_policy: str | None = None
    uid: str | None = None
    resource_version: str | None = None

    def to_json(self) -> JsonObject:
        """Return what is set, as in an object of kind DeleteOptions; dryRun apart."""
        preconditions = {"uid": self.uid, "resourceVersion": self.resource_version}
        shown: JsonObject = {
            "gracePeriodSeconds": self.grace_period_s,
            "orphanDependents": self.orphan_dependents,
            "propagationPolicy": self.propagation_policy,
            "preconditions": {key: value for key, value in preconditions.items() if value} or None,
        }
        return {key: value for key, value in shown.items() if value is not None}

    def copy(self) -> DeleteOptions:
        """Return options for one object of a collection."""
        return DeleteOptions(
            self.dry_run,
            self.grace_period_s,
            self.orphan_dependents,
            self.propagation_policy,
            self.uid,
            self.resource_version,
        )


def delete_options(exchange: Exchange, document: JsonObject | None) -> DeleteOptions:
    """Take delete options from the body if there is one, else from the query.

    Raises:
        StatusError: 400 for wrong types, 422 of kind DeleteOptions for wrong values.
    """
    if document is None:
        document = _from_query(exchange)
    options = _typed(document)
    faults = []
    policy = options.propagation_policy
    if options.orphan_dependents is not None and policy is not None:
        detail = "orphanDependents and deletionPropagation cannot be both set"
        faults.append(fld.invalid("propagationPolicy", policy, detail))
    if policy not in (None, "Foreground", "Background", "Orphan"):
        names = ("Foreground", "Background", "Orphan", "nil")
        faults.append(fld.not_supported("propagationPolicy", policy, names))
    faults += check_dry_run(document.get("dryRun") or ())
    if faults:
        raise st.invalid(META_GROUP, "DeleteOptions", "", faults)
    return options


def _from_query(exchange: Exchange) -> JsonObject:
    query = exchange.query
    document: JsonObject = {}
    if not query:
        return document
    if "dryRun" in query:
        document["dryRun"] = list(query["dryRun"])
    if (grace := parse_int(query, "gracePeriodSeconds")) is not None:
        document["gracePeriodSeconds"] = grace
    if (orphan := parse_bool(query.get("orphanDependents"))) is not None:
        document["orphanDependents"] = orphan
    if policy := exchange.parameter("propagationPolicy"):
        document["propagationPolicy"] = policy
    return document


_DELETE_TYPES: Final[dict[str, type]] = {
    "dryRun": list,
    "gracePeriodSeconds": int,
    "orphanDependents": bool,
    "propagationPolicy": str,
    "preconditions": dict,
}


_JSON_TYPES: Final[dict[type, str]] = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "bool",
}


def _mistyped(name: str, value: Any) -> st.StatusError:
    shown = _JSON_TYPES.get(type(value), "number")
    return st.bad_request(
        f"json: cannot unmarshal {shown} into Go struct field DeleteOptions.{name}"
    )


def _typed(document: JsonObject) -> DeleteOptions:
    for name, kind in _DELETE_TYPES.items():
        value = document.get(name)
        if value is not None and (type(value) is not kind):
            raise _mistyped(name, value)
    for value in document.get("dryRun") or ():
        if type(value) is not str:
            raise _mistyped("dryRun", value)
    preconditions = document.get("preconditions") or {}
    for name in ("uid", "resourceVersion"):
        if not isinstance(preconditions.get(name), str | None):
            raise _mistyped(f"preconditions.{name}", preconditions[name])
    return DeleteOptions(
        dry_run=bool(document.get("dryRun")),
        grace_period_s=document.get("gracePeriodSeconds"),
        orphan_dependents=document.get("orphanDependents"),
        propagation_policy=document.get("propagationPolicy"),
        uid=preconditions.get("uid"),
        resource_version=preconditions.get("resourceVersion"),
    )
