"""`kubectl apply`, `diff` and `replace`: the samples, three-way merges and pruning."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from tests.integration.cluster import ROOT, Cluster
from tests.integration.kubectl.kubectl_runner import Kubectl

pytestmark = pytest.mark.kubectl

SAMPLES = ROOT / "samples"
# What apply's patch can never be empty for: stringData is write-only, the others have lists or maps
# that are replaced as wholes, with defaults inside that the manifest does not have.
ALWAYS_PATCHED = {
    "secret/catalogue-login",
    "statefulset.apps/ledger",
    "poddisruptionbudget.policy/ledger",
    "pod/tool",
}


@pytest.fixture(scope="module")
def samples(cluster: Cluster) -> Kubectl:
    """kubectl in the samples' namespace, every sample applied once."""
    bound = Kubectl(cluster, "shop")
    for path in sorted(SAMPLES.glob("*.yaml")):
        for line in bound("apply", "-f", str(path)).splitlines():
            assert line.endswith(" created"), f"{path.name}: {line}"
    return bound


def test_applying_the_samples_again_changes_nothing(samples: Kubectl) -> None:
    before = _revisions(samples)
    words = dict(line.split() for line in samples("apply", "-f", str(SAMPLES)).splitlines())
    assert {name for name, word in words.items() if word != "unchanged"} == ALWAYS_PATCHED
    assert set(words.values()) == {"unchanged", "configured"}
    assert _revisions(samples) == before


def test_the_samples_do_not_differ_from_what_they_made(samples: Kubectl) -> None:
    assert samples("diff", "-f", str(SAMPLES)) == ""


def test_get_all_and_describe_show_the_samples_without_complaint(samples: Kubectl) -> None:
    names = samples("get", "all", "-o", "name").split()
    assert {"deployment.apps/catalogue", "horizontalpodautoscaler.autoscaling/catalogue"} <= {
        *names
    }
    assert "deployment.apps/catalogue" in samples("get", "all")
    # Without events: that there are no metrics is one, and says so.
    described = samples("describe", "-f", str(SAMPLES), "--show-events=false")
    assert "Name:             tool" in described
    assert "error" not in described


def test_apply_merges_three_ways(kubectl: Kubectl) -> None:
    first = _config_map(data={"kept": "1", "dropped": "1"}, labels={"old": "x"})
    assert kubectl("apply", "-f", "-", stdin=first) == "configmap/m created\n"
    kubectl("patch", "configmap", "m", "-p", '{"data":{"foreign":"2"}}')
    second = _config_map(data={"kept": "3"}, labels={"new": "y"})
    assert kubectl("apply", "-f", "-", stdin=second) == "configmap/m configured\n"
    found = kubectl.json("get", "configmap", "m")
    assert found["data"] == {"kept": "3", "foreign": "2"}
    assert found["metadata"]["labels"] == {"new": "y"}
    assert kubectl("apply", "-f", "-", stdin=second) == "configmap/m unchanged\n"


def test_apply_merges_lists_by_their_keys(kubectl: Kubectl) -> None:
    def manifest(*images: tuple[str, str]) -> str:
        containers = [{"name": name, "image": image} for name, image in images]
        return _deployment(containers)

    kubectl("apply", "-f", "-", stdin=manifest(("a", "a:1"), ("b", "b:1")))
    side = '{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"s"}]}}}}'
    kubectl("patch", "deployment", "d", "-p", side)
    kubectl("apply", "-f", "-", stdin=manifest(("a", "a:2")))
    images = kubectl("get", "deployment", "d", "-o", "jsonpath={..containers[*].image}")
    assert sorted(images.split()) == ["a:2", "s"]


def test_apply_with_prune_removes_what_is_no_longer_in_the_manifests(kubectl: Kubectl) -> None:
    flags = ["--prune", "--prune-allowlist=core/v1/ConfigMap", "-l", "set=one", "-f", "-"]
    first, second = (_config_map(name, {"a": "b"}, {"set": "one"}) for name in "mn")
    both = f'{{"apiVersion":"v1","kind":"List","items":[{first},{second}]}}'
    kubectl("apply", *flags, stdin=both)
    said = kubectl("apply", *flags, stdin=first)
    assert said == "configmap/m unchanged\nconfigmap/n pruned\n"


def test_the_last_applied_manifest_can_be_viewed(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=_config_map(data={"a": "b"}))
    assert "a: b" in kubectl("apply", "view-last-applied", "configmap/m")


def test_diff_exits_by_whether_there_is_one(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=_config_map(data={"a": "1"}))
    assert kubectl.run("diff", "-f", "-", stdin=_config_map(data={"a": "1"})).returncode == 0
    changed = kubectl.run("diff", "-f", "-", stdin=_config_map(data={"a": "2"}))
    assert (changed.returncode, changed.stderr) == (1, "")
    assert '-  a: "1"' in changed.stdout
    assert '+  a: "2"' in changed.stdout
    assert kubectl("get", "configmap", "m", "-o", "jsonpath={.data.a}") == "1"


def test_replace_by_the_same_writes_nothing(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "d", "--image=web")
    live = kubectl("get", "deployment", "d", "-o", "json")
    assert kubectl("replace", "-f", "-", stdin=live) == "deployment.apps/d replaced\n"
    assert kubectl("get", "deployment", "d", "-o", "json") == live


def test_replace_by_force_makes_a_new_object(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=_config_map(data={"a": "1"}))
    old = kubectl.json("get", "configmap", "m")["metadata"]["uid"]
    said = kubectl("replace", "--force", "-f", "-", stdin=_config_map(data={"b": "2"}))
    assert said.endswith("configmap/m replaced\n")
    new = kubectl.json("get", "configmap", "m")
    assert new["data"] == {"b": "2"}
    assert new["metadata"]["uid"] != old


def test_replace_of_what_changed_meanwhile_is_a_conflict(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=_config_map())
    stale = kubectl("get", "configmap", "m", "-o", "json")
    kubectl("label", "configmap", "m", "a=b")
    said = kubectl.refused("replace", "-f", "-", stdin=stale)
    assert "Error from server (Conflict)" in said
    assert "the object has been modified; please apply your changes to the latest version" in said


def test_a_kustomization_is_applied(kubectl: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text(
        f"namespace: {kubectl.namespace}\nnamePrefix: my-\nresources: [m.yaml]\n"
    )
    (tmp_path / "m.yaml").write_text(_config_map())
    assert kubectl("apply", "-k", str(tmp_path)) == "configmap/my-m created\n"
    assert kubectl("delete", "-k", str(tmp_path)).startswith('configmap "my-m" deleted')


def _revisions(bound: Kubectl) -> dict[str, str]:
    objects = bound.json("get", "-f", str(SAMPLES))["items"]
    return {
        f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["resourceVersion"]
        for item in objects
    }


def _config_map(
    name: str = "m",
    data: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
) -> str:
    metadata = {"name": name, "labels": labels or {}}
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data or {}}
    return orjson.dumps(document).decode()


def _deployment(containers: list[dict[str, str]]) -> str:
    labels = {"app": "d"}
    return orjson.dumps(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "d"},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
            },
        }
    ).decode()
