"""Plugins that are off unless asked for, and told what to do, over HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.api_calls import Json, named, pod
from tests.integration.authorization_server import Webhook, run_webhook, write_kubeconfig
from tests.integration.cluster import Answer, Cluster, run_cluster

PLUGINS = "EventRateLimit,ImagePolicyWebhook,PodNodeSelector,PodTolerationRestriction"
SPACES = "/api/v1/namespaces"
_WAIT_S_MAX = 60.0
ZONE: Json = {"key": "zone", "operator": "Equal", "value": "a", "effect": "NoSchedule"}


class _Images(Webhook):
    """Says which images may run: those that are not called bad."""

    def answer(self, review: Any) -> Any:
        """Return a review with its status."""
        self.asked.append(review["spec"])
        images = [one["image"] for one in review["spec"]["containers"]]
        bad = [image for image in images if "bad" in image]
        status = {"allowed": not bad, **({"reason": f"not {bad[0]}"} if bad else {})}
        return {**review, "status": status}


@pytest.fixture(scope="module")
def images() -> _Images:
    """What is asked which images may run."""
    return _Images()


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, images: _Images) -> Iterator[Cluster]:
    """A cluster with all of these plugins."""
    directory = tmp_path_factory.mktemp("strict")
    with run_webhook(images) as url:
        write_kubeconfig(directory / "images.kubeconfig", url)
        _write_configurations(directory)
        admission = {
            "enable_plugins": PLUGINS,
            "control_config_file": str(directory / "admission.yaml"),
        }
        # Its own controllers would use up what events may be written.
        with run_cluster(directory, {"admission": admission}) as running:
            yield running


def _write_configurations(directory: Path) -> None:
    policy = {"kubeConfigFile": "images.kubeconfig", "allowTTL": 60, "retryBackoff": 1}
    (directory / "images.yaml").write_text(yaml.safe_dump({"imagePolicy": policy}))
    selectors = {"clusterDefaultNodeSelector": "kind=plain", "narrow": "disk=fast,kind=plain"}
    limits = {
        "kind": "Configuration",
        "apiVersion": "eventratelimit.admission.k8s.io/v1alpha1",
        "limits": [{"type": "Namespace", "qps": 1, "burst": 3, "cacheSize": 100}],
    }
    tolerations = {
        "kind": "Configuration",
        "apiVersion": "podtolerationrestriction.admission.k8s.io/v1alpha1",
        "default": [ZONE],
    }
    plugins = [
        {"name": "EventRateLimit", "configuration": limits},
        {"name": "ImagePolicyWebhook", "path": "images.yaml"},
        {"name": "PodNodeSelector", "configuration": {"podNodeSelectorPluginConfig": selectors}},
        {"name": "PodTolerationRestriction", "configuration": tolerations},
    ]
    document = {
        "kind": "AdmissionConfiguration",
        "apiVersion": "apiserver.config.k8s.io/v1",
        "plugins": plugins,
    }
    (directory / "admission.yaml").write_text(yaml.safe_dump(document))


def _space(cluster: Cluster, name: str, **annotations: str) -> str:
    metadata = {
        "name": name,
        "annotations": {
            f"scheduler.alpha.kubernetes.io/{key}": value for key, value in annotations.items()
        },
    }
    assert cluster.call("POST", SPACES, {"metadata": metadata}).code == 201
    until_s = time.monotonic() + _WAIT_S_MAX
    while _account(cluster, name) != 200:
        assert time.monotonic() < until_s, f"{name} has no account of its own"
        time.sleep(0.05)
    return f"{SPACES}/{name}/pods"


def _account(cluster: Cluster, name: str) -> int:
    return cluster.call("GET", f"{SPACES}/{name}/serviceaccounts/default").code


def _with(spec: Json, name: str = "p") -> Json:
    made = pod(name)
    made["spec"].update(spec)
    return made


def _refused(answer: Answer, why: str) -> bool:
    return answer.code == 403 and answer.json["message"].endswith(why)


def test_pods_run_on_the_nodes_that_their_namespace_names(strict: Cluster) -> None:
    pods = _space(strict, "selecting", **{"node-selector": "zone=a"})
    for number in range(3):  # the third would be a twin
        made = strict.call("POST", pods, _with({"nodeSelector": {"x": "y"}}, f"p{number}"))
        assert made.code == 201, made.body
        assert made.json["spec"]["nodeSelector"] == {"zone": "a", "x": "y"}
    conflict = strict.call("POST", pods, _with({"nodeSelector": {"zone": "b"}}, "other"))
    assert _refused(
        conflict, "pod node label selector conflicts with its namespace node label selector"
    )


def test_a_configuration_says_what_counts_where_a_namespace_does_not(strict: Cluster) -> None:
    pods = _space(strict, "narrow")
    made = strict.call("POST", pods, _with({"nodeSelector": {"disk": "fast"}}))
    assert made.json["spec"]["nodeSelector"] == {"disk": "fast", "kind": "plain"}
    assert _refused(
        strict.call("POST", pods, _with({"nodeSelector": {"disk": "slow"}}, "other")),
        "pod node label selector labels conflict with its namespace whitelist",
    )


def test_pods_get_their_namespaces_tolerations_and_no_others(strict: Cluster) -> None:
    pods = _space(strict, "by-default")
    made = strict.call("POST", pods, pod("p")).json["spec"]["tolerations"]
    assert ZONE in made
    keys = ("a", "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    allowed = json.dumps([{"key": key, "operator": "Exists"} for key in keys])
    pods = _space(strict, "limited", defaultTolerations="", tolerationsWhitelist=allowed)
    mine = {"key": "a", "operator": "Equal", "value": "b"}
    made = strict.call("POST", pods, _with({"tolerations": [mine]})).json["spec"]["tolerations"]
    assert mine in made
    assert ZONE not in made
    assert _refused(
        strict.call("POST", pods, _with({"tolerations": [ZONE]}, "other")),
        "conflict with its namespace whitelist",
    )


def test_a_pod_that_asks_for_something_tolerates_pressure_on_memory(strict: Cluster) -> None:
    pods = _space(strict, "asking")
    container = {**pod("p")["spec"]["containers"][0], "resources": {"requests": {"cpu": "1"}}}
    made = strict.call("POST", pods, _with({"containers": [container]}))
    keys = [one.get("key") for one in made.json["spec"]["tolerations"]]
    assert "node.kubernetes.io/memory-pressure" in keys


def test_images_that_a_webhook_refuses_do_not_run(strict: Cluster, images: _Images) -> None:
    pods = _space(strict, "imaged")
    container = {"name": "main", "image": "example.com/bad:1"}
    refused = strict.call("POST", pods, _with({"containers": [container]}))
    assert _refused(
        refused,
        "image policy webhook backend denied one or more images: not example.com/bad:1",
    )
    container["image"] = "example.com/good:1"
    shown = {**_with({"containers": [container]})}
    shown["metadata"]["annotations"] = {"a.image-policy.k8s.io/b": "c", "other": "d"}
    for number in range(3):
        shown["metadata"]["name"] = f"p{number}"
        assert strict.call("POST", pods, shown).code == 201
    good = [one for one in images.asked if one["containers"] == [{"image": "example.com/good:1"}]]
    assert good == [
        {
            "containers": [{"image": "example.com/good:1"}],
            "annotations": {"a.image-policy.k8s.io/b": "c"},
            "namespace": "imaged",
        }
    ]


def test_while_the_image_webhook_does_not_answer_no_pod_is_made(
    strict: Cluster, images: _Images
) -> None:
    pods = _space(strict, "unanswered")
    images.is_broken = True
    assert strict.call("POST", pods, pod("p")).code == 403
    images.is_broken = False
    assert strict.call("POST", pods, pod("p")).code == 201


def test_more_events_than_a_namespace_may_have_are_refused(strict: Cluster) -> None:
    _space(strict, "noisy")
    events = f"{SPACES}/noisy/events"
    about = {"involvedObject": {"kind": "Pod", "name": "p", "namespace": "noisy"}}
    codes = [strict.call("POST", events, named(f"e{n}", **about)).code for n in range(6)]
    assert codes[:3] == [201] * 3
    assert 429 in codes[3:]
    last = next(
        answer
        for n in range(100)
        if (answer := strict.call("POST", events, named(f"f{n}", **about))).code == 429
    )
    assert last.json["message"] == "limit reached on type Namespace for key noisy"
