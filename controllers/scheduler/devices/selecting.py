"""CEL selectors of devices: compiled once, evaluated once for each device.

    device.driver == "gpu.example.com" && device.attributes["gpu.example.com"].model == "a100"

Attributes and capacity are in maps by domain; those of the driver's own domain may be written
without it. A domain that a device has nothing of is empty, as upstream has it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final
from weakref import WeakKeyDictionary

from controllers.scheduler.devices.model import Device
from kube.cel.cost import Budget
from kube.cel.environment import Program, compile_expression
from kube.cel.errors import CelError, CompileError
from kube.cel.library.amounts import Quantity, parse_semver
from kube.cel.tree import Literal, walk
from kube.cel.types import BOOL, DYN, STRING, CelType, TypeField, map_of, opaque
from kube.quantity import QuantityError, parse_value

_COST_MAX: Final = 1_000_000
_KNOWN_MAX: Final = 4096
_DEVICE: Final = CelType(
    "object",
    "DRADevice",
    fields={
        "driver": TypeField("driver", STRING),
        "allowMultipleAllocations": TypeField("allowMultipleAllocations", BOOL),
        "attributes": TypeField("attributes", map_of(STRING, map_of(STRING, DYN))),
        "capacity": TypeField(
            "capacity", map_of(STRING, map_of(STRING, opaque("kubernetes.Quantity")))
        ),
    },
)


class SelectorFault(Exception):
    """A selector that cannot be compiled, or fails for a device; the message says which."""


class Selectors:
    """See the module's head; expressions used last are kept, 4096 of them."""

    def __init__(self) -> None:
        self._programs: OrderedDict[str, tuple[Program | str, tuple[str, ...]]] = OrderedDict()
        self._matches: WeakKeyDictionary[Device, dict[str, bool]] = WeakKeyDictionary()

    def matches(self, expression: str, device: Device) -> bool:
        """Tell whether a device is selected.

        Raises:
            SelectorFault: nobody can tell.
        """
        known = self._matches.setdefault(device, {})
        found = known.get(expression)
        if found is None:
            found = known[expression] = self._evaluate(expression, device)
        return found

    def _evaluate(self, expression: str, device: Device) -> bool:
        program, texts = self._program(expression)
        if isinstance(program, str):
            raise SelectorFault(f"CEL compile error: {program}")
        try:
            return bool(program.evaluate([_value(device, texts)], Budget(_COST_MAX)))
        except CelError as error:
            where = "/".join(device.id)
            raise SelectorFault(f"on device {where}: CEL runtime error: {error}") from None

    def _program(self, expression: str) -> tuple[Program | str, tuple[str, ...]]:
        known = self._programs.get(expression)
        if known is None:
            program: Program | str
            texts: tuple[str, ...] = ()
            try:
                program = compile_expression(expression, {"device": _DEVICE}, wanted=(BOOL,))
                literals = (node for node in walk(program.tree) if isinstance(node, Literal))
                texts = tuple({one.value for one in literals if isinstance(one.value, str)})
            except CompileError as error:
                program = str(error)
            known = self._programs[expression] = (program, texts)
            if len(self._programs) > _KNOWN_MAX:
                self._programs.popitem(last=False)
        return known


def _value(device: Device, texts: tuple[str, ...]) -> dict[str, Any]:
    driver = device.id[0]
    # Whatever domain an expression names is there, if only empty.
    attributes: dict[str, dict[str, Any]] = {text: {} for text in texts}
    capacity: dict[str, dict[str, Any]] = {text: {} for text in texts}
    for name, (kind, value) in device.attributes.items():
        domain, own = _split(name, driver)
        attributes.setdefault(domain, {})[own] = parse_semver(value) if kind == "version" else value
    for name, amount in device.amounts.items():
        domain, own = _split(name, driver)
        try:
            capacity.setdefault(domain, {})[own] = Quantity(parse_value(amount))
        except QuantityError:
            continue
    return {
        "driver": driver,
        "allowMultipleAllocations": device.is_shared,
        "attributes": attributes,
        "capacity": capacity,
    }


def _split(name: str, driver: str) -> tuple[str, str]:
    domain, slash, own = name.partition("/")
    return (domain, own) if slash else (driver, name)
