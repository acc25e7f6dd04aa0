"""Commands of simulated containers, by real kubectl: run, logs, attach, exec and what they use."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.api_calls import Collection, Json, collection
from tests.integration.cluster import Cluster
from tests.integration.kubectl.kubectl_runner import Kubectl
from tests.integration.played_kubelet import until

_names = (f"c{number}" for number in itertools.count(1))
Run = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = pytest.mark.kubectl


@pytest.fixture(scope="module")
def cluster(simulated: Cluster) -> Cluster:
    """The cluster with simulated nodes."""
    return simulated


@pytest.fixture
def pods(cluster: Cluster, namespace: str) -> Collection:
    """The namespace's pods."""
    accounts = collection(cluster, namespace, "serviceaccounts")
    until(lambda: accounts.get("default").code == 200, "there is no account")
    return collection(cluster, namespace, "pods")


@pytest.fixture
def run(kubectl: Kubectl, pods: Collection) -> Run:
    """`kubectl run` of a new pod of busybox with a command."""
    assert pods

    def start(*flags: str, words: list[str], stdin: str = "") -> Any:
        name = next(_names)
        return kubectl.run("run", name, "--image=busybox", *flags, "--", *words, stdin=stdin)

    return start


def _pod(pods: Collection, name: str, script: str, **container: Any) -> Json:
    more = container.pop("spec", {})
    one = {"name": "main", "image": "busybox", "command": ["sh", "-c", script], **container}
    spec = {"containers": [one], "restartPolicy": "Never", **more}
    made: Json = pods.made({"metadata": {"name": name}, "spec": spec})
    return made


def _state(pods: Collection, name: str) -> Any:
    statuses = pods.get(name).json["status"].get("containerStatuses") or [{"state": {}}]
    return statuses[0]["state"]


def _reasons(pods: Collection, name: str) -> set[str]:
    path = f"{pods.path.removesuffix('pods')}events?fieldSelector=involvedObject.name%3D{name}"
    return {one["reason"] for one in pods.cluster.call("GET", path).json["items"]}


def _ended(pods: Collection, name: str) -> Any:
    return until(lambda: _state(pods, name).get("terminated"), f"{name} does not end")


def test_kubectl_run_prints_what_a_command_prints_and_ends_as_it_does(run: Run) -> None:
    done = run("-it", "--restart=Never", words=["echo", "hi"])
    assert (done.stdout, done.returncode) == ("hi\n", 0)
    late = ["sh", "-c", "sleep 1; echo late"]
    done = run("-i", "--rm", "--restart=Never", words=late)
    assert done.stdout.startswith("late\n")
    assert done.returncode == 0
    done = run("-i", "--restart=Never", words=["sh", "-c", "echo ill; exit 4"])
    assert (done.stdout, done.returncode) == ("ill\n", 4)


def test_a_shell_that_is_run_reads_what_it_is_sent(run: Run) -> None:
    done = run("-i", "--restart=Never", words=["sh"], stdin="echo from stdin\nexit 3\n")
    assert "from stdin" in done.stdout
    assert done.returncode == 3


def test_a_job_whose_command_fails_has_a_pod_with_its_code(
    kubectl: Kubectl, pods: Collection
) -> None:
    kubectl("create", "job", "j", "--image=busybox", "--", "sh", "-c", "echo a; exit 3")
    query = "?labelSelector=job-name%3Dj"
    name = until(lambda: pods.names(query), "there is no pod")[0]
    assert _ended(pods, name)["exitCode"] == 3
    assert kubectl("logs", name) == "a\n"


def test_logs_of_a_loop_are_followed(kubectl: Kubectl, pods: Collection) -> None:
    script = "i=0; while true; do echo line $i; i=$((i+1)); sleep 0.3; done"
    _pod(pods, "loop", script)
    until(lambda: "running" in _state(pods, "loop"), "it does not run")
    with kubectl.watching("logs", "-f", "loop") as lines:
        assert [lines.readline() for _ in range(5)] == [f"line {n}\n" for n in range(5)]
    with kubectl.watching("attach", "loop") as lines:
        assert lines.readline().startswith("line ")


def test_a_followed_log_ends_with_its_container(kubectl: Kubectl, pods: Collection) -> None:
    _pod(pods, "ends", "for i in 1 2 3; do echo $i; sleep 0.5; done; exit 2")
    until(lambda: "running" in _state(pods, "ends"), "it does not run")
    assert kubectl("logs", "-f", "ends") == "1\n2\n3\n"
    assert _ended(pods, "ends")["exitCode"] == 2


