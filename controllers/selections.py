"""Who selects which pods: by groups of pods that have the same namespace and labels.

Pods of one template are one group, so a selector is matched once for each group and not once for
each pod, and what a change of a pod means for all selectors is one look-up. Invariants:
    - A pod is in exactly the group of its namespace and labels; a group without pods is gone.
    - A `Selections` has, for each group, exactly those of its selectors that match it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from controllers.workloads.pods import Labels, PodBook, PodBrief

Matches = Callable[[Mapping[str, str]], bool]
Changed = Callable[[PodBrief | None, PodBrief | None, frozenset[str], frozenset[str]], None]
"""Told of a pod before and after a change, and of the keys that selected it and select it."""
_GroupKey = tuple[str, Labels]
_NOBODY: frozenset[str] = frozenset()


class PodGroups:
    """All pods by namespace and labels; see the module's head."""

    def __init__(self, pods: PodBook) -> None:
        self._groups: dict[str, dict[Labels, dict[str, PodBrief]]] = {}
        self._selections: list[Selections] = []
        pods.listen(self._observe)

    def selections(self, changed: Changed) -> Selections:
        """Return selectors of one controller, which is told of their pods' changes."""
        made = Selections(self, changed)
        self._selections.append(made)
        return made

    def pods(self, namespace: str, labels: Labels) -> Iterator[PodBrief]:
        """Yield the pods of a group, in the order in which they came."""
        yield from self._groups.get(namespace, {}).get(labels, {}).values()

    def labels(self, namespace: str) -> Iterator[Labels]:
        """Yield the labels of a namespace's groups."""
        yield from self._groups.get(namespace, ())

    def _observe(self, old: PodBrief | None, new: PodBrief | None) -> None:
        was = (old.namespace, old.labels) if old is not None else None
        if old is not None and new is not None and old.labels is new.labels:
            now = was  # as nearly always: a pod stays in its namespace
        else:
            now = (new.namespace, new.labels) if new is not None else None
        if now is not None:
            assert new is not None
            self._put(now, new)
        for one in self._selections:
            one.tell(old, new, was, now)
        if was is not None and was != now:
            assert old is not None
            self._take(was, old.key)

    def _put(self, group: _GroupKey, pod: PodBrief) -> None:
        namespace, labels = group
        groups = self._groups.setdefault(namespace, {})
        pods = groups.get(labels)
        if pods is None:
            pods = groups[labels] = {}
            for one in self._selections:
                one.group_added(group)
        pods[pod.key] = pod

    def _take(self, group: _GroupKey, key: str) -> None:
        namespace, labels = group
        groups = self._groups.get(namespace, {})
        pods = groups.get(labels, {})
        pods.pop(key, None)
        if pods or labels not in groups:
            return
        del groups[labels]
        if not groups:
            del self._groups[namespace]
        for one in self._selections:
            one.group_removed(group)


class Selections:
    """The selectors of one controller by key, "namespace/name"; see the module's head."""

    def __init__(self, groups: PodGroups, changed: Changed) -> None:
        self._groups = groups
        self._changed = changed
        self._matches: dict[str, dict[str, Matches]] = {}
        self._of_group: dict[_GroupKey, frozenset[str]] = {}
        self._selected: dict[str, dict[Labels, None]] = {}

    def put(self, key: str, matches: Matches) -> None:
        """Add a selector, or replace it."""
        self.drop(key)
        namespace = key.partition("/")[0]
        self._matches.setdefault(namespace, {})[key] = matches
        for labels in self._groups.labels(namespace):
            if matches(dict(labels)):
                self._join(key, (namespace, labels))

    def drop(self, key: str) -> None:
        """Forget a selector."""
        namespace = key.partition("/")[0]
        selectors = self._matches.get(namespace, {})
        if selectors.pop(key, None) is None:
            return
        if not selectors:
            del self._matches[namespace]
        for labels in self._selected.pop(key, ()):
            self._leave(key, (namespace, labels))

    def __contains__(self, key: str) -> bool:
        return key in self._matches.get(key.partition("/")[0], ())

    def pods(self, key: str) -> Iterator[PodBrief]:
        """Yield the pods that a selector matches."""
        namespace = key.partition("/")[0]
        for labels in self._selected.get(key, ()):
            yield from self._groups.pods(namespace, labels)

    def rivals(self, key: str) -> list[str]:
        """Return the keys of all selectors that match a pod of this one, in order."""
        namespace = key.partition("/")[0]
        groups = ((namespace, labels) for labels in self._selected.get(key, ()))
        return sorted({one for group in groups for one in self._of_group.get(group, ())})

    def tell(
        self,
        old: PodBrief | None,
        new: PodBrief | None,
        was: _GroupKey | None,
        now: _GroupKey | None,
    ) -> None:
        """Be told of a change, by the groups."""
        before = _NOBODY if was is None else self._of_group.get(was, _NOBODY)
        if now is was:
            after = before
        else:
            after = _NOBODY if now is None else self._of_group.get(now, _NOBODY)
        if before or after:
            self._changed(old, new, before, after)

    def group_added(self, group: _GroupKey) -> None:
        """Be told of a new group, by the groups."""
        namespace, labels = group
        selectors = self._matches.get(namespace)
        if selectors:
            mapping = dict(labels)
            for key, matches in selectors.items():
                if matches(mapping):
                    self._join(key, group)

    def group_removed(self, group: _GroupKey) -> None:
        """Be told of a group that is gone, by the groups."""
        for key in self._of_group.pop(group, ()):
            if (selected := self._selected.get(key)) is not None:
                selected.pop(group[1], None)

    def check(self) -> None:
        """Assert the invariants; for tests."""
        for namespace, selectors in self._matches.items():
            for key, matches in selectors.items():
                wanted = {one for one in self._groups.labels(namespace) if matches(dict(one))}
                assert set(self._selected.get(key, ())) == wanted, key
                for labels in wanted:
                    assert key in self._of_group[(namespace, labels)]
        known = {key for selectors in self._matches.values() for key in selectors}
        assert all(keys and keys <= known for keys in self._of_group.values())

    def _join(self, key: str, group: _GroupKey) -> None:
        self._selected.setdefault(key, {})[group[1]] = None
        self._of_group[group] = self._of_group.get(group, _NOBODY) | {key}

    def _leave(self, key: str, group: _GroupKey) -> None:
        left = self._of_group.get(group, _NOBODY) - {key}
        if left:
            self._of_group[group] = left
        else:
            self._of_group.pop(group, None)
