"""What the server says of a CustomResourceDefinition: its accepted names and its conditions.

Upstream's naming, establishing, API approval and structural schema controllers, as functions of a
definition and of the names that others in its group have. One write says all that there is to say:
a definition whose names are free is accepted and established at once, as whoever reads that it is
established is served from that moment on (apiserver.custom.served).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography import x509

from apiserver.custom.definition import (
    APPROVAL_ANNOTATION,
    APPROVED,
    CLEANUP,
    ESTABLISHED,
    NAMES_ACCEPTED,
    NON_STRUCTURAL,
    TERMINATING,
    Definition,
    Names,
)
from kube.field import quote
from kube.json_types import JsonObject

_PROTECTED: Final = ("k8s.io", "kubernetes.io")
_POLICY: Final = "https://github.com/kubernetes/enhancements/pull/1111"
Said = tuple[str, str, str, str]
"""A condition: type, status, reason, message."""


class Taken:
    """The names that definitions of one group have, the asking one included.

    Attributes:
        resources: plurals, singulars and short names.
        kinds: kinds and list kinds.
    """

    def __init__(self, accepted: Iterable[Names]) -> None:
        self.resources: set[str] = set()
        self.kinds: set[str] = set()
        for names in accepted:
            self.resources.update(names.resources)
            self.kinds.update((names.kind, names.list_kind))


def _clash(wanted: str, own: str, used: set[str]) -> str:
    """Return what is wrong with a name, "" if it may be had."""
    return f"{quote(wanted)} is already in use" if wanted != own and wanted in used else ""


def decide_names(definition: Definition, taken: Taken) -> tuple[Names, Said]:
    """Return the names that a definition gets, and what is said of that.

    A name that is in use is not given, and what was accepted before stays; the last one that is
    found so is told.
    """
    wanted, own = definition.wanted, definition.names
    plural, singular, kind, list_kind = own.plural, own.singular, own.kind, own.list_kind
    short_names = own.short_names
    said: Said = (NAMES_ACCEPTED, "True", "NoConflicts", "no conflicts found")

    def refuse(reason: str, why: str) -> None:
        nonlocal said
        said = (NAMES_ACCEPTED, "False", reason, why)

    if why := _clash(wanted.plural, own.plural, taken.resources):
        refuse("PluralConflict", why)
    else:
        plural = wanted.plural
    if why := _clash(wanted.singular, own.singular, taken.resources):
        refuse("SingularConflict", why)
    else:
        singular = wanted.singular
    if why := _short_clashes(wanted, own, taken):
        refuse("ShortNamesConflict", why)
    else:
        short_names = wanted.short_names
    if why := _clash(wanted.kind, own.kind, taken.kinds):
        refuse("KindConflict", why)
    else:
        kind = wanted.kind
    if why := _clash(wanted.list_kind, own.list_kind, taken.kinds):
        refuse("ListKindConflict", why)
    else:
        list_kind = wanted.list_kind
    return Names(plural, singular, short_names, kind, list_kind, wanted.categories), said


def _short_clashes(wanted: Names, own: Names, taken: Taken) -> str:
    new = [name for name in wanted.short_names if name not in own.short_names]
    found = list(dict.fromkeys(filter(None, (_clash(name, "", taken.resources) for name in new))))
    return f"[{', '.join(found)}]" if len(found) > 1 else "".join(found)


def decide_established(definition: Definition, *, are_accepted: bool) -> Said | None:
    """Return what is to be said of whether a type is served; None: it is said already."""
    if definition.holds(ESTABLISHED):
        return None  # once it is, it stays so
    if not are_accepted:
        if ESTABLISHED in definition.conditions:
            return None
        return (ESTABLISHED, "False", "NotAccepted", "not all names are accepted")
    if not _is_usable_bundle(definition.conversion):
        text = "The conversion webhook CABundle is invalid"
        return (ESTABLISHED, "False", "InvalidCABundle", text)
    return (ESTABLISHED, "True", "InitialNamesAccepted", "the initial names have been accepted")


def _is_usable_bundle(conversion: JsonObject) -> bool:
    config = (conversion.get("webhook") or {}).get("clientConfig") or {}
    given = config.get("caBundle")
    if not given:
        return True
    try:
        bundle = base64.b64decode(given, validate=True)
        return not bundle.strip() or bool(x509.load_pem_x509_certificates(bundle))
    except (binascii.Error, ValueError):
        return False


def decide_approval(definition: Definition) -> Said | None:
    """Return what is to be said of a definition in a group of the community; None: nothing."""
    group = definition.group
    if not any(group == name or group.endswith(f".{name}") for name in _PROTECTED):
        return None
    given = definition.annotations.get(APPROVAL_ANNOTATION) or ""
    must = f"protected groups must have approval annotation {quote(APPROVAL_ANNOTATION)}"
    if not given:
        return (APPROVED, "False", "MissingAnnotation", f"{must}, see {_POLICY}")
    if given.startswith("unapproved"):
        text = f"not approved: {quote(given)}"
        return (APPROVED, "False", "UnapprovedAnnotation", text)
    if _is_url(given):
        return (APPROVED, "True", "ApprovedAnnotation", f"approved in {given}")
    text = f'{must} with either a URL or a reason starting with "unapproved", see {_POLICY}'
    return (APPROVED, "False", "InvalidAnnotation", text)


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme and parts.netloc)


def _structural(definition: Definition) -> Said | None:
    if not definition.preserve_unknown:
        return None
    text = "spec.preserveUnknownFields: Invalid value: true: must be false"
    return (NON_STRUCTURAL, "True", "Violations", text)


def is_settled(definition: Definition) -> bool:
    """Tell whether there is nothing to be said of a definition that is not said already."""
    if definition.wanted != definition.names or not definition.holds(ESTABLISHED):
        return False
    if not definition.holds(NAMES_ACCEPTED):
        return False
    return not any(_differs(definition, said) for said in _of_itself(definition)) and not (
        NON_STRUCTURAL in definition.conditions and _structural(definition) is None
    )


def _of_itself(definition: Definition) -> Iterator[Said]:
    for said in (decide_approval(definition), _structural(definition)):
        if said is not None:
            yield said


def _differs(definition: Definition, said: Said) -> bool:
    known = definition.conditions.get(said[0], {})
    return (known.get("status"), known.get("reason"), known.get("message")) != said[1:]


def decide(definition: Definition, taken: Taken) -> tuple[Names, list[Said], list[str]]:
    """Return a definition's names, what is new to be said of it, and what is to be said no more."""
    names, accepted = decide_names(definition, taken)
    said = [accepted, decide_established(definition, are_accepted=accepted[1] == "True")]
    fresh = [one for one in said if one is not None and _differs(definition, one)]
    fresh += [one for one in _of_itself(definition) if _differs(definition, one)]
    gone = []
    if _structural(definition) is None and NON_STRUCTURAL in definition.conditions:
        gone.append(NON_STRUCTURAL)
    return names, fresh, gone


