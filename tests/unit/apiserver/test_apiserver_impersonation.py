"""Who may act as somebody else, and by which right: constrained impersonation, and that of old."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from apiserver.authn import NotYet, User
from apiserver.authz import Attributes, Authorizer, Decision
from apiserver.impersonation import Impersonator
from kube import status as st
from runtime.clock import SimulatedClock

LIST = Attributes("list", "", "v1", "pods", "", "ns")
AUTHN = "authentication.k8s.io"
NODE_NAME = "authentication.kubernetes.io/node-name"
ME = User("me", ("system:authenticated",))
AGENT = User("system:serviceaccount:ns:agent", (), extra={NODE_NAME: ["n1"], "a": ["b"]})
ON_USER_INFO = LIST._replace(verb="impersonate-on:user-info:list")


def about(mode: str, resource: str, name: str, part: str = "", namespace: str = "") -> Attributes:
    """Return what allows to act as something, in a mode."""
    group = AUTHN if mode or resource in ("uids", "userextras") else ""
    verb = f"impersonate:{mode}" if mode else "impersonate"
    return Attributes(verb, group, "v1", resource, part, namespace, name)


class Judge:
    """Allows what is listed, and keeps what it is asked."""

    def __init__(self, *allowed: Attributes) -> None:
        self.allowed = set(allowed)
        self.seen: list[Attributes] = []
        self.users: list[User] = []

    def decide(self, user: User, asked: Attributes) -> Decision:
        """See Judge."""
        self.seen.append(asked)
        self.users.append(user)
        return Decision(allowed=asked in self.allowed)


class FarJudge(Judge):
    """The same, asked over the network: nothing is known here."""

    def decide(self, user: User, asked: Attributes) -> Any:
        """See RemoteJudge."""

    async def ask(self, user: User, asked: Attributes) -> Decision:
        """See RemoteJudge."""
        return super().decide(user, asked)


def exchange_of(*headers: tuple[str, str], asked: Attributes = LIST) -> Any:
    """Return what an Exchange shows of a request with these headers."""
    pairs = [(key.encode(), value.encode()) for key, value in headers]
    return SimpleNamespace(impersonation=pairs, asker=None, asked=asked, impersonating=None)


def act(judge: Judge, *headers: tuple[str, str], user: User = ME) -> tuple[User, str]:
    """Return as whom a request is made, and by which constraint."""
    exchange = exchange_of(*headers)
    found = Impersonator(Authorizer([judge]), SimulatedClock()).impersonate(user, exchange)
    return found, exchange.impersonating.constraint


def refusal(judge: Judge, *headers: tuple[str, str], user: User = ME) -> str:
    """Return why a request is not made as somebody."""
    with pytest.raises(st.StatusError) as caught:
        act(judge, *headers, user=user)
    return caught.value.message


def test_a_user_is_acted_as_for_what_one_may_do_in_the_name_of_others() -> None:
    judge = Judge(ON_USER_INFO, about("user-info", "users", "jane"))
    found, constraint = act(judge, ("user", "jane"))
    assert (found.name, found.groups) == ("jane", ("system:authenticated",))
    assert constraint == "impersonate:user-info"
    # May it act as her, but do nothing in her name, that is what it is told.
    judge.allowed.remove(ON_USER_INFO)
    assert refusal(judge, ("user", "jane")) == (
        'pods is forbidden: User "me" cannot impersonate-on:user-info:list resource "pods" in API '
        'group "" in the namespace "ns"'
    )


def test_the_right_of_old_is_good_for_everything() -> None:
    judge = Judge(about("", "users", "jane"), about("", "groups", "system:masters"))
    found, constraint = act(judge, ("user", "jane"), ("group", "system:masters"))
    assert (found.groups, constraint) == (("system:masters", "system:authenticated"), "")


def test_groups_uids_and_extras_are_asked_for_by_themselves() -> None:
    named = ("user", "jane"), ("group", "g"), ("uid", "7"), ("extra-a.io%2fb", "c")
    needed = (
        ON_USER_INFO,
        about("user-info", "users", "jane"),
        about("user-info", "uids", "7"),
        about("user-info", "groups", "g"),
        about("user-info", "userextras", "c", "a.io/b"),
    )
    judge = Judge(*needed)
    found, _ = act(judge, *named)
    assert found == User("jane", ("g", "system:authenticated"), "7", {"a.io/b": ["c"]})
    assert judge.seen == list(needed)
    for missing in needed:
        assert missing.verb in refusal(Judge(*(one for one in needed if one != missing)), *named)


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (("group", "system:masters"), "impersonating the system:masters group is not allowed"),
        (("group", ""), "impersonating the empty string group is not allowed"),
        (("extra-scopes", "x"), "impersonating an invalid key in extra is not allowed: extra.key"),
        (("extra-a.io%2Fb", ""), "impersonating the empty string value in extra is not allowed"),
        (("extra-a.io%2FB", "x"), "a non-lowercase key in extra is not allowed"),
    ],
)
def test_what_a_constrained_mode_never_allows(header: tuple[str, str], why: str) -> None:
    judge = Judge(ON_USER_INFO, about("user-info", "users", "jane"))
    assert why in refusal(judge, ("user", "jane"), header)


def test_many_groups_are_first_asked_for_all_at_once() -> None:
    every = about("user-info", "groups", "*")
    judge = Judge(ON_USER_INFO, about("user-info", "users", "jane"), every)
    groups = [("group", f"g{number}") for number in range(4)]
    assert act(judge, ("user", "jane"), *groups)[1] == "impersonate:user-info"
    assert judge.seen[-1] == every


def test_service_accounts_and_nodes_have_modes_and_groups_of_their_own() -> None:
    judge = Judge(
        LIST._replace(verb="impersonate-on:serviceaccount:list"),
        about("serviceaccount", "serviceaccounts", "sa", namespace="other"),
        LIST._replace(verb="impersonate-on:arbitrary-node:list"),
        about("arbitrary-node", "nodes", "n2"),
    )
    found, constraint = act(judge, ("user", "system:serviceaccount:other:sa"))
    accounts = ("system:serviceaccounts", "system:serviceaccounts:other", "system:authenticated")
    assert (found.groups, constraint) == (accounts, "impersonate:serviceaccount")
    found, constraint = act(judge, ("user", "system:node:n2"))
    assert found.groups == ("system:nodes", "system:authenticated")
    assert constraint == "impersonate:arbitrary-node"
    # With anything besides the name none of these modes is for them.
    told = refusal(judge, ("user", "system:node:n2"), ("group", "system:nodes"))
    assert "cannot impersonate resource" in told


def test_a_service_account_may_act_as_the_node_of_its_own_pod() -> None:
    judge = Judge(
        LIST._replace(verb="impersonate-on:associated-node:list"),
        about("associated-node", "nodes", "*"),
    )
    found, constraint = act(judge, ("user", "system:node:n1"), user=AGENT)
    assert (found.name, constraint) == ("system:node:n1", "impersonate:associated-node")
    keys = {"authentication.kubernetes.io/associated-node-keys": sorted(AGENT.extra)}
    assert {str(user.extra) for user in judge.users} == {str(keys)}
    assert "arbitrary-node" in refusal(judge, ("user", "system:node:n2"), user=AGENT)
    assert "arbitrary-node" in refusal(judge, ("user", "system:node:n1"))


def test_the_mode_that_served_a_user_last_is_tried_first() -> None:
    judge = Judge(about("", "users", "jane"))
    impersonator = Impersonator(Authorizer([judge]), SimulatedClock())
    impersonator.impersonate(ME, exchange_of(("user", "jane")))
    for _ in range(2):
        with pytest.raises(st.StatusError, match="cannot impersonate resource"):
            impersonator.impersonate(ME, exchange_of(("user", "joe")))


def test_a_judge_far_away_is_asked_for_all_that_is_needed() -> None:
    needed = ON_USER_INFO, about("user-info", "users", "jane"), about("user-info", "groups", "g")
    judge = FarJudge(*needed)
    impersonator = Impersonator(Authorizer([judge]), SimulatedClock())
    exchange = exchange_of(("user", "jane"), ("group", "g"))

    async def run() -> User:
        while True:
            try:
                return impersonator.impersonate(ME, exchange)
            except NotYet as cause:
                await cause.ready

    assert asyncio.run(run()).name == "jane"
    assert judge.seen == list(needed)


def test_headers_that_name_nobody() -> None:
    impersonator = Impersonator(Authorizer(), SimulatedClock())
    exchange = exchange_of(("user", ""))
    assert impersonator.impersonate(ME, exchange) is ME
    assert exchange.asker is None
    told = refusal(Judge(), ("uid", "5"), ("group", "g"), ("extra-b", "x"))
    assert told == (
        'requested &user.DefaultInfo{Name:"", UID:"5", Groups:[]string{"g"}, '
        'Extra:map[string][]string{"b":[]string{"x"}}} without impersonating a user name'
    )
