"""JSON patch (RFC 6902), with the corners of the library that upstream uses.

These differ from the RFC, and clients have come to depend on them: `replace` of an absent member
of an object adds it, `test` of an absent member against null holds, indices may be negative.
Containers are copied when first changed, so the given document and the patch stay as they were.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import orjson

from kube import status as st
from kube.json_types import JsonObject
from kube.patch.plain import copied, is_container, same, shallow

OPERATIONS_MAX: Final = 10_000
# What all copies of one patch may hold together: each can double the document.
COPIED_BYTES_MAX: Final = 3 * 1024 * 1024
_INDEX: Final = re.compile(r"[+-]?[0-9]{1,18}\Z")
_FIELDS: Final = frozenset({"op", "path", "from", "value"})
_TEXTS: Final = ("op", "path", "from")
_KINDS: Final = {dict: "object", list: "array", str: "string", bool: "bool"}


class DoesNotApply(Exception):
    """An operation that the document does not allow; upstream hides the reason from clients."""


def json_patch(doc: JsonObject, operations: Any) -> Any:
    """Return `doc` with all operations applied, in order.

    Args:
        doc: left as it is; the result shares its unchanged parts.
        operations: the decoded patch.

    Raises:
        StatusError: 400 for what is no patch, 413 for too many operations, 422 for one that does
            not apply, with the reason as its cause.
    """
    _check_shape(operations)
    editor = _Editor(doc)
    try:
        for operation in operations:
            editor.apply(operation)
    except DoesNotApply as error:
        raise _refused() from error
    return editor.root


def unknown_operation_fields(operations: Any) -> list[str]:
    """Return upstream's strict errors of a JSON patch: members that operations do not have."""
    if not isinstance(operations, list):
        return []
    return [
        f'json patch unknown field "[{index}].{key}"'
        for index, operation in enumerate(operations)
        if isinstance(operation, dict)
        for key in operation
        if key not in _FIELDS
    ]


def _check_shape(operations: Any) -> None:
    if operations.__class__ is not list:
        raise _malformed(operations, "[]handlers.jsonPatchOp")
    for operation in operations:
        if operation.__class__ is not dict and operation is not None:
            raise _malformed(operation, "handlers.jsonPatchOp")
        _check_members(operation or {})
    if len(operations) > OPERATIONS_MAX:
        raise st.too_large(
            f"The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, "
            f"got {len(operations)}"
        )


def _check_members(operation: JsonObject) -> None:
    for name in _TEXTS:
        value = operation.get(name)
        if value is not None and value.__class__ is not str:
            raise _malformed(value, "string", place=f"struct field jsonPatchOp.{name}")


def _malformed(value: Any, wanted: str, *, place: str = "value") -> st.StatusError:
    found = _KINDS.get(value.__class__, "number")
    text = f"json: cannot unmarshal {found} into Go {place} of type {wanted}"
    return st.bad_request(f"error decoding patch: {text}")


def _refused() -> st.StatusError:
    error = st.StatusError(
        422, "Invalid", "the server rejected our request due to an error in our request"
    )
    error.status["details"] = {}
    return error


def _pointer(operation: JsonObject, member: str) -> str:
    value = operation.get(member)
    if not isinstance(value, str):
        raise DoesNotApply(f"{operation.get('op')} operation failed to decode {member}")
    return value


def _unescape(token: str) -> str:
    return token.replace("~1", "/").replace("~0", "~") if "~" in token else token


def _index(key: str, length: int) -> int:
    """Return the place that `key` names in an array of `length` places."""
    if _INDEX.match(key) is None:
        raise DoesNotApply(f"value was not a proper array index: '{key}'")
    index = int(key)
    if not -length <= index < length:
        raise DoesNotApply(f"Unable to access invalid index: {index}")
    return index + length if index < 0 else index