def with_status(
    obj: JsonObject, names: Names | None, said: Sequence[Said], gone: Sequence[str], now: str
) -> JsonObject:
    """Return a definition with another status; `obj` stays as it is.

    Args:
        obj: the definition as it is stored.
        names: accepted ones; None: as they are.
        said: conditions to set.
        gone: types of conditions to drop.
        now: as metadata has times.
    """
    status = dict(obj.get("status") or {})
    if names is not None:
        status["acceptedNames"] = names.to_json()
    conditions = [one for one in status.get("conditions") or () if one.get("type") not in gone]
    for one in said:
        conditions = with_condition(conditions, one, now)
    status["conditions"] = conditions
    return {**obj, "status": status}


def with_condition(conditions: Sequence[JsonObject], said: Said, now: str) -> list[JsonObject]:
    """Return conditions with one set: its time changes only with its status."""
    kind, status, reason, message = said
    new: JsonObject = {
        "type": kind,
        "status": status,
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }
    found = list(conditions)
    for index, known in enumerate(found):
        if known.get("type") == kind:
            if known.get("status") == status and known.get("lastTransitionTime"):
                new["lastTransitionTime"] = known["lastTransitionTime"]
            found[index] = {**known, **new}
            return found
    return [*found, new]


def begin_deletion(obj: JsonObject, now: str) -> None:
    """Mark a definition as being deleted, in place: it stays until its objects are gone."""
    metadata = obj["metadata"]
    metadata["deletionTimestamp"] = now
    finalizers: list[Any] = list(metadata.get("finalizers") or ())
    if CLEANUP not in finalizers:
        metadata["finalizers"] = [*finalizers, CLEANUP]
    status = obj.setdefault("status", {})
    said: Said = (
        TERMINATING,
        "True",
        "InstanceDeletionPending",
        "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
    )
    status["conditions"] = with_condition(status.get("conditions") or (), said, now)
