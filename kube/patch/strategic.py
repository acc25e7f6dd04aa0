"""Strategic merge patch: a merge patch that knows which lists merge, and by which key.

The rules, directives and error texts are those of k8s.io/apimachinery `util/strategicpatch` in
the way the API server calls it (parallel lists merged, unmatched nulls ignored):

- `$patch: replace|delete` in an object replaces or empties it; in an element of a merging list it
  replaces the list, or deletes the elements with the same merge key.
- `$retainKeys: [..]` clears all fields that it does not name.
- `$deleteFromPrimitiveList/<list>: [..]` deletes values from a list of scalars.
- `$setElementOrder/<list>: [..]` orders a merging list; elements that only the server has keep
  their place relative to the others.

Lists merge only where the schema says so; all others are replaced. What the directives do to the
order of lists is in `kube.patch.element_order`.
"""

from __future__ import annotations

from typing import Any, Final

from kube.json_types import JsonArray, JsonObject
from kube.patch import element_order as order
from kube.patch.errors import BadFormat, MergeError
from kube.patch.plain import copied, go_text, go_type
from kube.schema.model import MERGE, REPLACE, RETAIN_KEYS, Kind, Struct, Type

_DIRECTIVE: Final = "$patch"
_RETAIN_KEYS: Final = "$retainKeys"
_DELETE_FROM: Final = "$deleteFromPrimitiveList"
_SET_ORDER: Final = "$setElementOrder"
_NESTED: Final[frozenset[type]] = frozenset({dict, list})


def strategic_merge(doc: JsonObject, patch: JsonObject, struct: Struct) -> JsonObject:
    """Return `doc` with `patch` merged into it as `struct` says.

    Args:
        doc: left as it is; the result shares its unchanged parts.
        patch: the decoded patch, left as it is.
        struct: the type of the document; custom types have none and are refused with 415 before.

    Raises:
        StatusError: 400 for malformed directives, 422 for lists of lists, and 500, as upstream,
            for patches that do not fit the schema.
    """
    try:
        return _merge_map(doc, patch, struct)
    except MergeError as error:
        raise error.as_status() from error


class _Meta:
    """How one field merges: its strategy, its key and the struct of its value or elements."""

    __slots__ = ("merge_key", "strategy", "struct", "type_name")

    def __init__(self, struct: Struct | None, key: str, *, as_list: bool) -> None:
        if struct is None:
            raise MergeError(
                "merging an object in json but data type is not struct, instead is: map"
            )
        field = struct.fields.get(key) or _folded(struct, key)
        if field is None:
            raise MergeError(
                f'unable to find api field in struct {struct.go_name} for the json field "{key}"'
            )
        value: Type = field.type
        if as_list:
            if value.kind is not Kind.LIST or value.items is None:
                raise MergeError("expected slice or array type, but got: struct")
            value = value.items
        # A value without fields of its own can be replaced, but not looked into.
        self.struct = value.struct
        if value.kind is Kind.ANY:
            self.struct = Struct("", value.go_type.rpartition(".")[2])
        self.merge_key: str = field.merge_key
        self.strategy = next((s for s in field.strategies if s != RETAIN_KEYS), "")
        self.type_name = "struct" if value.struct is not None else value.kind.name.lower()


def _folded(struct: Struct, key: str) -> Any:
    """Return the field that Go's case-insensitive search finds."""
    wanted = key.casefold()
    return next((f for name, f in struct.fields.items() if name.casefold() == wanted), None)


def _merge_map(original: JsonObject, patch: JsonObject, struct: Struct | None) -> JsonObject:
    if _DIRECTIVE in patch:
        return _replaced_map(patch)
    merged = dict(original)
    pending = patch
    if [key for key in patch if key[:1] == "$"]:
        pending = _apply_directives(merged, dict(patch), struct)
    for key, value in pending.items():
        if value is None:
            merged.pop(key, None)
        elif key not in merged or merged[key].__class__ is not value.__class__:
            _put(merged, key, value)
        elif value.__class__ is dict:
            meta = _Meta(struct, key, as_list=False)
            if meta.strategy == REPLACE:
                merged[key] = copied(value)
            else:
                merged[key] = _merge_map(merged[key], value, meta.struct)
        elif value.__class__ is list:
            merged[key] = _merge_list(merged[key], value, _Meta(struct, key, as_list=True))
        else:
            merged[key] = value
    return merged


