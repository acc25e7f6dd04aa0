"""kubectl's commands that need no running container."""

from __future__ import annotations

import asyncio
import re
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from conformance.checks import check, has, same
from conformance.kubectl import kubectl, running
from conformance.registry import case
from conformance.samples import PAUSE_IMAGE, workload
from conformance.stage import Stage


@case(
    "[sig-cli] Kubectl client Kubectl api-versions should check if v1 is in available api versions "
    "[Conformance]"
)
async def api_versions(stage: Stage) -> None:
    """The first version of all is listed."""
    ran = await kubectl(stage, "api-versions")
    has(ran.stdout.splitlines(), "v1", "kubectl api-versions")


@case(
    "[sig-cli] Kubectl client Kubectl cluster-info should check if Kubernetes control plane "
    "services is included in cluster-info [Conformance]"
)
async def cluster_info(stage: Stage) -> None:
    """It tells where the control plane runs."""
    ran = await kubectl(stage, "cluster-info")
    for word in ("Kubernetes control plane", "is running at"):
        has(ran.stdout, word, "kubectl cluster-info")


@case("[sig-cli] Kubectl client Kubectl version should check is all data is printed [Conformance]")
async def versions(stage: Stage) -> None:
    """Client's and server's versions are printed in full."""
    ran = await kubectl(stage, "version", "-o", "json")
    told: Any = orjson.loads(ran.stdout)
    for side in ("clientVersion", "serverVersion"):
        for field in ("major", "minor", "gitVersion", "gitCommit", "goVersion", "platform"):
            check(field in told[side], f"{side} has {field}")
    check(re.match(r"v\d+\.\d+", told["serverVersion"]["gitVersion"]), "the server's version")


@case(
    "[sig-cli] Kubectl client Kubectl diff should check if kubectl diff finds a difference for "
    "Deployments [Conformance]"
)
async def diff(stage: Stage) -> None:
    """A changed image is found."""
    live = {"apiVersion": "apps/v1", "kind": "Deployment", **workload("agnhost-deployment", 1)}
    await kubectl(stage, "create", "-f", "-", stdin=orjson.dumps(live).decode())
    declared = orjson.loads(orjson.dumps(live))
    declared["spec"]["template"]["spec"]["containers"][0]["image"] = "busybox:1.36"
    text = orjson.dumps(declared).decode()
    ran = await kubectl(stage, "diff", "-f", "-", stdin=text, fails=True)
    same(ran.code, 1, "kubectl diff's code for differences")
    for image in ("nginx:latest", "busybox:1.36"):
        has(ran.stdout, image, "kubectl diff")


@case(
    "[sig-cli] Kubectl client Kubectl run pod should create a pod from an image when restart is "
    "Never [Conformance]"
)
async def run_pod(stage: Stage) -> None:
    """The Pod has the image and the policy."""
    await kubectl(
        stage,
        "run",
        "e2e-test-httpd-pod",
        "--restart=Never",
        "--pod-running-timeout=2m0s",
        f"--image={PAUSE_IMAGE}",
    )
    pod = await stage.pods.get("e2e-test-httpd-pod")
    same([entry["image"] for entry in pod["spec"]["containers"]], [PAUSE_IMAGE], "images")
    same(pod["spec"]["restartPolicy"], "Never", "restartPolicy")


@case(
    "[sig-cli] Kubectl client Kubectl server-side dry-run should check if kubectl can dry-run "
    "update Pods [Conformance]"
)
async def dry_run(stage: Stage) -> None:
    """A dry run of a patch changes nothing."""
    name = "e2e-test-httpd-pod"
    await kubectl(stage, "run", name, f"--image={PAUSE_IMAGE}", f"--labels=run={name}")
    patch = {"spec": {"containers": [{"name": name, "image": "busybox:1.36"}]}}
    text = orjson.dumps(patch).decode()
    await kubectl(stage, "patch", "pod", name, "-p", text, "--dry-run=server")
    pod = await stage.pods.get(name)
    same(pod["spec"]["containers"][0]["image"], PAUSE_IMAGE, "the image after a dry run")
    await kubectl(stage, "delete", "pods", name, "--now")


@case("[sig-cli] Kubectl client Proxy server should support proxy with --port 0 [Conformance]")
async def proxy_port(stage: Stage) -> None:
    """A proxy at a port of its own choice passes requests on."""
    async with running(stage, "proxy", "-p", "0", "--disable-filter=true") as line:
        found = re.search(r":(\d+)\s*$", line)
        check(found, f"kubectl proxy tells its port: {line!r}")
        assert found is not None
        async with aiohttp.ClientSession() as session:
            await _check_api(session, f"http://127.0.0.1:{found.group(1)}/api/")


@case("[sig-cli] Kubectl client Proxy server should support --unix-socket=/path [Conformance]")
async def proxy_socket(stage: Stage) -> None:
    """So does one at a socket."""
    with tempfile.TemporaryDirectory(prefix="kubectl-proxy-") as directory:
        path = Path(directory) / "test"
        async with running(stage, "proxy", f"--unix-socket={path}"):
            connector = aiohttp.UnixConnector(path=str(path))
            async with aiohttp.ClientSession(connector=connector) as session:
                await _check_api(session, "http://localhost/api/")


async def _check_api(session: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(30), session.get(url) as answer:
        told = await answer.json()
    check(told["versions"], "the proxy passes on at least one version")
