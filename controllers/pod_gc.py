"""Ending pods that nobody else will end, for the collector of pods and for namespaces that go.

A pod bound to a node stays until the node's kubelet says that it has stopped. When the node object
does not exist there is no such kubelet, so the pod is deleted without grace. Its own finalizers
still hold it. The collector (jobs/pod_garbage.py) waits a while for a node to come back; a
namespace that is being deleted does not.
"""

from __future__ import annotations

from typing import Final

from kube.client import ApiClient
from kube.json_types import JsonObject
from kube.status import StatusError

_PAGE_SIZE: Final = 500


async def end_orphans(client: ApiClient, namespace: str) -> int:
    """Delete a namespace's terminating pods whose node is gone; return how many there were.

    At most one page of pods is looked at: the caller comes back while pods remain.

    Raises:
        StatusError, Unreachable: the server can't be asked.
    """
    path = f"/api/v1/namespaces/{namespace}/pods"
    page = await client.request("GET", path, query={"limit": str(_PAGE_SIZE)})
    waiting = [pod for pod in page.get("items") or () if _waits_for_its_node(pod)]
    gone = await absent_nodes(client, {pod["spec"]["nodeName"] for pod in waiting})
    orphans = [pod for pod in waiting if pod["spec"]["nodeName"] in gone]
    for pod in orphans:
        await delete_now(client, f"{path}/{pod['metadata']['name']}", pod["metadata"]["uid"])
    return len(orphans)


def _waits_for_its_node(pod: JsonObject) -> bool:
    metadata = pod["metadata"]
    if not metadata.get("deletionTimestamp") or not pod.get("spec", {}).get("nodeName"):
        return False
    # Already without grace: only a finalizer holds it.
    return bool(metadata.get("deletionGracePeriodSeconds") != 0)


async def absent_nodes(client: ApiClient, names: set[str]) -> set[str]:
    """Return those of some nodes that do not exist, each read anew.

    Raises:
        StatusError, Unreachable: the server can't be asked.
    """
    absent: set[str] = set()
    for name in sorted(names):
        try:
            await client.request("GET", f"/api/v1/nodes/{name}")
        except StatusError as error:
            if error.code != 404:
                raise
            absent.add(name)
    return absent


async def delete_now(client: ApiClient, path: str, uid: str) -> None:
    """Delete a pod without grace, unless it is another by now.

    Raises:
        StatusError, Unreachable: it may not have been deleted.
    """
    options = {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": uid},
    }
    try:
        await client.request("DELETE", path, options)
    except StatusError as error:
        # Gone, or replaced by another pod of that name: not ours to end any more.
        if error.code not in (404, 409):
            raise