def _put(merged: JsonObject, key: str, value: Any) -> None:
    clean, is_kept = _without_directives(value, drop_nulls=True)
    if is_kept:
        merged[key] = clean
    else:
        merged.pop(key, None)


def _replaced_map(patch: JsonObject) -> JsonObject:
    directive = patch[_DIRECTIVE]
    if directive == "replace":
        return {key: copied(value) for key, value in patch.items() if key != _DIRECTIVE}
    if directive == "delete":
        return {}
    raise _bad_directive(patch)


def _bad_directive(patch: JsonObject) -> MergeError:
    shown = go_text(patch[_DIRECTIVE])
    return MergeError(f"unknown patch type: {shown} in map: {go_text(patch)}")


def _without_directives(value: Any, *, drop_nulls: bool) -> tuple[Any, bool]:
    """Return a copy of a value that nothing is merged with, and whether it is kept at all."""
    if value.__class__ is dict:
        if _DIRECTIVE in value:
            return None, False
        values = value.values()
        if _NESTED.isdisjoint(map(type, values)) and not (drop_nulls and None in values):
            return value.copy(), True  # as most are
        clean: JsonObject = {}
        for key, item in value.items():
            if item.__class__ not in _NESTED:
                if item is not None or not drop_nulls:
                    clean[key] = item
                continue
            kept, is_kept = _without_directives(item, drop_nulls=drop_nulls)
            if is_kept:
                clean[key] = kept
        return clean, True
    if value.__class__ is list:
        pairs = [_without_directives(item, drop_nulls=drop_nulls) for item in value]
        return [kept for kept, is_kept in pairs if is_kept], True
    return value, True


def _apply_directives(merged: JsonObject, patch: JsonObject, struct: Struct | None) -> JsonObject:
    """Apply the directives to `merged`; return what of the patch is left to merge."""
    if _RETAIN_KEYS in patch:
        _retain_keys(merged, patch.pop(_RETAIN_KEYS), patch)
    for key in [key for key in patch if key.startswith(_SET_ORDER)]:
        _set_order(merged, patch, key, struct)
    for key in [key for key in patch if key.startswith(_DELETE_FROM)]:
        _delete_from(merged, _target(key, _DELETE_FROM), patch.pop(key), struct)
    return patch


def _target(key: str, prefix: str) -> str:
    """Return the field that a directive is about."""
    head, slash, field = key.partition("/")
    if not slash or head != prefix:
        what = "primitive" if prefix == _DELETE_FROM else "setElementOrder"
        raise BadFormat(f"invalid patch format of {what} list")
    return field


def _retain_keys(merged: JsonObject, keys: Any, patch: JsonObject) -> None:
    fault = BadFormat("invalid patch format of retainKeys")
    if keys.__class__ is not list or any(key.__class__ in {dict, list} for key in keys):
        raise fault
    retained = set(keys)
    for key, value in patch.items():
        is_directive = key.startswith((_DELETE_FROM, _SET_ORDER))
        if value is not None and not is_directive and key not in retained:
            raise fault
    for key in [key for key in merged if key not in retained]:
        del merged[key]


def _delete_from(merged: JsonObject, field: str, values: Any, struct: Struct | None) -> None:
    if values is None:
        merged.pop(field, None)
        return
    current = merged.get(field)
    if current.__class__ is not list or values.__class__ is not list:
        return  # nothing of that shape to delete from
    assert current is not None
    meta = _Meta(struct, field, as_list=True)
    if not current and not values:
        return
    if order.element_class(current, values) is dict:
        merged[field] = _merge_elements(current, values, meta)
        return
    doomed = {order.identity(value) for value in values}
    merged[field] = [item for item in current if order.identity(item) not in doomed]


