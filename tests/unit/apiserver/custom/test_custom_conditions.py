"""What is said of definitions: names given or refused, established, approved."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from apiserver.custom.conditions import (
    Taken,
    begin_deletion,
    decide,
    decide_approval,
    decide_established,
    decide_names,
    is_settled,
    with_condition,
    with_status,
)
from apiserver.custom.definition import Names, parse_definition
from tests.unit.apiserver.custom.samples import parsed, stored_definition

OTHER = Names("others", "other", ("ot",), "Other", "OtherList", ())


@pytest.mark.parametrize(
    ("names", "reason", "word"),
    [
        ({"plural": "ot"}, "PluralConflict", '"ot" is already in use'),
        ({"singular": "other"}, "SingularConflict", '"other" is already in use'),
        ({"shortNames": ["ot", "tt"]}, "ShortNamesConflict", '"ot" is already in use'),
        ({"kind": "Other"}, "KindConflict", '"Other" is already in use'),
        ({"listKind": "Other"}, "ListKindConflict", '"Other" is already in use'),
    ],
)
def test_a_name_in_use_by_another_is_not_given(
    names: dict[str, Any], reason: str, word: str
) -> None:
    definition = parsed("Thing", accepted=False, names=names)
    given, said = decide_names(definition, Taken([OTHER]))
    assert said == ("NamesAccepted", "False", reason, word)
    for key in ("plural", "singular", "kind", "listKind"):
        field = {"listKind": "list_kind"}.get(key, key)
        wanted = getattr(definition.wanted, field)
        assert getattr(given, field) == ("" if names.get(key) == wanted else wanted)


def test_all_short_names_in_use_are_told() -> None:
    definition = parsed("Thing", accepted=False, names={"shortNames": ["ot", "others", "tt"]})
    given, said = decide_names(definition, Taken([OTHER]))
    assert said[3] == '["ot" is already in use, "others" is already in use]'
    assert given.short_names == ()


def test_names_accepted_before_stay_and_free_ones_are_given() -> None:
    definition = parsed("Thing")
    names, said = decide_names(definition, Taken([OTHER, definition.names]))
    assert names == definition.wanted
    assert said == ("NamesAccepted", "True", "NoConflicts", "no conflicts found")


def test_a_definition_of_which_all_is_said_is_settled() -> None:
    assert is_settled(parsed("Thing"))
    assert not is_settled(parsed("Thing", accepted=False))
    assert not is_settled(parsed("Thing", preserveUnknownFields=True))


def test_what_is_established_stays_so_though_a_new_name_is_refused() -> None:
    definition = parsed("Thing")
    assert decide_established(definition, are_accepted=False) is None
    fresh = parsed("Thing", accepted=False)
    assert decide_established(fresh, are_accepted=False) == (
        "Established",
        "False",
        "NotAccepted",
        "not all names are accepted",
    )


@pytest.mark.parametrize("bundle", ["not base64", base64.b64encode(b"no PEM").decode()])
def test_a_bundle_that_is_none_keeps_a_type_from_being_established(bundle: str) -> None:
    conversion = {"strategy": "Webhook", "webhook": {"clientConfig": {"caBundle": bundle}}}
    definition = parsed("Thing", accepted=False, conversion=conversion)
    said = decide_established(definition, are_accepted=True)
    assert said is not None
    assert said[1:3] == ("False", "InvalidCABundle")


@pytest.mark.parametrize(
    ("mark", "status", "reason"),
    [
        ("", "False", "MissingAnnotation"),
        ("https://example.com/approval", "True", "ApprovedAnnotation"),
        ("unapproved, for now", "False", "UnapprovedAnnotation"),
        ("yes", "False", "InvalidAnnotation"),
    ],
)
def test_groups_of_the_community_say_whether_they_are_approved(
    mark: str, status: str, reason: str
) -> None:
    marks = {"annotations": {"api-approved.kubernetes.io": mark}}
    for group, is_protected in (("a.k8s.io", True), ("kubernetes.io", True), ("k8s.iox", False)):
        said = decide_approval(parsed("Thing", metadata=marks, group=group))
        assert (said is not None) is is_protected
        if said is not None:
            assert said[1:3] == (status, reason)


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    first = with_condition((), ("A", "True", "R", "m"), "t1")
    again = with_condition(first, ("A", "True", "S", "n"), "t2")
    assert again[0]["lastTransitionTime"] == "t1"
    assert again[0]["reason"] == "S"
    turned = with_condition(again, ("A", "False", "S", "n"), "t3")
    assert turned[0]["lastTransitionTime"] == "t3"


def test_nothing_is_decided_twice() -> None:
    obj = stored_definition("Thing", accepted=False)
    definition = parse_definition(obj)
    names, said, gone = decide(definition, Taken([]))
    assert [one[0] for one in said] == ["NamesAccepted", "Established"]
    assert (names, gone) == (definition.wanted, [])
    again = parse_definition(with_status(obj, names, said, gone, "now"))
    assert decide(again, Taken([again.names])) == (names, [], [])
    assert is_settled(again)


def test_a_deletion_begins_with_the_finalizer_and_the_condition() -> None:
    obj = stored_definition("Thing")
    begin_deletion(obj, "now")
    assert obj["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert obj["metadata"]["deletionTimestamp"] == "now"
    assert obj["status"]["conditions"][-1]["reason"] == "InstanceDeletionPending"
