"""Which volumes are attached to which nodes (pkg/controller/volume/attachdetach), for CSI drivers.

    pods at a node -> claims -> volumes ---> VolumeAttachments, which drivers' attachers act on
                                             |
    node.status.volumesAttached <------------+   what kubelets wait for before they mount

A node is worked on as a whole, when anything of this changes for it; all state is in the objects.
What a kubelet has in use (status.volumesInUse) is not detached but from a node that is not ready,
after six minutes, or one that is out of service. It is taken out of volumesAttached first: whoever
looks there must not mount what is going. Nothing in here talks to storage.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from controllers.nodes.book import NodeBook, NodeBrief
from controllers.nodes.lost_pods import POD
from controllers.nodes.marks import NODES
from controllers.nodes.taints import OUT_OF_SERVICE_KEY
from controllers.recorder import Recorder
from controllers.volumes import attachment_facts as attaching
from controllers.volumes import facts
from controllers.volumes.attachment_facts import Source
from controllers.volumes.binder import CLAIM_USERS_INDEX
from controllers.workloads.pod_control import reference_of
from controllers.workqueue import WorkQueue, run_worker
from kube.client import ApiClient, Patch
from kube.informers.changes import Change
from kube.informers.informer import Delta, Informer
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

_WORKERS: Final = 8
_UNMOUNT_S: Final = 360.0
_TOLD_MAX: Final = 10_000
VOLUME_NODE_INDEX: Final = "volume-node"


def volume_node(pod: JsonObject) -> str | tuple[str, ...]:
    """Return where a pod with claims runs (VOLUME_NODE_INDEX)."""
    node = pod["spec"].get("nodeName")
    return node if node and facts.claim_names(pod) else ()


@dataclass(frozen=True, slots=True)
class Watched:
    """What decides: pods with VOLUME_NODE_INDEX and CLAIM_USERS_INDEX, attachments with both of
    theirs.
    """

    nodes: Informer
    pods: Informer
    claims: Informer
    volumes: Informer
    attachments: Informer
    drivers: Informer


Wanted = dict[str, tuple[Source, list[JsonObject]]]
"""By names of attachments: what is to be attached, and the pods that it is for."""


class AttachDetach:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        recorder: who tells.
        watched: what decides.
        book: all nodes in brief.
    """

    def __init__(
        self, client: ApiClient, recorder: Recorder, watched: Watched, book: NodeBook
    ) -> None:
        self._client = client
        self._clock = client.clock
        self._recorder = recorder
        self._book = book
        self._nodes = watched.nodes.store
        self._pods = watched.pods.store
        self._claims = watched.claims.store
        self._volumes = watched.volumes.store
        self._attachments = watched.attachments.store
        self._drivers = watched.drivers.store
        self._queue: WorkQueue[str] = WorkQueue()
        self._asked_s: dict[str, float] = {}
        self._refused: set[str] = set()
        watched.pods.on_changes(self._observe_pods)
        watched.claims.on_changes(self._observe_claims)
        watched.volumes.on_changes(self._observe_volumes)
        watched.attachments.on_changes(self._observe_attachments)
        book.listen(self._observe_node)

    def start(self, scope: TaskScope) -> None:
        """Start the workers, once all informers are synced."""
        for number in range(_WORKERS):
            scope.spawn(run_worker(self._queue, self.sync), name=f"attachments {number}")

    def _observe_pods(self, deltas: Sequence[Delta]) -> None:
        for _, _, pod, _ in deltas:
            if node := volume_node(pod):
                assert isinstance(node, str)
                self._queue.add(node)

    def _observe_claims(self, deltas: Sequence[Delta]) -> None:
        for _, key, _, _ in deltas:
            self._queue_users(key)

    def _observe_volumes(self, deltas: Sequence[Delta]) -> None:
        for _, _, volume, _ in deltas:
            if claim := facts.claim_key_of(volume):
                self._queue_users(claim)

    def _queue_users(self, claim: str) -> None:
        for pod in self._pods.find(CLAIM_USERS_INDEX, claim):
            if node := pod["spec"].get("nodeName"):
                self._queue.add(node)

    def _observe_attachments(self, deltas: Sequence[Delta]) -> None:
        for change, name, attachment, before in deltas:
            node = attaching.node_of_attachment(attachment)
            self._queue.add(node)
            if change is Change.DELETED:
                self._asked_s.pop(name, None)
                # Whoever waited for it at another node may have it now.
                volume = self._volumes.get(str(attaching.volume_of_attachment(attachment)))
                if volume is not None and (claim := facts.claim_key_of(volume)):
                    self._queue_users(claim)
                continue
            why = attaching.attach_error(attachment)
            if why and before and why != attaching.attach_error(orjson.loads(before)):
                self._tell_of_failure(node, attachment, why)

    def _observe_node(
        self, _old: NodeBrief | None, new: NodeBrief | None, node: JsonObject
    ) -> None:
        name = node["metadata"]["name"]
        if self._attachments.count(attaching.NODE_OF_INDEX, name) or (
            new is not None and self._pods.count(VOLUME_NODE_INDEX, name)
        ):
            self._queue.add(name)

    async def sync(self, name: str) -> float | None:
        """Have at a node what its pods need, and nothing else; return when to look again."""
        node = self._nodes.get(name)
        if node is not None and facts.annotation(node, attaching.MANAGED) is None:
            return None  # its kubelet attaches by itself
        wanted = self._wanted(name, node)
        present = {
            one["metadata"]["name"]: one
            for one in self._attachments.find(attaching.NODE_OF_INDEX, name)
        }
        leaving, again_s = self._leaving(node, wanted, present)
        if node is not None:
            await self._write_status(node, wanted, present, leaving)
            for key, (source, pods) in wanted.items():
                if key not in present:
                    await self._attach(name, key, source, pods)
        for key in leaving:
            await self._detach(key, present[key])
        return again_s

    def _wanted(self, name: str, node: JsonObject | None) -> Wanted:
        keeps = node is not None and facts.annotation(node, attaching.KEEP_TERMINATED) == "true"
        wanted: Wanted = {}
        for pod in self._pods.find(VOLUME_NODE_INDEX, name):
            if not attaching.needs_volumes(pod, keeps_terminated=keeps):
                continue
            for source in self._sources(pod):
                wanted.setdefault(source.attachment(name), (source, []))[1].append(pod)
        return wanted

    def _sources(self, pod: JsonObject) -> Iterator[Source]:
        """Yield the volumes of a pod that are attached to its node."""
        for claim_name in facts.claim_names(pod):
            claim = self._claims.get(f"{pod['metadata']['namespace']}/{claim_name}")
            if claim is None or (claim.get("status") or {}).get("phase") != "Bound":
                continue
            volume = self._volumes.get(claim["spec"].get("volumeName") or "")
            if volume is None:
                continue
            if (volume["spec"].get("claimRef") or {}).get("uid") != claim["metadata"]["uid"]:
                continue
            source = attaching.source_of(volume)
            if source is None:
                continue
            driver = self._drivers.get(source.driver)
            if driver is None or driver["spec"].get("attachRequired", True):
                yield source

    def _leaving(
        self, node: JsonObject | None, wanted: Wanted, present: dict[str, JsonObject]
    ) -> tuple[list[str], float | None]:
        """Return what is to be detached now, and in how many seconds to look again."""
        now_s, again_s = self._clock.monotonic_s(), None
        in_use = set((node.get("status") or {}).get("volumesInUse") or ()) if node else set()
        leaving = []
        for key, attachment in present.items():
            if key in wanted or "deletionTimestamp" in attachment["metadata"]:
                self._asked_s.pop(key, None)
                continue
            source = self._source(attachment)
            if source is None or source.attachment(attaching.node_of_attachment(attachment)) != key:
                continue  # somebody else's
            if source.unique_name not in in_use or self._is_out_of_service(node):
                leaving.append(key)
                continue
            left_s = self._asked_s.setdefault(key, now_s) + _UNMOUNT_S - now_s
            if left_s > 0:
                again_s = left_s if again_s is None else min(again_s, left_s)
            elif node is not None and self._is_unready(node):
                leaving.append(key)
        return leaving, again_s

    def _source(self, attachment: JsonObject) -> Source | None:
        name = attaching.volume_of_attachment(attachment)
        volume = self._volumes.get(name) if isinstance(name, str) else None
        return attaching.source_of(volume) if volume is not None else None

    def _is_out_of_service(self, node: JsonObject | None) -> bool:
        brief = self._book.get(node["metadata"]["name"]) if node is not None else None
        return brief is not None and any(one.key == OUT_OF_SERVICE_KEY for one in brief.taints)

    def _is_unready(self, node: JsonObject) -> bool:
        brief = self._book.get(node["metadata"]["name"])
        return brief is not None and brief.ready != "True"

    async def _write_status(
        self,
        node: JsonObject,
        wanted: Wanted,
        present: dict[str, JsonObject],
        leaving: Sequence[str],
    ) -> None:
        before = (node.get("status") or {}).get("volumesAttached") or []
        kept, names = set(leaving), set()
        for key, attachment in present.items():
            source = self._source(attachment)
            if key in kept or source is None or not attaching.is_attached(attachment):
                continue
            if "deletionTimestamp" not in attachment["metadata"]:
                names.add(source.unique_name)
        after = [{"name": name, "devicePath": ""} for name in sorted(names)]
        known = {one["name"] for one in before}
        if known == names:
            return
        body = {
            "metadata": {"uid": node["metadata"]["uid"]},
            "status": {"volumesAttached": after or None},
        }
        path = f"{NODES}/{node['metadata']['name']}/status"
        await self._client.request("PATCH", path, Patch(body))
        for source, pods in wanted.values():
            if source.unique_name in names - known:
                text = f'AttachVolume.Attach succeeded for volume "{source.volume}" '
                for pod in pods:
                    self._recorder.note(reference_of(POD, pod), "SuccessfulAttachVolume", text)

    async def _attach(self, node: str, key: str, source: Source, pods: list[JsonObject]) -> None:
        if source.is_exclusive and self._is_elsewhere(source, node):
            if key not in self._refused:
                if len(self._refused) >= _TOLD_MAX:
                    self._refused.clear()
                self._refused.add(key)
                self._tell_of_other(source, node, pods)
            return
        self._refused.discard(key)
        body = {
            "metadata": {"name": key},
            "spec": {
                "attacher": source.driver,
                "nodeName": node,
                "source": {"persistentVolumeName": source.volume},
            },
        }
        try:
            await self._client.request("POST", attaching.ATTACHMENTS, body)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise

    def _is_elsewhere(self, source: Source, node: str) -> bool:
        found = self._attachments.find(attaching.VOLUME_OF_INDEX, source.volume)
        return any(attaching.node_of_attachment(one) != node for one in found)

    def _tell_of_other(self, source: Source, node: str, pods: list[JsonObject]) -> None:
        users = sorted(
            one["metadata"]["name"]
            for pod in pods[:1]
            for claim in facts.claim_names(pod)
            for one in self._pods.find(CLAIM_USERS_INDEX, f"{pod['metadata']['namespace']}/{claim}")
            if one["spec"].get("nodeName") not in (None, "", node)
        )
        why = "Volume is already exclusively attached to one node and can't be attached to another"
        if users:
            why = f"Volume is already used by pod(s) {', '.join(users)}"
        text = f'Multi-Attach error for volume "{source.volume}" {why}'
        for pod in pods:
            self._recorder.warn(reference_of(POD, pod), "FailedAttachVolume", text)

    def _tell_of_failure(self, node: str, attachment: JsonObject, why: str) -> None:
        volume = attaching.volume_of_attachment(attachment)
        text = f'AttachVolume.Attach failed for volume "{volume}" : {why}'
        key = attachment["metadata"]["name"]
        for pod in self._pods.find(VOLUME_NODE_INDEX, node):
            if any(one.attachment(node) == key for one in self._sources(pod)):
                self._recorder.warn(reference_of(POD, pod), "FailedAttachVolume", text)

    async def _detach(self, key: str, attachment: JsonObject) -> None:
        self._asked_s.pop(key, None)
        options = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": {"uid": attachment["metadata"]["uid"]},
        }
        try:
            await self._client.request("DELETE", f"{attaching.ATTACHMENTS}/{key}", options)
        except StatusError as error:
            if error.code not in (404, 409):
                raise