def _set_order(merged: JsonObject, patch: JsonObject, key: str, struct: Struct | None) -> None:
    """Merge a list together with its order, and take both out of the patch."""
    wanted = _as_list(patch.pop(key))
    field = _target(key, _SET_ORDER)
    live = _as_list(merged[field]) if field in merged else []
    change = _as_list(patch[field]) if field in patch else []
    meta = _Meta(struct, field, as_list=True)
    order.check_patch_order(change, wanted, meta.merge_key)
    if field in merged and field in patch:
        result = _merge_list(live, change, meta)
    elif field in patch:
        result = _without_directives(change, drop_nulls=False)[0]
    elif field in merged:
        result = live
    else:
        return
    elements = order.element_class(live, change)
    if elements is dict and meta.strategy == MERGE:
        live = _refilled(live, change, meta.merge_key)
    merged[field] = order.arranged(result, wanted, live, meta.merge_key, elements)
    patch.pop(field, None)


def _refilled(live: JsonArray, change: JsonArray, key: str) -> JsonArray:
    """Return the live order as upstream sees it when it puts a merged list in order.

    By then new elements have taken the places that deleted ones left at the list's end, as many
    as there are: a live [a, b, c] less a, plus x and y, counts as [b, c, x].
    """
    doomed = {order.identity(e[key]) for e in change if e.get(_DIRECTIVE) == "delete" and key in e}
    if not doomed:
        return live
    kept = [e for e in live if order.identity(e.get(key, order.ABSENT)) not in doomed]
    known = order.places(kept, key)
    added = [
        e
        for e in change
        if _DIRECTIVE not in e and order.identity(order.key_of(e, key)) not in known
    ]
    return [*kept, *added[: len(live) - len(kept)]]


def _as_list(value: Any) -> JsonArray:
    if not isinstance(value, list):
        raise MergeError(f"expected a []interface {{}}, but received a {go_type(value)}")
    return value


def _merge_list(original: JsonArray, patch: JsonArray, meta: _Meta) -> JsonArray:
    if meta.strategy != MERGE:
        return list(map(copied, patch))
    if not original and not patch:
        return original
    if order.element_class(original, patch) is dict:
        return _merge_elements(original, patch, meta)
    both = order.deduplicated([*original, *patch])
    return order.arranged(both, patch, original, "", str)


def _merge_elements(original: JsonArray, patch: JsonArray, meta: _Meta) -> JsonArray:
    """Merge two lists of objects by their key."""
    key = meta.merge_key
    if not key:
        raise MergeError(f"cannot merge lists without merge key for {meta.type_name}")
    live, change = _apply_element_directives(original, patch, key)
    merged = list(live)
    places = order.places(merged, key)
    # Elements changed in their places, one after the other, need no arranging: the usual case.
    is_arranged = len(places) == len(live)
    latest = -1
    for element in change:
        identity = order.identity(order.key_of(element, key))
        place = places.get(identity)
        if place is None:
            is_arranged = False
            places[identity] = len(merged)
            merged.append(copied(element))
            continue
        is_arranged = is_arranged and place > latest
        latest = place
        merged[place] = _merge_map(merged[place], element, meta.struct)
    return merged if is_arranged else order.arranged(merged, change, live, key, dict)


def _apply_element_directives(
    original: JsonArray, patch: JsonArray, key: str
) -> tuple[JsonArray, JsonArray]:
    """Return the live list after deletions, and the elements to merge into it."""
    live = original
    change = []
    is_replaced = False
    for element in patch:
        if _DIRECTIVE not in element:
            change.append(element)
            continue
        directive = element[_DIRECTIVE]
        if directive == "delete":
            doomed = order.identity(order.key_of(element, key))
            live = [e for e in live if order.identity(e.get(key, order.ABSENT)) != doomed]
        elif directive == "replace":
            is_replaced = True
        elif directive == "merge":
            raise MergeError("merging lists cannot yet be specified in the patch")
        else:
            raise _bad_directive(element)
    return (list(map(copied, change)), []) if is_replaced else (live, change)