def test_commands_find_what_is_mounted_and_their_variables(
    cluster: Cluster, kubectl: Kubectl, pods: Collection
) -> None:
    kubectl("create", "configmap", "cm", "--from-literal=greeting=hello", "--from-literal=n=1")
    kubectl("create", "secret", "generic", "s", "--from-literal=key=hush")
    env = [
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}},
    ]
    mounts = [{"name": "cm", "mountPath": "/etc/cm"}]
    volumes = [{"name": "cm", "configMap": {"name": "cm"}}]
    script = "cat /etc/cm/greeting; echo; echo $NAME $KEY; cat /etc/hostname; sleep 1000"
    _pod(pods, "reads", script, env=env, volumeMounts=mounts, spec={"volumes": volumes})
    until(lambda: "running" in _state(pods, "reads"), "it does not run")
    assert kubectl("logs", "reads") == "hello\nreads hush\nreads\n"
    assert kubectl("exec", "reads", "--", "ls", "/etc/cm") == "greeting\nn\n"
    token = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
    assert kubectl("exec", "reads", "--", "cat", token) == kubectl.namespace
    assert "KUBERNETES_SERVICE_HOST=" in kubectl("exec", "reads", "--", "env")
    cluster.kill("fleet")
    until(
        lambda: kubectl.run("logs", "reads").stdout == "hello\nreads hush\nreads\n",
        "a fleet that was killed has another log",
    )


def test_a_pod_waits_for_a_config_map_that_is_not_there(kubectl: Kubectl, pods: Collection) -> None:
    source = {"configMapKeyRef": {"name": "later", "key": "k"}}
    _pod(pods, "wants", "echo $K", env=[{"name": "K", "valueFrom": source}])
    volumes = [{"name": "v", "configMap": {"name": "later"}}]
    _pod(pods, "mounts", "echo mounted", spec={"volumes": volumes})
    found = until(lambda: _state(pods, "wants").get("waiting", {}).get("message"), "it runs")
    assert found == 'configmap "later" not found'
    assert _state(pods, "wants")["waiting"]["reason"] == "CreateContainerConfigError"
    assert _state(pods, "mounts")["waiting"]["reason"] == "ContainerCreating"
    until(lambda: "FailedMount" in _reasons(pods, "mounts"), "nobody tells of it")
    kubectl("create", "configmap", "later", "--from-literal=k=here")
    _ended(pods, "mounts")
    _ended(pods, "wants")
    assert kubectl("logs", "wants") == "here\n"


def test_exec_runs_scripts_and_keeps_what_they_write(kubectl: Kubectl, pods: Collection) -> None:
    _pod(pods, "p", "sleep 1000")
    until(lambda: "running" in _state(pods, "p"), "it does not run")
    assert kubectl("exec", "p", "--", "echo", "hi") == "hi\n"
    assert kubectl("exec", "p", "--", "sh", "-c", "echo x > /tmp/a; cat /tmp/a") == "x\n"
    assert kubectl("exec", "p", "--", "cat", "/tmp/a") == "x\n"
    done = kubectl.run("exec", "-i", "p", "--", "sh", stdin="cd /tmp\nls\nexit 5\n")
    assert (done.stdout, done.returncode) == ("a\n", 5)
    done = kubectl.run("exec", "p", "--", "cat", "/none")
    assert done.returncode == 1
    assert "No such file or directory" in done.stderr
    strange = kubectl.run("exec", "p", "--", "git", "status")
    assert "git: not found: this container is simulated" in strange.stdout + strange.stderr


def test_what_a_pod_says_of_itself_comes_before_its_command(pods: Collection) -> None:
    own = {"fleet.ultraplane.dev/exit-code": "9"}
    one = {"name": "main", "image": "busybox", "command": ["sh", "-c", "exit 3"]}
    spec = {"containers": [one], "restartPolicy": "Never"}
    pods.made({"metadata": {"name": "said", "annotations": own}, "spec": spec})
    assert _ended(pods, "said")["exitCode"] == 9


def test_kubectl_debug_adds_a_container_that_runs(kubectl: Kubectl, pods: Collection) -> None:
    _pod(pods, "p", "sleep 1000")
    until(lambda: "running" in _state(pods, "p"), "it does not run")
    words = ["debug", "p", "--image=busybox", "--container=dbg", "--profile=general"]
    done = kubectl.run(*words, "-i", "--", "sh", stdin="echo in $HOSTNAME\n")
    assert "in p\n" in done.stdout
    (told,) = until(
        lambda: pods.get("p").json["status"].get("ephemeralContainerStatuses"), "nobody tells of it"
    )
    assert told["name"] == "dbg"
    assert told["image"] == "docker.io/library/busybox:latest"
    assert "running" in _state(pods, "p")


def test_kubectl_cp_takes_files_and_directories_both_ways(
    kubectl: Kubectl, pods: Collection, tmp_path: Path
) -> None:
    _pod(pods, "copied", "sleep 600")
    until(lambda: _state(pods, "copied").get("running"), "it does not run")
    source, back = tmp_path / "source", tmp_path / "back"
    (source / "inner").mkdir(parents=True)
    (source / "words").write_text("some words\n")
    (source / "inner" / "bytes").write_bytes(bytes(range(256)))
    assert kubectl.run("cp", str(source), "copied:/tmp").returncode == 0
    listed = kubectl.run("exec", "copied", "--", "ls", "/tmp/source", "/tmp/source/inner")
    assert listed.stdout.split() == ["inner", "words", "bytes"]
    assert kubectl.run("cp", "copied:/tmp/source", str(back)).returncode == 0
    assert (back / "words").read_text() == "some words\n"
    assert (back / "inner" / "bytes").read_bytes() == bytes(range(256))
    refused = kubectl.run("cp", "copied:/nowhere", str(tmp_path / "nothing"))
    assert "tar: /nowhere: No such file or directory" in refused.stdout + refused.stderr
