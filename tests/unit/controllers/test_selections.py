"""Who selects which pods, by groups of pods that have the same labels."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from controllers.selections import PodGroups, Selections
from controllers.workloads.pods import PodBook
from kube.informers.changes import Change
from kube.informers.informer import Delta

Told = list[tuple[str, frozenset[str], frozenset[str]]]


def change(name: str, label: str, kind: Change = Change.MODIFIED) -> Delta:
    """Return a pod with one label as an informer tells of it."""
    metadata = {"name": name, "namespace": "n", "uid": name, "labels": {"app": label}}
    return Delta(kind, f"n/{name}", {"metadata": metadata, "spec": {}})


def wants(label: str) -> Any:
    """Return a selector of a label."""
    return lambda labels: labels.get("app") == label


class Book:
    """Pods, groups, and selectors that note what they are told."""

    def __init__(self) -> None:
        self.pods = PodBook()
        self.groups = PodGroups(self.pods)
        self.told: Told = []
        self.selections: Selections = self.groups.selections(self._note)

    def _note(self, old: Any, new: Any, before: frozenset[str], after: frozenset[str]) -> None:
        self.told.append(((new or old).name, before, after))

    def selected(self, key: str) -> list[str]:
        """Return the names of a selector's pods."""
        return sorted(pod.name for pod in self.selections.pods(key))


def test_a_selector_has_the_pods_that_were_there_and_those_that_come() -> None:
    book = Book()
    book.pods.take([change("one", "web", Change.ADDED), change("two", "db", Change.ADDED)])
    book.selections.put("n/s", wants("web"))
    book.pods.take([change("three", "web", Change.ADDED)])
    assert book.selected("n/s") == ["one", "three"]
    assert book.told == [("three", frozenset(), frozenset({"n/s"}))]


def test_a_change_of_labels_is_told_with_who_selected_the_pod_before_and_after() -> None:
    book = Book()
    book.selections.put("n/web", wants("web"))
    book.selections.put("n/db", wants("db"))
    book.pods.take([change("p", "web", Change.ADDED)])
    book.pods.take([change("p", "db")])
    book.pods.take([change("p", "db", Change.DELETED)])
    web, db = frozenset({"n/web"}), frozenset({"n/db"})
    assert book.told == [
        ("p", frozenset(), web),
        ("p", web, db),
        ("p", db, frozenset()),
    ]
    assert book.selected("n/db") == []


def test_pods_of_another_namespace_are_not_selected() -> None:
    book = Book()
    book.selections.put("other/s", wants("web"))
    book.pods.take([change("p", "web", Change.ADDED)])
    assert (book.selected("other/s"), book.told) == ([], [])


def test_a_selector_that_is_replaced_or_dropped_has_its_old_pods_no_more() -> None:
    book = Book()
    book.pods.take([change("one", "web", Change.ADDED), change("two", "db", Change.ADDED)])
    book.selections.put("n/s", wants("web"))
    book.selections.put("n/s", wants("db"))
    assert book.selected("n/s") == ["two"]
    book.selections.drop("n/s")
    assert "n/s" not in book.selections
    assert book.selected("n/s") == []


def test_selectors_of_the_same_pods_are_each_others_rivals() -> None:
    book = Book()
    book.selections.put("n/b", wants("web"))
    book.selections.put("n/a", lambda labels: "app" in labels)
    book.pods.take([change("p", "web", Change.ADDED)])
    assert book.selections.rivals("n/b") == ["n/a", "n/b"]


LABELS = st.sampled_from(["a", "b", "c"])
STEPS = st.one_of(
    st.tuples(st.just("pod"), st.sampled_from(["p", "q", "r"]), LABELS),
    st.tuples(st.just("gone"), st.sampled_from(["p", "q", "r"]), LABELS),
    st.tuples(st.just("put"), st.sampled_from(["n/s", "n/t"]), LABELS),
    st.tuples(st.just("drop"), st.sampled_from(["n/s", "n/t"]), LABELS),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_whatever_happens_a_selector_has_exactly_the_pods_it_matches(
    steps: list[tuple[str, str, str]],
) -> None:
    book, pods, selectors = Book(), dict[str, str](), dict[str, str]()
    for kind, name, label in steps:
        match kind:
            case "pod":
                book.pods.take([change(name, label)])
                pods[name] = label
            case "gone":
                book.pods.take([change(name, pods.pop(name, label), Change.DELETED)])
            case "put":
                book.selections.put(name, wants(label))
                selectors[name] = label
            case _:
                book.selections.drop(name)
                selectors.pop(name, None)
        book.selections.check()
        for key, wanted in selectors.items():
            assert book.selected(key) == sorted(p for p, has in pods.items() if has == wanted)
