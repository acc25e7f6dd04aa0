"""Plugins that are functions of what they see, and the order in which they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apiserver.admission.attributes import CREATE, Attributes
from apiserver.admission.chain import Chain, Plugin
from apiserver.admission.limit_ranges import ANNOTATION, complete
from apiserver.admission.names import ORDER, UnknownPlugin, enabled
from apiserver.admission.node_restriction import forbidden_labels
from apiserver.admission.optional import AlwaysPullImages, DenyServiceExternalIPs
from apiserver.admission.runtime_classes import merge_tolerations
from apiserver.admission.service_accounts import secret_faults
from apiserver.bootstrap import ServerItself
from apiserver.options import PLAIN_WRITE
from apiserver.resources import Resource
from apiserver.types.registry import hooks_for
from kube.builtin_kinds import builtin_registry
from kube.status import StatusError, service_unavailable


def _resource(kind: str) -> Resource:
    info = builtin_registry().by_kind("", "v1", kind)
    return Resource(info, hooks_for(info.storage_resource))


def _creation(kind: str, obj: dict[str, Any]) -> Attributes:
    key = ("space", obj["metadata"].get("name", ""))
    return Attributes(ServerItself(), CREATE, _resource(kind), key, (obj, None), PLAIN_WRITE)


class _Noting(Plugin):
    """Notes each time it runs."""

    mutates = True

    def __init__(self, name: str, notes: list[str], *, wants_more: bool = False) -> None:
        self._name, self._notes, self._wants_more = name, notes, wants_more

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        return operation == CREATE

    def admit(self, attributes: Attributes) -> None:
        self._notes.append(self._name)
        if self._wants_more:
            attributes.reinvocation.wanted = True


def test_nobody_interested_costs_no_plan() -> None:
    chain = Chain([_Noting("a", [])])
    assert chain.plan(_resource("Pod"), "", "DELETE") is None
    plan = chain.plan(_resource("Pod"), "", CREATE)
    assert plan is not None
    assert plan.of_twins is None, "what sees specs does not look at twins"


class _Changing(_Noting):
    """Looks at nothing until it is told to."""

    is_dynamic = True

    def __init__(self) -> None:
        super().__init__("changing", [])
        self.looks = False
        self.asked = 0
        self.failure: StatusError | None = None
        self.tell: Callable[[], None] = lambda: None

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        return self.looks

    def when_due(self, tell: Callable[[], None]) -> None:
        self.tell = tell

    def settle(self) -> bool:
        self.asked += 1
        if self.failure is not None:
            self.tell()  # as whoever follows objects does
            raise self.failure
        return True


def test_plugins_whose_interest_changes_are_asked_when_they_say_so() -> None:
    changing = _Changing()
    chain, pods = Chain([changing]), _resource("Pod")
    for _ in range(3):
        assert chain.plan(pods, "", CREATE) is None
    assert changing.asked == 1
    changing.looks = True
    changing.tell()
    assert chain.plan(pods, "", CREATE) is not None
    assert changing.asked == 2


def test_nobody_is_let_past_while_it_is_not_known_who_looks() -> None:
    changing = _Changing()
    chain, pods = Chain([changing]), _resource("Pod")
    assert chain.plan(pods, "", CREATE) is None
    changing.failure, changing.looks = service_unavailable("later"), True
    changing.tell()
    for _ in range(3):
        with pytest.raises(StatusError, match="later"):
            chain.plan(pods, "", CREATE)
    changing.failure = None
    assert chain.plan(pods, "", CREATE) is not None


def test_plugins_run_in_order_and_again_at_most_once() -> None:
    notes: list[str] = []
    chain = Chain([_Noting("a", notes), _Noting("b", notes, wants_more=True)])
    plan = chain.plan(_resource("Pod"), "", CREATE)
    assert plan is not None
    waiting = plan.mutate(_creation("Pod", {"metadata": {}, "spec": {}}))
    assert waiting is not None
    with pytest.raises(StopIteration):
        waiting.__await__().send(None)
    assert notes == ["a", "b", "a", "b"]


def test_a_name_still_to_be_made_is_shown_by_its_beginning() -> None:
    error = _creation("Pod", {"metadata": {"generateName": "web-"}}).forbidden("no")
    assert error.message == 'pods "web-" is forbidden: no'
    assert 'pods "Unknown"' in _creation("Pod", {"metadata": {}}).forbidden("no").message


def test_plugins_are_switched_by_upstreams_names() -> None:
    on = enabled(["AlwaysPullImages"], ["PodSecurity"])
    assert "AlwaysPullImages" in on
    assert "PodSecurity" not in on
    assert "ResourceQuota" in on
    assert "AlwaysDeny" not in on
    assert ORDER.index("ResourceQuota") > ORDER.index("ValidatingAdmissionWebhook")


@pytest.mark.parametrize(
    ("enable", "disable", "why"),
    [
        (["Nothing"], [], "plugin 'Nothing' is unknown"),
        ([], ["Nothing"], "--disable-admission-plugins: plugin 'Nothing' is unknown"),
        (["Priority"], ["Priority"], "Priority is in both"),
    ],
)
def test_what_cannot_be_switched_is_an_error(
    enable: list[str], disable: list[str], why: str
) -> None:
    with pytest.raises(UnknownPlugin, match=why):
        enabled(enable, disable)


def test_defaults_of_a_limit_range_are_filled_in_and_noted() -> None:
    limit = {"type": "Container", "defaultRequest": {"cpu": "1"}, "default": {"memory": "1Gi"}}
    pod: dict[str, Any] = {
        "metadata": {},
        "spec": {
            "containers": [{"name": "a", "resources": {"requests": {"cpu": "2"}}}],
            "initContainers": [{"name": "i"}],
        },
    }
    complete(pod, {"spec": {"limits": [limit]}})
    assert pod["metadata"]["annotations"][ANNOTATION] == (
        "LimitRanger plugin set: memory limit for container a; cpu request for init container i; "
        "memory limit for init container i"
    )
    assert pod["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "2"}


def test_tolerations_taken_in_by_others_are_left_out() -> None:
    everything = {"operator": "Exists"}
    one = {"key": "a", "operator": "Equal", "value": "b", "effect": "NoSchedule"}
    assert merge_tolerations([one], [everything]) == [everything]
    assert merge_tolerations([one], [dict(one)]) == [one]
    longer = {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9}
    short = {**longer, "tolerationSeconds": 5}
    assert merge_tolerations([short], [longer]) == [longer]


def test_a_kubelet_changes_its_own_labels_only() -> None:
    new = {
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/x": "1",
        "example.com/free": "1",
        "kubernetes.io/other": "1",
        "node-restriction.kubernetes.io/team": "a",
    }
    assert forbidden_labels(new, {"k8s.io/gone": "1"}) == [
        "k8s.io/gone",
        "kubernetes.io/other",
        "node-restriction.kubernetes.io/team",
    ]


def test_an_account_may_limit_which_secrets_its_pods_name() -> None:
    account = {"metadata": {"name": "sa"}, "secrets": [{"name": "own"}]}
    reference = {"secretKeyRef": {"name": "other"}}
    pod = {
        "metadata": {},
        "spec": {
            "volumes": [{"name": "v", "secret": {"secretName": "own"}}],
            "containers": [{"name": "c", "env": [{"name": "E", "valueFrom": reference}]}],
            "imagePullSecrets": [{"name": "own"}],
        },
    }
    assert list(secret_faults(pod, account, is_new=True)) == [
        'container c with envVar E referencing secret.secretName="other" is not allowed because '
        "service account sa does not reference that secret",
        'imagePullSecrets[0].name="own" is not allowed because service account sa does not '
        "reference that imagePullSecret",
    ]


def test_images_are_always_pulled_where_that_is_asked_for() -> None:
    pod = {"metadata": {}, "spec": {"containers": [{"name": "a", "image": "i"}]}}
    attributes = _creation("Pod", pod)
    plugin = AlwaysPullImages()
    with pytest.raises(StatusError, match="imagePullPolicy"):
        plugin.validate(attributes)
    plugin.admit(attributes)
    plugin.validate(attributes)
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == "Always"


def test_external_ips_are_denied_where_that_is_asked_for() -> None:
    service = {"metadata": {"name": "s"}, "spec": {"externalIPs": ["1.2.3.4"]}}
    with pytest.raises(StatusError, match="Use of external IPs is denied"):
        DenyServiceExternalIPs().validate(_creation("Service", service))
