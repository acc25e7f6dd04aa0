"""A chain of judges: the first to allow or deny decides, and who is far away is waited for."""

from __future__ import annotations

import asyncio

import pytest

from apiserver.authn import MASTERS, NotYet, User
from apiserver.authorization.conditions import Condition, ConditionFailed, are_met
from apiserver.authorization.reviews import spec_of, whole_spec_of
from apiserver.authz import ALLOWED, NO_OPINION, Attributes, Authorizer, Decision
from apiserver.guard import Writer
from kube.status import StatusError

JO = User("jo", ("dev",), "7", {"a.b/c": ["d"]})
LIST = Attributes(
    "list", "apps", "v1", "deployments", "", "ns", selectors=("a=b,c!=d", "x in (y,z),!w")
)
PATH = Attributes("get", path="/metrics")


class Here:
    """Decides at once."""

    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        self.asked = 0

    def decide(self, _user: User, _asked: Attributes) -> Decision:
        self.asked += 1
        return self.decision


class Afar:
    """Has to be asked each time."""

    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        self.asked = 0

    def decide(self, _user: User, _asked: Attributes) -> None:
        return None

    async def ask(self, _user: User, _asked: Attributes) -> Decision:
        self.asked += 1
        return self.decision


NO = Decision(allowed=False, reason="no")
DENIED = Decision(allowed=False, reason="never", denied=True)


def _decided(*judges: Here | Afar) -> Decision:
    return asyncio.run(Authorizer(judges).decide_at_last(JO, LIST))


def test_the_first_to_allow_decides_and_later_ones_are_not_asked() -> None:
    later = Afar(DENIED)
    assert _decided(Here(NO), Here(ALLOWED), later).allowed
    assert later.asked == 0


@pytest.mark.parametrize("kind", [Here, Afar])
def test_who_denies_is_the_last_to_be_asked(kind: type[Here | Afar]) -> None:
    later = Here(ALLOWED)
    decision = _decided(Here(NO), kind(DENIED), later)
    assert decision == Decision(allowed=False, reason="no\nnever", denied=True)
    assert later.asked == 0


def test_what_nobody_allows_is_refused_with_all_reasons() -> None:
    assert _decided(Here(NO), Afar(NO), Here(NO_OPINION)) == Decision(
        allowed=False, reason="no\nno"
    )


def test_system_masters_may_do_everything_whoever_is_asked() -> None:
    afar = Afar(DENIED)
    authorizer = Authorizer([afar])
    assert authorizer.check(User("root", (MASTERS,)), LIST)
    assert afar.asked == 0


def test_a_judge_afar_before_one_who_allows_is_asked_first() -> None:
    authorizer = Authorizer([Afar(NO), Here(ALLOWED)])
    assert authorizer.known(JO, LIST) is None
    assert not authorizer.check(JO, LIST)
    asyncio.run(authorizer.ask(JO, LIST))
    authorizer.use([Afar(DENIED), Here(ALLOWED)])
    with pytest.raises(StatusError, match="never"):
        asyncio.run(authorizer.ask(JO, LIST))


def test_what_a_writer_may_besides_is_asked_for_once_and_then_known() -> None:
    afar = Afar(ALLOWED)
    authorizer, writer = Authorizer([afar]), Writer(JO)

    async def steps() -> None:
        with pytest.raises(NotYet) as cause:
            writer.may(authorizer, LIST)
        await cause.value.ready
        assert writer.may(authorizer, LIST)

    asyncio.run(steps())
    assert afar.asked == 1


def test_a_review_tells_selectors_as_requirements_and_leaves_out_what_is_empty() -> None:
    assert spec_of(JO, LIST) == {
        "user": "jo",
        "groups": ["dev"],
        "uid": "7",
        "extra": {"a.b/c": ["d"]},
        "resourceAttributes": {
            "verb": "list",
            "group": "apps",
            "version": "v1",
            "resource": "deployments",
            "namespace": "ns",
            "fieldSelector": {
                "requirements": [
                    {"key": "a", "operator": "In", "values": ["b"]},
                    {"key": "c", "operator": "NotIn", "values": ["d"]},
                ]
            },
            "labelSelector": {
                "requirements": [
                    {"key": "w", "operator": "DoesNotExist"},
                    {"key": "x", "operator": "In", "values": ["y", "z"]},
                ]
            },
        },
    }
    plain = User("al", ())
    assert spec_of(plain, PATH) == {
        "user": "al",
        "nonResourceAttributes": {"path": "/metrics", "verb": "get"},
    }


@pytest.mark.parametrize(
    ("text", "asked", "holds"),
    [
        ("has(request.resourceAttributes)", LIST, True),
        ("has(request.resourceAttributes)", PATH, False),
        ("request.resourceAttributes.name == ''", LIST, True),
        ("request.nonResourceAttributes.path == '/metrics'", PATH, True),
        ("'dev' in request.groups && request.uid == '7'", LIST, True),
        ("request.extra['a.b/c'] == ['d']", LIST, True),
        ("request.resourceAttributes.fieldSelector.requirements[0].values == ['b']", LIST, True),
        ("has(request.resourceAttributes.labelSelector)", LIST._replace(selectors=("", "")), False),
    ],
)
def test_conditions_see_the_whole_question(text: str, asked: Attributes, *, holds: bool) -> None:
    assert Condition(text).holds(whole_spec_of(JO, asked)) is holds


def test_a_condition_that_is_false_counts_before_those_that_fail() -> None:
    fails, is_false, is_true = (
        Condition("request.resourceAttributes.verb == 'x'"),
        Condition("request.user == 'al'"),
        Condition("true"),
    )
    spec = whole_spec_of(JO, PATH)
    assert not are_met([fails, is_false], spec)
    assert are_met([is_true], spec)
    with pytest.raises(ConditionFailed, match="no such key: resourceAttributes"):
        are_met([is_true, fails], spec)
