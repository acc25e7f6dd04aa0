"""The order of merged lists.

A merged list holds elements that the patch names and elements that only the server has. The
former come in the order of the patch (or of $setElementOrder), the latter in live order, and the
two are interleaved by live order as far as that goes: a live [a, b, c, d] patched with [d, x, b]
gives [a, c, d, x, b], but patched with [x] gives [x, a, b, c, d]. Elements are told apart by their
merge key, scalars by themselves.
"""

from __future__ import annotations

from typing import Any, Final

from kube.json_types import JsonArray
from kube.patch.errors import BadFormat, ListOfLists, MergeError
from kube.patch.plain import go_text, go_type

_DIRECTIVE: Final = "$patch"
_SET_ORDER: Final = "$setElementOrder"
_Identity = tuple[type, Any]


class _Absent:
    """Stands for a merge key that an element lacks; no identity equals its."""


ABSENT: Final = _Absent()


def identity(value: Any) -> _Identity:
    """Return a hashable stand-in for a scalar that tells 1, 1.0 and true apart.

    Raises:
        MergeError: the value is no scalar, so nothing can be found by it.
    """
    if value.__class__ is dict or value.__class__ is list:
        raise MergeError(f"a value of type {go_type(value)} cannot be a merge key")
    return value.__class__, value


def key_of(element: Any, key: str) -> Any:
    """Return an element's merge key, or the element itself where there is no key.

    Raises:
        MergeError: no object, or one without the key.
    """
    if not key:
        return element
    if element.__class__ is not dict:
        raise MergeError(f"expected a map[string]interface {{}}, but received a {go_type(element)}")
    if key not in element:
        raise MergeError(f"map: {go_text(element)} does not contain declared merge key: {key}")
    return element[key]


def places(elements: JsonArray, key: str) -> dict[_Identity, int]:
    """Return the first place of each merge key; elements without one are passed over."""
    found: dict[_Identity, int] = {}
    for place, element in enumerate(elements):
        value = element.get(key, ABSENT) if key else element
        if value is not ABSENT:
            found.setdefault(identity(value), place)
    return found


def element_class(*lists: JsonArray) -> type:
    """Return the one class of all elements of the lists.

    Raises:
        ListOfLists: the elements are lists.
        MergeError: there are none, or of several classes.
    """
    classes: set[type] = {element.__class__ for elements in lists for element in elements}
    if not classes:
        raise MergeError("no elements in any of the given slices")
    if list in classes:
        raise ListOfLists("lists of lists are not supported")
    if len(classes) > 1:
        raise MergeError(f"list element types are not identical: {go_text(list(lists))}")
    (only,) = classes
    return only


def deduplicated(values: JsonArray) -> JsonArray:
    """Return the scalars without repetitions, the first of each kept."""
    return list({identity(value): value for value in reversed(values)}.values())[::-1]


def check_patch_order(patch: JsonArray, wanted: JsonArray, key: str) -> None:
    """Refuse a patch list whose elements are not in $setElementOrder, or in another order.

    Raises:
        MergeError: they are not; or some element lacks the merge key.
    """
    if not wanted or not patch:
        return
    named = [e for e in patch if not (e.__class__ is dict and _DIRECTIVE in e)]
    if key:
        for element in patch:
            if element.__class__ is not dict:
                raise BadFormat("invalid patch format of setElementOrder list")
    at = 0
    for element in wanted:
        if at == len(named):
            return
        if identity(key_of(named[at], key)) == identity(key_of(element, key)):
            at += 1
    if at < len(named):
        raise MergeError(
            f"The order in patch list:\n{go_text(patch)}\n doesn't match {_SET_ORDER} list:\n"
            f"{go_text(wanted)}\n"
        )


def arranged(
    merged: JsonArray, wanted: JsonArray, live: JsonArray, key: str, elements: type
) -> JsonArray:
    """Return `merged` in its final order.

    Args:
        merged: all elements.
        wanted: elements, or just their keys, in the order the patch wants.
        live: the elements in the order they had.
        key: the merge key, "" for scalars.
        elements: class of the elements.

    Raises:
        MergeError: an element lacks the merge key.
    """
    if not wanted or not merged:
        return merged
    # Objects without a merge key are told apart by nothing: only their number counts.
    if elements is dict and not key:
        raise MergeError(f"map: {go_text(merged[0])} does not contain declared merge key: ")
    keys = [identity(key_of(element, key)) for element in merged]
    wanted_places = {identity(key_of(e, key)): at for at, e in reversed([*enumerate(wanted)])}
    live_places = places(live, key)
    from_patch = [at for at, name in enumerate(keys) if name in wanted_places]
    from_server = [at for at, name in enumerate(keys) if name not in wanted_places]
    from_patch.sort(key=lambda at: wanted_places[keys[at]])
    from_server.sort(key=lambda at: live_places.get(keys[at], -1))
    ranks = [live_places.get(name, -1) for name in keys]
    return [merged[at] for at in _interleaved(from_server, from_patch, ranks)]


def _interleaved(left: list[int], right: list[int], ranks: list[int]) -> list[int]:
    """Merge two ordered lists; one of `left` goes first only if both ranks are known."""
    result = []
    i = j = 0
    while i < len(left) and j < len(right):
        if 0 <= ranks[left[i]] < ranks[right[j]]:
            result.append(left[i])
            i += 1
        else:
            result.append(right[j])
            j += 1
    return [*result, *left[i:], *right[j:]]
