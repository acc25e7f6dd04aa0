"""`kubectl get -w` and `kubectl wait`."""

from __future__ import annotations

import pytest

from tests.integration.kubectl.kubectl_runner import Kubectl

pytestmark = pytest.mark.kubectl


def test_watching_a_list_prints_each_change_as_a_row(kubectl: Kubectl) -> None:
    kubectl("create", "secret", "generic", "first")
    with kubectl.watching("get", "secret", "-w", "--output-watch-events") as output:
        assert output.readline().split() == ["EVENT", "NAME", "TYPE", "DATA", "AGE"]
        assert output.readline().split()[:4] == ["ADDED", "first", "Opaque", "0"]
        kubectl("create", "secret", "generic", "second", "--from-literal=a=b")
        kubectl("patch", "secret", "second", "-p", '{"data":{"c":"ZA=="}}')
        kubectl("delete", "secret", "second")
        seen = [output.readline().split()[:4] for _ in range(3)]
    assert seen == [
        ["ADDED", "second", "Opaque", "1"],
        ["MODIFIED", "second", "Opaque", "2"],
        ["DELETED", "second", "Opaque", "2"],
    ]


def test_watching_one_object_in_json_prints_whole_objects(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "one")
    shown = "jsonpath={.metadata.name}={.data.a}{'\\n'}"
    with kubectl.watching("get", "configmap", "one", "-w", "-o", shown) as output:
        assert output.readline() == "one=\n"
        kubectl("create", "configmap", "other")
        kubectl("patch", "configmap", "one", "-p", '{"data":{"a":"b"}}')
        assert output.readline() == "one=b\n"


def test_wait_sees_a_field_that_is_set_later(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "m")
    with kubectl.watching("wait", "--for=jsonpath={.data.a}=b", "configmap/m") as output:
        kubectl("patch", "configmap", "m", "-p", '{"data":{"a":"b"}}')
        assert output.readline() == "configmap/m condition met\n"


def test_wait_sees_a_condition(kubectl: Kubectl) -> None:
    kubectl("run", "p", "--image=web")
    ready = '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}'
    with kubectl.watching("wait", "--for=condition=Ready", "pod/p") as output:
        kubectl("patch", "pod", "p", "--subresource=status", "-p", ready)
        assert output.readline() == "pod/p condition met\n"


def test_delete_waits_until_the_last_finalizer_is_gone(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "m")
    kubectl("patch", "configmap", "m", "-p", '{"metadata":{"finalizers":["example.org/hold"]}}')
    with kubectl.watching("delete", "configmap", "m") as output:
        assert output.readline().startswith('configmap "m" deleted')
        released = '{"metadata":{"finalizers":null}}'
        kubectl("patch", "configmap", "m", "--type=merge", "-p", released)
        assert output.readline() == ""
    kubectl("wait", "--for=delete", "configmap/m", "--timeout=5s")
    assert "not found" in kubectl.refused("get", "configmap", "m")


def test_wait_gives_up_at_its_time_limit(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "m")
    said = kubectl.refused("wait", "--for=jsonpath={.data.a}=b", "configmap/m", "--timeout=100ms")
    assert said.endswith("timed out waiting for the condition on configmaps/m\n")
