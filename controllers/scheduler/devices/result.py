"""What was chosen for a claim, as its status says it (AllocationResult)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from controllers.scheduler.devices.book import Book, DeviceClass
from controllers.scheduler.devices.model import Device
from controllers.scheduler.devices.search import Taken
from kube.json_types import JsonObject
from kube.quantity import Quantity, parse_value

_NANO: Final = -9


def allocation_of(book: Book, claim: JsonObject, taken: Sequence[Taken], node: str) -> JsonObject:
    """Return a claim's allocation.

    Args:
        book: knows slices and classes.
        claim: decoded.
        taken: its devices.
        node: where its pod goes.
    """
    devices: JsonObject = {"results": [_result(claim, one) for one in taken]}
    config = _config(book.classes, claim, taken)
    if config:
        devices["config"] = config
    found: JsonObject = {"devices": devices}
    selector = _node_selector(book, taken, node)
    if selector is not None:
        found["nodeSelector"] = selector
    return found


def _result(claim: JsonObject, taken: Taken) -> JsonObject:
    device, asked = taken.device, taken.asked
    driver, pool, name = device.id
    found: JsonObject = {"request": asked.name, "driver": driver, "pool": pool, "device": name}
    if asked.is_admin:
        found["adminAccess"] = True
    tolerations = _asked_json(claim, asked.name).get("tolerations")
    if tolerations:
        found["tolerations"] = tolerations
    if device.binding:
        found["bindingConditions"] = list(device.binding)
    if device.failing:
        found["bindingFailureConditions"] = list(device.failing)
    if device.is_shared:
        found["shareID"] = str(uuid.uuid4())
        if taken.consumed:
            found["consumedCapacity"] = {
                capacity: _amount(device, capacity, amount)
                for capacity, amount in taken.consumed.items()
            }
    return found


def _amount(device: Device, name: str, amount: int) -> str:
    unit_format = parse_value(device.amounts[name]).format
    return str(Quantity(amount, _NANO, unit_format))


def _asked_json(claim: JsonObject, name: str) -> Mapping[str, Any]:
    base, _, alternative = name.partition("/")
    for request in claim["spec"]["devices"]["requests"]:
        if request["name"] != base:
            continue
        for one in request.get("firstAvailable") or ():
            if one["name"] == alternative:
                found: Mapping[str, Any] = one
                return found
        return request.get("exactly") or {}
    return {}


def _config(
    classes: Mapping[str, DeviceClass], claim: JsonObject, taken: Sequence[Taken]
) -> list[JsonObject]:
    """Return the configuration of classes, then of the claim, for what was chosen."""
    by_class: dict[str, list[str]] = {}
    names = dict.fromkeys(one.asked for one in taken)
    for asked in names:
        by_class.setdefault(asked.class_name, []).append(asked.name)
    found: list[JsonObject] = []
    for name, requests in by_class.items():
        for config in classes[name].config:
            found.append({"source": "FromClass", "requests": requests, **config})
    chosen = {asked.name for asked in names} | {asked.name.partition("/")[0] for asked in names}
    devices = claim["spec"]["devices"]
    for config in devices.get("config") or ():
        requests = config.get("requests") or []
        if not requests or chosen & set(requests):
            found.append({"source": "FromClaim", **config})
    for config in found:
        # What is for all requests says so by naming none.
        if len(config.get("requests") or ()) == len(devices["requests"]):
            del config["requests"]
    return found


def _node_selector(book: Book, taken: Sequence[Taken], node: str) -> JsonObject | None:
    """Return which nodes reach all devices; None: all do."""
    fields: list[JsonObject] = []
    expressions: list[JsonObject] = []
    for one in taken:
        place = book.place_of(one.device)
        if place.node or one.device.binds_to_node:
            name = {"key": "metadata.name", "operator": "In", "values": [node]}
            return {"nodeSelectorTerms": [{"matchFields": [name]}]}
        for term in (place.selector or {}).get("nodeSelectorTerms") or ():
            fields += [each for each in term.get("matchFields") or () if each not in fields]
            expressions += [
                each for each in term.get("matchExpressions") or () if each not in expressions
            ]
    together: JsonObject = {}
    if fields:
        together["matchFields"] = fields
    if expressions:
        together["matchExpressions"] = expressions
    return {"nodeSelectorTerms": [together]} if together else None
