"""Selectors of a request, turned into what storage filters and indexes by."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from apiserver.custom.resource import CustomResource
from apiserver.field_labels import NAME, NAMESPACE, resolve
from apiserver.options import ListOptions
from apiserver.resources import Resource, Target
from kube import status as st
from kube.selector_parser import parse_field_selector, parse_label_selector
from kube.selectors import FieldSelector, FieldTerm, MetaMatch, compile_selectors


class Selection(NamedTuple):
    """Which objects of a type a request is about.

    Attributes:
        namespace: the only namespace, None: all (and for cluster-scoped types).
        name: the only name, None: all.
        match: filter over search blobs, None: everything matches.
        by_index: an indexed field and its value, by which storage finds the objects.
        filtered: whether selectors leave objects out (then remaining counts are unknown).
        not_names, not_namespaces: excluded ones.
        empty: nothing can match.
    """

    namespace: str | None
    name: str | None
    match: MetaMatch | None
    by_index: tuple[str, str] | None
    filtered: bool
    not_names: frozenset[str] = frozenset()
    not_namespaces: frozenset[str] = frozenset()
    empty: bool = False

    @property
    def by_key(self) -> bool:
        """Whether `admits` leaves out anything of what storage finds."""
        return bool(self.name is not None or self.not_names or self.not_namespaces)

    def is_single(self, *, namespaced: bool) -> bool:
        """Whether it is one key, whatever else is asked of its object."""
        return self.name is not None and (self.namespace is not None or not namespaced)

    def admits(self, name: str, namespace: str = "") -> bool:
        """Tell whether an object of this key is meant, beyond what storage filters by."""
        if self.empty or (self.name is not None and name != self.name):
            return False
        return name not in self.not_names and namespace not in self.not_namespaces


_CACHED_LENGTH_MAX: Final = 1024


def _compiled(
    resource: Resource, labels: str, fields: str
) -> tuple[FieldSelector, MetaMatch | None]:
    """Parse and compile both selectors, once for each type and text.

    Raises:
        StatusError: 400, worded as upstream's parsers.
    """
    try:
        label_selector = parse_label_selector(labels)
        field_selector = parse_field_selector(fields)
    except ValueError as error:
        raise st.bad_request(str(error)) from error
    resolved = resolve(resource, field_selector)
    rest = resolved.without((NAME, NAMESPACE))
    match = compile_selectors(label_selector, rest)
    # Of labels, only a webhook's conversion may make others.
    may_differ = bool(rest.terms) or resource.needs_calls
    if match is not None and may_differ and isinstance(resource, CustomResource):
        match = resource.lenient(match)
    return resolved, match


_compiled_before: Final = lru_cache(maxsize=4096)(_compiled)


def select(resource: Resource, target: Target, options: ListOptions) -> Selection:
    """Return what the path and the selectors of a request choose.

    Raises:
        StatusError: 400, a selector is malformed or names an unknown field.
    """
    namespace = target.namespace or None
    path_name = target.name or None
    if not options.label_selector and not options.field_selector:
        return Selection(namespace, path_name, None, None, filtered=path_name is not None)
    labels, field_text = options.label_selector, options.field_selector
    short = len(labels) + len(field_text) <= _CACHED_LENGTH_MAX
    fields, match = (_compiled_before if short else _compiled)(resource, labels, field_text)
    keys = _KeyTerms(namespace, path_name)
    index = None
    for term in fields.terms:
        if term.field in (NAME, NAMESPACE):
            keys.add(term)
        elif not term.negated and term.value and term.field in resource.hooks.indexed:
            index = (term.field, term.value)
    if not resource.namespaced and keys.namespace is not None:
        # Their namespace is the empty one.
        keys.empty = keys.empty or keys.namespace != ""
        keys.namespace = None
    if path_name is not None and fields.terms and not _names(fields, path_name):
        raise st.bad_request("fieldSelector metadata.name doesn't match requested name")
    return Selection(
        keys.namespace,
        keys.name,
        match,
        index,
        filtered=True,
        not_names=frozenset(keys.not_names),
        not_namespaces=frozenset(keys.not_namespaces),
        empty=keys.empty,
    )


def _names(fields: FieldSelector, name: str) -> bool:
    """Tell whether a selector asks for this name: with one in the path no other may be given."""
    return any(
        term.field == NAME and not term.negated and term.value == name for term in fields.terms
    )


class _KeyTerms:
    """Conditions on name and namespace, gathered into what they leave."""

    def __init__(self, namespace: str | None, name: str | None) -> None:
        self.namespace = namespace
        self.name = name
        self.not_names: set[str] = set()
        self.not_namespaces: set[str] = set()
        self.empty = False

    def add(self, term: FieldTerm) -> None:
        """Take one condition in."""
        is_name = term.field == NAME
        if term.negated:
            (self.not_names if is_name else self.not_namespaces).add(term.value)
            return
        known = self.name if is_name else self.namespace
        if known is not None and known != term.value:
            self.empty = True
        elif is_name:
            self.name = term.value
        else:
            self.namespace = term.value
