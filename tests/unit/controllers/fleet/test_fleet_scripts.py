"""Commands decide how containers live and what they log, unless a stage or annotation does."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import orjson
import pytest

from controllers.fleet.container_logs import Options, log_of
from controllers.fleet.last_words import last_words_of
from controllers.fleet.lives import DEFAULTS, Life, Stage, Step, Subject, life_of
from controllers.fleet.pod_life import NEVER, Pod
from controllers.fleet.pod_scene import Place, Scene, references_of, service_variables
from controllers.fleet.pod_status import status_patch
from controllers.fleet.scripts import STEPS, Outcome, Script, understand
from controllers.fleet.shapes import shape_of
from controllers.fleet.supplies import give_commands

START = 1_000_000.0
LOOP = "while true; do echo x; sleep 5; done"


def _pod(*words: str, life: Life | None = None, policy: str = "Never", **more: Any) -> Pod:
    container = {"name": "main", "image": "busybox", "command": list(words), **more}
    spec = {"containers": [container], "restartPolicy": policy}
    pod = Pod("ns/p", "uid-1", shape_of(spec), life or Life(), START)
    give_commands(pod.containers, pod.life)
    return pod


def _log(pod: Pod, now_s: float, **options: Any) -> list[bytes]:
    async def read() -> list[bytes]:
        log = log_of(pod, pod.containers[0])
        return [line async for line in log.first(now_s, Options(**options))]

    return asyncio.run(read())


def test_a_pod_lives_as_long_as_its_command_and_ends_with_its_code() -> None:
    pod = _pod("sh", "-c", "echo a; sleep 3; echo b; exit 3")
    assert pod.advance(START, 1.0) == START + 3
    assert pod.phase == "Running"
    assert _log(pod, START + 1) == [b"a\n"]
    assert pod.advance(START + 3, 1.0) == NEVER
    assert pod.phase == "Failed"
    ended = pod.containers[0].ended
    assert ended is not None
    assert (ended.code, ended.reason) == (3, "Error")
    assert _log(pod, START + 100) == [b"a\n", b"b\n"]


def test_a_command_that_fails_is_restarted_as_its_policy_has_it() -> None:
    pod = _pod("sh", "-c", "sleep 1; exit 1", policy="Always")
    pod.advance(START, 1.0)
    pod.advance(START + 1, 1.0)
    assert pod.containers[0].restarts == 1
    assert pod.advance(START + 2, 1.0) == START + 12


def test_a_loop_runs_on_and_its_log_is_there_however_old_it_is() -> None:
    pod = _pod("sh", "-c", LOOP)
    assert pod.advance(START, 1.0) == NEVER
    assert pod.phase == "Running"
    assert _log(pod, START + 11) == [b"x\n"] * 3
    assert _log(pod, START + 11, tail=1) == [b"x\n"]
    year_s = START + 365 * 86_400
    assert 500 < len(_log(pod, year_s)) <= 10_000
    last = _log(pod, year_s, tail=1, has_times=True)
    assert last == [b"1971-01-12T13:46:40.000000000Z x\n"]


def test_a_loop_that_counts_is_foreseen_step_by_step() -> None:
    text = "i=0; while [ $i -lt 500 ]; do i=$((i+1)); sleep 1; done; exit 7"
    pod, now_s, looks = _pod("sh", "-c", text), START, 0
    while (due_s := pod.advance(now_s, 1.0)) < NEVER:
        now_s, looks = due_s, looks + 1
    assert now_s == START + 500
    assert 1 < looks < 20
    assert pod.containers[0].ended is not None
    assert pod.containers[0].ended.code == 7


def test_from_an_unknown_program_on_a_stage_says_how_it_goes() -> None:
    pod = _pod("sh", "-c", "echo first; sleep 2; server --port 80", life=Life(run_s=10))
    assert pod.advance(START, 1.0) == START + 12
    lines = _log(pod, START + 5)
    assert lines == [b"first\n", b"server: this is not simulated, and the container runs on\n"]
    pod.advance(START + 12, 1.0)
    assert pod.phase == "Succeeded"


@pytest.mark.parametrize("words", [("nginx",), ("sh", "-c", "nginx -g x"), ("/app/echo", "x"), ()])
def test_a_command_that_begins_with_what_is_unknown_does_not_count(words: tuple[str, ...]) -> None:
    assert understand(words) is None
    pod = _pod(*words)
    pod.advance(START, 1.0)
    assert pod.containers[0].script is None
    assert b"started from" in _log(pod, START)[0]


def test_what_stages_and_annotations_say_comes_before_a_command() -> None:
    def life(annotations: dict[str, str], *stages: Stage) -> Life:
        subject = Subject("u", "ns", {}, annotations, "Job", ())
        return life_of([*stages, *DEFAULTS], subject)

    own = "fleet.ultraplane.dev/"
    assert not life({}).says_run
    assert not life({f"{own}ready": "1s"}).says_run
    assert life({f"{own}exit-code": "3"}).says_run
    assert life({}, Stage("mine", Step.RUN, delay_s=5)).says_run
    assert life({f"{own}init": "1s"}).says_init
    pod = _pod("sh", "-c", "exit 3", life=life({f"{own}run": "9s"}))
    assert pod.advance(START, 1.0) == START + 9


def test_init_containers_run_their_commands_one_after_the_other() -> None:
    inits = [
        {"name": name, "image": "busybox", "command": ["sleep", "2"]} for name in ("one", "two")
    ]
    main = {"name": "main", "image": "busybox", "args": ["echo", "hi"]}
    spec = {"initContainers": inits, "containers": [main], "restartPolicy": "Never"}
    pod = Pod("ns/p", "u", shape_of(spec), Life(), START)
    give_commands(pod.containers, pod.life)
    assert pod.advance(START, 1.0) == START + 2
    assert pod.advance(START + 2, 1.0) == START + 4
    assert pod.advance(START + 4, 1.0) == NEVER
    assert pod.phase == "Succeeded"


def test_a_container_that_is_added_runs_beside_the_others_and_decides_on_nothing() -> None:
    pod = _pod("sleep", "100")
    pod.advance(START, 1.0)
    main = {"name": "main", "image": "busybox", "command": ["sleep", "100"]}
    extra = {"name": "dbg", "image": "busybox", "command": ["sh", "-c", "sleep 5; exit 3"]}
    spec = {"containers": [main], "ephemeralContainers": [extra], "restartPolicy": "Never"}
    pod.reshape(shape_of(spec), START + 10, 1.0)
    give_commands(pod.extras, pod.life)
    assert pod.advance(START + 10, 1.0) == START + 15
    status = orjson.loads(status_patch(pod, "127.0.0.1"))["status"]
    (told,) = status["ephemeralContainerStatuses"]
    assert "running" in told["state"]
    assert pod.advance(START + 15, 1.0) == START + 100
    assert pod.extras[0].ended is not None
    assert pod.extras[0].ended.code == 3
    assert pod.phase == "Running"
    pod.advance(START + 100, 1.0)
    assert pod.phase == "Succeeded"


def test_an_image_of_a_shell_reads_commands_where_its_input_is_open() -> None:
    for image, reads, is_shell in (
        ("busybox:1.36", True, True), ("busybox", False, False), ("nginx", True, False),
    ):  # fmt: skip
        shape = shape_of({"containers": [{"name": "c", "image": image, "stdin": reads}]})
        assert (shape.containers[0].command is not None) is is_shell


def test_the_last_word_of_a_container_is_its_termination_message() -> None:
    pod = _pod("sh", "-c", "echo no luck > /dev/termination-log; exit 1")
    pod.advance(START, 1.0)
    ended = pod.containers[0].ended
    assert ended is not None
    assert ended.message == "no luck\n"


def test_commands_depend_on_what_is_around_only_if_they_ask() -> None:
    for text, needs in (("echo hi; sleep 5", False), ("echo $X", True), ("cat /etc/x", True)):
        found = understand(("sh", "-c", text))
        assert found is not None
        assert found.needs_scene is needs


def _scene(**container: Any) -> Scene:
    volumes = [
        {"name": "conf", "configMap": {"name": "cm"}},
        {"name": "own", "downwardAPI": {"items": [
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"name": "all", "projected": {"sources": [
            {"secret": {"name": "s", "items": [{"key": "k", "path": "deep/k"}]}}]}},
    ]  # fmt: skip
    mounts = [{"name": name, "mountPath": f"/mnt/{name}"} for name in ("conf", "own", "all")]
    mounts.append({"name": "conf", "mountPath": "/etc/one", "subPath": "a"})
    whole = {"name": "main", "volumeMounts": mounts, **container}
    obj = {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"app": "x"}},
        "spec": {"nodeName": "n", "containers": [whole], "volumes": volumes},
    }
    held = {
        ("configmap", "cm"): {"a": b"A\n", "b": b"B"},
        ("secret", "s"): {"k": b"K", "other": b"O"},
    }
    return Scene(obj, held, Place("10.0.0.9", "127.0.0.1", {"cpu": "4"}, {}))


def _ran(scene: Scene, *words: str) -> tuple[str, int | None]:
    printed = bytearray()
    process = Script(words, reads=False, name="main", scene=scene).process(START, printed.extend)
    process.advance(math.inf, 10_000)
    return printed.decode(), process.code


def test_mounted_files_are_as_a_kubelet_makes_them() -> None:
    scene = _scene()
    assert _ran(scene, "cat", "/mnt/conf/a", "/etc/one") == ("A\nA\n", 0)
    assert _ran(scene, "cat", "/mnt/own/labels") == ('app="x"', 0)
    assert _ran(scene, "sh", "-c", "cat /mnt/all/deep/k; ls /mnt/all /mnt") == (
        "Kdeep\nall\nconf\nown\n", 0,
    )  # fmt: skip
    assert _ran(scene, "cat", "/mnt/all/other")[1] == 1
    assert _ran(scene, "cat", "/etc/hostname") == ("p\n", 0)


def test_variables_are_as_a_kubelet_makes_them() -> None:
    scene = _scene(
        env=[
            {"name": "A", "value": "1"},
            {"name": "B", "value": "$(A)-$(NO)-$$(A)"},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "K", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {"name": "MI", "valueFrom": {"resourceFieldRef": {
                "resource": "requests.memory", "divisor": "1Mi"}}},
        ],
        envFrom=[{"prefix": "CM_", "configMapRef": {"name": "cm"}}],
        resources={"requests": {"memory": "1500Ki"}},
    )  # fmt: skip
    out, code = _ran(scene, "sh", "-c", "echo $B $NAME $IP $K $CPU $MI $CM_b")
    assert (out, code) == ("1-$(NO)-$(A) p 10.0.0.9 K 4 2 B\n", 0)
    assert _ran(scene, "echo", "$(A)", "$$(A)", "$(NO)") == ("1 $(A) $(NO)\n", 0)


def test_what_a_pod_needs_is_found_in_its_variables_and_volumes() -> None:
    spec = {
        "containers": [
            {"name": "c", "envFrom": [{"secretRef": {"name": "s", "optional": True}}]},
            {"name": "d", "env": [
                {"name": "X", "valueFrom": {"configMapKeyRef": {"name": "e", "key": "k"}}}]},
        ],
        "volumes": [
            {"name": "v", "configMap": {"name": "cm"}},
            {"name": "kube-api-access-x", "projected": {"sources": [
                {"configMap": {"name": "kube-root-ca.crt"}}]}},
        ],
    }  # fmt: skip
    found = references_of({"spec": spec})
    assert [tuple(one) for one in found] == [
        ("secret", "s", "", True),
        ("configmap", "e", "", False),
        ("configmap", "cm", "v", False),
    ]
    assert len(references_of({"spec": spec}, with_token=True)) == 4


def test_a_script_that_asks_for_nothing_is_foreseen_once_for_all() -> None:
    words = ("sh", "-c", "echo 1; sleep 7; exit 2")
    first = Script(words, reads=False, name="a").outcome(START)
    assert first == Outcome(7.0, 2)
    assert Script(words, reads=False, name="b").outcome(START + 5, STEPS) is first


def test_containers_are_told_where_the_api_server_is() -> None:
    ports = [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}]
    service = {
        "metadata": {"name": "kubernetes"},
        "spec": {"clusterIP": "10.0.0.1", "ports": ports},
    }
    assert service_variables(service) == {
        "KUBERNETES_SERVICE_HOST": "10.0.0.1",
        "KUBERNETES_SERVICE_PORT": "443",
        "KUBERNETES_SERVICE_PORT_HTTPS": "443",
        "KUBERNETES_PORT": "tcp://10.0.0.1:443",
        "KUBERNETES_PORT_443_TCP": "tcp://10.0.0.1:443",
        "KUBERNETES_PORT_443_TCP_PROTO": "tcp",
        "KUBERNETES_PORT_443_TCP_PORT": "443",
        "KUBERNETES_PORT_443_TCP_ADDR": "10.0.0.1",
    }


def _sharing(init: list[str], volume: dict[str, Any], *, beside: bool = False) -> Scene:
    mount = [{"name": "w", "mountPath": "/data"}]
    main = {"name": "main", "volumeMounts": [{"name": "w", "mountPath": "/mine"}]}
    more = [{"name": "more", "volumeMounts": mount}] if beside else []
    spec = {
        "initContainers": [{"name": "i", "command": init, "volumeMounts": mount}],
        "containers": [main, *more],
        "volumes": [{"name": "w", **volume}],
    }
    obj = {"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": spec}
    return Scene(obj, {}, Place("10.0.0.9", "127.0.0.1", {}, {}))


def test_what_init_containers_write_to_a_volume_is_there_for_those_after_them() -> None:
    writes = ["sh", "-c", "echo made by $HOSTNAME > /data/x"]
    scene = _sharing(writes, {"emptyDir": {}})
    assert _ran(scene, "sh", "-c", "ls /mine; cat /mine/x") == ("x\nmade by p\n", 0)
    assert _ran(scene, "cat", "/mine/y")[1] == 1


def test_many_init_containers_are_each_run_once() -> None:
    mount = [{"name": "w", "mountPath": "/w"}]
    inits = [
        {"name": f"i{n}", "command": ["sh", "-c", "ls /w; touch /w/$N"], "volumeMounts": mount,
         "env": [{"name": "N", "value": f"f{n}"}]}
        for n in range(40)
    ]  # fmt: skip
    main = {"name": "main", "volumeMounts": mount}
    spec = {"initContainers": inits, "containers": [main]}
    spec["volumes"] = [{"name": "w", "emptyDir": {}}]
    obj = {"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": spec}
    scene = Scene(obj, {}, Place("10.0.0.9", "127.0.0.1", {}, {}))
    out, code = _ran(scene, "ls", "/w")
    assert (len(out.split()), code) == (40, 0)


def test_what_others_may_have_written_is_not_known() -> None:
    writes, unknown = ["sh", "-c", "echo x > /data/x"], ["git", "clone", "x", "/data"]
    for scene in (
        _sharing(unknown, {"emptyDir": {}}),
        _sharing(writes, {"emptyDir": {}}, beside=True),
        _sharing(writes, {"persistentVolumeClaim": {"claimName": "c"}}),
    ):
        assert _ran(scene, "cat", "/mine/x") == ("", None)
        assert _ran(scene, "sh", "-c", "echo own > /mine/o; cat /mine/o") == ("own\n", 0)


@pytest.mark.parametrize(
    ("script", "policy", "message"),
    [
        ("echo -n DONE > /dev/other", "File", "DONE"),
        ("echo -n DONE > /dev/termination-log", "File", ""),
        ("echo no; echo luck; exit 1", "File", ""),
        ("echo no; echo luck; exit 1", "FallbackToLogsOnError", "no\nluck\n"),
        ("echo fine", "FallbackToLogsOnError", ""),
        ("echo -n DONE > /dev/other; echo luck; exit 1", "FallbackToLogsOnError", "DONE"),
        ("seq 1 200; exit 1", "FallbackToLogsOnError", "".join(f"{n}\n" for n in range(121, 201))),
    ],
)
def test_a_termination_message_is_a_file_or_the_end_of_the_log(
    script: str, policy: str, message: str
) -> None:
    words = last_words_of(
        {"terminationMessagePath": "/dev/other", "terminationMessagePolicy": policy}
    )
    told = Script(("sh", "-c", script), reads=False, name="main", last_words=words).outcome(START)
    assert told.message == message