class _Editor:
    """A document being patched.

    Invariant: containers whose id is in `_owned` were made here and are in the document once, so
    they may change; all others belong to the given document or to the patch.
    """

    def __init__(self, doc: Any) -> None:
        self.root = doc
        self._copied_bytes = 0
        self._owned: set[int] = set()
        self._made: list[Any] = []  # keeps what is owned alive, so that no id is used twice
        self._steps: dict[str, Callable[[JsonObject], None]] = {
            "add": self._add,
            "remove": self._remove,
            "replace": self._replace,
            "move": self._move,
            "copy": self._copy,
            "test": self._test,
        }

    def apply(self, operation: JsonObject | None) -> None:
        """Apply one operation.

        Raises:
            DoesNotApply: the document is as half-patched as it was; it is to be thrown away.
        """
        name = operation.get("op") if operation else None
        step = self._steps.get(name) if isinstance(name, str) else None
        if step is None or operation is None:
            raise DoesNotApply(f"Unexpected kind: {name}")
        step(operation)

    def _add(self, operation: JsonObject) -> None:
        path = _pointer(operation, "path")
        self._insert(path, copied(operation.get("value")))

    def _remove(self, operation: JsonObject) -> None:
        self._take(_pointer(operation, "path"))

    def _replace(self, operation: JsonObject) -> None:
        path = _pointer(operation, "path")
        value = copied(operation.get("value"))
        if path == "":
            if not is_container(value):
                raise DoesNotApply("replace operation value must be object or array")
            self.root = value
            return
        parent, key = self._parent(path)
        if isinstance(parent, list):
            parent[_index(key, len(parent))] = value
        else:
            parent[key] = value

    def _move(self, operation: JsonObject) -> None:
        value = self._take(_pointer(operation, "from"))
        self._insert(_pointer(operation, "path"), value)

    def _copy(self, operation: JsonObject) -> None:
        value = self._read(_pointer(operation, "from"))
        # Counted before it is made: what is read is never larger than the document so far.
        self._copied_bytes += len(orjson.dumps(value))
        if self._copied_bytes > COPIED_BYTES_MAX:
            raise DoesNotApply("the copies of this patch are too large")
        self._insert(_pointer(operation, "path"), copied(value))

    def _test(self, operation: JsonObject) -> None:
        path = _pointer(operation, "path")
        found = self.root if path == "" else self._read(path)
        if not same(found, operation.get("value")):
            raise DoesNotApply(f"testing value {path} failed")

    def _insert(self, path: str, value: Any) -> None:
        parent, key = self._parent(path)
        if isinstance(parent, dict):
            parent[key] = value
        elif key == "-":
            parent.append(value)
        else:
            parent.insert(_index(key, len(parent) + 1), value)

    def _take(self, path: str) -> Any:
        parent, key = self._parent(path)
        if isinstance(parent, list):
            return parent.pop(_index(key, len(parent)))
        if key not in parent:
            raise DoesNotApply(f"Unable to remove nonexistent key: {key}")
        return parent.pop(key)

    def _read(self, path: str) -> Any:
        """Return the value at `path`; None for an absent member of an object."""
        parent, key = self._parent(path)
        if isinstance(parent, list):
            return parent[_index(key, len(parent))]
        return parent.get(key)

    def _parent(self, path: str) -> tuple[Any, str]:
        """Return the container, ready to be changed, and the key that `path` ends with."""
        tokens = path.split("/")
        if len(tokens) < 2:
            raise DoesNotApply(f"doc is missing path: {path!r}")
        node = self.root = self._own(self.root)
        for token in tokens[1:-1]:
            key: Any = _unescape(token)
            if isinstance(node, list):
                key = _index(key, len(node))
            elif key not in node:
                raise DoesNotApply(f"doc is missing path: {path!r}")
            child = node[key]
            if not is_container(child):
                raise DoesNotApply(f"doc is missing path: {path!r}")
            child = node[key] = self._own(child)
            node = child
        return node, _unescape(tokens[-1])

    def _own(self, node: Any) -> Any:
        if id(node) in self._owned:
            return node
        mine = shallow(node)
        self._owned.add(id(mine))
        self._made.append(mine)
        return mine
